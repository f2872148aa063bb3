"""Sizes, offsets and crops: the numbers of the paper's Caffe release, and why they are right."""
import numpy as np
import pytest

import minifcn
from minifcn.models.geometry import GEOMETRIES, Geometry, Grid, explain, overlap, plan

STRIDES = (32, 16, 8)


@pytest.mark.parametrize("extent, pools, score_fr, upsampled", [
    # H, after the poolings (and conv1), score_fr, outputs 32s, upscore2, 16s, upscore_pool4, 8s
    (500, (698, 349, 175, 88, 44, 22), 16, (544, 34, 560, 70, 568)),
    (375, (573, 287, 144, 72, 36, 18), 12, (416, 26, 432, 54, 440)),
    (224, (422, 211, 106, 53, 27, 14), 8, (288, 18, 304, 38, 312)),
])
def test_caffe_sizes_are_the_published_ones(extent, pools, score_fr, upsampled):
    by_name = {}
    for stride in STRIDES:
        by_name |= {step.name: step.grid.size for step in plan(extent, stride, "caffe").steps}
    assert (by_name["conv1_2"], *(by_name[f"pool{k}"] for k in range(1, 6))) == pools
    assert by_name["score_fr"] == score_fr
    names = ("upscore", "upscore2", "upscore16", "upscore_pool4", "upscore8")
    assert tuple(by_name[name] for name in names) == upsampled


@pytest.mark.parametrize("extent", [*range(1, 601), 1333, 5000])
def test_caffe_sizes_follow_the_formulas(extent):
    plans = {stride: plan(extent, stride, "caffe") for stride in STRIDES}
    for k in range(1, 6):
        assert plans[8].after(f"pool{k}").size == -(-(extent + 198) // 2**k)
    s5 = -(-(extent + 198) // 32)
    assert plans[32].after("score_fr").size == s5 - 6
    assert plans[32].after("upscore").size == 32 * s5 - 160
    assert plans[16].after("upscore2").size == 2 * s5 - 10
    assert plans[16].after("upscore16").size == 32 * s5 - 144
    assert plans[8].after("upscore_pool4").size == 4 * s5 - 18
    assert plans[8].after("upscore8").size == 32 * s5 - 136


@pytest.mark.parametrize("geometry", ["exact", "caffe"])
@pytest.mark.parametrize("stride", STRIDES)
def test_every_image_gets_an_output_of_its_size_over_its_own_pixels(stride, geometry):
    for extent in range(1, 601):
        way = plan(extent, stride, geometry)
        final = way.steps[-1].grid
        assert final == Grid(extent, 1.0, 0.0)      # cell i is pixel i
        assert way.output.offset + extent <= way.steps[-2].grid.size
        for fusion in way.fusions.values():
            assert fusion.skip.size == fusion.upsampled.size


@pytest.mark.parametrize("padding", [81, 82, 90, 99, 100, 101, 117, 200])
def test_crops_for_any_padding_of_the_first_layer(padding):
    """p - 81 | 5, p - 73 | 5, 9, p - 69."""
    geometry = Geometry(padding, 0, aligned=False)
    for extent in (33, 224, 375, 500):
        assert plan(extent, 32, geometry).output.offset == padding - 81
        way = plan(extent, 16, geometry)
        assert (way.fusions["pool4"].skip.offset, way.output.offset) == (5, padding - 73)
        way = plan(extent, 8, geometry)
        assert (way.fusions["pool4"].skip.offset, way.fusions["pool3"].skip.offset,
                way.output.offset) == (5, 9, padding - 69)
        assert all(fusion.upsampled.offset == 0 for fusion in way.fusions.values())


def test_crops_of_the_released_networks():
    offsets = [plan(500, stride, "caffe").output.offset for stride in STRIDES]
    assert offsets == [19, 27, 31]


@pytest.mark.parametrize("stride, least", [(32, 81), (16, 73), (8, 69)])
def test_a_padding_that_is_too_small_is_refused_with_advice(stride, least):
    assert plan(500, stride, Geometry(least, 0, aligned=False)).output.offset == 0
    with pytest.raises(ValueError, match="pad more"):
        plan(500, stride, Geometry(least - 1, 0, aligned=False))
    with pytest.raises(ValueError, match=r"fc6 has no output left for 30 pixels.*pad more"):
        plan(30, stride, Geometry(1, 0, aligned=False))


def test_grids_that_do_not_lie_on_one_another_cannot_be_fused():
    with pytest.raises(ValueError, match=r"do not lie on one another.*0.5 cells apart"):
        overlap("score_pool4", Grid(9, 16.0, 0.0), "upscore2", Grid(9, 16.0, 8.0))
    with pytest.raises(ValueError, match="cells every 16 and 32 pixels"):
        overlap("score_pool4", Grid(9, 16.0, 0.0), "upscore2", Grid(9, 32.0, 0.0))
    with pytest.raises(ValueError, match="no cell in common"):
        overlap("score_pool4", Grid(3, 16.0, 0.0), "upscore2", Grid(9, 16.0, 48.0))


def test_a_centred_crop_would_be_wrong_for_most_sizes():
    centred = [(way.steps[-2].grid.size - extent) // 2 == way.output.offset
               for extent in range(1, 601) for way in [plan(extent, 8, "caffe")]]
    assert sum(centred) < len(centred) / 2


def test_cell_centres_and_receptive_field():
    grid = plan(500, 32, "caffe").after("score_fr")
    assert (grid.step, grid.origin) == (32, 12.5)       # cell i is centred at pixel 32i + 12.5
    grid = plan(500, 32, "exact").after("score_fr")
    assert (grid.step, grid.origin) == (32, 15.5)       # the middle of its 32 pixels


def test_a_score_cell_sees_404_pixels_and_no_more():
    """Asked of the network itself: single bright pixels at both ends of what cell 9 sees."""
    model = minifcn.FCN(32, 1, width=1 / 64, fc_channels=2, dtype="float64")
    for name in model.parameters:
        model.parameters[name] = 1.0 if name.endswith("weight") else 0.0
    centre = 32 * 9 + 15.5
    x = np.zeros((4, 1, 640, 3))
    x[range(4), 0, [int(centre + d) for d in (-202.5, -201.5, 201.5, 202.5)]] = 1
    pool5 = model.backbone.forward(x)["pool5"]
    scores = model.score_fr.forward(model.fc7.forward(model.fc6.forward(pool5)))
    assert (scores[:, 0, 9, 0] > 0).tolist() == [False, True, True, False]


def test_exact_geometry_pads_half_a_stride():
    assert [GEOMETRIES["exact"].upsampling_padding(factor) for factor in (32, 16, 8, 2)] == [
        16,
        8,
        4,
        1,
    ]
    assert [plan(500, stride, "exact").output.offset for stride in STRIDES] == [0, 0, 0]


def test_the_table_explains_the_numbers():
    table = explain(500, 375, 8, "caffe").splitlines()
    by_name = {line.split()[0]: line for line in table[2:]}
    assert "22 x 18" in by_name["pool5"] and "16 x 12" in by_name["score_fr"]
    assert by_name["score_fr"].endswith("12.5")
    assert "crop 31" in by_name["output"] and "crop 5" in by_name["fuse_pool4"]
    assert "500 x 375" in table[0] and "500 x 375" in by_name["output"]


@pytest.mark.parametrize("geometry", ["exact", "caffe"])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_score_sees_404_pixels(stride, geometry):
    """1 + the reach of every kernel in pixels: 211 of the backbone, 192 of fc6."""
    assert plan(500, stride, geometry).receptive_field == 404
    assert plan(500, stride, geometry, stages=(1,) * 5).receptive_field == (
        1 + 2 + 1 + (2 + 1) * 2 + (2 + 1) * 4 + (2 + 1) * 8 + (2 + 1) * 16 + 6 * 32)

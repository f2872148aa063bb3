"""A large picture in tiles: the same bits as in one pass."""
import itertools

import numpy as np
import pytest

import minifcn
from minifcn.models import tiling


def network(stride, geometry, width=1 / 64, fc_channels=3):
    """One channel first, eight at last; every number matters, nothing is zero."""
    model = minifcn.FCN(stride, 2, geometry, width=width, fc_channels=fc_channels, seed=2)
    rng = np.random.default_rng(3)
    for name in model.parameters:
        if name.startswith("score_") or name.endswith("bias"):
            model.parameters[name] = rng.random(model.parameters[name].shape)
    return model


def picture(h, w):
    return np.random.default_rng(h).integers(0, 256, (h, w, 3)).astype(np.uint8)


def in_tiles(model, image, largest):
    scores = np.full((*image.shape[:2], model.classes), np.nan, np.float32)
    tiles = 0
    for place, values in tiling.predict_scores(model, image, largest):
        assert np.isnan(scores[place]).all()        # no pixel twice
        scores[place] = values
        tiles += 1
    return scores, tiles


NETWORKS = list(itertools.product((32, 16, 8), ("exact", "caffe")))
STRIPS = [(33, 1177), (1153, 40), (21, 1200), (1160, 9), (1250, 30), (50, 1190)]    # four tiles
SQUARES = [(801, 1177), (769, 1100), (1100, 775), (1153, 790), (900, 1152), (850, 1155)]


@pytest.mark.parametrize(
    "stride, geometry, h, w",
    [(*variant, *size) for variant, size in zip(NETWORKS, STRIPS)]
    + [
        pytest.param(*variant, *size, marks=pytest.mark.slow)
        for variant, size in zip(NETWORKS, SQUARES)
    ],
)
def test_tiles_give_the_bits_of_the_whole_picture(engine, stride, geometry, h, w):
    model, image = network(stride, geometry), picture(h, w)
    whole, one = in_tiles(model, image, tiling.LARGEST)
    scores, many = in_tiles(model, image, 1)
    assert one == 1 and many == -(-h // tiling.GRID) * -(-w // tiling.GRID) >= 4
    np.testing.assert_array_equal(scores, whole)
    np.testing.assert_array_equal(model.predict(image), whole.argmax(axis=-1))


@pytest.mark.parametrize("geometry", ["exact", "caffe"])
def test_tiles_of_a_network_wide_enough_for_winograd(geometry):
    """Its tiles of cells must fall on the same places, and rounding with them."""
    model, image = network(8, geometry, width=1 / 4, fc_channels=64), picture(1250, 450)
    whole, _ = in_tiles(model, image, tiling.LARGEST)
    scores, many = in_tiles(model, image, 1)
    assert many == 8
    np.testing.assert_array_equal(scores, whole)


def test_the_numbers_follow_from_the_network():
    assert tiling.reach() == 632
    assert (tiling.GRID, tiling.HALO_BEFORE, tiling.HALO_AFTER) == (384, 768, 640)


def test_a_smaller_halo_would_be_noticed(monkeypatch):
    model, image = network(8, "exact"), picture(801, 40)
    whole, _ = in_tiles(model, image, tiling.LARGEST)
    monkeypatch.setattr(tiling, "HALO_AFTER", 192)
    scores, _ = in_tiles(model, image, 1)
    assert not np.array_equal(scores, whole)


@pytest.mark.parametrize("largest", [10**6, 3 * 10**7, 5 * 10**7, 10**8, 10**9])
def test_tiles_fit_into_memory_and_cover_every_pixel_once(largest):
    model = network(8, "exact")
    tiles = tiling.tiles(model, 1900, 2500, largest)
    covered = np.zeros((1900, 2500), int)
    for rows, columns in tiles:
        covered[rows.core, columns.core] += 1
        assert rows.whole.start % tiling.GRID == columns.whole.start % tiling.GRID == 0
        finest = len(tiles) == 5 * 7
        assert finest or tiling.forward_bytes(model, rows.size, columns.size) <= largest
    assert (covered == 1).all()
    assert (len(tiles) == 1) == (tiling.forward_bytes(model, 1900, 2500) <= largest)


def test_a_picture_of_twelve_million_pixels_is_cut_across_its_longer_side():
    tiles = tiling.tiles(minifcn.FCN(8, seed=None), 3000, 4000, tiling.LARGEST)
    assert all(rows.whole == slice(0, 3000) for rows, _ in tiles)
    computed = sum(rows.size * columns.size for rows, columns in tiles)
    assert len(tiles) == 2 and computed < 1.4 * 3000 * 4000


def test_predict_goes_through_the_tiles(monkeypatch):
    model, image = network(16, "exact"), picture(500, 20)
    whole, probabilities = model.predict(image), model.probabilities(image)
    calls = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda x: calls.append(x.shape) or forward(x))
    monkeypatch.setattr(tiling.predict_scores, "__defaults__", (1,))
    np.testing.assert_array_equal(model.predict(image), whole)
    assert len(calls) == 2
    np.testing.assert_array_equal(model.probabilities(image), probabilities)

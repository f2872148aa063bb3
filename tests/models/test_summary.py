"""What a network costs, told without running it."""
import numpy as np
import pytest

import minifcn


@pytest.mark.parametrize("geometry, h, w, gmac", [
    ("exact", 500, 500, 107.8), ("caffe", 500, 500, 180.9), ("exact", 360, 480, 74.5),
    ("caffe", 360, 480, 139.3)])
def test_multiplications(geometry, h, w, gmac):
    summary = minifcn.FCN(32, geometry=geometry, seed=None).summary(h, w)
    assert summary.macs / 1e9 == pytest.approx(gmac, abs=0.05)


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("geometry", ["exact", "caffe"])
@pytest.mark.parametrize("upsampling", ["frozen", "learned"])
def test_rows_are_what_the_layers_do(stride, geometry, upsampling):
    model = minifcn.FCN(stride, 3, geometry, width=1 / 32, fc_channels=5, upsampling=upsampling)
    seen = {}

    def watch(layer):
        forward = layer.forward

        def watched(x, *arguments):
            y = forward(x, *arguments)
            seen[layer.name] = (x.shape[1:], y.shape[1:])
            return y
        layer.forward = watched

    for layer in model.layers:
        watch(layer)
    model.forward(np.zeros((1, 93, 70, 3), np.float32))
    summary = model.summary(93, 70)
    assert [row.name for row in summary.rows] == [
        layer.name for layer in model.layers if not layer.name.startswith("drop")]
    for row in summary.rows:
        (h, w, c_in), shape = seen[row.name]
        assert row.shape == shape, row.name
        if row.name.startswith(("conv", "fc", "score")):
            kernel = {"f": 49 if row.name == "fc6" else 1, "s": 1, "c": 9}[row.name[0]]
            assert row.macs == kernel * c_in * shape[0] * shape[1] * shape[2], row.name
        elif row.name.startswith("upscore"):
            factor = {"upscore": 32, "upscore16": 16, "upscore8": 8}.get(row.name, 2)
            assert row.macs == h * w * (2 * factor)**2 * c_in * (
                c_in if upsampling == "learned" else 1), row.name
    assert summary.parameters == sum(array.size for array in model.parameters.values())
    assert summary.macs == sum(row.macs for row in summary.rows)


def test_the_table_can_be_printed():
    text = str(minifcn.FCN(8, seed=None).summary(500, 375))
    assert "500 x 375" in text.splitlines()[0]
    assert "134,362,751" in text and "16 x 12 x 4096" in text and "MB" in text.splitlines()[-1]


def test_memory_grows_with_the_picture_and_training_needs_more():
    model = minifcn.FCN(8, seed=None)
    small, large = model.summary(500, 500), model.summary(3000, 4000)
    weights = 4 * small.parameters
    assert weights < small.predict_bytes < large.predict_bytes
    assert large.training_bytes > 3 * weights + 20 * 64 * 4 * 3000 * 4000 / 10
    assert small.training_bytes > small.predict_bytes

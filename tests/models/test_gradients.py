"""The three FCNs in both geometries by differences, and what a network must be able to learn."""

import numpy as np
import pytest

import minifcn
from minifcn import gradcheck
from tests.gradcheck.conftest import one_thread  # noqa: F401 (used by every test)

rng = np.random.default_rng(0)


def narrow(stride, geometry, upsampling="frozen", **options):
    return minifcn.FCN(stride=stride, classes=4, geometry=geometry, width=0.05, fc_channels=8,
                       upsampling=upsampling, **options)


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_whole_network_in_exact_geometry(engine, stride):
    upsampling = "learned" if engine == "reference" else "frozen"
    elements = 6 if engine == "reference" else 2
    report = gradcheck.check_model(narrow(stride, "exact", upsampling), elements=elements)
    assert all(np.abs(c.got).max() > 1e-6 for c in report.comparisons), "a gradient is blocked"


@pytest.mark.parametrize("stride, upsampling", [(32, "learned"), (16, "frozen"), (8, "learned")])
def test_whole_network_in_caffe_geometry(stride, upsampling):
    with minifcn.using("reference"):
        report = gradcheck.check_model(narrow(stride, "caffe", upsampling), elements=1)
    assert all(np.abs(c.got).max() > 1e-6 for c in report.comparisons), "a gradient is blocked"


def test_whole_network_at_once():
    with minifcn.using("reference"):
        gradcheck.check_model(narrow(8, "exact", at_once=True), elements=3)


@pytest.mark.parametrize("stride", [32, 8])
def test_first_loss_is_the_logarithm_of_the_classes(stride):
    model = narrow(stride, "exact", dtype="float64")
    scores = model.forward(rng.standard_normal((2, 9, 7, 3)), training=True)
    labels = rng.integers(0, 4, (2, 9, 7))
    assert minifcn.softmax_cross_entropy(scores, labels)[0] == pytest.approx(np.log(4), abs=1e-12)


def test_a_network_overfits_two_images():
    model = minifcn.FCN(stride=8, classes=3, width=0.1, fc_channels=16, dropout=0.0, seed=1)
    images = rng.standard_normal((2, 16, 16, 3)).astype(np.float32)
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[0, :8] = 1
    labels[1, :, 8:] = 2
    optimizer = minifcn.Adam(model.parameters, rate=3e-3)
    with minifcn.using("reference"):
        for _ in range(120):
            loss, dscores = minifcn.softmax_cross_entropy(
                model.forward(images, training=True), labels
            )
            model.backward(dscores)
            optimizer.step(model.gradients)
    assert loss < 0.25 * np.log(3)

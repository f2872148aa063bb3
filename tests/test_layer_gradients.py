"""Every layer object by differences; the networks are in tests/models/test_gradients.py."""

import inspect

import numpy as np
import pytest

import minifcn
from minifcn import gradcheck, layers
from tests.gradcheck.conftest import one_thread  # noqa: F401 (used by every test)

rng = np.random.default_rng(0)
IMAGE = (2, 5, 6, 3)
LAYERS = {
    "Conv2d": lambda: (
        layers.Conv2d("a", (3, 2, 3, 4), padding=1, rng=rng, dtype="float64"), IMAGE),
    "Conv2d, stride, ReLU": lambda: (
        layers.Conv2d("a", (3, 3, 3, 4), 2, 1, relu=True, rng=rng, dtype="float64"), IMAGE),
    "Linear": lambda: (layers.Linear("a", 5, 4, rng=rng, dtype="float64"), (3, 5)),
    "Linear, ReLU": lambda: (layers.Linear("a", 5, 4, relu=True, rng=rng, dtype="float64"), (3, 5)),
    "MaxPool2d": lambda: (layers.MaxPool2d("a"), IMAGE),
    "Dropout": lambda: (layers.Dropout("a", 0.4), IMAGE),
    "BilinearUpsample": lambda: (layers.BilinearUpsample("a", 2, 1), IMAGE),
    "ConvTranspose2d": lambda: (layers.ConvTranspose2d("a", 3, 2, 1, dtype="float64"), IMAGE),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_a_layer(engine, name):
    layer, shape = LAYERS[name]()
    for value in layer.parameters.values():
        value[...] = rng.standard_normal(value.shape)
    before = {key: value.copy() for key, value in layer.parameters.items()}
    report = gradcheck.check_layer(layer, rng.standard_normal(shape))
    assert [c.array for c in report.comparisons] == ["dx", *(f"d{key}" for key in layer.parameters)]
    for key, value in layer.parameters.items():
        np.testing.assert_array_equal(value, before[key])


def test_every_layer_class_is_checked_here():
    classes = {
        name
        for name, each in vars(layers).items()
        if inspect.isclass(each) and issubclass(each, layers.Layer) and each is not layers.Layer
    }
    assert classes == {name.split(",")[0] for name in LAYERS}


def test_vgg16_is_made_of_checked_layers():
    vgg = minifcn.VGG16(width=0.02)
    assert {type(layer).__name__ for layer in vgg.layers} <= {name.split(",")[0] for name in LAYERS}

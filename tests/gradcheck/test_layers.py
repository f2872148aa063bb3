"""Every layer object by differences; the networks are in tests/models/test_gradients.py."""

import inspect

import numpy as np
import pytest

import minifcn
from minifcn import gradcheck, layers

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


def test_a_wrong_layer_is_noticed_and_its_parameters_are_put_back():
    class Wrong(layers.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.gradients["weight"] = -self.gradients["weight"]
            return dx

    layer = Wrong("a", 5, 4, rng=rng, dtype="float64")
    before = layer.parameters["weight"].copy()
    with pytest.raises(gradcheck.GradientError) as error:
        gradcheck.check_layer(layer, rng.standard_normal((3, 5)))
    assert error.value.report.cause == "sign"
    assert "dweight" in error.value.report.diagnosis
    np.testing.assert_array_equal(layer.parameters["weight"], before)


def test_a_layer_without_parameters_says_that_only_dx_was_checked():
    class Twice:
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    assert "only dx" in str(gradcheck.check_layer(Twice(), rng.standard_normal((3, 5))))


def test_float32_layers_are_refused():
    with pytest.raises(ValueError, match="float64"):
        gradcheck.check_layer(layers.Linear("a", 5, 4, rng=rng), rng.standard_normal((3, 5)))


def test_vgg16_is_made_of_checked_layers():
    vgg = minifcn.VGG16(width=0.02)
    assert {type(layer).__name__ for layer in vgg.layers} <= {name.split(",")[0] for name in LAYERS}


def test_a_wrong_layer_in_a_network_is_found(monkeypatch):
    backward = layers.Conv2d.backward

    def wrong(self, dy):
        dx = backward(self, dy)
        return 1.5 * dx if self.name == "fc7" else dx

    monkeypatch.setattr(layers.Conv2d, "backward", wrong)
    model = minifcn.FCN(32, classes=4, width=0.05, fc_channels=8)
    with minifcn.using("reference"):
        report = gradcheck.check_model(model, strict=False, elements=2)
    assert not report.ok
    assert "fc6" in report.diagnosis, "all from fc6 down is wrong, fc6 is nearest to the loss"

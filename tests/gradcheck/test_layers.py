"""``check_layer`` and ``check_model`` on what is wrong, and what they refuse."""

import numpy as np
import pytest

import minifcn
from minifcn import gradcheck, layers

rng = np.random.default_rng(0)


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

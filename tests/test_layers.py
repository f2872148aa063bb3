"""Layers: what they own, what they remember, and what their first values are."""
import numpy as np
import pytest

from minifcn import ops
from minifcn.layers import (
    BilinearUpsample,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Linear,
    MaxPool2d,
    he_normal,
)


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def layers(dtype="float64"):
    """One of each kind with an input that fits."""
    rng = np.random.default_rng(1)
    return [
        (
            Conv2d("conv", (3, 3, 2, 4), padding=1, rng=rng, dtype=dtype),
            random(2, 5, 6, 2, dtype=dtype),
        ),
        (
            Conv2d("conv", (3, 3, 2, 4), 2, 1, relu=True, rng=rng, dtype=dtype),
            random(2, 5, 6, 2, dtype=dtype),
        ),
        (Linear("fc", 6, 3, rng=rng, dtype=dtype), random(4, 6, dtype=dtype)),
        (Linear("fc", 6, 3, relu=True, rng=rng, dtype=dtype), random(4, 6, dtype=dtype)),
        (MaxPool2d("pool"), random(2, 5, 7, 3, dtype=dtype)),
        (Dropout("drop", 0.5), random(2, 5, 6, 3, dtype=dtype)),
        (BilinearUpsample("up", 2, 1), random(1, 3, 4, 2, dtype=dtype)),
        (ConvTranspose2d("up", 2, 2, 1, dtype), random(1, 3, 4, 2, dtype=dtype)),
    ]


KINDS = range(len(layers()))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(engine, kind):
    """Of sum(y * dy) along a random direction of the input and of each parameter."""
    layer, x = layers()[kind]
    dy = random(*layer.forward(x, training=True).shape, seed=2)
    dx = layer.backward(dy)
    assert set(layer.gradients) == set(layer.parameters)
    arrays = {"x": (x, dx)} | {key: (array, layer.gradients[key])
                               for key, array in layer.parameters.items()}
    for key, (array, gradient) in arrays.items():
        direction, h, sums, before = random(*array.shape, seed=3), 1e-6, [], array.copy()
        for step in (h, -h):
            array[...] = before + step * direction
            sums.append((layer.forward(x, training=True) * dy).sum())
        array[...] = before
        assert (sums[0] - sums[1]) / (2 * h) == pytest.approx(
            (gradient * direction).sum(), rel=1e-7
        ), key


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept(engine, kind, dtype):
    layer, x = layers(dtype)[kind]
    y = layer.forward(x, training=True)
    arrays = [y, layer.backward(y), *layer.parameters.values(), *layer.gradients.values()]
    assert {str(array.dtype) for array in arrays} == {dtype}


@pytest.mark.parametrize("kind", KINDS)
def test_only_training_remembers_and_backward_forgets(kind):
    layer, x = layers()[kind]
    y = layer.forward(x)
    assert layer.remembered is None
    with pytest.raises(
        ValueError, match=f"{layer.name}: backward needs a forward pass with training=True"
    ):
        layer.backward(y)
    layer.forward(x, training=True)
    assert layer.remembered is not None
    layer.backward(y)
    assert layer.remembered is None
    layer.forward(x, training=True)
    layer.forward(x)
    assert layer.remembered is None


def test_backward_overwrites_gradients(engine):
    layer, x = layers()[0]
    dy = random(2, 5, 6, 4)
    for _ in range(2):
        layer.forward(x, training=True)
        layer.backward(dy)
    once = layer.gradients
    layer.forward(x, training=True)
    layer.backward(2 * dy)
    for key in once:
        np.testing.assert_allclose(layer.gradients[key], 2 * once[key])


def test_the_first_layer_spares_the_gradient_of_the_image(engine):
    rng = np.random.default_rng(1)
    layer = Conv2d(
        "conv1_1", (3, 3, 3, 4), padding=1, relu=True, rng=rng, dtype="float64", needs_dx=False
    )
    y = layer.forward(random(1, 5, 6, 3), training=True)
    assert layer.backward(y) is None
    assert layer.gradients["weight"].any()


def test_relu_is_what_comes_after_the_convolution(engine):
    layer, x = layers()[1]
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    y = ops.conv2d_forward(x, weight, bias, 2, 1)
    np.testing.assert_allclose(layer.forward(x), np.maximum(y, 0), rtol=1e-12, atol=1e-15)


def test_dropout_at_prediction_does_nothing():
    x = random(3, 4)
    assert Dropout("drop6", 0.5).forward(x) is x


def test_learned_upsampling_starts_bilinear_on_the_diagonal():
    weight = ConvTranspose2d("upscore2", 3, 2, 1).parameters["weight"]
    for c in range(3):
        for f in range(3):
            expected = ops.bilinear_kernel(4) if c == f else np.zeros((4, 4))
            np.testing.assert_array_equal(weight[:, :, c, f], expected)


@pytest.mark.parametrize(
    "shape, fan_in", [((3, 3, 16, 400), 144), ((200, 300), 200), ((7, 7, 8, 90), 392)]
)
def test_he_normal_has_the_variance_of_the_paper(shape, fan_in):
    values = he_normal(shape, np.random.default_rng(0), "float32")
    assert values.dtype == np.float32
    assert values.var() == pytest.approx(2 / fan_in, rel=0.05)
    assert abs(values.mean()) < 0.02 * np.sqrt(2 / fan_in)

"""The fast engine beside convolution: equal to the reference, for any number of threads."""
import math

import numpy as np
import pytest

from minifcn import ops
from minifcn.ops import fast, reference
from minifcn.training.kernels import adam_step, sgd_step

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def random(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def equal(got, expected):
    """To the bit, NaNs included, and the dtype with them."""
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def close(got, expected):
    assert got.dtype == expected.dtype and got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0,
                               atol=TOLERANCE[str(got.dtype)] * max(1, np.abs(expected).max()))


def awkward(x):
    """The same values, neither contiguous nor writable."""
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    wide.flags.writeable = False
    return wide


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (40_001,), (1,), (0, 3)])
def test_relu_equals_the_reference(shape, dtype):
    x, dy = random(shape, dtype), random(shape, dtype, 1)
    x.reshape(-1)[:5] = [0.0, -0.0, np.nan, np.inf, -np.inf][:x.size]
    y = fast.relu_forward(x)
    equal(y, reference.relu_forward(x))
    equal(fast.relu_backward(dy, y), reference.relu_backward(dy, y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5, -3])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999])
def test_dropout_draws_the_mask_of_the_reference(rate, seed, dtype):
    x, dy = random((3, 70, 100), dtype), random((3, 70, 100), dtype, 1)
    y, mask = fast.dropout_forward(x, rate, seed)
    expected_y, expected_mask = reference.dropout_forward(x, rate, seed)
    equal(mask, expected_mask)
    equal(y, expected_y)
    equal(fast.dropout_backward(dy, mask, rate), reference.dropout_backward(dy, mask, rate))


POOLS = [   # shape, size, stride, ceil_mode
    ((2, 6, 8, 5), 2, 2, True), ((1, 7, 9, 17), 2, 2, True), ((1, 7, 9, 3), 2, 2, False),
    ((2, 8, 7, 33), 3, 2, True), ((1, 9, 11, 4), 3, 1, True), ((1, 9, 11, 4), 2, 3, True),
    ((1, 1, 1, 1), 2, 2, True), ((1, 1, 5, 2), 3, 2, False), ((0, 4, 4, 3), 2, 2, True),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, size, stride, ceil_mode", POOLS)
def test_max_pool2d_equals_the_reference(shape, size, stride, ceil_mode, dtype):
    x = random(shape, dtype)
    y, argmax = fast.max_pool2d_forward(x, size, stride, ceil_mode)
    expected_y, expected_argmax = reference.max_pool2d_forward(x, size, stride, ceil_mode)
    equal(y, expected_y)
    equal(argmax, expected_argmax)
    dy = random(y.shape, dtype, 1)
    equal(fast.max_pool2d_backward(dy, argmax, shape),
          reference.max_pool2d_backward(dy, argmax, shape))


@pytest.mark.parametrize("values", [
    [0, 0, 0, 0], [1, 2, 2, 1], [-np.inf] * 4, [0.0, -0.0, 0.0, -0.0],
    [1, np.nan, 2, np.nan], [np.nan, 5, np.nan, 1], [np.inf, np.nan, np.inf, 0],
])
def test_max_pool2d_takes_the_first_maximum_and_the_first_nan(values):
    x = np.repeat(np.array(values, "float32").reshape(1, 2, 2, 1), 19, axis=3)
    y, argmax = fast.max_pool2d_forward(x)
    first = int(np.argmax(values))      # NumPy's rule: the first NaN, else the first maximum
    assert (argmax == first).all()
    equal(y[0, 0, 0], np.full(19, values[first], "float32"))


UPSAMPLINGS = [     # shape, factor, size, padding
    ((2, 3, 5, 7), 2, 4, 1), ((1, 4, 3, 21), 8, 16, 4), ((1, 3, 2, 2), 3, 5, 1),
    ((1, 2, 3, 2), 32, 64, 16), ((1, 3, 4, 2), 2, 4, 0), ((1, 3, 4, 2), 3, 2, 0),
    ((1, 4, 5, 3), 1, 3, 1), ((1, 4, 5, 1), 2, 7, 3), ((1, 1, 1, 1), 2, 4, 1),
    ((2, 1, 6, 3), 4, 8, 0),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, factor, size, padding", UPSAMPLINGS)
def test_bilinear_upsample_equals_the_reference(shape, factor, size, padding, dtype):
    x = random(shape, dtype)
    y = fast.bilinear_upsample_forward(x, factor, size, padding)
    close(y, reference.bilinear_upsample_forward(x, factor, size, padding))
    dy = random(y.shape, dtype, 1)
    close(fast.bilinear_upsample_backward(dy, factor, size, padding, shape),
          reference.bilinear_upsample_backward(dy, factor, size, padding, shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels_dtype", ["uint8", "int16", "int64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_per_image"])
def test_loss_equals_the_reference(reduction, weighted, labels_dtype, dtype):
    scores = random((3, 29, 31, 7), dtype) * 30     # exponentials that overflow unless shifted
    labels = np.random.default_rng(1).integers(0, 8, (3, 29, 31)).astype(labels_dtype)
    class_weights = np.linspace(0, 3, 7) if weighted else None
    options = dict(ignore=7, reduction=reduction, class_weights=class_weights)
    loss, dscores = fast.softmax_cross_entropy(scores, labels, **options)
    expected_loss, expected = reference.softmax_cross_entropy(scores, labels, **options)
    assert isinstance(loss, float)
    assert loss == pytest.approx(expected_loss, rel=TOLERANCE[dtype])
    close(dscores * 1000, expected * 1000)      # a mean's gradients are small: use the tolerance
    assert (dscores[labels == 7] == 0).all()


def test_loss_of_uniform_scores_is_the_logarithm_of_the_classes():
    labels = np.zeros((1, 40, 40), np.uint8)
    loss, _ = fast.softmax_cross_entropy(np.zeros((1, 40, 40, 21), np.float32), labels)
    assert loss == pytest.approx(math.log(21), rel=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_per_image"])
def test_loss_without_a_valid_pixel_is_zero(reduction):
    scores, labels = random((1, 40, 40, 3)), np.full((1, 40, 40), 255)
    scores[0, 0] = np.nan       # what is ignored may hold anything
    loss, dscores = fast.softmax_cross_entropy(scores, labels, reduction=reduction)
    assert loss == 0.0 and dscores.shape == scores.shape and not dscores.any()


def _outputs():
    """Every operation once, with many blocks of work; a list of arrays."""
    x, dy = random((2, 61, 63, 24)), random((2, 61, 63, 24), seed=1)
    y, mask = fast.dropout_forward(x, 0.5, 9)
    pooled, argmax = fast.max_pool2d_forward(x, 3, 2)
    up = fast.bilinear_upsample_forward(x, 2, 4, 1)
    labels = np.random.default_rng(2).integers(0, 24, x.shape[:3])
    loss, dscores = fast.softmax_cross_entropy(x, labels, ignore=3)
    weight, velocity, first, second = x.copy(), dy.copy(), dy.copy(), np.abs(dy)
    sgd_step(weight, dy, velocity, 0.1, 0.9, 1e-3)
    adam_step(weight, dy, first, second, 0.1, 0.9, 0.999, 1e-8, 1e-3, 2)
    return [
        fast.relu_forward(x), fast.relu_backward(dy, x),
        y, mask, fast.dropout_backward(dy, mask, 0.5),
        pooled, argmax, fast.max_pool2d_backward(pooled, argmax, x.shape),
        up, fast.bilinear_upsample_backward(up, 2, 4, 1, x.shape),
        np.array(loss), dscores, weight, velocity, first, second,
    ]


def test_bits_do_not_depend_on_the_number_of_threads():
    before = ops.get_threads()
    try:
        ops.set_threads(1)
        expected = _outputs()
        for threads in (2, 3, 4):
            ops.set_threads(threads)
            for got, want in zip(_outputs(), expected, strict=True):
                equal(got, want)
    finally:
        ops.set_threads(before)


def test_overlapping_pooling_windows_never_race():
    x = random((2, 5, 4, 3))
    y, argmax = fast.max_pool2d_forward(x, 3, 1)
    expected = reference.max_pool2d_backward(y, argmax, x.shape)
    for _ in range(200):
        equal(fast.max_pool2d_backward(y, argmax, x.shape), expected)


def test_inputs_may_be_read_only_and_scattered_in_memory():
    x, dy = random((2, 6, 8, 5)), random((2, 6, 8, 5), seed=1)
    equal(fast.relu_forward(awkward(x)), fast.relu_forward(x))
    equal(fast.relu_backward(awkward(dy), awkward(x)), fast.relu_backward(dy, x))
    y, mask = fast.dropout_forward(x, 0.5, 3)
    equal(fast.dropout_forward(awkward(x), 0.5, 3)[0], y)
    equal(fast.dropout_backward(awkward(dy), awkward(mask), 0.5),
          fast.dropout_backward(dy, mask, 0.5))
    y, argmax = fast.max_pool2d_forward(x)
    equal(fast.max_pool2d_forward(awkward(x))[0], y)
    equal(fast.max_pool2d_backward(awkward(y), awkward(argmax), x.shape),
          fast.max_pool2d_backward(y, argmax, x.shape))
    equal(fast.bilinear_upsample_forward(awkward(x), 2, 4, 1),
          fast.bilinear_upsample_forward(x, 2, 4, 1))
    equal(fast.bilinear_upsample_backward(awkward(x), 2, 4, 1, (2, 3, 4, 5)),
          fast.bilinear_upsample_backward(x, 2, 4, 1, (2, 3, 4, 5)))
    labels = np.argmax(dy, axis=-1)
    equal(fast.softmax_cross_entropy(awkward(x), awkward(labels))[1],
          fast.softmax_cross_entropy(x, labels)[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd_step_is_that_of_caffe(dtype):
    weight, gradient, velocity = (random((50, 401), dtype, seed) for seed in range(3))
    expected_velocity = 0.9 * velocity + 0.01 * (gradient + 0.1 * weight)
    expected_weight, before = weight - expected_velocity, gradient.copy()
    sgd_step(weight, gradient, velocity, 0.01, 0.9, 0.1)
    close(velocity, expected_velocity)
    close(weight, expected_weight)
    equal(gradient, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", [1, 7])
def test_adam_step_is_that_of_the_paper(step, dtype):
    weight, gradient, first = (random((50, 401), dtype, seed) for seed in range(3))
    second = random((50, 401), dtype, 3) ** 2
    g = gradient + 0.1 * weight.astype("float64")
    m, v = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
    expected = weight - 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-3)
    adam_step(weight, gradient, first, second, 0.01, 0.9, 0.999, 1e-3, 0.1, step)
    close(first, m.astype(dtype))
    close(second, v.astype(dtype))
    close(weight, expected.astype(dtype))


def test_a_step_refuses_what_it_cannot_change_in_place():
    weight = random((4, 6)).T
    with pytest.raises(ValueError, match="C-contiguous"):
        sgd_step(weight, weight, weight, 0.1, 0.9, 0.0)

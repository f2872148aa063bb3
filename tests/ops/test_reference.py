"""The textbook engine beside plain NumPy: other formulas for the same operations."""
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from minifcn.ops import bilinear_kernel, reference
from minifcn.ops.checks import pair

CASES = [   # x, kernel, c_out, stride, padding
    ((2, 5, 6, 3), (3, 3), 4, (1, 1), (1, 1)), ((1, 7, 5, 2), (3, 2), 1, (2, 1), (0, 2)),
    ((1, 1, 1, 1), (1, 1), 1, (1, 1), (0, 0)), ((2, 9, 8, 2), (7, 7), 3, (1, 1), (3, 3)),
    ((1, 6, 11, 1), (2, 5), 2, (3, 2), (1, 0)), ((1, 2, 2, 2), (3, 3), 2, (1, 1), (4, 4)),
    ((0, 4, 4, 2), (3, 3), 2, (1, 1), (1, 1))]
DTYPES = ["float32", "float64"]
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


def random(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(got, expected):
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE[str(got.dtype)]
                               * max(1, np.abs(expected).max(initial=0)))


def awkward(x):
    """The same values, read-only and scattered in memory."""
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    wide.flags.writeable = False
    return wide


# Oracles: windows and einsum for the convolution, its transpose as a matrix for the rest


def windows(x, kernel, stride, padding):
    """(n, oh, ow, c, kh, kw): every place of the kernel."""
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    return sliding_window_view(padded, kernel, (1, 2))[:, ::stride[0], ::stride[1]]


def convolve(x, weight, bias, stride, padding):
    return (
        np.einsum("nijcab,abcf->nijf", windows(x, weight.shape[:2], stride, padding), weight) + bias
    )


def matrix_of(linear, shape):
    """The matrix of a linear map of arrays, one unit vector at a time."""
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.stack([linear(unit).reshape(-1) for unit in units], axis=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, kernel, c_out, stride, padding", CASES)
def test_conv2d(shape, kernel, c_out, stride, padding, dtype):
    x, weight, bias = (
        random(shape, dtype),
        random((*kernel, shape[3], c_out), dtype, 1),
        random(c_out, dtype, 2),
    )
    y = reference.conv2d_forward(x, weight, bias, stride, padding)
    expected = convolve(x, weight, bias, stride, padding)
    close(y, expected)
    dy = random(y.shape, dtype, 3)
    dx, dweight, dbias = reference.conv2d_backward(dy, x, weight, stride, padding)
    close(dweight, np.einsum("nijcab,nijf->abcf", windows(x, kernel, stride, padding), dy))
    close(dbias, dy.sum(axis=(0, 1, 2)))
    zero = np.zeros(c_out)
    if x.size:
        matrix = matrix_of(
            lambda unit: convolve(unit[None], weight, zero, stride, padding), shape[1:]
        )
        close(dx, (dy.reshape(len(dy), -1) @ matrix).reshape(shape))
    assert {array.dtype for array in (y, dx, dweight, dbias)} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape, kernel, c_out, stride, padding", [
    ((2, 3, 4, 2), (4, 4), 3, (2, 2), (1, 1)), ((1, 2, 3, 1), (3, 5), 2, (3, 1), (0, 2)),
    ((1, 1, 1, 1), (64, 64), 1, (32, 32), (16, 16)), ((1, 4, 2, 2), (1, 2), 2, (2, 3), (0, 0))])
def test_conv_transpose2d(shape, kernel, c_out, stride, padding, with_bias, dtype):
    """It is the transpose of a convolution from its output's shape to its input's."""
    x, weight = random(shape, dtype), random((*kernel, shape[3], c_out), dtype, 1)
    bias = random(c_out, dtype, 2) if with_bias else None
    y = reference.conv_transpose2d_forward(x, weight, bias, stride, padding)
    mirrored = weight.transpose(0, 1, 3, 2)
    size = tuple((e - 1) * s + k - 2 * p for e, s, k, p in zip(shape[1:3], stride, kernel, padding))
    assert y.shape == (shape[0], *size, c_out)
    matrix = matrix_of(
        lambda unit: convolve(unit[None], mirrored, np.zeros(shape[3]), stride, padding),
        y.shape[1:],
    )
    expected = (x.reshape(len(x), -1) @ matrix).reshape(y.shape)
    close(y, expected + (0 if bias is None else bias))
    dy = random(y.shape, dtype, 3)
    dx, dweight, dbias = reference.conv_transpose2d_backward(dy, x, weight, stride, padding)
    close(dx, convolve(dy, mirrored, np.zeros(shape[3]), stride, padding))
    close(dweight, np.einsum("nijfab,nijc->abcf", windows(dy, kernel, stride, padding), x))
    close(dbias, dy.sum(axis=(0, 1, 2)))
    assert {array.dtype for array in (y, dx, dweight, dbias)} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "factor, size, padding", [(2, 4, 1), (2, 4, 0), (8, 16, 4), (3, 5, (1, 2)), (1, 3, (0, 1))]
)
def test_bilinear_upsample_is_the_transposed_convolution_channel_by_channel(
    factor, size, padding, dtype
):
    x = random((2, 3, 4, 3), dtype)
    weight = bilinear_kernel(size, dtype)[:, :, None, None] * np.eye(3, dtype=dtype)
    y = reference.bilinear_upsample_forward(x, factor, size, padding)
    close(y, reference.conv_transpose2d_forward(x, weight, None, factor, padding))
    dy = random(y.shape, dtype, 1)
    dx = reference.bilinear_upsample_backward(dy, factor, size, padding, x.shape)
    close(dx, reference.conv_transpose2d_backward(dy, x, weight, factor, padding)[0])
    assert y.dtype == dx.dtype == dtype


@given(shape=st.tuples(*[st.integers(1, n) for n in (2, 7, 7, 3)]),
       size=st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.integers(1, 4),
       stride=st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.integers(1, 4),
       ceil_mode=st.booleans(), coarse=st.booleans())
def test_max_pool2d(shape, size, stride, ceil_mode, coarse):
    """Each window cut out with slices; NumPy's argmax also takes the first of equal values."""
    x = random(shape)
    x = np.round(x) if coarse else x
    y, argmax = reference.max_pool2d_forward(x, size, stride, ceil_mode)
    assert argmax.dtype == np.int64 and min(y.shape[1:3]) >= 1
    size, stride = pair(size), pair(stride)
    for n, i, j, c in np.ndindex(y.shape):
        top, left = i * stride.rows, j * stride.columns
        window = x[n, top:top + size.rows, left:left + size.columns, c]
        assert window.size      # none starts outside
        row, column = np.unravel_index(window.argmax(), window.shape)
        assert y[n, i, j, c] == window.max()
        assert argmax[n, i, j, c] == (top + row) * shape[2] + left + column
    dy, expected = random(y.shape, seed=1), np.zeros(shape)
    for n, i, j, c in np.ndindex(y.shape):
        row, column = divmod(argmax[n, i, j, c], shape[2])
        expected[n, row, column, c] += dy[n, i, j, c]
    np.testing.assert_array_equal(reference.max_pool2d_backward(dy, argmax, shape), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear(dtype):
    x, weight, bias = random((5, 6), dtype), random((6, 4), dtype, 1), random(4, dtype, 2)
    close(reference.linear_forward(x, weight, bias), x @ weight + bias)
    dy = random((5, 4), dtype, 3)
    for got, expected in zip(
        reference.linear_backward(dy, x, weight), (dy @ weight.T, x.T @ dy, dy.sum(axis=0))
    ):
        close(got, expected)
        assert got.dtype == dtype


def test_relu_at_zero_and_beyond_numbers():
    x = np.array([-1.0, -0.0, 0.0, 1e-300, 2.0, np.inf, -np.inf, np.nan])
    y = reference.relu_forward(x)
    np.testing.assert_array_equal(y, [0, 0, 0, 1e-300, 2, np.inf, 0, np.nan])
    np.testing.assert_array_equal(
        reference.relu_backward(np.full(8, 3.0), y), [0, 0, 0, 3, 3, 3, 0, 0]
    )
    assert reference.relu_forward(np.float32([[-1, 2]])).dtype == np.float32


def splitmix64(seed, count):
    """Steele, Lea, Flood (2014), figure 15, in Python's own whole numbers."""
    state, numbers = seed % 2**64, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        numbers.append(z ^ (z >> 31))
    return numbers


def test_splitmix64_gives_the_published_numbers():
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(
    "seed", [0, 1, 12345, 2**63 + 1, 2**64 + 7, -1, np.int64(-5), np.uint8(200)]
)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.99])
def test_dropout_mask_is_splitmix64_of_seed_and_index(seed, rate):
    x = random((3, 4, 5), "float32")
    y, mask = reference.dropout_forward(x, rate, seed)
    uniform = [
        (number >> 11) * 2.0**-53 for number in splitmix64(splitmix64(int(seed), 1)[0], x.size)
    ]
    np.testing.assert_array_equal(mask.reshape(-1), np.array(uniform) >= rate)
    np.testing.assert_allclose(y, np.where(mask, x / np.float32(1 - rate), 0), rtol=1e-6)
    np.testing.assert_array_equal(reference.dropout_backward(x, mask, rate), y)
    assert mask.dtype == bool and y.dtype == np.float32


def test_dropout_drops_the_share_asked_for_and_no_neighbours_together():
    x = np.ones(200_000)
    for rate in (0.1, 0.5, 0.8):
        masks = [reference.dropout_forward(x, rate, seed)[1] for seed in (5, 6)]
        for mask in masks:
            assert mask.mean() == pytest.approx(1 - rate, abs=0.005)
        for one, other in ((masks[0], masks[1]), (masks[0][1:], masks[0][:-1])):
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.01


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels_dtype", ["uint8", "int8", "int64", "uint64"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_per_image"])
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_cross_entropy(reduction, weighted, labels_dtype, dtype):
    scores = 20 * random((2, 4, 5, 3), dtype)
    labels = np.random.default_rng(1).integers(0, 4, (2, 4, 5)).astype(labels_dtype)
    weights = [0.5, 2.0, 0.0] if weighted else None
    loss, dscores = reference.softmax_cross_entropy(scores, labels, 3, reduction, weights)
    valid, factor = labels != 3, np.array(weights or [1.0] * 3)
    total, sums = 0.0, np.zeros(scores.shape)
    for place in np.argwhere(valid):
        s, label = scores[tuple(place)].astype("float64"), labels[tuple(place)]
        p = np.exp(s - s.max()) / np.exp(s - s.max()).sum()
        total -= factor[label] * np.log(p[label])
        sums[tuple(place)] = factor[label] * (p - np.eye(3)[label])
    divisor = {"mean": factor[labels[valid].astype(int)].sum(), "sum": 1, "sum_per_image": 2}[
        reduction
    ]
    assert isinstance(loss, float) and loss == pytest.approx(
        total / divisor, rel=10 * TOLERANCE[dtype]
    )
    np.testing.assert_allclose(dscores, sums / divisor, rtol=0, atol=3 * TOLERANCE[dtype])
    assert dscores.dtype == dtype and not dscores[~valid].any()


@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_per_image"])
def test_no_valid_pixel_no_loss(reduction):
    scores = random((1, 2, 2, 3))
    scores[0, 0, 0] = np.nan
    loss, dscores = reference.softmax_cross_entropy(
        scores, np.full((1, 2, 2), 255), reduction=reduction
    )
    assert loss == 0.0 and isinstance(loss, float) and not dscores.any()


def test_large_scores_do_not_overflow():
    scores = np.array([1e4, -1e4, 0], np.float32).reshape(1, 1, 1, 3)
    loss, dscores = reference.softmax_cross_entropy(scores, np.array([[[1]]]))
    assert loss == 2e4
    np.testing.assert_array_equal(dscores.reshape(-1), [1, -1, 0])


# Purity, in both the compiled and the interpreted form


def everything(prepare=lambda x: x):
    """Every operation once; the inputs go through ``prepare`` first."""
    x, dy = prepare(random((2, 5, 6, 3))), prepare(random((2, 5, 6, 4), seed=1))
    weight, bias = prepare(random((3, 3, 3, 4), seed=2)), prepare(random(4, seed=3))
    small, up = prepare(random((2, 5, 6, 4), seed=4)), prepare(random((2, 10, 12, 3), seed=5))
    labels = prepare(np.random.default_rng(6).integers(0, 3, (2, 5, 6)))
    flat, matrix = prepare(random((4, 6), seed=7)), prepare(random((6, 4), seed=8))
    pooled, argmax = reference.max_pool2d_forward(x, 3, 2)
    dropped, mask = reference.dropout_forward(x, 0.4, 9)
    loss, dscores = reference.softmax_cross_entropy(
        x, labels, 1, "mean", prepare(np.array([1.0, 2, 3]))
    )
    return {
        "conv2d_forward": reference.conv2d_forward(x, weight, bias, 1, 1),
        "conv2d_backward": reference.conv2d_backward(dy, x, weight, 1, 1),
        "conv_transpose2d_forward": reference.conv_transpose2d_forward(x, weight, bias, 1, 1),
        "conv_transpose2d_backward": reference.conv_transpose2d_backward(dy, x, weight, 1, 1),
        "bilinear_upsample_forward": reference.bilinear_upsample_forward(x, 2, 4, 1),
        "bilinear_upsample_backward": reference.bilinear_upsample_backward(
            up, 2, 4, 1, (2, 5, 6, 3)
        ),
        "max_pool2d_forward": (pooled, argmax),
        "max_pool2d_backward": reference.max_pool2d_backward(
            prepare(pooled), prepare(argmax), x.shape
        ),
        "relu_forward": reference.relu_forward(x),
        "relu_backward": reference.relu_backward(dy, small),
        "linear_forward": reference.linear_forward(flat, matrix, bias),
        "linear_backward": reference.linear_backward(prepare(random((4, 4))), flat, matrix),
        "dropout_forward": (dropped, mask),
        "dropout_backward": reference.dropout_backward(x, prepare(mask), 0.4),
        "softmax_cross_entropy": (np.array(loss), dscores),
    }


def test_inputs_may_be_read_only_and_scattered_in_memory():
    assert set(everything()) == set(reference.__all__)
    for (name, got), expected in zip(everything(awkward).items(), everything().values()):
        for a, b in zip(
            *(each if isinstance(each, tuple) else (each,) for each in (got, expected))
        ):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_inputs_stay_as_they_are_and_outputs_share_nothing_with_them():
    seen = []

    def keep(x):
        seen.append((x, x.copy()))
        return x

    results = everything(keep)
    for array, before in seen:
        np.testing.assert_array_equal(array, before)
    prepared_from = {id(array) for array, _ in seen}
    for name, result in results.items():
        for output in result if isinstance(result, tuple) else (result,):
            if id(output) not in prepared_from:     # pooled, argmax and mask are inputs in turn
                assert not any(np.shares_memory(output, array) for array, _ in seen), name


def digest() -> str:
    """All results, to the digits that survive another order of additions."""
    lines = []
    for name, result in everything().items():
        for output in result if isinstance(result, tuple) else (result,):
            lines.append(f"{name} {output.dtype} {output.shape} "
                         f"{np.round(np.asarray(output, float), 10).reshape(-1).tolist()}")
    return "\n".join(lines).replace("-0.0,", "0.0,")


def test_plain_python_gives_the_same_numbers():
    """With NUMBA_DISABLE_JIT=1 every kernel can be stepped through in a debugger."""
    code = ("from minifcn.ops.reference import conv2d; import types\n"
            "assert isinstance(conv2d._forward, types.FunctionType)\n"
            "from tests.ops.test_reference import digest; print(digest())")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600,
                         env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=False,
                         cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == digest()

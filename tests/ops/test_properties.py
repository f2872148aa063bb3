"""Any shape, stride and padding: values against plain NumPy, gradients against the adjoint."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minifcn
from minifcn import gradcheck, ops
from minifcn.gradcheck.cases import OPERATIONS
from tests.conftest import ENGINES
from tests.gradcheck.conftest import one_thread  # noqa: F401 (used by every test)
from tests.gradcheck.planted import right

CONV2D, MAX_POOL2D, CONV_TRANSPOSE2D, BILINEAR = OPERATIONS[:4]
small, extent, kernel = st.integers(1, 3), st.integers(1, 7), st.integers(1, 4)
pairs = st.tuples(small, small), st.tuples(st.integers(0, 3), st.integers(0, 3))
engines = pytest.mark.parametrize("name", ENGINES)
few = settings(max_examples=40)


def operands(shape, size, c_out):
    """Of a convolution or a transposed one."""
    rng = np.random.default_rng(0)
    return (rng.standard_normal(each) for each in (shape, (*size, shape[3], c_out), c_out))


def adjoint(operation, arguments):
    assert gradcheck.check_adjoint(*operation.pair(ops, arguments)).ok


@engines
@few
@given(st.tuples(small, extent, extent, small), st.tuples(kernel, kernel), small, *pairs)
def test_convolution(name, shape, size, c_out, stride, padding):
    assume(all(e + 2 * p >= k for e, k, p in zip(shape[1:3], size, padding)))
    x, weight, bias = operands(shape, size, c_out)
    with minifcn.using(name):
        y = ops.conv2d_forward(x, weight, bias, stride, padding)
        adjoint(
            CONV2D, {"x": x, "weight": weight, "bias": bias, "stride": stride, "padding": padding}
        )
    np.testing.assert_allclose(
        y, right.conv2d_forward(x, weight, bias, stride, padding), atol=1e-12
    )


@engines
@few
@given(st.tuples(small, extent, extent, small), st.tuples(kernel, kernel), small, *pairs)
def test_transposed_convolution(name, shape, size, c_out, stride, padding):
    out = tuple((e - 1) * s + k - 2 * p for e, s, k, p in zip(shape[1:3], stride, size, padding))
    assume(min(out) >= 1)
    x, weight, bias = operands(shape, size, c_out)
    with minifcn.using(name):
        y = ops.conv_transpose2d_forward(x, weight, bias, stride, padding)
        adjoint(
            CONV_TRANSPOSE2D,
            {"x": x, "weight": weight, "bias": bias, "stride": stride, "padding": padding},
        )
    np.testing.assert_allclose(
        y, right.conv_transpose2d_forward(x, weight, bias, stride, padding), atol=1e-12
    )


@engines
@few
@given(st.tuples(small, extent, extent, small), small, st.integers(1, 8), st.integers(0, 3))
def test_bilinear_upsampling(name, shape, factor, size, padding):
    assume(all((e - 1) * factor + size > 2 * padding for e in shape[1:3]))
    x = np.random.default_rng(0).standard_normal(shape)
    diagonal = ops.bilinear_kernel(size)[:, :, None, None] * np.eye(shape[3])
    with minifcn.using(name):
        y = ops.bilinear_upsample_forward(x, factor, size, padding)
        adjoint(BILINEAR, {"x": x, "factor": factor, "size": size, "padding": padding})
        dense = ops.conv_transpose2d_forward(x, diagonal, None, factor, padding)
    np.testing.assert_allclose(y, dense, atol=1e-12)


@engines
@few
@given(st.tuples(small, extent, extent, small), kernel, kernel, st.booleans(), st.booleans())
def test_max_pooling(name, shape, size, stride, ceil_mode, ties):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, shape).astype(float) if ties else rng.standard_normal(shape)
    with minifcn.using(name):
        y, argmax = ops.max_pool2d_forward(x, size, stride, ceil_mode)
        dy = rng.standard_normal(y.shape)
        dx = ops.max_pool2d_backward(dy, argmax, x.shape)
    expected = np.zeros(shape)
    for n, i, j, c in np.ndindex(y.shape):
        window = x[n, i * stride : i * stride + size, j * stride : j * stride + size, c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        assert y[n, i, j, c] == window.max()
        expected[n, i * stride + row, j * stride + column, c] += dy[n, i, j, c]
    np.testing.assert_allclose(dx, expected, atol=1e-13)
    for e, o in zip(shape[1:3], y.shape[1:3]):
        assert o >= 1 and (o - 1) * stride < e, "a window starts outside"
        assert not ceil_mode or (o - 1) * stride + size >= e or o * stride >= e, (
            "a window is missing"
        )

"""A trace tells the truth: replayed, its writes give what the function returned."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minifcn
from minifcn.ops import reference
from tests.teaching import students

SMALL = settings(max_examples=12, deadline=None)

# ---------------------------------------------------------------------------------------------
# Replay and arithmetic
# ---------------------------------------------------------------------------------------------


def replayed(trace):
    """Arrays made of nothing but the recorded writes."""
    arrays = {}
    for step in trace.steps:
        for name, index, value in step.writes:
            if name in trace.arrays:
                start = np.full_like(trace.arrays[name], 7)
                arrays.setdefault(name, start)[index] = value
            else:
                arrays[name] = value
    return arrays


def numbers_in(text):
    namespace = {**vars(np), **vars(math), "np": np, "float": float, "abs": abs, "sum": sum}
    with np.errstate(all="ignore"):
        return eval(text.replace("·", "*"), namespace)      # our own text


def flat(value):
    if isinstance(value, (tuple, list)):
        return np.concatenate([flat(each) for each in value] or [np.zeros(0)])
    return np.asarray(value, float).reshape(-1)


def check(trace, result):
    """All that a trace promises of a function that returned ``result``."""
    results = result if isinstance(result, tuple) else (result,)
    arrays = replayed(trace)
    for name, expected in zip(trace.returned, results, strict=True):
        if name in arrays:
            np.testing.assert_array_equal(np.reshape(arrays[name], np.shape(expected)), expected)
        else:
            assert isinstance(expected, (int, float)) or name in trace.arrays
    state = {name: array.initial.reshape(array.shape).copy() if array.initial is not None
             else np.full(array.shape, np.nan) for name, array in trace.recorder.arrays.items()}
    for step in trace.steps:
        for name, index, value in step.reads:
            if name in state:
                np.testing.assert_array_equal(state[name][index], value, str(step))
        for (name, index, value), (_, _, before) in zip(step.writes, step.before, strict=True):
            if name in state and before is not None:
                np.testing.assert_array_equal(state[name][index], before, str(step))
            if name in state:
                state[name][index] = value
        _, _, arithmetic = step.arithmetic.partition("  ->  ")
        right, _, written = arithmetic.rpartition(" = ")
        got, shown = flat(numbers_in(right)), flat(numbers_in(written.replace("_", "1e99")))
        got, shown = got[shown != 1e99], shown[shown != 1e99]       # what ``_`` throws away
        values = flat([value for _, _, value in step.writes])
        np.testing.assert_array_equal(shown.astype(np.float32), values.astype(np.float32),
                                      str(step))
        parts = flat([value for _, _, value in step.reads if not isinstance(value, tuple)])
        size = np.abs(parts[np.isfinite(parts)]).max(initial=1) ** 2
        np.testing.assert_allclose(got, values, rtol=1e-6, atol=1e-6 * size, err_msg=str(step))
    return trace


@st.composite
def convolutions(draw):
    """Arguments of a convolution, any shapes that fit."""
    number = lambda low, high: draw(st.integers(low, high))     # noqa: E731
    kh, kw, stride, padding = number(1, 3), number(1, 3), number(1, 3), number(0, 2)
    h, w = number(max(1, kh - 2 * padding), 4), number(max(1, kw - 2 * padding), 4)
    n, c_in, c_out = number(1, 2), number(1, 2), number(1, 2)
    rng = np.random.default_rng(number(0, 99))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in
                       ((n, h, w, c_in), (kh, kw, c_in, c_out), (c_out,)))
    return x, weight, bias, stride, padding


def like(array, seed=1):
    return np.random.default_rng(seed).standard_normal(array.shape).astype(array.dtype)


@SMALL
@given(convolutions())
def test_convolution(case):
    x, weight, bias, stride, padding = case
    y = reference.conv2d_forward(x, weight, bias, stride, padding)
    check(minifcn.trace(reference.conv2d_forward, *case), y)
    arguments = like(y), x, weight, stride, padding
    check(minifcn.trace(reference.conv2d_backward, *arguments),
          reference.conv2d_backward(*arguments))


@SMALL
@given(convolutions())
def test_transposed_convolution(case):
    x, weight, bias, stride, padding = case
    padding = min(padding, (weight.shape[0] - 1) // 2, (weight.shape[1] - 1) // 2)
    y = reference.conv_transpose2d_forward(x, weight, bias, stride, padding)
    check(minifcn.trace(minifcn.ops.conv_transpose2d_forward, x, weight, bias, stride, padding), y)
    arguments = like(y), x, weight, stride, padding
    check(minifcn.trace(reference.conv_transpose2d_backward, *arguments),
          reference.conv_transpose2d_backward(*arguments))


@SMALL
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_bilinear_upsampling(factor, size, h, w):
    x = np.random.default_rng(h).standard_normal((1, h, w, 2))
    y = reference.bilinear_upsample_forward(x, factor, size, (size - 1) // 2)
    check(minifcn.trace(reference.bilinear_upsample_forward, x, factor, size, (size - 1) // 2), y)
    arguments = like(y), factor, size, (size - 1) // 2, x.shape
    check(minifcn.trace(reference.bilinear_upsample_backward, *arguments),
          reference.bilinear_upsample_backward(*arguments))


@SMALL
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_pooling(h, w, size, stride, ceil_mode):
    x = np.random.default_rng(h).integers(-2, 3, (2, h, w, 2)).astype(np.float32)
    arguments = x, size, stride, ceil_mode
    y, argmax = reference.max_pool2d_forward(*arguments)
    check(minifcn.trace(reference.max_pool2d_forward, *arguments), (y, argmax))
    dy = like(y)
    check(minifcn.trace(reference.max_pool2d_backward, dy, argmax, x.shape),
          reference.max_pool2d_backward(dy, argmax, x.shape))


@SMALL
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_linear_relu_and_dropout(n, c_in, c_out):
    rng = np.random.default_rng(n)
    x, weight, bias = (rng.standard_normal(s) for s in ((n, c_in), (c_in, c_out), (c_out,)))
    y = reference.linear_forward(x, weight, bias)
    check(minifcn.trace(reference.linear_forward, x, weight, bias), y)
    check(minifcn.trace(reference.linear_backward, like(y), x, weight),
          reference.linear_backward(like(y), x, weight))
    check(minifcn.trace(reference.relu_forward, x), reference.relu_forward(x))
    check(minifcn.trace(reference.relu_backward, like(x), x), reference.relu_backward(like(x), x))
    dropped, mask = reference.dropout_forward(x, 0.25, 3)
    check(minifcn.trace(reference.dropout_forward, x, 0.25, 3), (dropped, mask))
    check(minifcn.trace(reference.dropout_backward, x, mask, 0.25), dropped)


@SMALL
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4),
       st.sampled_from(("mean", "sum", "sum_per_image")), st.booleans())
def test_softmax_cross_entropy(n, w, classes, reduction, weighted):
    rng = np.random.default_rng(w)
    scores = rng.standard_normal((n, 2, w, classes))
    labels = rng.integers(0, classes, (n, 2, w)).astype(np.uint8)
    labels[0, 0, 0] = 255
    arguments = scores, labels, 255, reduction, rng.random(classes) if weighted else None
    check(minifcn.trace(reference.softmax_cross_entropy, *arguments),
          reference.softmax_cross_entropy(*arguments))


@SMALL
@given(convolutions())
def test_students_own_convolutions(case):
    x, weight, bias, stride, padding = case
    for forward in (students.im2col_forward, students.running_sum_forward):
        trace = check(minifcn.trace(forward, *case), forward(*case))
        np.testing.assert_allclose(trace.result, reference.conv2d_forward(*case), atol=1e-5)
    dy = like(trace.result)
    arguments = dy, x, weight, stride, padding
    dx, dweight, _ = reference.conv2d_backward(*arguments)
    trace = check(minifcn.trace(students.add_at_backward, *arguments),
                  students.add_at_backward(*arguments))
    np.testing.assert_allclose(trace.result, dx, atol=1e-5)
    trace = check(minifcn.trace(students.scatter_backward, *arguments),
                  students.scatter_backward(*arguments))
    np.testing.assert_allclose(trace.result[1], dweight, atol=1e-5)

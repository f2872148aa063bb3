"""Bilinear upsampling by a factor s in two passes: its kernel is a line times itself.

    x (n, h, w, c)   line (k,)   ->   y (n, oh, ow, c),    oh = (h - 1) s + k - 2 p, and ow alike

    t[n, i, b, c] = sum over j of x[n, i, j, c] line[b + p - j s]        along columns, then
    y[n, a, b, c] = sum over i of t[n, i, b, c] line[a + p - i s]        along rows

over all i, j for which the line has that element: with k = 2 s, two of them. Seen as (outer,
extent, inner), with everything before and behind the axis flattened, both passes are the same
kernel; the gradient is its adjoint, with the passes in reverse. A task owns one vector (inner,) of
the result, so no two add to the same value.
"""
import numpy as np

from minifcn.ops.checks import bilinear_kernel, conv_transpose2d_size, dense, pair
from minifcn.ops.compiling import block
from minifcn.ops.memory import empty
from minifcn.ops.threads import parallel, shared


@block
def _add_multiple(target, factor, source):
    for c in range(target.size):
        target[c] += factor * source[c]


@block
def _gather_forward(x, line, factor, padding, a, y):
    """y (inner,) at place a of the upsampled axis, from x (extent, inner)."""
    y[:] = 0
    first = -((line.size - 1 - a - padding) // factor)      # ceil((a + p - k + 1) / s)
    for i in range(max(first, 0), min((a + padding) // factor + 1, x.shape[0])):
        _add_multiple(y, line[a + padding - i * factor], x[i])


@parallel
def _upsample(thread, begin, end, x, line, factor, padding, y):
    if shared(thread, begin, end):
        return
    extent = y.shape[1]
    for task in range(begin, end):
        o, a = task // extent, task % extent
        _gather_forward(x[o], line, factor, padding, a, y[o, a])


@block
def _gather_backward(dy, line, factor, padding, i, dx):
    """dx (inner,) at place i of the original axis, from dy (extent, inner)."""
    dx[:] = 0
    start = i * factor - padding
    for a in range(max(start, 0), min(start + line.size, dy.shape[0])):
        _add_multiple(dx, line[a - start], dy[a])


@parallel
def _downsample(thread, begin, end, dy, line, factor, padding, dx):
    if shared(thread, begin, end):
        return
    extent = dx.shape[1]
    for task in range(begin, end):
        o, i = task // extent, task % extent
        _gather_backward(dy[o], line, factor, padding, i, dx[o, i])


def _line(size, dtype):
    return np.sqrt(np.diagonal(bilinear_kernel(size))).astype(dtype)


def bilinear_upsample_forward(x, factor, size, padding):
    padding, (n, h, w, c) = pair(padding), x.shape
    oh, ow = (conv_transpose2d_size(extent, size, factor, p) for extent, p in zip((h, w), padding))
    line = _line(size, x.dtype)
    t, y = empty((n * h, ow, c), x.dtype), empty((n, oh, ow * c), x.dtype)
    _upsample(n * h * ow, dense(x).reshape(n * h, w, c), line, factor, padding.columns, t)
    _upsample(n * oh, t.reshape(n, h, ow * c), line, factor, padding.rows, y)
    return y.reshape(n, oh, ow, c)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    padding, (n, h, w, c), (_, oh, ow, _) = pair(padding), x_shape, dy.shape
    line = _line(size, dy.dtype)
    dt, dx = empty((n, h, ow * c), dy.dtype), empty((n * h, w, c), dy.dtype)
    _downsample(n * h, dense(dy).reshape(n, oh, ow * c), line, factor, padding.rows, dt)
    _downsample(n * h * w, dt.reshape(n * h, ow, c), line, factor, padding.columns, dx)
    return dx.reshape(x_shape)

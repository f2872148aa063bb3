"""Max pooling, windows of size k every s cells: the reference's formulas, channels in vectors.

    x (n, h, w, c)   ->   y (n, oh, ow, c),  argmax (n, oh, ow, c) int64

Forward, a task owns one row of y. A window's cells are visited in reading order, all channels
of a cell at a time: the running maximum stays in the first-level cache, and the comparison has no
branch.

Backward, dx[n, argmax[n, i, j, c], c] += dy[n, i, j, c], and windows may overlap. A task owns as
many rows of windows as point into the same part of dx, found from argmax itself: one row where
windows do not overlap. So no two threads add to one value, and every value adds up in the order of
the reference, to the same bits.
"""
import numpy as np

from minifcn.ops.checks import dense, max_pool2d_size, pair
from minifcn.ops.compiling import block
from minifcn.ops.memory import empty
from minifcn.ops.threads import parallel, shared


@block
def _forward_row(x, i, size, stride, y, argmax):
    """One image's x (h, w, c); one row of y and argmax (ow, c)."""
    height, width, channels = x.shape
    top = i * stride[0]
    for j in range(y.shape[0]):
        left = j * stride[1]
        largest, best = y[j], argmax[j]
        for c in range(channels):
            largest[c] = -np.inf
            best[c] = top * width + left
        for a in range(top, min(top + size[0], height)):
            for b in range(left, min(left + size[1], width)):
                values, index = x[a, b], a * width + b
                for c in range(channels):
                    # greater, or the window's first NaN: not <= holds for both, == fails on a NaN
                    wins = (not values[c] <= largest[c]) & (largest[c] == largest[c])
                    largest[c] = values[c] if wins else largest[c]
                    best[c] = index if wins else best[c]


@parallel
def _forward(thread, begin, end, x, size, stride, y, argmax):
    if shared(thread, begin, end):
        return
    rows = y.shape[1]
    for task in range(begin, end):
        n, i = task // rows, task % rows
        _forward_row(x[n], i, size, stride, y[n, i], argmax[n, i])


@block
def _extremes(values):
    least = largest = values[0]
    for value in values:
        least, largest = min(least, value), max(largest, value)
    return least, largest


@parallel
def _reach(thread, begin, end, argmax, reach):
    """The first and the last cell of the image that each row of windows points at."""
    if shared(thread, begin, end):
        return
    for row in range(begin, end):
        reach[row] = _extremes(argmax[row])


@block
def _scatter(dy, argmax, dx):
    """One row of windows, dy and argmax (ow, c), onto one image's dx (h w, c)."""
    for j in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            dx[argmax[j, c], c] += dy[j, c]


@parallel
def _backward(thread, begin, end, dy, argmax, rows, parts, dx):
    """Each part clears its cells while they are in the cache, and adds to them."""
    if shared(thread, begin, end):
        return
    starts, cells = parts
    images, of_image, channels = dx.shape
    flat = dx.reshape(images * of_image, channels)
    for task in range(begin, end):
        flat[cells[task]:cells[task + 1]] = 0
        for row in range(starts[task], starts[task + 1]):
            _scatter(dy[row], argmax[row], dx[row // rows])


def _independent(reach, rows, of_image, images):
    """Cut the list of all images' rows of windows into parts that do not meet in dx.

    Returns the first row of each part and the first of the cells that are its own, and the ends.
    """
    reach = reach + (np.arange(len(reach)) // rows * of_image)[:, np.newaxis]
    largest_before = np.maximum.accumulate(reach[:, 1])[:-1]
    least_after = np.minimum.accumulate(reach[::-1, 0])[::-1][1:]
    cuts = np.flatnonzero(least_after > largest_before) + 1
    starts = np.concatenate([[0], cuts, [len(reach)]])
    return starts, np.concatenate([[0], least_after[cuts - 1], [images * of_image]])


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    size, stride, (n, h, w, c) = pair(size), pair(stride), x.shape
    oh = max_pool2d_size(h, size.rows, stride.rows, ceil_mode)
    ow = max_pool2d_size(w, size.columns, stride.columns, ceil_mode)
    y, argmax = empty((n, oh, ow, c), x.dtype), empty((n, oh, ow, c), np.int64)
    _forward(n * oh, dense(x), size, stride, y, argmax)
    return y, argmax


def max_pool2d_backward(dy, argmax, x_shape):
    n, h, w, c = x_shape
    _, oh, ow, _ = dy.shape
    dy, argmax = dense(dy).reshape(n * oh, ow, c), dense(argmax).reshape(n * oh, ow, c)
    if not dy.size:
        return np.zeros(x_shape, dy.dtype)
    dx, reach = empty((n, h * w, c), dy.dtype), np.empty((n * oh, 2), np.int64)
    _reach(n * oh, argmax.reshape(n * oh, ow * c), reach)
    starts, cells = _independent(reach, oh, h * w, n)
    _backward(len(starts) - 1, dy, argmax, oh, (starts, cells), dx)
    return dx.reshape(x_shape)

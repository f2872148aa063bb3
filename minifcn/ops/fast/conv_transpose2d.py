"""Transposed convolution: the convolution that would make x of y, read backwards.

    x (n, h, w, c_in)   weight (kh, kw, c_in, c_out)   ->   y (n, (h - 1) s + kh - 2 p, ..., c_out)
    y[n, i s - p + ki, j s - p + kj, f] += x[n, i, j, c] weight[ki, kj, c, f]

So its forward pass is that convolution's dx, its dx that convolution, and its dweight the same sum
with the roles of x and dy exchanged.
"""
import numpy as np

from ..checks import conv_transpose2d_size, dense, pair
from . import direct
from .conv2d import sum_pixels


def _mirrored(x_shape, weight, stride, padding):
    """The convolution y -> x."""
    stride, padding = pair(stride), pair(padding)
    (n, h, w, _), (kh, kw, _, c_out) = x_shape, weight.shape
    y_shape = (n, conv_transpose2d_size(h, kh, stride.rows, padding.rows),
               conv_transpose2d_size(w, kw, stride.columns, padding.columns), c_out)
    return direct.extents_of(y_shape, x_shape, (kh, kw), stride, padding)


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    if bias is None:
        bias = np.zeros(weight.shape[3], weight.dtype)
    plan = _mirrored(x.shape, weight, stride, padding)
    return direct.scatter(plan, dense(x), dense(weight), dense(bias), exchanged=True)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    dy, x = dense(dy), dense(x)
    plan = _mirrored(x.shape, weight, stride, padding)
    exchanged = np.ascontiguousarray(weight.swapaxes(2, 3))
    dx = direct.forward(plan, dy, exchanged, np.zeros(x.shape[3], x.dtype))
    dweight = direct.gradient(plan, x, dy).swapaxes(2, 3)
    return dx, np.ascontiguousarray(dweight), sum_pixels(dy)

"""Max pooling, windows of size k every s cells along each axis.

    x (n, h, w, c)   ->   y (n, oh, ow, c),  argmax (n, oh, ow, c) int64
    oh = ceil((h - k) / s) + 1 (floor without ceil_mode), less a window that would start outside

    y[n, i, j, c] = max of x[n, a, b, c] over the window, rows a = i s .. i s + k - 1
                    and columns b = j s .. j s + k - 1

Windows are clipped at the border. ``argmax`` tells where in the image the maximum was found, as
``row * w + column``; among equal values the first in reading order wins, and a NaN wins over
everything. The output depends on that one value alone, so its gradient goes there, and adds up
where windows overlap:

    dx[n, argmax[n, i, j, c], c]  +=  dy[n, i, j, c]
"""
import numpy as np

from minifcn.ops.checks import dense, max_pool2d_size, pair
from minifcn.ops.compiling import compiled


@compiled
def _forward(x, size, stride, y, argmax):
    images, height, width, channels = x.shape
    for n in range(images):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for c in range(channels):
                    a, b = i * stride[0], j * stride[1]
                    best = a * width + b
                    for ki in range(min(size[0], height - a)):
                        for kj in range(min(size[1], width - b)):
                            value = x[n, a + ki, b + kj, c]
                            largest = x[n, best // width, best % width, c]
                            if value > largest or (np.isnan(value) and not np.isnan(largest)):
                                best = (a + ki) * width + b + kj
                    y[n, i, j, c] = x[n, best // width, best % width, c]
                    argmax[n, i, j, c] = best


@compiled
def _backward(dy, argmax, dx):
    width = dx.shape[2]
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for c in range(dy.shape[3]):
                    best = argmax[n, i, j, c]
                    dx[n, best // width, best % width, c] += dy[n, i, j, c]


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    size, stride, (n, h, w, c) = pair(size), pair(stride), x.shape
    oh = max_pool2d_size(h, size.rows, stride.rows, ceil_mode)
    ow = max_pool2d_size(w, size.columns, stride.columns, ceil_mode)
    y, argmax = np.empty((n, oh, ow, c), x.dtype), np.empty((n, oh, ow, c), np.int64)
    _forward(dense(x), size, stride, y, argmax)
    return y, argmax


def max_pool2d_backward(dy, argmax, x_shape):
    dx = np.zeros(x_shape, dy.dtype)
    _backward(dense(dy), dense(argmax), dx)
    return dx

"""Bilinear upsampling by a factor s: the transposed convolution with a frozen kernel, per channel.

    x (n, h, w, c)   kernel (k, k)   ->   y (n, oh, ow, c)
    oh = (h - 1) s + k - 2 p, and ow alike

    y[n, i s - p + ki, j s - p + kj, c]  +=  x[n, i, j, c] kernel[ki, kj]     for all i, j, ki, kj
    dx[n, i, j, c]  =  sum over ki, kj of dy[n, i s - p + ki, j s - p + kj, c] kernel[ki, kj]

``kernel`` is ``bilinear_kernel(k)``. Outside the border x counts as 0, so a constant comes through
as itself in the interior only, where the stamps of all neighbours overlap.
"""
import numpy as np

from minifcn.ops.checks import bilinear_kernel, conv_transpose2d_size, dense, pair
from minifcn.ops.compiling import compiled


@compiled
def _forward(x, kernel, factor, padding, y):
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                for ki in range(kernel.shape[0]):
                    for kj in range(kernel.shape[1]):
                        a, b = i * factor - padding[0] + ki, j * factor - padding[1] + kj
                        if 0 <= a < y.shape[1] and 0 <= b < y.shape[2]:
                            for c in range(x.shape[3]):
                                y[n, a, b, c] += x[n, i, j, c] * kernel[ki, kj]


@compiled
def _backward(dy, kernel, factor, padding, dx):
    for n in range(dx.shape[0]):
        for i in range(dx.shape[1]):
            for j in range(dx.shape[2]):
                for ki in range(kernel.shape[0]):
                    for kj in range(kernel.shape[1]):
                        a, b = i * factor - padding[0] + ki, j * factor - padding[1] + kj
                        if 0 <= a < dy.shape[1] and 0 <= b < dy.shape[2]:
                            for c in range(dx.shape[3]):
                                dx[n, i, j, c] += dy[n, a, b, c] * kernel[ki, kj]


def bilinear_upsample_forward(x, factor, size, padding):
    padding, (n, h, w, c) = pair(padding), x.shape
    oh, ow = (conv_transpose2d_size(extent, size, factor, p) for extent, p in zip((h, w), padding))
    y = np.zeros((n, oh, ow, c), x.dtype)
    _forward(dense(x), bilinear_kernel(size, x.dtype), factor, padding, y)
    return y


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    dx = np.zeros(x_shape, dy.dtype)
    _backward(dense(dy), bilinear_kernel(size, dy.dtype), factor, pair(padding), dx)
    return dx

"""Transposed convolution ("deconvolution"), stride s and padding p along each axis.

    x (n, h, w, c_in)   weight (kh, kw, c_in, c_out)   bias (c_out,) or None
    ->   y (n, oh, ow, c_out)
    oh = (h - 1) s + kh - 2 p, and ow alike

Every input cell stamps a copy of the kernel onto the output, s cells from the next, and what falls
outside (the padding, which here is cut off) is lost. For all i, j, ki, kj, c:

    y[n, i s - p + ki, j s - p + kj, f]  +=  x[n, i, j, c] weight[ki, kj, c, f]


It is the convolution's dx with the weight's two channel axes exchanged. Conversely its own
gradients gather along the same stamps, so dx is a convolution of dy:

    dx[n, i, j, c]        = sum over ki, kj, f
                            of dy[n, i s - p + ki, j s - p + kj, f] weight[ki, kj, c, f]
    dweight[ki, kj, c, f] = sum over n, i, j of x[n, i, j, c] dy[n, i s - p + ki, j s - p + kj, f]
    dbias[f]              = sum over n, a, b of dy[n, a, b, f]
"""
import numpy as np

from minifcn.ops.checks import conv_transpose2d_size, dense, pair
from minifcn.ops.compiling import compiled


@compiled
def _forward(x, weight, stride, padding, y):
    images, height, width, channels = x.shape
    for n in range(images):
        for i in range(height):
            for j in range(width):
                for ki in range(weight.shape[0]):
                    for kj in range(weight.shape[1]):
                        a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj
                        if 0 <= a < y.shape[1] and 0 <= b < y.shape[2]:
                            for c in range(channels):
                                for f in range(y.shape[3]):
                                    y[n, a, b, f] += x[n, i, j, c] * weight[ki, kj, c, f]


@compiled
def _backward(dy, x, weight, stride, padding, dx, dweight):
    images, height, width, channels = x.shape
    for n in range(images):
        for i in range(height):
            for j in range(width):
                for ki in range(weight.shape[0]):
                    for kj in range(weight.shape[1]):
                        a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj
                        if 0 <= a < dy.shape[1] and 0 <= b < dy.shape[2]:
                            for c in range(channels):
                                for f in range(dy.shape[3]):
                                    dx[n, i, j, c] += dy[n, a, b, f] * weight[ki, kj, c, f]
                                    dweight[ki, kj, c, f] += x[n, i, j, c] * dy[n, a, b, f]


@compiled
def _bias_gradient(dy, dbias):
    for n in range(dy.shape[0]):
        for a in range(dy.shape[1]):
            for b in range(dy.shape[2]):
                for f in range(dy.shape[3]):
                    dbias[f] += dy[n, a, b, f]


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    stride, padding = pair(stride), pair(padding)
    (n, h, w, _), (kh, kw, _, c_out) = x.shape, weight.shape
    oh = conv_transpose2d_size(h, kh, stride.rows, padding.rows)
    ow = conv_transpose2d_size(w, kw, stride.columns, padding.columns)
    y = np.zeros((n, oh, ow, c_out), x.dtype)
    if bias is not None:
        y += bias
    _forward(dense(x), dense(weight), stride, padding, y)
    return y


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    dbias = np.zeros(weight.shape[3], weight.dtype)
    _backward(dense(dy), dense(x), dense(weight), pair(stride), pair(padding), dx, dweight)
    _bias_gradient(dense(dy), dbias)
    return dx, dweight, dbias

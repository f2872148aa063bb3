"""Convolution (a correlation: the kernel is not flipped), stride s and padding p along each axis.

    x (n, h, w, c_in)   weight (kh, kw, c_in, c_out)   bias (c_out,)   ->   y (n, oh, ow, c_out)
    oh = (h + 2 p - kh) // s + 1, and ow alike

    y[n, i, j, f] = bias[f] + sum over ki, kj, c
                              of x[n, i s - p + ki, j s - p + kj, c] weight[ki, kj, c, f]

where x is 0 outside its borders. A value x[n, a, b, c] enters every y[n, i, j, f] for which
a = i s - p + ki and b = j s - p + kj, with the factor weight[ki, kj, c, f]. The chain rule sends
dy back along the same products:

    dx[n, a, b, c]        = sum over f, and i, j, ki, kj with that a and b
                            of dy[n, i, j, f] weight[ki, kj, c, f]
    dweight[ki, kj, c, f] = sum over n, i, j of x[n, i s - p + ki, j s - p + kj, c] dy[n, i, j, f]
    dbias[f]              = sum over n, i, j of dy[n, i, j, f]

Both kernels run over the same loops; in the backward one each product is used twice.
"""
import numpy as np

from minifcn.ops.checks import conv2d_size, dense, pair
from minifcn.ops.compiling import compiled


@compiled
def _forward(x, weight, bias, stride, padding, y):
    images, height, width, channels = x.shape
    for n in range(images):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for f in range(y.shape[3]):
                    y[n, i, j, f] = bias[f]
                for ki in range(weight.shape[0]):
                    for kj in range(weight.shape[1]):
                        a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj
                        if 0 <= a < height and 0 <= b < width:
                            for c in range(channels):
                                for f in range(y.shape[3]):
                                    y[n, i, j, f] += x[n, a, b, c] * weight[ki, kj, c, f]


@compiled
def _backward(dy, x, weight, stride, padding, dx, dweight, dbias):
    images, height, width, channels = x.shape
    for n in range(images):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for f in range(dy.shape[3]):
                    dbias[f] += dy[n, i, j, f]
                for ki in range(weight.shape[0]):
                    for kj in range(weight.shape[1]):
                        a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj
                        if 0 <= a < height and 0 <= b < width:
                            for c in range(channels):
                                for f in range(dy.shape[3]):
                                    dx[n, a, b, c] += dy[n, i, j, f] * weight[ki, kj, c, f]
                                    dweight[ki, kj, c, f] += x[n, a, b, c] * dy[n, i, j, f]


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    stride, padding = pair(stride), pair(padding)
    (n, h, w, _), (kh, kw, _, c_out) = x.shape, weight.shape
    oh = conv2d_size(h, kh, stride.rows, padding.rows)
    ow = conv2d_size(w, kw, stride.columns, padding.columns)
    y = np.empty((n, oh, ow, c_out), x.dtype)
    _forward(dense(x), dense(weight), dense(bias), stride, padding, y)
    return y


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    dbias = np.zeros(weight.shape[3], weight.dtype)
    _backward(dense(dy), dense(x), dense(weight), pair(stride), pair(padding), dx, dweight, dbias)
    return dx, dweight, dbias

"""Linear ("fully connected") layer.

    x (n, c_in)   weight (c_in, c_out)   bias (c_out,)   ->   y (n, c_out)

    y[n, f] = bias[f] + sum over c of x[n, c] weight[c, f]

so that, with dy = dL/dy and the chain rule through every y that a value enters,

    dx[n, c]      = sum over f of dy[n, f] weight[c, f]           dx      = dy @ weight.T
    dweight[c, f] = sum over n of x[n, c] dy[n, f]                dweight = x.T @ dy
    dbias[f]      = sum over n of dy[n, f]
"""
import numpy as np

from minifcn.ops.checks import dense
from minifcn.ops.compiling import compiled


@compiled
def _forward(x, weight, bias, y):
    for n in range(y.shape[0]):
        for f in range(y.shape[1]):
            y[n, f] = bias[f]
        for c in range(x.shape[1]):
            for f in range(y.shape[1]):
                y[n, f] += x[n, c] * weight[c, f]


@compiled
def _backward(dy, x, weight, dx, dweight, dbias):
    for n in range(dy.shape[0]):
        for f in range(dy.shape[1]):
            dbias[f] += dy[n, f]
        for c in range(x.shape[1]):
            for f in range(dy.shape[1]):
                dx[n, c] += dy[n, f] * weight[c, f]
                dweight[c, f] += x[n, c] * dy[n, f]


def linear_forward(x, weight, bias):
    y = np.empty((x.shape[0], weight.shape[1]), x.dtype)
    _forward(dense(x), dense(weight), dense(bias), y)
    return y


def linear_backward(dy, x, weight):
    dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    dbias = np.zeros(weight.shape[1], weight.dtype)
    _backward(dense(dy), dense(x), dense(weight), dx, dweight, dbias)
    return dx, dweight, dbias

"""Rectified linear unit, on arrays of any shape.

    y = max(x, 0)          dx = dy where y > 0, else 0

The output is mask enough: y > 0 exactly where x > 0. At x = 0, where ReLU has no derivative, 0 is
taken.
"""
import numpy as np

from minifcn.ops.checks import dense
from minifcn.ops.compiling import compiled


@compiled
def _forward(x, y):
    for i in range(x.size):
        # written so that a NaN stays one: hiding it would hide the step at which training broke
        y[i] = x.dtype.type(0) if x[i] <= 0 else x[i]


@compiled
def _backward(dy, y, dx):
    for i in range(dy.size):
        dx[i] = dy[i] if y[i] > 0 else dy.dtype.type(0)


def relu_forward(x):
    y = np.empty(x.shape, x.dtype)
    _forward(dense(x).reshape(-1), y.reshape(-1))
    return y


def relu_backward(dy, y):
    dx = np.empty(dy.shape, dy.dtype)
    _backward(dense(dy).reshape(-1), dense(y).reshape(-1), dx.reshape(-1))
    return dx

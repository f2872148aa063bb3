"""Rectified linear unit, on arrays of any shape: the reference's formula, a block of values a task.

    y = max(x, 0)          dx = dy where y > 0, else 0

Memory sets the pace of both; the model fuses the forward one into the convolution before it. A
block gets slices: indices that start at 0 need no test for being negative, and the loop fills the
vector units.
"""

from minifcn.ops.checks import dense
from minifcn.ops.compiling import block
from minifcn.ops.memory import empty
from minifcn.ops.threads import parallel, shared

VALUES = 1 << 14    # of a block: 64 kB of float32 stay in the L2 cache, and share out evenly


@block
def _forward_block(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]       # so that a NaN stays one


@parallel
def _forward(thread, begin, end, x, y):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        start, stop = task * VALUES, min((task + 1) * VALUES, x.size)
        _forward_block(x[start:stop], y[start:stop])


@block
def _backward_block(dy, y, dx):
    zero = dy.dtype.type(0)
    for i in range(dy.size):
        dx[i] = dy[i] if y[i] > zero else zero


@parallel
def _backward(thread, begin, end, dy, y, dx):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        start, stop = task * VALUES, min((task + 1) * VALUES, dy.size)
        _backward_block(dy[start:stop], y[start:stop], dx[start:stop])


def relu_forward(x):
    y = empty(x.shape, x.dtype)
    _forward(-(-x.size // VALUES), dense(x).reshape(-1), y.reshape(-1))
    return y


def relu_backward(dy, y):
    dx = empty(dy.shape, dy.dtype)
    _backward(-(-dy.size // VALUES), dense(dy).reshape(-1), dense(y).reshape(-1), dx.reshape(-1))
    return dx

"""Dropout with the reference's mask, to the bit: drawn and applied in one pass.

    u(seed, index) = mix(mix(seed) + index * GOLDEN) / 2**64          mask = u >= rate
    y = x * mask / (1 - rate)          dx = dy * mask / (1 - rate)

Each value's random number depends on its index alone (SplitMix64, see the reference), so the
blocks can be drawn in any order. The reference compares m * 2**-53 >= rate, where m are the upper
53 bits; that is m >= ceil(rate * 2**53), exactly, and a comparison of integers fills the vector
units.
"""
import math
from typing import NamedTuple

import numpy as np

from minifcn.ops.checks import dense
from minifcn.ops.compiling import block
from minifcn.ops.memory import empty
from minifcn.ops.threads import parallel, shared

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
VALUES = 1 << 14    # of a block: 64 kB of float32 stay in the L2 cache, and share out evenly


@block
def _mix(z):
    z = z + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Draw(NamedTuple):
    """What decides over a value: the seed, and the number from which on it is kept, and scaled."""

    seed: np.uint64
    threshold: np.uint64
    scale: float


@block
def _forward_block(x, counter, threshold, scale, y, mask):
    for i in range(x.size):
        mask[i] = _mix(counter + np.uint64(i) * GOLDEN) >> np.uint64(11) >= threshold
    for i in range(x.size):
        y[i] = x[i] * scale if mask[i] else x.dtype.type(0)


@parallel
def _forward(thread, begin, end, x, draw, y, mask):
    if shared(thread, begin, end):
        return
    key = _mix(draw.seed)
    for task in range(begin, end):
        start, stop = task * VALUES, min((task + 1) * VALUES, x.size)
        _forward_block(x[start:stop], key + np.uint64(start) * GOLDEN, draw.threshold, draw.scale,
                       y[start:stop], mask[start:stop])


@block
def _backward_block(dy, mask, scale, dx):
    for i in range(dy.size):
        dx[i] = dy[i] * scale if mask[i] else dy.dtype.type(0)


@parallel
def _backward(thread, begin, end, dy, mask, scale, dx):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        start, stop = task * VALUES, min((task + 1) * VALUES, dy.size)
        _backward_block(dy[start:stop], mask[start:stop], scale, dx[start:stop])


def dropout_forward(x, rate, seed):
    y, mask = empty(x.shape, x.dtype), empty(x.shape, np.bool_)
    draw = Draw(np.uint64(int(seed) % 2**64), np.uint64(math.ceil(rate * 2**53)),
                x.dtype.type(1 / (1 - rate)))
    _forward(-(-x.size // VALUES), dense(x).reshape(-1), draw, y.reshape(-1), mask.reshape(-1))
    return y, mask


def dropout_backward(dy, mask, rate):
    dx = empty(dy.shape, dy.dtype)
    _backward(-(-dy.size // VALUES), dense(dy).reshape(-1), dense(mask).reshape(-1),
              dy.dtype.type(1 / (1 - rate)), dx.reshape(-1))
    return dx

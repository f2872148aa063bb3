"""Dropout: each value is dropped with probability ``rate``, or kept and divided by ``1 - rate``.

    x, mask (any shape)          y = x * mask / (1 - rate)          dx = dy * mask / (1 - rate)

Dividing while training ("inverted") leaves nothing to do at prediction. The mask is a function of
the seed and of the flat index of the value, and of nothing else: the same on every engine, for any
number of threads, and again after resuming. It is the SplitMix64 generator (Steele, Lea, Flood
2014, figure 15), which is a counter put through a mixing function:

    u(seed, index) = mix(mix(seed) + index * GOLDEN) / 2**64          mask = u >= rate

All arithmetic is modulo 2**64, which NumPy's unsigned integers do by themselves.
"""
import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z):
    z = z + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def dropout_mask(shape, rate, seed):
    key = _mix(np.array([int(seed) % 2**64], np.uint64))
    index = np.arange(np.prod(shape, dtype=int), dtype=np.uint64)
    uniform = (_mix(key + index * GOLDEN) >> np.uint64(11)) * 2.0**-53     # 53 bits fill a double
    return (uniform >= rate).reshape(shape)


def dropout_forward(x, rate, seed):
    mask = dropout_mask(x.shape, rate, seed)
    return dropout_backward(x, mask, rate), mask


def dropout_backward(dy, mask, rate):
    scale = dy.dtype.type(1 / (1 - rate))
    return np.where(mask, dy * scale, dy.dtype.type(0))

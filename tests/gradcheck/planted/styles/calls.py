"""Right functions that are called in unusual ways: options, partials, bound methods, objects."""
from functools import partial, wraps
from typing import NamedTuple

import numba
import numpy as np

from tests.gradcheck.planted import right


def conv2d_forward(x, weight, bias, **options):
    """Keywords only, read from a dictionary."""
    stride, padding = options.pop("stride", 1), options.pop("padding", 0)
    assert not options, f"unknown options {sorted(options)}"
    return right.conv2d_forward(x, weight, bias, stride, padding)


class ConvGradients(NamedTuple):
    dx: np.ndarray
    dweight: np.ndarray
    dbias: np.ndarray


def conv2d_backward(dy, x, weight, /, stride=(1, 1), padding=(0, 0)):
    """Positional only, with pairs as defaults and a named tuple as result."""
    return ConvGradients(*right.conv2d_backward(dy, x, weight, stride, padding))


class Transposed:
    """An object that is called."""

    def __init__(self, backward):
        self.backward = backward

    def __call__(self, x, weight, bias=None, stride=1, padding=0):
        if self.backward:
            dy, x, weight = x, weight, bias
            return right.conv_transpose2d_backward(dy, x, weight, stride, padding)
        return right.conv_transpose2d_forward(x, weight, bias, stride, padding)


conv_transpose2d_forward = Transposed(backward=False)


def conv_transpose2d_backward(*arguments, **options):
    return right.conv_transpose2d_backward(*arguments, **options)


class Pooling:
    """Its bound methods stand in the module."""

    def forward(self, x, size=2, stride=2, ceil_mode=True):
        self.seen = x.shape         # nobody reads it
        return right_pooling(x, size, stride, ceil_mode)

    @staticmethod
    def backward(dy, argmax, x_shape):
        return right.max_pool2d_backward(dy, argmax, x_shape)


def right_pooling(x, size, stride, ceil_mode):
    (kh, kw), (sh, sw), (n, h, w, c) = right.pair(size), right.pair(stride), x.shape
    oh = right.pool_extent(h, kh, sh, ceil_mode)
    ow = right.pool_extent(w, kw, sw, ceil_mode)
    y, argmax = np.zeros((n, oh, ow, c), x.dtype), np.zeros((n, oh, ow, c), np.int64)
    for n, i, j, c in np.ndindex(y.shape):
        window = x[n, i * sh:i * sh + kh, j * sw:j * sw + kw, c]
        a, b = np.unravel_index(window.argmax(), window.shape)
        y[n, i, j, c] = window[a, b]
        argmax[n, i, j, c] = (i * sh + a) * w + j * sw + b
    return y, argmax


pooling = Pooling()
max_pool2d_forward = pooling.forward
max_pool2d_backward = Pooling.backward


def resample(direction, array, factor, size, padding, *shape):
    function = {"up": right.bilinear_upsample_forward, "down": right.bilinear_upsample_backward}
    return function[direction](array, factor, size, padding, *shape)


bilinear_upsample_forward = partial(resample, "up")
bilinear_upsample_backward = partial(resample, "down")


@numba.guvectorize(["(float32[:], float32[:, :], float32[:], float32[:])",
                    "(float64[:], float64[:, :], float64[:], float64[:])"],
                   "(c),(c,f),(f)->(f)")
def linear_forward(x, weight, bias, y):
    for f in range(len(bias)):
        y[f] = bias[f]
        for c in range(len(x)):
            y[f] += x[c] * weight[c, f]


def counted(function):
    """A decorator that keeps count: state, but nothing that a result depends on."""
    @wraps(function)
    def wrapper(*arguments, **options):
        wrapper.calls += 1
        return function(*arguments, **options)
    wrapper.calls = 0
    return wrapper


@counted
def linear_backward(dy, x, weight):
    return [dy @ weight.T, x.T @ dy, dy.sum(0)]


relu_forward = partial(np.clip, a_min=0, a_max=None)


def masked(keep):
    def relu_backward(dy, y):
        return np.where(keep(y), dy, dy.dtype.type(0))
    return relu_backward


relu_backward = masked(lambda y: y > 0)


def dropout_forward(x, rate, seed, *, generator=np.random.PCG64DXSM):
    """A keyword that nobody gives."""
    mask = np.random.Generator(generator(seed)).random(x.shape) >= rate
    return dropout_backward(x, mask, rate), mask


def dropout_backward(dy, mask, rate, *_):
    return np.where(mask, dy / dy.dtype.type(1 - rate), dy.dtype.type(0))


def softmax_cross_entropy(scores, labels, *settings, **named):
    """Settings as they come; prints, and is right all the same."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, *settings, **named)
    print(f"loss {loss:.3f}")
    return loss, dscores

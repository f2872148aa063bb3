"""Convolution (a correlation: the kernel is not flipped), by whatever is fastest for its shape.

    x (n, h, w, c_in)   weight (kh, kw, c_in, c_out)   bias (c_out,)   ->   y (n, oh, ow, c_out)
    y[n, i, j, f] = bias[f]
                  + sum over ki, kj, c of x[n, i s - p + ki, j s - p + kj, c] weight[ki, kj, c, f]

    kernel 1x1, no padding          one matrix product              gemm.py
    3x3 and 7x7, many channels      Winograd                        winograd.py
    all else                        matrix products over patches    direct.py

ReLU costs nothing here: each result passes ``max(value, floor)`` on its way to memory.
"""
from __future__ import annotations

import numpy as np

from ..checks import Pair, conv2d_size, dense, pair
from ..memory import empty
from ..threads import parallel, shared
from . import direct, winograd
from .gemm import NO_FLOOR, multiply

LEAST_CHANNELS = 8      # on both sides, for Winograd: with fewer, it saves nothing
BIAS_SUMS = 64          # of dbias, at most, each over a chunk of the pixels


def _is_product(kernel: Pair, stride: Pair, padding: Pair) -> bool:
    """Each pixel by itself."""
    return kernel == stride == (1, 1) and padding == (0, 0)


def _pays(shape, kernel: Pair, stride: Pair, y_shape) -> bool:
    """Whether Winograd, with its tiles that stick out over a small map, saves multiplications."""
    (_, rows, columns, filters), taps = y_shape, kernel.rows
    if stride != (1, 1) or kernel.rows != kernel.columns or not winograd.suits(taps):
        return False
    step = winograd.outputs_of_tile(taps)
    products = winograd.N ** 2 * -(-rows // step) * -(-columns // step)
    saves = 1.5 * products < taps * taps * rows * columns
    return min(shape[3], filters) >= LEAST_CHANNELS and saves


def _convolve(x, weight, bias, stride, padding, floor):
    x, weight, bias = dense(x), dense(weight), dense(bias)
    stride, padding, kernel = pair(stride), pair(padding), Pair(*weight.shape[:2])
    y_shape = (x.shape[0], conv2d_size(x.shape[1], kernel.rows, stride.rows, padding.rows),
               conv2d_size(x.shape[2], kernel.columns, stride.columns, padding.columns),
               weight.shape[3])
    if _is_product(kernel, stride, padding):
        y = multiply(x.reshape(-1, x.shape[3]), weight[0, 0], bias, floor)
        return y.reshape(y_shape)
    if _pays(x.shape, kernel, stride, y_shape):
        return winograd.convolve(x, weight, bias, padding, floor)
    return direct.forward(direct.extents_of(x.shape, y_shape, kernel, stride, padding),
                          x, weight, bias, floor)


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    return _convolve(x, weight, bias, stride, padding, NO_FLOOR)


def conv2d_relu_forward(x, weight, bias, stride=1, padding=0):
    return _convolve(x, weight, bias, stride, padding, 0.0)


@parallel
def _mask_and_sum(thread, begin, end, dy, y, masked, sums, chunk):
    if shared(thread, begin, end):
        return
    pixels, filters = masked.shape
    for task in range(begin, end):
        total = sums[task]
        total[:] = 0
        for p in range(task * chunk, min(pixels, (task + 1) * chunk)):
            for f in range(filters):
                value = dy[p, f] if y[p, f] > 0 else dy.dtype.type(0)
                masked[p, f] = value
                total[f] += value


@parallel
def _sum(thread, begin, end, dy, sums, chunk):
    if shared(thread, begin, end):
        return
    pixels, filters = dy.shape
    for task in range(begin, end):
        total = sums[task]
        total[:] = 0
        for p in range(task * chunk, min(pixels, (task + 1) * chunk)):
            for f in range(filters):
                total[f] += dy[p, f]


def _partial_sums(dy):
    """Room for sums over chunks of pixels, and pixels of a chunk: by the shape alone."""
    pixels = dy.size // dy.shape[-1]
    chunk = max(16, -(-pixels // BIAS_SUMS))
    return np.empty((-(-pixels // chunk), dy.shape[-1]), dy.dtype), chunk


def sum_pixels(dy):
    """dbias: the sum over everything but the channels."""
    sums, chunk = _partial_sums(dy)
    _sum(len(sums), dy.reshape(-1, dy.shape[-1]), sums, chunk)
    return sums.sum(axis=0)


def _backward(dy, x, weight, stride, padding, need_dx):
    """dx (or None) and dweight."""
    stride, padding, kernel = pair(stride), pair(padding), Pair(*weight.shape[:2])
    dx = None
    if _is_product(kernel, stride, padding):
        rows, x_rows = dy.reshape(-1, dy.shape[3]), x.reshape(-1, x.shape[3])
        if need_dx:
            dx = multiply(rows, weight[0, 0].T).reshape(x.shape)
        return dx, multiply(x_rows.T, rows).reshape(weight.shape)
    plan = direct.extents_of(x.shape, dy.shape, kernel, stride, padding)
    if need_dx and _pays(dy.shape, kernel, stride, x.shape):
        beyond = kernel.rows - 1 - padding.rows, kernel.columns - 1 - padding.columns
        dx = winograd.convolve(dy, weight, None, beyond, turned=True)
    elif need_dx:
        dx = direct.scatter(plan, dy, weight, np.zeros(x.shape[3], x.dtype))
    if _pays(x.shape, kernel, stride, dy.shape):
        return dx, winograd.gradient(dy, x, padding, kernel.rows)
    return dx, direct.gradient(plan, dy, x)


def conv2d_backward(dy, x, weight, stride=1, padding=0, need_dx=True):
    dy = dense(dy)
    dx, dweight = _backward(dy, dense(x), dense(weight), stride, padding, need_dx)
    return dx, dweight, sum_pixels(dy)


def conv2d_relu_backward(dy, y, x, weight, stride=1, padding=0, need_dx=True):
    dy, filters = dense(dy), dy.shape[3]
    masked = empty(dy.shape, dy.dtype)
    sums, chunk = _partial_sums(dy)
    _mask_and_sum(len(sums), dy.reshape(-1, filters), dense(y).reshape(-1, filters),
                  masked.reshape(-1, filters), sums, chunk)
    dx, dweight = _backward(masked, dense(x), dense(weight), stride, padding, need_dx)
    return dx, dweight, sums.sum(axis=0)

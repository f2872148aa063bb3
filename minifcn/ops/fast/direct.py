"""Convolution of any kernel, stride and padding, as matrix products over patches of the image.

A patch is what the kernel sees at one place: with q = (ki, kj, c) it is a row of the matrix P, and

    y = P W + bias          P (places x q)  W (q x filters)
    dweight = P' dy
    dx = the rows of dy W', each added back to where its patch came from

P is never kept: a thread gathers the patches of some places into its scratch and multiplies them at once.
The second is a sum over places: they are cut into chunks by the shape alone, and the chunks are added in
order. The third would race if threads owned patches, so they own rows of dx and fetch what falls there.
The transposed convolution is the third one too.
"""
from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import prange

from ..checks import Pair
from ..compiling import compiled
from .gemm import (NO_FLOOR, copy_block, multiply_panel, pack, round_up, tile_columns, tile_of)
from .memory import empty, scratch

PATCHES = 2 ** 16       # elements of the patches of a task: 256 KB, a quarter of an L2 cache
PARTIAL = 2 ** 21       # elements of all partial sums of dweight, about
CHUNKS = 32             # of places, at most, each with its own partial sum of dweight


class Plan(NamedTuple):
    """Extents of one convolution."""

    images: int
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    filters: int
    kernel_rows: int
    kernel_columns: int
    stride_rows: int
    stride_columns: int
    pad_rows: int
    pad_columns: int


def plan_of(x_shape, y_shape, kernel: tuple[int, int], stride: Pair, padding: Pair) -> Plan:
    images, height, width, channels = x_shape
    return Plan(images, height, width, channels, *y_shape[1:], *kernel, *stride, *padding)


@compiled
def inside(plan, j):
    """The kernel's columns that lie within the image, at output column j: first and one past last."""
    left = j * plan.stride_columns - plan.pad_columns
    first = min(max(0, -left), plan.kernel_columns)
    return left, first, max(first, min(plan.kernel_columns, plan.width - left))


@compiled
def gather(plan, x, place, count, ki0, rows, patches, p0):
    """patches[place, ki, kj, c] for some places, counted over all images, and kernel rows."""
    c = plan.channels
    line = plan.kernel_columns * c
    for p in range(count):
        i, j = divmod(place + p, plan.out_width)
        image, i = divmod(i, plan.out_height)
        left, first, last = inside(plan, j)
        for ki in range(rows):
            a = i * plan.stride_rows - plan.pad_rows + ki0 + ki
            target = p0 + (p * rows + ki) * line
            if 0 <= a < plan.height:
                source = ((image * plan.height + a) * plan.width + left + first) * c
                for q in range(first * c):
                    patches[target + q] = 0
                copy_block(x, source, 0, 1, 1, (last - first) * c, patches, target + first * c, 0,
                           (plan.kernel_columns - first) * c)
            else:
                for q in range(line):
                    patches[target + q] = 0


@compiled(parallel=True)
def _forward(plan, x, panels, bias, y, floor, group, patches):
    width = tile_columns(y)
    depth = plan.kernel_rows * plan.kernel_columns * plan.channels
    places = plan.images * plan.out_height * plan.out_width
    for index in prange((places + group - 1) // group):
        place = np.int64(index) * group
        count, own = min(group, places - place), numba.get_thread_id() * group * depth
        gather(plan, x, place, count, 0, plan.kernel_rows, patches, own)
        for f in range(0, plan.filters, width):
            multiply_panel(count, min(width, plan.filters - f), depth, patches, own, depth, 1,
                           panels, f * depth, bias, f, 0, y, place * plan.filters + f, plan.filters,
                           floor)


def forward(plan: Plan, x, weight, bias, floor=NO_FLOOR) -> np.ndarray:
    """max(conv2d(x, weight) + bias, floor)."""
    tile, threads = tile_of(x.dtype), numba.get_num_threads()
    depth = plan.kernel_rows * plan.kernel_columns * plan.channels
    places = plan.images * plan.out_height * plan.out_width
    group = round_up(max(1, min(PATCHES // depth, places // (2 * threads))), tile.rows)
    room = scratch(depth * (round_up(plan.filters, tile.columns) + threads * group), x.dtype)
    patches, panels = np.split(room, [threads * group * depth])
    pack(weight.reshape(-1), 0, plan.filters, 1, depth, plan.filters, panels, 0)
    y = empty((plan.images, plan.out_height, plan.out_width, plan.filters), x.dtype)
    _forward(plan, x.reshape(-1), panels, bias, y.reshape(-1), x.dtype.type(floor), group, patches)
    return y


@compiled(parallel=True)
def _scatter(plan, dy, panels, bias, dx, no_floor, products):
    width, c = tile_columns(dx), plan.channels
    line = plan.kernel_columns * c
    wide = (line + width - 1) // width * width
    for index in prange(plan.images * plan.height):
        image, a = divmod(np.int64(index), plan.height)
        own = numba.get_thread_id() * (plan.out_width + 1) * wide
        zeros = own + plan.out_width * wide
        row = np.int64(index) * plan.width * c
        for q in range(wide):
            products[zeros + q] = 0
        for b in range(plan.width):
            for k in range(c):
                dx[row + b * c + k] = bias[k]
        for ki in range(plan.kernel_rows):
            i, beside = divmod(a + plan.pad_rows - ki, plan.stride_rows)
            if beside or not 0 <= i < plan.out_height:
                continue
            source = (image * plan.out_height + i) * plan.out_width * plan.filters
            for q in range(0, line, width):
                multiply_panel(plan.out_width, width, plan.filters, dy, source, plan.filters, 1,
                               panels, (ki * wide + q) * plan.filters, products, zeros, 0,
                               products, own + q, wide, no_floor)
            for j in range(plan.out_width):
                left, first, last = inside(plan, j)
                for q in range(first * c, last * c):
                    dx[row + left * c + q] += products[own + j * wide + q]


def scatter(plan: Plan, dy, weight, bias, exchanged: bool = False) -> np.ndarray:
    """dx + bias of a convolution: the transposed convolution of dy.

    The weight is (kh, kw, c, f), c the channels of dx; (kh, kw, f, c) if ``exchanged``.
    """
    tile, threads = tile_of(dy.dtype), numba.get_num_threads()
    line = plan.kernel_columns * plan.channels
    wide = round_up(line, tile.columns)
    own = threads * (plan.out_width + 1) * wide
    products, panels = np.split(scratch(own + plan.kernel_rows * wide * plan.filters, dy.dtype), [own])
    if exchanged:
        weight = np.ascontiguousarray(weight.swapaxes(2, 3))
    for ki in range(plan.kernel_rows):      # W': filters x (kj, c)
        pack(weight.reshape(-1), ki * line * plan.filters, 1, plan.filters, plan.filters, line,
             panels, ki * wide * plan.filters)
    dx = empty((plan.images, plan.height, plan.width, plan.channels), dy.dtype)
    _scatter(plan, dy.reshape(-1), panels, bias, dx.reshape(-1), dy.dtype.type(NO_FLOOR), products)
    return dx


@compiled(parallel=True)
def _gradient(plan, dy, x, chunk, group, sums, no_floor, room):
    width = tile_columns(sums)
    line = plan.kernel_columns * plan.channels
    places = plan.images * plan.out_height * plan.out_width
    chunks = (places + chunk - 1) // chunk
    wide = (plan.filters + width - 1) // width * width
    for index in prange(chunks * plan.kernel_rows):
        part, ki = divmod(np.int64(index), plan.kernel_rows)
        patches = numba.get_thread_id() * group * (line + wide)
        panels = patches + group * line
        target = (part * plan.kernel_rows + ki) * line * plan.filters
        for q in range(line * plan.filters):
            sums[target + q] = 0
        for place in range(part * chunk, min(places, (part + 1) * chunk), group):
            count = min(group, min(places, (part + 1) * chunk) - place)
            gather(plan, x, place, count, ki, 1, room, patches)
            pack(dy, place * plan.filters, plan.filters, 1, count, plan.filters, room, panels)
            for f in range(0, plan.filters, width):
                multiply_panel(line, min(width, plan.filters - f), count, room, patches, 1, line,
                               room, panels + f * count, sums, target + f, plan.filters,
                               sums, target + f, plan.filters, no_floor)


def gradient(plan: Plan, dy, x) -> np.ndarray:
    """dweight (kh, kw, c, f) of a convolution."""
    tile, threads = tile_of(dy.dtype), numba.get_num_threads()
    shape = plan.kernel_rows, plan.kernel_columns, plan.channels, plan.filters
    places = plan.images * plan.out_height * plan.out_width
    line, wide = plan.kernel_columns * plan.channels, round_up(plan.filters, tile.columns)
    chunks = max(1, min(CHUNKS, places // 64, PARTIAL // np.prod(shape)))
    chunk = -(-places // chunks)
    chunks = -(-places // chunk)
    group = max(1, min(256, PATCHES // line, chunk))
    sums = empty((chunks, *shape), dy.dtype)
    _gradient(plan, dy.reshape(-1), x.reshape(-1), chunk, group, sums.reshape(-1),
              dy.dtype.type(NO_FLOOR), scratch(threads * group * (line + wide), dy.dtype))
    return sums[0] if chunks == 1 else sums.sum(axis=0)

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

from ..checks import Pair
from ..compiling import compiled, parallel
from .gemm import (COLUMNS, DENSE, NO_FLOOR, ROWS, SAME, copy_block, keep_apart, multiply_panel,
                   pack, pack_rows, round_up, streams, tile_columns, tile_of)
from .memory import empty, scratch

PLACES = 256            # of a sum for dweight that is taken at once
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
def gather(plan, x, place, count, q0, q1, patches, p0):
    """patches[place, q0:q1] for some places, counted over all images; q counts (ki, kj, c).

    For each kernel row, what lies inside the image is one run of memory, with zeros on both sides.
    """
    keep_apart()
    line = plan.kernel_columns * plan.channels
    for p in range(count):
        i, j = divmod(place + p, plan.out_width)
        image, i = divmod(i, plan.out_height)
        left, first, last = inside(plan, j)
        for ki in range(q0 // line, (q1 + line - 1) // line):
            begin, end = max(q0, ki * line), min(q1, (ki + 1) * line)
            target = p0 + p * (q1 - q0) + begin - q0
            a = i * plan.stride_rows - plan.pad_rows + ki
            run_begin = min(end, max(begin, ki * line + first * plan.channels))
            run_end = max(run_begin, min(end, ki * line + last * plan.channels))
            if not 0 <= a < plan.height:
                run_begin = run_end = end
            for q in range(begin, run_begin):
                patches[target + q - begin] = 0
            source = ((image * plan.height + a) * plan.width + left) * plan.channels
            copy_block(x, source + run_begin - ki * line, SAME, DENSE, np.int64(1), run_end - run_begin,
                       patches, target + run_begin - begin, SAME, end - run_begin)


@parallel
def _forward(thread, begin, end, plan, x, panels, bias, y, floor, stream, group, patches):
    width = tile_columns(y)
    depth = plan.kernel_rows * plan.kernel_columns * plan.channels
    places = plan.images * plan.out_height * plan.out_width
    for task in range(begin, end):
        place = task * group
        count, own = min(group, places - place), thread * group * depth
        gather(plan, x, place, count, SAME, depth, patches, own)
        for f in range(0, plan.filters, width):
            multiply_panel(count, min(width, plan.filters - f), depth, patches, own, depth, DENSE,
                           panels, f * depth, bias, f, SAME, y, place * plan.filters + f, plan.filters,
                           floor, stream)


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
    _forward(-(-places // group), plan, x.reshape(-1), panels, bias, y.reshape(-1), x.dtype.type(floor), streams(y),
             group, patches)
    return y


@parallel
def _scatter(thread, begin, end, plan, dy, panels, bias, dx, no_floor, products):
    width, c = tile_columns(dx), plan.channels
    line = plan.kernel_columns * c
    wide = (line + width - 1) // width * width
    for task in range(begin, end):
        image, a = divmod(task, plan.height)
        own = thread * (plan.out_width + 1) * wide
        zeros = own + plan.out_width * wide
        row = task * plan.width * c
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
                multiply_panel(plan.out_width, width, plan.filters, dy, source, plan.filters, DENSE,
                               panels, (ki * wide + q) * plan.filters, products, zeros, SAME,
                               products, own + q, wide, no_floor, False)
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
    _scatter(plan.images * plan.height, plan, dy.reshape(-1), panels, bias, dx.reshape(-1),
             dy.dtype.type(NO_FLOOR), products)
    return dx


@parallel
def _gradient(thread, begin, end, plan, dy, x, chunk, block, sums, zeros, no_floor, stream,
              scratch):
    width = tile_columns(sums)
    depth = plan.kernel_rows * plan.kernel_columns * plan.channels
    places = plan.images * plan.out_height * plan.out_width
    parts, blocks = (places + chunk - 1) // chunk, (depth + block - 1) // block
    for task in range(begin, end):
        part, q0 = divmod(task, blocks)
        q0, q1 = q0 * block, min(depth, (q0 + 1) * block)
        patches = thread * PLACES * (2 * block + COLUMNS)
        turned = patches + PLACES * block
        panels = turned + PLACES * block
        target = (part * depth + q0) * plan.filters
        for place in range(part * chunk, min(places, (part + 1) * chunk), PLACES):
            count = min(PLACES, min(places, (part + 1) * chunk) - place)
            gather(plan, x, place, count, q0, q1, scratch, patches)
            pack_rows(scratch, patches, DENSE, q1 - q0, q1 - q0, count, scratch, turned)
            for f0 in range(0, plan.filters, COLUMNS):
                columns = min(COLUMNS, plan.filters - f0)
                pack(dy, place * plan.filters + f0, plan.filters, DENSE, count, columns, scratch, panels)
                for f in range(0, columns, width):
                    goal = target + f0 + f
                    start, s0, s_row = sums, goal, plan.filters
                    if place == part * chunk:
                        start, s0, s_row = zeros, SAME, SAME
                    multiply_panel(q1 - q0, min(width, columns - f), count,
                                   scratch, turned, count, DENSE, scratch, panels + f * count,
                                   start, s0, s_row, sums, goal, plan.filters, no_floor, stream)


def gradient(plan: Plan, dy, x) -> np.ndarray:
    """dweight (kh, kw, c, f) of a convolution."""
    threads = numba.get_num_threads()
    shape = plan.kernel_rows, plan.kernel_columns, plan.channels, plan.filters
    depth = plan.kernel_rows * plan.kernel_columns * plan.channels
    places = plan.images * plan.out_height * plan.out_width
    block = min(ROWS, depth)
    chunks = max(1, min(CHUNKS, places // 64, PARTIAL // (depth * plan.filters)))
    chunk = -(-places // chunks)
    chunks = -(-places // chunk)
    sums = empty((chunks, *shape), dy.dtype)
    _gradient(chunks * -(-depth // block), plan, dy.reshape(-1), x.reshape(-1), chunk, block,
              sums.reshape(-1), np.zeros(COLUMNS, dy.dtype), dy.dtype.type(NO_FLOOR),
              chunk <= PLACES and streams(sums),
              scratch(threads * PLACES * (2 * block + COLUMNS), dy.dtype))
    return sums[0] if chunks == 1 else sums.sum(axis=0)

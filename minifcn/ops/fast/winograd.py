"""Convolution by Winograd's minimal filtering: fewer multiplications for r x r kernels, stride 1.

An m x m tile of the output is a small polynomial product. Evaluated at n = m + r - 1 points,
products become elementwise; with the matrices A, G and B of ``transforms.py``, both axes alike,

    forward    y  = A' [ (G w G') * (B' x B) ] A        x an n x n window, y an m x m tile
    dx         the same, of dy, with the kernel turned by 180 degrees and its channels exchanged
    dweight       = G' [ sum over tiles (B' x B) * (A dy A') ] G

so that instead of r r m m multiplications a tile takes n n: with n = 8, 5.06 times fewer for a 3x3
kernel (6x6 tiles) and 3.06 times for a 7x7 kernel (2x2 tiles). Summed over channels, each of the 64
points is a matrix product, (tiles x channels) (channels x filters), done by the micro-kernel.

    v[point, tile, channel]     u[point, channel, filter]     m[point, tile, filter]

Nothing is kept from call to call: a kernel is transformed where it is used. The transformed kernels
of fc6 alone would take 537 MB, and as long to read from memory as to make.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..compiling import block
from ..memory import CACHE_LINE, empty, scratch
from ..threads import get_threads, parallel, shared
from .gemm import NO_FLOOR, Result, copy_block, multiply_panel, no_floor, round_up, streams
from .transforms import N, cook_toom, make_transform, outputs_of_tile, transpose
from .vectors import (
    CACHED,
    DENSE,
    ONE,
    ZERO,
    Matrix,
    Parts,
    Tile,
    keep_apart,
    move_vector,
    prefetch_line,
    tile_columns,
    tile_lanes,
    tile_of,
)

KERNELS = 64        # channels of a block of kernels: 64 x 64 x 32 floats are 512 KB, half of an L2
                    # cache; and of one sum, since a sum of sums has the smaller error
CACHE = 2 ** 25     # bytes of an L3 cache: larger weights come from memory in each call,
SPAN = 2            # where runs of 256 bytes, two panels of filters, are the least it likes
SHALLOW = 2 ** 21   # elements of all transformed kernels: 8 MB, a quarter of an L3 cache
WINDOWS = 250_000   # elements of the windows and products of a block of tiles: 1 MB, an L2 cache
GROUP = 4           # tiles of a task that only transforms windows
TILES = 128         # of a superblock: 64 x 128 x 32 products are 1 MB, an L2 cache; but with fewer
                    # tiles, kernels are transformed more often (15 ms became 18 with 64 tiles)
SUPER_CHANNELS = 512    # of a superblock: 64 x 128 x 512 elements of windows are 16 MB, half an L3
SUPER_FILTERS = 512     # of a superblock whose sums must wait for more channels
GRADIENT_WINDOWS = 5 * 2 ** 20      # elements of the windows of x and dy of a superblock: 20 MB
GRADIENT_FILTERS = 128              # of a superblock: with 512 channels, their sums take 16 MB
ONES = N + 1        # the point (1, 1): A' spreads it evenly over the tile, so bias is added there

transform_window = make_transform(cook_toom(3).bt)          # B' x B
transform_kernel_3 = make_transform(cook_toom(3).g)         # G w G'
transform_kernel_7 = make_transform(cook_toom(7).g)
transform_products_3 = make_transform(cook_toom(3).at)      # A' m A
transform_products_7 = make_transform(cook_toom(7).at)
transform_gradient_3 = make_transform(transpose(cook_toom(3).at))       # A dy A'
transform_gradient_7 = make_transform(transpose(cook_toom(7).at))
transform_sums_3 = make_transform(transpose(cook_toom(3).g))            # G' sum G
transform_sums_7 = make_transform(transpose(cook_toom(7).g))


# ---------------------------------------------------------------------------------------------
# Blocks: serial, each on its thread's own scratch
# ---------------------------------------------------------------------------------------------


class TileExtents(NamedTuple):
    """Extents of one convolution and of its tiles."""

    images: int
    height: int         # of the input, as are width and channels
    width: int
    channels: int
    out_height: int
    out_width: int
    filters: int
    taps: int           # kernel extent r
    step: int           # outputs of a tile along one axis, m
    window: int         # inputs of a tile along one axis: n; or m, to transform dy
    pad_rows: int       # zeros above; negative: rows left out
    pad_columns: int
    tiles_down: int     # tiles of one image
    tiles_across: int
    turned: int         # 1: the kernel is turned by 180 degrees, and (filters, channels) in memory

    @property
    def tiles(self) -> int:
        return self.images * self.tiles_down * self.tiles_across


class Run(NamedTuple):
    """Some tiles, channels or filters in a row."""

    first: int
    count: int


class Place(NamedTuple):
    """An element of an array, from which on there is something."""

    array: np.ndarray
    start: int


class Points(NamedTuple):
    """64 matrices, one for each point."""

    array: np.ndarray
    start: int
    point: int      # the distance from one to the next
    row: int        # from row to row; along a row they are dense


@block
def matrix_at(points, point):
    """The matrix of one point."""
    return Matrix(points.array, points.start + point * points.point, points.row, DENSE)


@block
def across(points, start):
    """A tile, of which each element is at ``start`` in the matrix of another point."""
    return Matrix(points.array, points.start + start, N * points.point, points.point)


@block
def gather_window(plan, x, image, top, left, c, patch):
    """Copy one vector of channels of a window; zeros outside of the image."""
    keep_apart()
    lanes, extent, room = tile_lanes(x), plan.window, patch.array
    valid = min(lanes, plan.channels - c)
    for i in range(extent):
        for j in range(extent):
            row, column = top + i, left + j
            target = patch.start + (i * extent + j) * lanes
            if 0 <= row < plan.height and 0 <= column < plan.width:
                source = ((image * plan.height + row) * plan.width + column) * plan.channels + c
                if valid == lanes:
                    move_vector(x, source, room, target)
                    continue
                for l in range(valid):
                    room[target + l] = x[source + l]
                for l in range(valid, lanes):
                    room[target + l] = 0
            else:
                for l in range(lanes):
                    room[target + l] = 0


@block
def prefetch_window(plan, x, tile):
    """Ask for the window of a tile: its rows are too short for the hardware to foresee the next."""
    keep_apart()
    row, column = divmod(tile, plan.tiles_across)
    image, row = divmod(row, plan.tiles_down)
    left = column * plan.step - plan.pad_columns
    first, last = max(0, left), min(left + plan.window, plan.width)
    top = row * plan.step - plan.pad_rows
    for a in range(max(0, top), min(top + plan.window, plan.height)):
        source = (image * plan.height + a) * plan.width
        for q in range((source + first) * plan.channels, (source + last) * plan.channels,
                       CACHE_LINE // x.itemsize):
            prefetch_line(x, q)


@block
def transform_tile(plan, source, target):
    """B' x B, or A dy A', for one vector of channels."""
    if plan.window == N:
        transform_window(source, target, None, None)
    elif plan.taps == 3:
        transform_gradient_3(source, target, None, None)
    else:
        transform_gradient_7(source, target, None, None)


@block
def transform_windows(plan, x, tiles, channels, v, patch):
    """v[point, tile, channel] = B' x B (or A dy A').

    What stands behind the last channel becomes zeros, up to a whole vector.
    """
    keep_apart()
    lanes, extent = tile_lanes(x), plan.window
    for t in range(tiles.count):
        if t + 1 < tiles.count:
            prefetch_window(plan, x, tiles.first + t + 1)
        row, column = divmod(tiles.first + t, plan.tiles_across)
        image, row = divmod(row, plan.tiles_down)
        top, left = row * plan.step - plan.pad_rows, column * plan.step - plan.pad_columns
        inside = (top >= 0 and left >= 0
                  and top + extent <= plan.height and left + extent <= plan.width)
        source = ((image * plan.height + top) * plan.width + left) * plan.channels
        for c in range(channels.first, channels.first + channels.count, lanes):
            target = across(v, t * v.row + c - channels.first)
            if inside and c + lanes <= plan.channels:
                window = Matrix(x, source + c, plan.width * plan.channels, plan.channels)
            else:
                gather_window(plan, x, image, top, left, c, patch)
                window = Matrix(patch.array, patch.start, extent * lanes, lanes)
            transform_tile(plan, window, target)


@block
def transform_kernel(plan, source, target):
    """G w G' for one vector of filters."""
    if plan.taps == 3:
        transform_kernel_3(source, target, None, None)
    else:
        transform_kernel_7(source, target, None, None)


@block
def transform_kernels(plan, weight, channels, f0, panels, u, patch):
    """u[panel, point, channel, filter] = G w G', zeros behind the last filter."""
    keep_apart()
    lanes, width, area = tile_lanes(weight), tile_columns(weight), plan.taps * plan.taps
    c0 = channels.first
    if not plan.turned and f0 + panels * width <= plan.filters:
        column = plan.channels * plan.filters
        for c in range(channels.count):     # all panels at once: longer runs of memory
            for tap in range(area):
                ahead = (tap * plan.channels + c0 + c + 1) * plan.filters + f0
                for v in range(0, panels * width, lanes):
                    prefetch_line(weight, ahead + v)
            for v in range(0, panels * width, lanes):
                transform_kernel(plan, Matrix(weight, (c0 + c) * plan.filters + f0 + v,
                                              plan.taps * column, column),
                                 across(u, v // width * N * N * u.point + c * width + v % width))
        return
    for v in range(0, panels * width, lanes):
        # channels x lanes of filters for each tap, as they are needed: turned, or cut off
        for tap in range(area):
            if plan.turned:
                source = ((area - 1 - tap) * plan.filters + f0 + v) * plan.channels + c0
                row, column = DENSE, plan.channels
            else:
                source = (tap * plan.channels + c0) * plan.filters + f0 + v
                row, column = plan.filters, DENSE
            copy_block(Matrix(weight, source, row, column),
                       channels.count, max(0, min(lanes, plan.filters - f0 - v)),
                       Matrix(patch.array, patch.start + tap * channels.count * lanes, lanes,
                              DENSE), lanes)
        for c in range(channels.count):
            transform_kernel(plan, Matrix(patch.array, patch.start + c * lanes,
                                          plan.taps * channels.count * lanes,
                                          channels.count * lanes),
                             across(u, v // width * N * N * u.point + c * width + v % width))


@block
def transform_products(plan, m, tiles, f0, output, patch):
    """y = max(A' m A, floor), for some tiles and one panel of filters."""
    keep_apart()
    y, _, floor, stream = output
    lanes, width, step = tile_lanes(y), tile_columns(y), plan.step
    beside = Matrix(patch.array, patch.start, step * lanes, lanes)
    for t in range(tiles.count):
        row, column = divmod(tiles.first + t, plan.tiles_across)
        image, row = divmod(row, plan.tiles_down)
        height, width_left = plan.out_height - row * step, plan.out_width - column * step
        for v in range(0, min(width, plan.filters - f0), lanes):
            source = across(m, t * width + v)
            target = Matrix(y, ((image * plan.out_height + row * step) * plan.out_width
                                + column * step) * plan.filters + f0 + v,
                            plan.out_width * plan.filters, plan.filters)
            valid = min(lanes, plan.filters - f0 - v)
            whole = height >= step and width_left >= step and valid == lanes
            goal = target if whole else beside
            if plan.taps == 3:
                transform_products_3(source, goal, floor, whole and stream)
            else:
                transform_products_7(source, goal, floor, whole and stream)
            if not whole:
                for i in range(min(step, height)):
                    copy_block(Matrix(beside.array, beside.start + i * step * lanes, lanes, DENSE),
                               min(step, width_left), valid,
                               Matrix(y, target.start + i * target.row, plan.filters, DENSE),
                               valid)


# ---------------------------------------------------------------------------------------------
# Two schedules, forward and for dx
# ---------------------------------------------------------------------------------------------


@block
def apart(size):
    """Distance of two points that hold ``size`` elements each, for a whole number of cache lines.

    A transform writes all 64 points at once: at distances of a power of two, all would fall into
    a few lines of the L1 cache. Measured: 1100 cycles for a vector of channels, 370 with this.
    """
    return size + 16


class Output(NamedTuple):
    """y = max(sums + bias, floor)."""

    y: np.ndarray
    bias: np.ndarray    # behind as many zeros as a panel is wide
    floor: float
    stream: bool        # store past the caches


class Part(NamedTuple):
    """What of a convolution is computed at once: its windows fit a cache."""

    tiles: Run
    channels: Run
    filters: Run
    block: int      # channels whose windows, or kernels, lie together
    span: int       # panels of filters of a task


class Room(NamedTuple):
    """Memory of a part."""

    v: np.ndarray   # windows
    m: np.ndarray   # products
    own: Parts      # of each thread


@parallel
def _all_kernels(thread, begin, end, plan, weight, u, own):
    if shared(thread, begin, end):
        return
    width = tile_columns(u)
    u_point = apart(plan.channels * width)
    for panel in range(begin, end):
        for c in range(0, plan.channels, KERNELS):
            transform_kernels(plan, weight, Run(c, min(KERNELS, plan.channels - c)), panel * width,
                              ONE, Points(u, panel * N * N * u_point + c * width, u_point, width),
                              Place(own.array, thread * own.size))


@block
def multiply_points(first_time, count, depth, v, u, ahead, bias, m):
    """m (+)= v u at each point, for one panel of filters; the first time, the bias is added.

    Meanwhile, what is needed next comes nearer.
    """
    keep_apart()
    width = tile_columns(m.array)
    for point in range(N * N):
        c = matrix_at(m, point)
        if first_time:
            start = Matrix(bias.array, width + bias.start if point == ONES else ZERO, ZERO, DENSE)
        else:
            start = c
        multiply_panel(count, width, depth, matrix_at(v, point), matrix_at(u, point),
                       matrix_at(ahead, point), Result(c, start, no_floor(m.array), CACHED))


@parallel
def _tiles_outside(thread, begin, end, plan, block, operands, output, own):
    """Few channels: the windows of a block of tiles stay in the L2 cache, all kernels pass by."""
    if shared(thread, begin, end):
        return
    (x, u), room = operands, own.array
    width, lanes = tile_columns(x), tile_lanes(x)
    tiles = plan.images * plan.tiles_down * plan.tiles_across
    depth = (plan.channels + lanes - 1) // lanes * lanes
    u_point = apart(plan.channels * width)
    v = Points(room, thread * own.size, apart(block * depth), depth)
    m = Points(room, v.start + N * N * v.point, apart(block * width), width)
    patch = Place(room, m.start + N * N * m.point)
    for task in range(begin, end):
        now = Run(task * block, min(block, tiles - task * block))
        transform_windows(plan, x, now, Run(ZERO, plan.channels), v, patch)
        for f in range(0, plan.filters, width):
            panel = f // width * N * N * u_point
            for c in range(0, plan.channels, KERNELS):
                kernels = Points(u, panel + c * width, u_point, width)
                multiply_points(c == 0, now.count, min(KERNELS, plan.channels - c),
                                Points(room, v.start + c, v.point, v.row), kernels,
                                Points(u, kernels.start + u_point, u_point, width),
                                Place(output.bias, f), m)
            transform_products(plan, m, now, f, output, patch)


@parallel
def _windows(thread, begin, end, plan, x, part, v, own):
    if shared(thread, begin, end):
        return
    tiles, channels, _, block, _ = part
    v_point = apart(tiles.count * block)
    groups = (tiles.count + GROUP - 1) // GROUP
    for task in range(begin, end):
        number, t = divmod(task, groups)
        t *= GROUP
        c = number * block
        transform_windows(plan, x, Run(tiles.first + t, min(GROUP, tiles.count - t)),
                          Run(channels.first + c, min(block, channels.count - c)),
                          Points(v, number * N * N * v_point + t * block, v_point, block),
                          Place(own.array, thread * own.size))


@parallel
def _filters_outside(thread, begin, end, plan, weight, part, room, output):
    """Many channels: each thread transforms the kernels of its filters, block by block."""
    if shared(thread, begin, end):
        return
    tiles, channels, filters, block, span = part
    own, width = room.own, tile_columns(weight)
    v_point, m_point = apart(tiles.count * block), apart(tiles.count * width)
    f_end = filters.first + filters.count
    for task in range(begin, end):
        f1 = filters.first + task * span * width
        panels = min(span, (f_end - f1 + width - 1) // width)
        whole = channels.count == plan.channels     # else the sums must wait for other channels
        products = (thread if whole else task) * span * N * N * m_point
        u = thread * own.size
        patch = Place(own.array, u + span * N * N * apart(block * width))
        for c in range(0, channels.count, block):
            depth = min(block, channels.count - c)
            u_point = apart(depth * width)
            v = Points(room.v, c // block * N * N * v_point, v_point, block)
            transform_kernels(plan, weight, Run(channels.first + c, depth), f1, panels,
                              Points(own.array, u, u_point, width), patch)
            for panel in range(panels):
                kernels = Points(own.array, u + panel * N * N * u_point, u_point, width)
                multiply_points(channels.first + c == 0, tiles.count, depth, v, kernels,
                                Points(own.array, kernels.start + u_point, u_point, width),
                                Place(output.bias, f1 + panel * width),
                                Points(room.m, products + panel * N * N * m_point, m_point, width))
        if channels.first + channels.count == plan.channels:
            for panel in range(panels):
                transform_products(plan, Points(room.m, products + panel * N * N * m_point,
                                                m_point, width),
                                   tiles, f1 + panel * width, output, patch)


def suits(taps: int) -> bool:
    """Whether there are matrices for this kernel extent."""
    return taps in (3, 7)


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, padding: tuple[int, int],
             floor: float = NO_FLOOR, turned: bool = False) -> np.ndarray:
    """max(conv2d(x, weight) + bias, floor) with stride 1.

    Parameters
    ----------
    x : (n, h, w, c) array, contiguous
    weight : (r, r, c, f) array, r 3 or 7, contiguous; (r, r, f, c) if ``turned``
    bias : (f,) array, optional
    padding : (rows, columns)
        Negative numbers leave out rows and columns.
    turned : bool
        Turn the kernel by 180 degrees, which makes the input gradient of dy.

    Returns
    -------
    y : (n, h + 2 * padding - r + 1, ..., f) array
    """
    images, height, width, channels = x.shape
    taps, filters = weight.shape[0], weight.shape[2 if turned else 3]
    step = outputs_of_tile(taps)
    out_height, out_width = height + 2 * padding[0] - taps + 1, width + 2 * padding[1] - taps + 1
    plan = TileExtents(images, height, width, channels, out_height, out_width, filters, taps, step,
                       N, *padding, -(-out_height // step), -(-out_width // step), int(turned))
    tile = tile_of(x.dtype)
    padded = np.zeros(tile.columns + round_up(filters, tile.columns), x.dtype)
    if bias is not None:
        padded[tile.columns:tile.columns + filters] = bias
    y = empty((images, out_height, out_width, filters), x.dtype)
    output = Output(y.reshape(-1), padded, x.dtype.type(floor), streams(y))
    kernels = N * N * channels * round_up(filters, tile.columns)
    schedule = _with_tiles_outside if kernels <= SHALLOW else _with_filters_outside
    schedule(plan, tile, x.reshape(-1), weight.reshape(-1), output)
    return y


def _with_tiles_outside(plan: TileExtents, tile: Tile, x, weight, output: Output) -> None:
    threads, points, panels = get_threads(), N * N, -(-plan.filters // tile.columns)
    depth = round_up(plan.channels, tile.lanes)
    block = max(1, WINDOWS // (points * (depth + tile.columns) * tile.rows)) * tile.rows
    block = min(block, round_up(-(-plan.tiles // threads), tile.rows))
    size = (points * (apart(block * depth) + apart(block * tile.columns))
            + _patch_size(plan, tile))
    kernels = points * panels * apart(plan.channels * tile.columns)
    with scratch(kernels + threads * size, x.dtype) as room:
        u, own = np.split(room, [kernels])
        own = Parts(own, size)
        _all_kernels(panels, plan, weight, u, own, threads=threads)
        _tiles_outside(-(-plan.tiles // block), plan, block, (x, u), output, own, threads=threads)


def _with_filters_outside(plan: TileExtents, tile: Tile, x, weight, output: Output) -> None:
    threads, points, channels, filters = get_threads(), N * N, plan.channels, plan.filters
    some_channels = min(channels, SUPER_CHANNELS)
    tiles = -(-plan.tiles // -(-plan.tiles // TILES))
    span = SPAN if weight.nbytes > CACHE else 1
    task = span * tile.columns
    some_filters = round_up(filters, task)
    if channels > some_channels:
        some_filters = min(some_filters, SUPER_FILTERS)
    block = min(KERNELS, round_up(some_channels, tile.lanes))
    size = points * span * apart(block * tile.columns) + _patch_size(plan, tile)
    windows = points * -(-some_channels // block) * apart(tiles * block)
    sums = threads if channels == some_channels else some_filters // task
    products = points * sums * span * apart(tiles * tile.columns)
    with scratch(windows + products + threads * size, x.dtype) as memory:
        v, m, own = np.split(memory, [windows, windows + products])
        room = Room(v, m, Parts(own, size))
        for now in runs(plan.tiles, tiles):
            for some in runs(filters, some_filters):
                for those in runs(channels, some_channels):
                    part = Part(now, those, some, block, span)
                    if some.first == 0 or channels > some_channels:
                        _windows(-(-now.count // GROUP) * -(-those.count // block), plan, x, part,
                                 v, room.own, threads=threads)
                    _filters_outside(-(-some.count // task), plan, weight, part, room, output,
                                     threads=threads)


def _patch_size(plan: TileExtents, tile: Tile) -> int:
    return max(N * N, plan.taps * plan.taps * KERNELS) * tile.lanes


def runs(total: int, most: int) -> Iterator[Run]:
    """All in turn, ``most`` at a time."""
    for first in range(0, total, most):
        yield Run(first, min(most, total - first))


# ---------------------------------------------------------------------------------------------
# The weight gradient
# ---------------------------------------------------------------------------------------------


class Sums(NamedTuple):
    """Memory of a part of the gradient: transformed windows of x and of dy, and their products."""

    v: np.ndarray
    w: np.ndarray
    products: np.ndarray
    zeros: np.ndarray


@parallel
def _sum_tiles(thread, begin, end, part, first_time, sums):
    """products[channels, filters] (+)= V' W, at each point; depth is the tiles."""
    if shared(thread, begin, end):
        return
    tiles, channels, filters, block, _ = part
    width = tile_columns(sums.v)
    panels = (filters.count + width - 1) // width
    v_point, w_point = apart(tiles.count * block), apart(tiles.count * width)
    s_point = apart(block * width)
    for task in range(begin, end):      # a row of points, a block of channels, a panel
        rest, row = divmod(task, N)
        number, panel = divmod(rest, panels)
        for point in range(row * N, (row + 1) * N):
            c = Matrix(sums.products, (rest * N * N + point) * s_point, width, DENSE)
            kernel = Matrix(sums.w, (panel * N * N + point) * w_point, width, DENSE)
            multiply_panel(min(block, channels.count - number * block), width, tiles.count,
                           Matrix(sums.v, (number * N * N + point) * v_point, DENSE, block),
                           kernel, Matrix(sums.w, kernel.start + w_point, width, DENSE),
                           Result(c, Matrix(sums.zeros, ZERO, ZERO, DENSE) if first_time else c,
                                  no_floor(sums.v), CACHED))


@parallel
def _finish_gradient(thread, begin, end, plan, part, sums, output, own):
    """dweight = G' products G."""
    if shared(thread, begin, end):
        return
    _, channels, filters, block, _ = part
    dweight, _, floor, stream = output
    width, lanes = tile_columns(dweight), tile_lanes(dweight)
    panels = (filters.count + width - 1) // width
    s_point = apart(block * width)
    column = plan.channels * plan.filters
    beside = Matrix(own.array, thread * own.size, plan.taps * lanes, lanes)
    for task in range(begin, end):
        number, panel = divmod(task, panels)
        for c in range(min(block, channels.count - number * block)):
            for v in range(0, min(width, plan.filters - filters.first - panel * width), lanes):
                source = Matrix(sums.products, task * N * N * s_point + c * width + v,
                                N * s_point, s_point)
                f = filters.first + panel * width + v
                target = Matrix(dweight, (channels.first + number * block + c) * plan.filters + f,
                                plan.taps * column, column)
                valid = min(lanes, plan.filters - f)
                goal = target if valid == lanes else beside
                past_caches = stream and valid == lanes
                if plan.taps == 3:
                    transform_sums_3(source, goal, floor, past_caches)
                else:
                    transform_sums_7(source, goal, floor, past_caches)
                if valid < lanes:
                    copy_block(Matrix(beside.array, beside.start, lanes, DENSE),
                               plan.taps * plan.taps, valid,
                               Matrix(dweight, target.start, column, DENSE), valid)


def gradient(dy: np.ndarray, x: np.ndarray, padding: tuple[int, int], taps: int) -> np.ndarray:
    """dweight (r, r, c, f) of a convolution, stride 1, from dy (n, oh, ow, f) and x, contiguous."""
    images, height, width, channels = x.shape
    out_height, out_width, filters = dy.shape[1:]
    step, points = outputs_of_tile(taps), N * N
    down, over = -(-out_height // step), -(-out_width // step)
    of_x = TileExtents(images, height, width, channels, out_height, out_width, filters, taps, step,
                       N, *padding, down, over, 0)
    of_dy = TileExtents(images, out_height, out_width, filters, out_height, out_width, filters,
                        taps, step, step, 0, 0, down, over, 0)
    tile, threads = tile_of(x.dtype), get_threads()
    some_channels, some_filters = min(channels, SUPER_CHANNELS), min(filters, GRADIENT_FILTERS)
    block = min(KERNELS, round_up(some_channels, tile.lanes))
    blocks, panels = -(-some_channels // block), -(-some_filters // tile.columns)
    tiles = max(1, GRADIENT_WINDOWS // (points * (blocks * block + panels * tile.columns)))
    tiles = -(-of_x.tiles // -(-of_x.tiles // tiles))
    sizes = [points * blocks * apart(tiles * block), points * panels * apart(tiles * tile.columns),
             points * blocks * panels * apart(block * tile.columns), threads * points * tile.lanes]
    dweight = empty((taps, taps, channels, filters), x.dtype)
    zeros = np.zeros(tile.columns, x.dtype)
    output = Output(dweight.reshape(-1), zeros, x.dtype.type(NO_FLOOR), streams(dweight))
    x, dy = x.reshape(-1), dy.reshape(-1)
    with scratch(sum(sizes), x.dtype) as room:
        v, w, products, own, _ = np.split(room, np.cumsum(sizes))
        sums, own = Sums(v, w, products, zeros), Parts(own, points * tile.lanes)
        for those in runs(channels, some_channels):
            for some in runs(filters, some_filters):
                blocks, panels = -(-those.count // block), -(-some.count // tile.columns)
                for now in runs(of_x.tiles, tiles):
                    part, groups = Part(now, those, some, block, 1), -(-now.count // GROUP)
                    if some.first == 0 or now.count < of_x.tiles:
                        _windows(groups * blocks, of_x, x, part, v, own, threads=threads)
                    _windows(groups * panels, of_dy, dy,
                             part._replace(channels=some, block=tile.columns), w, own,
                             threads=threads)
                    _sum_tiles(N * blocks * panels, part, now.first == 0, sums, threads=threads)
                _finish_gradient(blocks * panels, of_x, part, sums, output, own, threads=threads)
    return dweight

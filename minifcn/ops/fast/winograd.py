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

from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from ..memory import CACHE_LINE, empty, scratch
from ..threads import get_threads, parallel, shared
from .gemm import NO_FLOOR, copy_block, multiply_panel, round_up, streams
from .transforms import N, cook_toom, make_transform, transpose
from .vectors import (
    CACHED,
    DENSE,
    ONE,
    ZERO,
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
BLOCK = 250_000     # elements of the windows and products of a block of tiles: 1 MB, an L2 cache
GROUP = 4           # tiles of a task that only transforms windows
TILES = 128         # of a superblock: 64 x 128 x 32 products are 1 MB, an L2 cache; but with fewer
                    # tiles, kernels are transformed more often (15 ms became 18 with 64 tiles)
CHANNELS = 512      # of a superblock: 64 x 128 x 512 elements of windows are 16 MB, half of an L3
FILTERS = 512       # of a superblock whose sums must wait for more channels
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


class Plan(NamedTuple):
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


@compiled
def gather(plan, x, image, top, left, c, patch, p0):
    """Copy one vector of channels of a window; zeros outside of the image."""
    keep_apart()
    lanes, extent = tile_lanes(x), plan.window
    valid = min(lanes, plan.channels - c)
    for i in range(extent):
        for j in range(extent):
            row, column = top + i, left + j
            target = p0 + (i * extent + j) * lanes
            if 0 <= row < plan.height and 0 <= column < plan.width:
                source = ((image * plan.height + row) * plan.width + column) * plan.channels + c
                if valid == lanes:
                    move_vector(x, source, patch, target)
                    continue
                for l in range(valid):
                    patch[target + l] = x[source + l]
                for l in range(valid, lanes):
                    patch[target + l] = 0
            else:
                for l in range(lanes):
                    patch[target + l] = 0


@compiled
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


@compiled
def transform_tile(plan, source, s0, s_row, s_column, v, v0, v_point):
    """B' x B, or A dy A', for one vector of channels."""
    if plan.window == N:
        transform_window(source, s0, s_row, s_column, v, v0, N * v_point, v_point, None, None)
    elif plan.taps == 3:
        transform_gradient_3(source, s0, s_row, s_column, v, v0, N * v_point, v_point, None, None)
    else:
        transform_gradient_7(source, s0, s_row, s_column, v, v0, N * v_point, v_point, None, None)


@compiled
def transform_windows(plan, x, first, count, c0, channels, v, v0, v_row, v_point, patch, p0):
    """v[point, tile, channel] = B' x B (or A dy A'), for ``count`` tiles and some channels.

    What stands behind the last channel becomes zeros, up to a whole vector.
    """
    keep_apart()
    lanes, extent = tile_lanes(x), plan.window
    for t in range(count):
        if t + 1 < count:
            prefetch_window(plan, x, first + t + 1)
        row, column = divmod(first + t, plan.tiles_across)
        image, row = divmod(row, plan.tiles_down)
        top, left = row * plan.step - plan.pad_rows, column * plan.step - plan.pad_columns
        inside = (top >= 0 and left >= 0
                  and top + extent <= plan.height and left + extent <= plan.width)
        source = ((image * plan.height + top) * plan.width + left) * plan.channels
        for c in range(c0, c0 + channels, lanes):
            target = v0 + t * v_row + c - c0
            if inside and c + lanes <= plan.channels:
                transform_tile(plan, x, source + c, plan.width * plan.channels, plan.channels,
                               v, target, v_point)
            else:
                gather(plan, x, image, top, left, c, patch, p0)
                transform_tile(plan, patch, p0, extent * lanes, lanes, v, target, v_point)


@compiled
def transform_kernel(plan, source, s0, s_row, s_column, u, u0, u_point):
    """G w G' for one vector of filters."""
    if plan.taps == 3:
        transform_kernel_3(source, s0, s_row, s_column, u, u0, N * u_point, u_point, None, None)
    else:
        transform_kernel_7(source, s0, s_row, s_column, u, u0, N * u_point, u_point, None, None)


@compiled
def transform_kernels(plan, weight, c0, channels, f0, panels, u, u0, u_panel, u_point, patch, p0):
    """u[panel, point, channel, filter] = G w G', zeros behind the last filter."""
    keep_apart()
    lanes, width, area = tile_lanes(u), tile_columns(u), plan.taps * plan.taps
    if not plan.turned and f0 + panels * width <= plan.filters:
        column = plan.channels * plan.filters
        for c in range(channels):       # all panels at once: longer runs of memory
            for tap in range(area):
                ahead = (tap * plan.channels + c0 + c + 1) * plan.filters + f0
                for v in range(0, panels * width, lanes):
                    prefetch_line(weight, ahead + v)
            for v in range(0, panels * width, lanes):
                transform_kernel(plan, weight, (c0 + c) * plan.filters + f0 + v,
                                 plan.taps * column, column,
                                 u, u0 + v // width * u_panel + c * width + v % width, u_point)
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
            copy_block(weight, source, row, column,
                       channels, max(0, min(lanes, plan.filters - f0 - v)),
                       patch, p0 + tap * channels * lanes, lanes, lanes)
        for c in range(channels):
            transform_kernel(plan, patch, p0 + c * lanes,
                             plan.taps * channels * lanes, channels * lanes,
                             u, u0 + v // width * u_panel + c * width + v % width, u_point)


@compiled
def transform_products(plan, m, m0, m_point, first, count, f0, y, floor, stream, patch, p0):
    """y = max(A' m A, floor), for ``count`` tiles and one panel of filters."""
    keep_apart()
    lanes, width, step = tile_lanes(y), tile_columns(y), plan.step
    for t in range(count):
        row, column = divmod(first + t, plan.tiles_across)
        image, row = divmod(row, plan.tiles_down)
        height, across = plan.out_height - row * step, plan.out_width - column * step
        for v in range(0, min(width, plan.filters - f0), lanes):
            source = m0 + t * width + v
            target = ((image * plan.out_height + row * step) * plan.out_width
                      + column * step) * plan.filters + f0 + v
            valid = min(lanes, plan.filters - f0 - v)
            whole = height >= step and across >= step and valid == lanes
            if whole:
                goal, g0, g_row, g_column = y, target, plan.out_width * plan.filters, plan.filters
            else:
                goal, g0, g_row, g_column = patch, p0, step * lanes, lanes
            if plan.taps == 3:
                transform_products_3(m, source, N * m_point, m_point,
                                     goal, g0, g_row, g_column, floor, whole and stream)
            else:
                transform_products_7(m, source, N * m_point, m_point,
                                     goal, g0, g_row, g_column, floor, whole and stream)
            if not whole:
                for i in range(min(step, height)):
                    copy_block(patch, p0 + i * step * lanes, lanes, DENSE, min(step, across), valid,
                               y, target + i * plan.out_width * plan.filters, plan.filters, valid)


# ---------------------------------------------------------------------------------------------
# Two schedules, forward and for dx
# ---------------------------------------------------------------------------------------------


@compiled
def apart(size):
    """Distance of two points that hold ``size`` elements each, for a whole number of cache lines.

    A transform writes all 64 points at once: at distances of a power of two, all would fall into
    a few lines of the L1 cache. Measured: 1100 cycles for a vector of channels, 370 with this.
    """
    return size + 16


@parallel
def _all_kernels(thread, begin, end, plan, weight, u, scratch, patch_size):
    if shared(thread, begin, end):
        return
    width = tile_columns(u)
    u_point = apart(plan.channels * width)
    for panel in range(begin, end):
        for c in range(0, plan.channels, KERNELS):
            transform_kernels(plan, weight, c, min(KERNELS, plan.channels - c), panel * width, ONE,
                              u, panel * N * N * u_point + c * width, ZERO, u_point,
                              scratch, thread * patch_size)


@compiled
def multiply_points(first_time, count, depth, v, v0, v_row, v_point, u, u0, u_point,
                    ahead, ahead0, ahead_row, ahead_point, start, f, m, m0, m_point, no_floor):
    """m (+)= v u at each point, for one panel of filters; the first time, the bias is added.

    Meanwhile, what is needed next comes nearer, with each point ``ahead_point`` further.
    """
    keep_apart()
    width = tile_columns(m)
    for point in range(N * N):
        target = m0 + point * m_point
        if first_time:
            source, s0, s_row = start, width + f if point == ONES else ZERO, ZERO
        else:
            source, s0, s_row = m, target, width
        multiply_panel(count, width, depth, v, v0 + point * v_point, v_row, DENSE,
                       u, u0 + point * u_point, ahead, ahead0 + point * ahead_point, ahead_row,
                       source, s0, s_row, m, target, width, no_floor, CACHED)


@parallel
def _tiles_outside(thread, begin, end, plan, x, u, start, y, floor, no_floor, stream, block,
                   scratch, size):
    """Few channels: the windows of a block of tiles stay in the L2 cache, all kernels pass by."""
    if shared(thread, begin, end):
        return
    width, lanes = tile_columns(y), tile_lanes(y)
    tiles = plan.images * plan.tiles_down * plan.tiles_across
    depth = (plan.channels + lanes - 1) // lanes * lanes
    u_point = apart(plan.channels * width)
    v_point, m_point = apart(block * depth), apart(block * width)
    for task in range(begin, end):
        first = task * block
        count = min(block, tiles - first)
        v = thread * size
        m = v + N * N * v_point
        patch = m + N * N * m_point
        transform_windows(plan, x, first, count, ZERO, plan.channels, scratch, v, depth, v_point,
                          scratch, patch)
        for f in range(0, plan.filters, width):
            panel = f // width * N * N * u_point
            for c in range(0, plan.channels, KERNELS):
                multiply_points(c == 0, count, min(KERNELS, plan.channels - c),
                                scratch, v + c, depth, v_point, u, panel + c * width, u_point,
                                u, panel + c * width + u_point, width, u_point,
                                start, f, scratch, m, m_point, no_floor)
            transform_products(plan, scratch, m, m_point, first, count, f, y, floor, stream,
                               scratch, patch)


@parallel
def _windows(thread, begin, end, plan, x, first, count, c0, channels, block, v,
             scratch, patch_size):
    if shared(thread, begin, end):
        return
    v_point = apart(count * block)
    groups = (count + GROUP - 1) // GROUP
    for task in range(begin, end):
        part, t = divmod(task, groups)
        t *= GROUP
        c = part * block
        transform_windows(plan, x, first + t, min(GROUP, count - t),
                          c0 + c, min(block, channels - c),
                          v, part * N * N * v_point + t * block, block, v_point,
                          scratch, thread * patch_size)


@parallel
def _filters_outside(thread, begin, end, plan, weight, v, first, count, c0, channels, block, start,
                     m, f0, f_end, span, y, floor, no_floor, stream, scratch, size):
    """Many channels: each thread transforms the kernels of its filters, block by block."""
    if shared(thread, begin, end):
        return
    width = tile_columns(y)
    v_point, m_point = apart(count * block), apart(count * width)
    for task in range(begin, end):
        f1 = f0 + task * span * width
        panels = min(span, (f_end - f1 + width - 1) // width)
        whole = channels == plan.channels   # else the sums must wait for the other channels
        products = (thread if whole else task) * span * N * N * m_point
        u = thread * size
        patch = u + span * N * N * apart(block * width)
        for c in range(0, channels, block):
            depth = min(block, channels - c)
            u_point = apart(depth * width)
            transform_kernels(plan, weight, c0 + c, depth, f1, panels,
                              scratch, u, N * N * u_point, u_point, scratch, patch)
            for panel in range(panels):
                multiply_points(c0 + c == 0, count, depth,
                                v, c // block * N * N * v_point, block, v_point,
                                scratch, u + panel * N * N * u_point, u_point,
                                scratch, u + (panel * N * N + 1) * u_point, width, u_point,
                                start, f1 + panel * width,
                                m, products + panel * N * N * m_point, m_point, no_floor)
        if c0 + channels == plan.channels:
            for panel in range(panels):
                transform_products(plan, m, products + panel * N * N * m_point, m_point,
                                   first, count, f1 + panel * width, y, floor, stream,
                                   scratch, patch)


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
    step = N + 1 - taps
    out_height, out_width = height + 2 * padding[0] - taps + 1, width + 2 * padding[1] - taps + 1
    plan = Plan(images, height, width, channels, out_height, out_width, filters, taps, step, N,
                *padding, -(-out_height // step), -(-out_width // step), int(turned))
    tile, threads, points = tile_of(x.dtype), get_threads(), N * N
    start = np.zeros(tile.columns + round_up(filters, tile.columns), x.dtype)
    if bias is not None:
        start[tile.columns:tile.columns + filters] = bias
    y = empty((images, out_height, out_width, filters), x.dtype)
    x, weight, y_flat = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    floor, no_floor = x.dtype.type(floor), x.dtype.type(NO_FLOOR)
    patch = max(points, taps * taps * KERNELS) * tile.lanes
    panels = -(-filters // tile.columns)
    if points * channels * panels * tile.columns <= SHALLOW:
        depth = round_up(channels, tile.lanes)
        block = max(1, BLOCK // (points * (depth + tile.columns) * tile.rows)) * tile.rows
        block = min(block, round_up(-(-plan.tiles // threads), tile.rows))
        size = points * (apart(block * depth) + apart(block * tile.columns)) + patch
        kernels = points * panels * apart(channels * tile.columns)
        with scratch(kernels + threads * size, x.dtype) as room:
            u, own = np.split(room, [kernels])
            _all_kernels(panels, plan, weight, u, own, size, threads=threads)
            _tiles_outside(-(-plan.tiles // block), plan, x, u, start, y_flat, floor, no_floor,
                           streams(y), block, own, size, threads=threads)
        return y
    some_channels = min(channels, CHANNELS)
    tiles = -(-plan.tiles // -(-plan.tiles // TILES))
    span = SPAN if weight.nbytes > CACHE else 1
    task = span * tile.columns
    some_filters = round_up(filters, task)
    if channels > some_channels:
        some_filters = min(some_filters, FILTERS)
    block = min(KERNELS, round_up(some_channels, tile.lanes))
    size = points * span * apart(block * tile.columns) + patch
    windows = points * -(-some_channels // block) * apart(tiles * block)
    sums = threads if channels == some_channels else some_filters // task
    products = points * sums * span * apart(tiles * tile.columns)
    with scratch(windows + products + threads * size, x.dtype) as room:
        v, m, own = np.split(room, [windows, windows + products])
        for first in range(0, plan.tiles, tiles):
            count = min(tiles, plan.tiles - first)
            for f0 in range(0, filters, some_filters):
                f_end = min(f0 + some_filters, filters)
                for c0 in range(0, channels, some_channels):
                    now = min(some_channels, channels - c0)
                    if f0 == 0 or channels > some_channels:
                        _windows(-(-count // GROUP) * -(-now // block), plan, x, first, count,
                                 c0, now, block, v, own, size, threads=threads)
                    _filters_outside(-(-(f_end - f0) // task), plan, weight, v, first, count,
                                     c0, now, block, start, m, f0, f_end, span, y_flat, floor,
                                     no_floor, streams(y), own, size, threads=threads)
    return y


# ---------------------------------------------------------------------------------------------
# The weight gradient
# ---------------------------------------------------------------------------------------------


@parallel
def _sum_tiles(thread, begin, end, count, channels, block, panels, v, w, sums, zeros, first_time,
               no_floor):
    """sums[channels, filters] (+)= V' W, at each point; depth is the tiles."""
    if shared(thread, begin, end):
        return
    width = tile_columns(v)
    v_point, w_point, s_point = apart(count * block), apart(count * width), apart(block * width)
    for task in range(begin, end):      # a row of points, a block of channels, a panel
        rest, row = divmod(task, N)
        part, panel = divmod(rest, panels)
        for point in range(row * N, (row + 1) * N):
            target = (rest * N * N + point) * s_point
            start, s0, s_row = (zeros, ZERO, ZERO) if first_time else (sums, target, width)
            multiply_panel(min(block, channels - part * block), width, count,
                           v, (part * N * N + point) * v_point, DENSE, block,
                           w, (panel * N * N + point) * w_point,
                           w, (panel * N * N + point + 1) * w_point, width, start, s0, s_row,
                           sums, target, width, no_floor, CACHED)


@parallel
def _finish_gradient(thread, begin, end, plan, c0, channels, block, f0, panels, sums, dweight,
                     no_floor, stream, scratch, patch_size):
    """dweight = G' sums G."""
    if shared(thread, begin, end):
        return
    width, lanes = tile_columns(sums), tile_lanes(sums)
    s_point = apart(block * width)
    column = plan.channels * plan.filters
    for task in range(begin, end):
        part, panel = divmod(task, panels)
        patch = thread * patch_size
        for c in range(min(block, channels - part * block)):
            for v in range(0, min(width, plan.filters - f0 - panel * width), lanes):
                source = task * N * N * s_point + c * width + v
                f = f0 + panel * width + v
                target = (c0 + part * block + c) * plan.filters + f
                valid = min(lanes, plan.filters - f)
                if valid == lanes:
                    goal, g0, g_row, g_column = dweight, target, plan.taps * column, column
                else:
                    goal, g0, g_row, g_column = scratch, patch, plan.taps * lanes, lanes
                past_caches = stream and valid == lanes
                if plan.taps == 3:
                    transform_sums_3(sums, source, N * s_point, s_point,
                                     goal, g0, g_row, g_column, no_floor, past_caches)
                else:
                    transform_sums_7(sums, source, N * s_point, s_point,
                                     goal, g0, g_row, g_column, no_floor, past_caches)
                if valid < lanes:
                    copy_block(scratch, patch, lanes, DENSE, plan.taps * plan.taps, valid,
                               dweight, target, column, valid)


def gradient(dy: np.ndarray, x: np.ndarray, padding: tuple[int, int], taps: int) -> np.ndarray:
    """dweight (r, r, c, f) of a convolution, stride 1, from dy (n, oh, ow, f) and x, contiguous."""
    images, height, width, channels = x.shape
    out_height, out_width, filters = dy.shape[1:]
    step, points = N + 1 - taps, N * N
    down, across = -(-out_height // step), -(-out_width // step)
    of_x = Plan(images, height, width, channels, out_height, out_width, filters, taps, step, N,
                *padding, down, across, 0)
    of_dy = Plan(images, out_height, out_width, filters, out_height, out_width, filters, taps, step,
                 step, 0, 0, down, across, 0)
    tile, threads = tile_of(x.dtype), get_threads()
    some_channels, some_filters = min(channels, CHANNELS), min(filters, GRADIENT_FILTERS)
    block = min(KERNELS, round_up(some_channels, tile.lanes))
    blocks, panels = -(-some_channels // block), -(-some_filters // tile.columns)
    tiles = max(1, GRADIENT_WINDOWS // (points * (blocks * block + panels * tile.columns)))
    tiles = -(-of_x.tiles // -(-of_x.tiles // tiles))
    sizes = [points * blocks * apart(tiles * block), points * panels * apart(tiles * tile.columns),
             points * blocks * panels * apart(block * tile.columns), threads * points * tile.lanes]
    dweight = empty((taps, taps, channels, filters), x.dtype)
    x, dy, zeros = x.reshape(-1), dy.reshape(-1), np.zeros(tile.columns, x.dtype)
    no_floor = x.dtype.type(NO_FLOOR)
    with scratch(sum(sizes), dweight.dtype) as room:
        v, w, sums, own, _ = np.split(room, np.cumsum(sizes))
        for c0 in range(0, channels, some_channels):
            now = min(some_channels, channels - c0)
            for f0 in range(0, filters, some_filters):
                filters_now = min(some_filters, filters - f0)
                blocks_now, panels_now = -(-now // block), -(-filters_now // tile.columns)
                for first in range(0, of_x.tiles, tiles):
                    count = min(tiles, of_x.tiles - first)
                    if f0 == 0 or count < of_x.tiles:
                        _windows(-(-count // GROUP) * blocks_now, of_x, x, first, count, c0, now,
                                 block, v, own, points * tile.lanes, threads=threads)
                    _windows(-(-count // GROUP) * panels_now, of_dy, dy, first, count,
                             f0, filters_now, tile.columns, w, own, points * tile.lanes,
                             threads=threads)
                    _sum_tiles(N * blocks_now * panels_now, count, now, block, panels_now, v, w,
                               sums, zeros, first == 0, no_floor, threads=threads)
                _finish_gradient(blocks_now * panels_now, of_x, c0, now, block, f0, panels_now,
                                 sums, dweight.reshape(-1), no_floor, streams(dweight), own,
                                 points * tile.lanes, threads=threads)
    return dweight

"""Convolution of any kernel, stride and padding, as matrix products over patches of the image.

A patch is what the kernel sees at one place: with q = (ki, kj, c) it is a row of the matrix P, and

    y = P W + bias          P (places x q)  W (q x filters)
    dweight = P' dy
    dx = the rows of dy W', each added back to where its patch came from

P is never kept: a thread gathers the patches of some places into its scratch and multiplies them at
once. The second is a sum over places: they are cut into chunks by the shape alone, and the chunks
are added in order. The third would race if threads owned patches, so they own rows of dx and fetch
what falls there. The transposed convolution is the third one too.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..checks import Pair
from ..compiling import block
from ..memory import empty, scratch
from ..threads import get_threads, parallel, shared
from .gemm import (
    COLUMNS,
    NO_FLOOR,
    ROWS,
    Result,
    at,
    copy_block,
    matrix,
    multiply,
    multiply_panel,
    no_floor,
    pack,
    pack_rows,
    round_up,
    streams,
)
from .vectors import (
    CACHED,
    DENSE,
    ONE,
    ZERO,
    Matrix,
    Parts,
    keep_apart,
    tile_columns,
    tile_lanes,
    tile_of,
)

WEIGHTS = 2 ** 22       # elements that are packed as a whole; more are packed piece by piece, where
                        # they are needed, and the patches (few, then) gathered as a whole instead
PATCHES = 2 ** 16       # elements of the patches of a task: 256 KB, a quarter of an L2 cache
PLACES = 256            # of a sum for dweight that is taken at once
WEIGHT_SUMS = 32        # of dweight, at most, each over a chunk of the places
SUMMED = 2 ** 21        # elements of all these sums, unless one takes more


class Extents(NamedTuple):
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

    @property
    def places(self) -> int:
        return self.images * self.out_height * self.out_width

    @property
    def patch(self) -> int:
        return self.kernel_rows * self.kernel_columns * self.channels


def extents_of(x_shape, y_shape, kernel: tuple[int, int], stride: Pair, padding: Pair) -> Extents:
    images, height, width, channels = x_shape
    return Extents(images, height, width, channels, *y_shape[1:], *kernel, *stride, *padding)


@block
def inside(plan, j):
    """At output column j, the image column under the kernel's first, and which lie in the image."""
    left = j * plan.stride_columns - plan.pad_columns
    first = min(max(0, -left), plan.kernel_columns)
    return left, first, max(first, min(plan.kernel_columns, plan.width - left))


@block
def gather_patches(plan, x, place, count, q0, q1, patches, p0):
    """patches[place, q0:q1] for some places, counted over all images; q counts (ki, kj, c).

    For each kernel row, what lies inside the image is one run of memory, with zeros on both sides.
    """
    keep_apart()
    lanes, line = tile_lanes(x), plan.kernel_columns * plan.channels
    for p in range(count):
        i, j = divmod(place + p, plan.out_width)
        image, i = divmod(i, plan.out_height)
        left, first, last = inside(plan, j)
        for ki in range(q0 // line, (q1 + line - 1) // line):
            a = i * plan.stride_rows - plan.pad_rows + ki
            begin, end = max(q0, ki * line), min(q1, (ki + 1) * line)
            run_begin = min(end, max(begin, ki * line + first * plan.channels))
            run_end = max(run_begin, min(end, ki * line + last * plan.channels))
            if not 0 <= a < plan.height:
                run_begin = run_end = end
            target = p0 + p * (q1 - q0) - q0
            for q in range(begin, run_begin):
                patches[target + q] = 0
            source = ((image * plan.height + a) * plan.width + left) * plan.channels - ki * line
            if run_end - run_begin < 2 * lanes:     # of a few channels: a call would take longer
                for q in range(run_begin, run_end):
                    patches[target + q] = x[source + q]
                for q in range(run_end, end):
                    patches[target + q] = 0
            else:
                copy_block(Matrix(x, source + run_begin, ZERO, DENSE), ONE, run_end - run_begin,
                           Matrix(patches, target + run_begin, ZERO, DENSE), end - run_begin)


# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@parallel
def _forward(thread, begin, end, plan, x, panels, result, patches):
    if shared(thread, begin, end):
        return
    width, own = tile_columns(x), thread * patches.size
    depth = plan.kernel_rows * plan.kernel_columns * plan.channels
    places, group = plan.images * plan.out_height * plan.out_width, patches.size // depth
    for task in range(begin, end):
        place = task * group
        count = min(group, places - place)
        gather_patches(plan, x, place, count, ZERO, depth, patches.array, own)
        for f in range(0, plan.filters, width):
            multiply_panel(count, min(width, plan.filters - f), depth,
                           Matrix(patches.array, own, depth, DENSE),
                           Matrix(panels, f * depth, width, DENSE),
                           Matrix(panels, (f + width) * depth, width, DENSE),
                           Result(at(result.c, place, f), at(result.start, ZERO, f),
                                  result.floor, result.stream))


@parallel
def _gather_all(thread, begin, end, plan, x, place, depth, patches):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        gather_patches(plan, x, place + task, ONE, ZERO, depth, patches, task * depth)


def forward(plan: Extents, x, weight, bias, floor=NO_FLOOR) -> np.ndarray:
    """max(conv2d(x, weight) + bias, floor), arrays contiguous."""
    tile, threads = tile_of(x.dtype), get_threads()
    depth, places, filters = plan.patch, plan.places, plan.filters
    y = empty((plan.images, plan.out_height, plan.out_width, filters), x.dtype)
    x, weight, rows = x.reshape(-1), weight.reshape(depth, filters), y.reshape(places, filters)
    if weight.size > WEIGHTS:
        some = max(1, min(places, WEIGHTS // depth))
        patches = empty((some, depth), x.dtype)
        for place in range(0, places, some):
            count = min(some, places - place)
            _gather_all(count, plan, x, place, depth, patches.reshape(-1))
            multiply(patches[:count], weight, bias, floor, out=rows[place:place + count])
        return y
    group = round_up(max(1, min(PATCHES // depth, places // (2 * threads))), tile.rows)
    result = Result(matrix(rows), Matrix(bias, 0, 0, 1), x.dtype.type(floor), streams(y))
    with scratch(depth * (round_up(filters, tile.columns) + threads * group), x.dtype) as room:
        patches, panels = np.split(room, [threads * group * depth])
        pack(matrix(weight), depth, filters, panels, 0)
        _forward(-(-places // group), plan, x, panels, result, Parts(patches, group * depth),
                 threads=threads)
    return y


# ---------------------------------------------------------------------------------------------
# dx, and the transposed convolution
# ---------------------------------------------------------------------------------------------


@block
def add_back(plan, products, p0, distance, dx, row):
    """dx[row] += the products of one output row, for one kernel row."""
    for j in range(plan.out_width):
        left, first, last = inside(plan, j)
        for q in range(first * plan.channels, last * plan.channels):
            dx[row + left * plan.channels + q] += products[p0 + j * distance + q]


@parallel
def _scatter(thread, begin, end, plan, operands, dx, products):
    if shared(thread, begin, end):
        return
    dy, panels, bias = operands
    room = products.array
    width, line = tile_columns(dx), plan.kernel_columns * plan.channels
    wide = (line + width - 1) // width * width
    own = thread * products.size
    zeros = own + plan.out_width * wide
    for q in range(wide):
        room[zeros + q] = 0
    for task in range(begin, end):
        image, a = divmod(task, plan.height)
        row = task * plan.width * plan.channels
        for q in range(plan.width * plan.channels):
            dx[row + q] = bias[q % plan.channels]
        for ki in range(plan.kernel_rows):
            i, beside = divmod(a + plan.pad_rows - ki, plan.stride_rows)
            if beside or not 0 <= i < plan.out_height:
                continue
            source = (image * plan.out_height + i) * plan.out_width * plan.filters
            for q in range(0, line, width):
                panel = Matrix(panels, (ki * wide + q) * plan.filters, width, DENSE)
                multiply_panel(plan.out_width, width, plan.filters,
                               Matrix(dy, source, plan.filters, DENSE),
                               panel, at(panel, plan.filters, ZERO),
                               Result(Matrix(room, own + q, wide, DENSE),
                                      Matrix(room, zeros, ZERO, DENSE), no_floor(dx), CACHED))
            add_back(plan, room, own, wide, dx, row)


@parallel
def _add_all_back(thread, begin, end, plan, products, dx):
    """The rows of one image, from the products of all its places and taps."""
    if shared(thread, begin, end):
        return
    line = plan.kernel_columns * plan.channels
    depth = plan.kernel_rows * line
    for a in range(begin, end):
        row = a * plan.width * plan.channels
        for ki in range(plan.kernel_rows):
            i, beside = divmod(a + plan.pad_rows - ki, plan.stride_rows)
            if not beside and 0 <= i < plan.out_height:
                add_back(plan, products, i * plan.out_width * depth + ki * line, depth, dx, row)


def scatter(plan: Extents, dy, weight, bias, exchanged: bool = False) -> np.ndarray:
    """dx + bias of a convolution: the transposed convolution of dy, arrays contiguous.

    The weight is (kh, kw, c, f), c the channels of dx; (kh, kw, f, c) if ``exchanged``.
    """
    tile, threads = tile_of(dy.dtype), get_threads()
    filters, line = plan.filters, plan.kernel_columns * plan.channels
    wide = round_up(line, tile.columns)
    if exchanged:
        weight = np.ascontiguousarray(weight.swapaxes(2, 3))
    shape = plan.images, plan.height, plan.width, plan.channels
    if weight.size > WEIGHTS:
        dx = empty(shape, dy.dtype)
        dx[:] = bias
        for image in range(plan.images):
            products = multiply(dy[image].reshape(-1, filters), weight.reshape(-1, filters).T)
            _add_all_back(plan.height, plan, products.reshape(-1), dx[image].reshape(-1))
        return dx
    dx, weight = empty(shape, dy.dtype), weight.reshape(-1)
    own = (plan.out_width + 1) * wide
    with scratch(threads * own + plan.kernel_rows * wide * filters, dy.dtype) as room:
        products, panels = np.split(room, [threads * own])
        for ki in range(plan.kernel_rows):      # W': filters x (kj, c)
            pack(Matrix(weight, ki * line * filters, 1, filters), filters, line,
                 panels, ki * wide * filters)
        _scatter(plan.images * plan.height, plan, (dy.reshape(-1), panels, bias), dx.reshape(-1),
                 Parts(products, own), threads=threads)
    return dx


# ---------------------------------------------------------------------------------------------
# dweight
# ---------------------------------------------------------------------------------------------


class Cut(NamedTuple):
    """How dweight is cut into tasks."""

    chunk: int      # places of a sum
    block: int      # rows of dweight


@parallel
def _gradient(thread, begin, end, plan, cut, operands, sums, own):
    """A task: one chunk of places, and ``block`` rows of dweight."""
    if shared(thread, begin, end):
        return
    (dy, x), (chunk, block), (goals, zeros, _, stream) = operands, cut, sums
    width, filters, room = tile_columns(x), plan.filters, own.array
    depth = plan.kernel_rows * plan.kernel_columns * plan.channels
    places = plan.images * plan.out_height * plan.out_width
    patches = thread * own.size
    turned = patches + PLACES * block
    panels = turned + PLACES * block
    for task in range(begin, end):
        part, q0 = divmod(task, (depth + block - 1) // block)
        q0 *= block
        rows, last = min(block, depth - q0), min(places, (part + 1) * chunk)
        for place in range(part * chunk, last, PLACES):
            count = min(PLACES, last - place)
            gather_patches(plan, x, place, count, q0, q0 + rows, room, patches)
            pack_rows(Matrix(room, patches, DENSE, rows), rows, count, room, turned)
            for f0 in range(0, filters, COLUMNS):
                columns = min(COLUMNS, filters - f0)
                pack(Matrix(dy, place * filters + f0, filters, DENSE), count, columns, room, panels)
                for f in range(0, columns, width):
                    goal = at(goals, part * depth + q0, f0 + f)
                    panel = Matrix(room, panels + f * count, width, DENSE)
                    multiply_panel(rows, min(width, columns - f), count,
                                   Matrix(room, turned, count, DENSE),
                                   panel, at(panel, count, ZERO),
                                   Result(goal, zeros if place == part * chunk else goal,
                                          no_floor(x), stream))


def gradient(plan: Extents, dy, x) -> np.ndarray:
    """dweight (kh, kw, c, f) of a convolution, arrays contiguous."""
    depth, places, threads = plan.patch, plan.places, get_threads()
    block = min(ROWS, depth)
    chunks = max(1, min(WEIGHT_SUMS, places // 64, SUMMED // (depth * plan.filters)))
    chunk = -(-places // chunks)
    chunks = -(-places // chunk)
    sums = empty((chunks, plan.kernel_rows, plan.kernel_columns, plan.channels, plan.filters),
                 dy.dtype)
    goal = Result(matrix(sums.reshape(-1, plan.filters)),
                  Matrix(np.zeros(COLUMNS, dy.dtype), 0, 0, 1), dy.dtype.type(NO_FLOOR),
                  chunk <= PLACES and streams(sums))
    own = PLACES * (2 * block + COLUMNS)
    with scratch(threads * own, dy.dtype) as room:
        _gradient(chunks * -(-depth // block), plan, Cut(chunk, block),
                  (dy.reshape(-1), x.reshape(-1)), goal, Parts(room, own), threads=threads)
    return sums[0] if chunks == 1 else sums.sum(axis=0)

"""Matrix products: portable loops around one small kernel that lives in the registers.

    C[i, j] = start[i, j] + sum over k of A[i, k] B[k, j]

``micro_kernel`` computes a tile of C, 12 x 32 with AVX-512, without touching memory for C: for each
k it loads one row of B (two vectors), spreads 12 elements of A, and issues 24 fused multiply-adds.
All else, convolutions included, only arranges memory around it, in four loops as in BLIS:

    a task      ROWS x COLUMNS of C, owned by one thread, so that no bit depends on their number
    k block     DEPTH rows of B, copied into panels as wide as the tile: each is read front to back
    panel       DEPTH x 32 of B: 32 KB, stays in the L1 cache while the rows of A pass
    tile        12 x 32 of C, in registers

Reference: F. Van Zee, R. van de Geijn, "BLIS", ACM TOMS 41 (3), 2015.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from ..compiling import block
from ..memory import CACHE_LINE, empty, scratch
from ..threads import get_threads, parallel, shared
from .vectors import (
    CACHED,
    DENSE,
    ZERO,
    Matrix,
    Parts,
    Vectors,
    Walk,
    keep_apart,
    matrix_of,
    move_vector,
    opaque,
    prefetch,
    room_for_few_rows,
    tile_columns,
    tile_few_rows,
    tile_lanes,
    tile_of,
    tile_rows,
    transpose_square,
)

DEPTH = 256         # of a panel: 256 x 32 floats are 32 KB, two thirds of an L1 cache of 48 KB
COLUMNS = 256       # of a task: its part of B, 256 x 256 floats, takes 256 KB of the L2 cache, and
                    # is read in runs of 1 KB; shorter ones halve the bandwidth of main memory
ROWS = 264          # of a task, at most: 264 x 256 floats of A take another 264 KB of the L2 cache
STREAM = 2 ** 25    # bytes: a larger result goes past the caches, which it would only flush
NO_FLOOR = -np.inf  # max(x, -inf) is x


class Result(NamedTuple):
    """Where a product goes: C = max(start + A B, floor)."""

    c: Matrix
    start: Matrix       # C itself, or a bias with a row distance of 0
    floor: float
    stream: bool        # store past the caches; C must be aligned to vectors


def make_micro_kernel(height):
    """An intrinsic: C = max(start + A B, floor) for one tile of C and one packed panel of B.

    rows   : of C, at least 1. The tall kernel computes all of its tile; the small one computes the
             last row again for each that is missing, which is harmless: every row is read before
             any is written
    depth  : columns of A, and rows of the panel, each of which is as wide as the tile
    ahead  : a matrix of which a cache line in each of ``depth`` rows is to be at hand later

    What is next along the rows of A is fetched too: in an image's convolution it comes from the L3
    cache or from memory, and a tile is too short for the hardware to see it coming.
    """
    @intrinsic
    def micro_kernel(typingctx, rows, depth, a, b, ahead, result):
        scalar = result.types[0].types[0].dtype
        tile = tile_of(as_dtype(scalar))
        of_tile = getattr(tile, height)
        all_rows = height == "rows"

        def codegen(context, builder, signature, args):
            rows, depth = args[:2]
            vectors = Vectors(builder, scalar)
            (a, a_row, a_step), (b, _, _), (ahead, ahead_row, _) = (
                matrix_of(context, builder, kind, value)
                for kind, value in zip(signature.args[2:5], args[2:5]))
            c, start, floor, stream = cgutils.unpack_tuple(builder, args[5], 4)
            (c, c_row, _), (start, s_row, _) = (
                matrix_of(context, builder, kind, value)
                for kind, value in zip(signature.args[5].types, (c, start)))
            integer = ir.IntType(64)

            def row_pointers(base, distance):
                for r in range(of_tile):
                    row = integer(r)
                    if not all_rows:
                        beyond = builder.icmp_signed(">=", row, rows)
                        row = builder.select(beyond, builder.sub(rows, integer(1)), row)
                    yield builder.gep(base, [builder.mul(row, distance)])

            # A moving pointer for some rows, the others at fixed distances from it
            few = (4 if of_tile % 4 == 0 else 3) if all_rows else 1
            a_rows = [Walk(builder, row) for row in list(row_pointers(a, a_row))[::few]]
            distances = [opaque(builder, builder.mul(a_row, integer(r))) for r in range(1, few)]
            next_rows = builder.gep(a, [builder.mul(a_row, integer(of_tile))])
            b_row, next_a, next_b = (Walk(builder, p) for p in (b, next_rows, ahead))
            c_rows = list(row_pointers(c, c_row))
            offsets = [v * tile.lanes for v in range(tile.vectors)]
            for row in row_pointers(start, s_row):      # not needed before the end
                for offset in offsets:
                    prefetch(builder, builder.gep(row, [integer(offset)]))
            zero = ir.Constant(vectors.type, None)
            total = [cgutils.alloca_once_value(builder, zero)       # LLVM makes registers of them
                     for _ in range(of_tile * tile.vectors)]
            with cgutils.for_range(builder, depth):
                b_pointer = b_row.step(integer(tile.columns))
                b_vectors = [vectors.load(b_pointer, offset) for offset in offsets]
                prefetch(builder, next_a.step(integer(CACHE_LINE * 8 // scalar.bitwidth)))
                prefetch(builder, next_b.step(ahead_row))
                a_pointers = []
                for walk in a_rows:
                    first = walk.step(a_step)
                    a_pointers += [first, *(builder.gep(first, [d]) for d in distances)]
                for r, a_pointer in enumerate(a_pointers):
                    spread = vectors.spread(builder.load(a_pointer))
                    for v, b_vector in enumerate(b_vectors):
                        sum_ = total[r * tile.vectors + v]
                        more = vectors.multiply_add(spread, b_vector, builder.load(sum_))
                        builder.store(more, sum_)
            floor = vectors.spread(floor)
            # Added last: a long sum in blocks has a smaller error than one term after the other
            before = [vectors.load(row, offset)
                      for row in row_pointers(start, s_row) for offset in offsets]
            values = [vectors.maximum(vectors.add(builder.load(sum_), x), floor)
                      for sum_, x in zip(total, before)]
            places = [(row, offset) for row in c_rows for offset in offsets]
            vectors.store_all(values, places, stream)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, a, b, ahead, result), codegen

    return micro_kernel


micro_kernel = make_micro_kernel("rows")
small_micro_kernel = make_micro_kernel("few_rows")


@block
def at(matrix, i, j):
    """What begins at row i and column j of a matrix."""
    return Matrix(matrix.array, matrix.start + i * matrix.row + j * matrix.column,
                  matrix.row, matrix.column)


@block
def no_floor(array):
    """In the array's dtype: max(x, -inf) is x."""
    return array.dtype.type(NO_FLOOR)


@block
def copy_block(source, rows, columns, target, width):
    """Copy rows x columns to rows that are dense, and fill these with zeros up to ``width``.

    The source may be dense along its rows or along its columns: whole vectors are moved, or squares
    of vectors transposed; single elements only at the edges.
    """
    keep_apart()
    x, s0, s_row, s_column = source
    y, t0, t_row, _ = target
    lanes = tile_lanes(y)
    done_rows, done_columns = rows, columns // lanes * lanes
    if s_column == 1:
        for i in range(rows):
            for j in range(0, done_columns, lanes):
                move_vector(x, s0 + i * s_row + j, y, t0 + i * t_row + j)
    elif s_row == 1:
        done_rows = rows // lanes * lanes
        for j in range(0, done_columns, lanes):
            for i in range(0, done_rows, lanes):
                transpose_square(x, s0 + i + j * s_column, s_column, y, t0 + i * t_row + j, t_row)
    else:
        done_columns = 0
    for i in range(rows):
        for j in range(done_columns if i < done_rows else 0, columns):
            y[t0 + i * t_row + j] = x[s0 + i * s_row + j * s_column]
        for j in range(columns, width):
            y[t0 + i * t_row + j] = 0


@block
def pack(b, depth, columns, panels, start):
    """Copy ``depth`` x ``columns`` of B into panels as wide as the tile, with zeros at the end.

    A few rows at a time, so that main memory is read in runs longer than a panel is wide.
    """
    width, few = tile_columns(panels), tile_lanes(panels)
    for k in range(0, depth, few):
        for j in range(0, columns, width):
            copy_block(at(b, k, j), min(few, depth - k), min(width, columns - j),
                       Matrix(panels, start + j * depth + k * width, width, DENSE), width)


@block
def pack_rows(a, rows, depth, packed, start):
    """Copy ``rows`` x ``depth`` of A to dense rows.

    At distances of a power of two, all rows of a tile would fall into a few lines of the L1 cache.
    """
    copy_block(a, rows, depth, Matrix(packed, start, depth, DENSE), depth)


@block
def multiply_panel(rows, columns, depth, a, b, ahead, result):
    """C[rows, columns] = max(start + A B, floor), for one packed panel of B and all rows.

    Meanwhile, ``depth`` rows of two cache lines come nearer: the next panel, or its ingredients.
    """
    keep_apart()
    c, start, floor, stream = result
    height, few, width = tile_rows(c.array), tile_few_rows(c.array), tile_columns(c.array)
    if columns == width:
        whole = rows // height * height
        for i in range(0, whole, height):
            line = CACHE_LINE // c.array.itemsize if i else 0
            micro_kernel(height, depth, at(a, i, ZERO), b,
                         Matrix(ahead.array, ahead.start + line, ahead.row, ahead.column),
                         Result(at(c, i, ZERO), at(start, i, ZERO), floor, stream))
        for i in range(whole, rows, few):
            small_micro_kernel(rows - i, depth, at(a, i, ZERO), b, ahead,
                               Result(at(c, i, ZERO), at(start, i, ZERO), floor, stream))
        return
    edge = room_for_few_rows(c.array)       # a narrow panel must not write past its columns
    for k in range(few * width):
        edge[k] = 0
    for i in range(0, rows, few):
        valid = min(few, rows - i)
        for r in range(valid):
            for j in range(columns):
                edge[r * width + j] = start.array[start.start + (i + r) * start.row + j]
        inside = Matrix(edge, ZERO, width, DENSE)
        small_micro_kernel(valid, depth, at(a, i, ZERO), b, ahead,
                           Result(inside, inside, floor, CACHED))
        for r in range(valid):
            for j in range(columns):
                c.array[c.start + (i + r) * c.row + j] = edge[r * width + j]


class Sizes(NamedTuple):
    """Of a product, and of its tasks."""

    rows: int
    columns: int
    depth: int
    task_rows: int
    task_columns: int


@parallel
def _multiply(thread, begin, end, sizes, a, b, result, packed):
    if shared(thread, begin, end):
        return
    m, n, depth, task_rows, task_columns = sizes
    c, bias, floor, stream = result
    room, width = packed.array, tile_columns(packed.array)
    row_tasks = (m + task_rows - 1) // task_rows
    b_panels = thread * packed.size
    a_rows = b_panels + DEPTH * task_columns
    for task in range(begin, end):
        i0, j0 = task % row_tasks * task_rows, task // row_tasks * task_columns
        rows, columns = min(task_rows, m - i0), min(task_columns, n - j0)
        for k0 in range(0, max(depth, 1), DEPTH):
            count = min(DEPTH, depth - k0)
            pack(at(b, k0, j0), count, columns, room, b_panels)
            pack_rows(at(a, i0, k0), rows, count, room, a_rows)
            least = floor if k0 + DEPTH >= depth else no_floor(room)
            for j in range(0, columns, width):
                goal = at(c, i0, j0 + j)
                start = at(bias, ZERO, j0 + j) if k0 == 0 else goal
                multiply_panel(rows, min(width, columns - j), count,
                               Matrix(room, a_rows, count, DENSE),
                               Matrix(room, b_panels + j * count, width, DENSE),
                               at(b, k0 + DEPTH, j0 + j),       # packed next, if dense in rows
                               Result(goal, start, least, stream))


def streams(c: np.ndarray) -> bool:
    """Whether to store a result, an array of ``empty``, past the caches."""
    return c.nbytes >= STREAM and c.shape[-1] % tile_of(c.dtype).lanes == 0


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def multiply(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None,
             floor: float = NO_FLOOR, out: np.ndarray | None = None) -> np.ndarray:
    """max(a b + bias, floor).

    Parameters
    ----------
    a : (m, k) array, float32 or float64
        Contiguous, or the transpose of a contiguous array.
    b : (k, n) array
        The same.
    bias : (n,) array, optional
    floor : float
        0 fuses a ReLU.
    out : (m, n) array, optional
        Contiguous; takes the result.

    Returns
    -------
    c : (m, n) array
        The same bits for any number of threads: each thread owns a part of c, and the sum over k is
        taken in the same order whatever that part is.
    """
    (m, depth), n = a.shape, b.shape[1]
    tile, threads = tile_of(a.dtype), get_threads()
    c = empty((m, n), a.dtype) if out is None else out
    if c.size == 0:
        return c
    if bias is None:
        bias = np.zeros(n, a.dtype)
    # Wide tasks first, since B is packed once for each; narrower ones where threads would idle.
    columns = min(COLUMNS, round_up(n, tile.columns))
    while columns > 2 * tile.columns and -(-n // columns) < 2 * threads:
        columns = round_up(columns // 2, tile.columns)
    rows = ROWS
    while rows > 4 * tile.rows and -(-n // columns) * -(-m // rows) < 2 * threads:
        rows //= 2
    rows = round_up(-(-m // -(-m // rows)), tile.rows)      # row tasks of one size
    result = Result(matrix(c), Matrix(bias, 0, 0, 1), a.dtype.type(floor),
                    out is None and depth <= DEPTH and streams(c))
    size = DEPTH * (columns + rows)
    with scratch(threads * size, a.dtype) as room:
        _multiply(-(-m // rows) * -(-n // columns), Sizes(m, n, depth, rows, columns), matrix(a),
                  matrix(b), result, Parts(room, size), threads=threads)
    return c


def matrix(array: np.ndarray) -> Matrix:
    """A contiguous array, or the transpose of one."""
    elements = (array if array.flags.c_contiguous else array.T).reshape(-1)
    return Matrix(elements, 0, *(stride // array.itemsize for stride in array.strides))

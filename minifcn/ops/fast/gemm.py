"""Matrix products: portable loops around one small kernel that lives in the registers.

    C[i, j] = start[i, j] + sum over k of A[i, k] B[k, j]

``micro_kernel`` computes a tile of C, 12 x 32 with AVX-512, without touching memory for C: for each
k it loads one row of B (two vectors), spreads 12 elements of A, and issues 24 fused multiply-adds.
All else, convolutions included, only arranges memory around it, in four loops as in BLIS:

    a task      ROWS x COLUMNS of C, owned by one thread, so that no bit depends on their number
    k block     DEPTH rows of B, copied into panels as wide as the tile: each is read front to back
    panel       DEPTH x 32 of B: 32 KB, stays in the L1 cache while the rows of A pass
    tile        12 x 32 of C, in registers

Operands are flat arrays with an offset and strides, in elements: a transposed matrix is a pair of
exchanged strides.

Reference: F. Van Zee, R. van de Geijn, "BLIS", ACM TOMS 41 (3), 2015.
"""
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from ..compiling import compiled
from ..memory import CACHE_LINE, empty, scratch
from ..threads import get_threads, parallel, shared
from .vectors import (
    DENSE,
    ZERO,
    Vectors,
    Walk,
    keep_apart,
    move_vector,
    opaque,
    pointer_to,
    prefetch,
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


def make_micro_kernel(height):
    """An intrinsic: C = max(start + A B, floor) for one tile of C and one packed panel of B.

    a, a0, a_row, a_step     : array, offset, distance from row to row and along ``depth``
    b, b0                    : array, offset of the panel: ``depth`` rows of the tile's columns
    ahead, ahead0, ahead_row : one cache line for each step along ``depth``, to have at hand later
    start, s0, s_row         : added to the product: C itself, or a bias with a row distance of 0
    stream                   : store past the caches; C must be aligned to vectors
    rows                     : of C, at least 1. The tall kernel computes all of its tile; the small
                               one computes the last row again for each that is missing, which is
                               harmless: every row is read before any is written

    What is next along the rows of A is fetched too: in an image's convolution it comes from the L3
    cache or from memory, and a tile is too short for the hardware to see it coming.
    """
    @intrinsic
    def micro_kernel(typingctx, rows, depth, a, a0, a_row, a_step, b, b0, ahead, ahead0, ahead_row,
                     start, s0, s_row, c, c0, c_row, floor, stream):
        scalar = c.dtype
        tile = tile_of(as_dtype(scalar))
        of_tile = getattr(tile, height)
        all_rows = height == "rows"

        def codegen(context, builder, signature, args):
            (rows, depth, a, a0, a_row, a_step, b, b0, ahead, ahead0, ahead_row, start, s0, s_row,
             c, c0, c_row, floor, stream) = args
            vectors = Vectors(builder, scalar)
            kinds = signature.args
            a = pointer_to(context, builder, kinds[2], a, a0)
            b = pointer_to(context, builder, kinds[6], b, b0)
            ahead = pointer_to(context, builder, kinds[8], ahead, ahead0)
            start = pointer_to(context, builder, kinds[11], start, s0)
            c = pointer_to(context, builder, kinds[14], c, c0)
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

        return types.void(types.int64, types.int64, a, types.int64, types.int64, types.int64,
                          b, types.int64, ahead, types.int64, types.int64,
                          start, types.int64, types.int64,
                          c, types.int64, types.int64, scalar, types.boolean), codegen

    return micro_kernel


micro_kernel = make_micro_kernel("rows")
small_micro_kernel = make_micro_kernel("few_rows")


@compiled
def copy_block(source, s0, s_row, s_column, rows, columns, target, t0, t_row, width):
    """Copy rows x columns to rows that are dense, and fill these with zeros up to ``width``.

    The source may be dense along its rows or along its columns: whole vectors are moved, or squares
    of vectors transposed; single elements only at the edges.
    """
    keep_apart()
    lanes = tile_lanes(target)
    done_rows, done_columns = rows, columns // lanes * lanes
    if s_column == 1:
        for i in range(rows):
            for j in range(0, done_columns, lanes):
                move_vector(source, s0 + i * s_row + j, target, t0 + i * t_row + j)
    elif s_row == 1:
        done_rows = rows // lanes * lanes
        for j in range(0, done_columns, lanes):
            for i in range(0, done_rows, lanes):
                transpose_square(source, s0 + i + j * s_column, s_column,
                                 target, t0 + i * t_row + j, t_row)
    else:
        done_columns = 0
    for i in range(rows):
        for j in range(done_columns if i < done_rows else 0, columns):
            target[t0 + i * t_row + j] = source[s0 + i * s_row + j * s_column]
        for j in range(columns, width):
            target[t0 + i * t_row + j] = 0


@compiled
def pack(b, b0, b_row, b_column, depth, columns, panels, p0):
    """Copy ``depth`` x ``columns`` of B into panels as wide as the tile, with zeros at the end.

    A few rows at a time, so that main memory is read in runs longer than a panel is wide.
    """
    width, few = tile_columns(panels), tile_lanes(panels)
    for k in range(0, depth, few):
        for j in range(0, columns, width):
            copy_block(b, b0 + k * b_row + j * b_column, b_row, b_column, min(few, depth - k),
                       min(width, columns - j), panels, p0 + j * depth + k * width, width, width)


@compiled
def pack_rows(a, a0, a_row, a_step, rows, depth, packed, p0):
    """Copy ``rows`` x ``depth`` of A to dense rows.

    At distances of a power of two, all rows of a tile would fall into a few lines of the L1 cache.
    """
    copy_block(a, a0, a_row, a_step, rows, depth, packed, p0, depth, depth)


@compiled
def multiply_panel(rows, columns, depth, a, a0, a_row, a_step, b, b0, ahead, ahead0, ahead_row,
                   start, s0, s_row, c, c0, c_row, floor, stream):
    """C[rows, columns] = max(start + A B, floor), for one packed panel of B and all rows.

    Meanwhile, ``depth`` rows of two cache lines come nearer: the next panel, or its ingredients.
    """
    keep_apart()
    height, few, width = tile_rows(c), tile_few_rows(c), tile_columns(c)
    if columns == width:
        whole = rows // height * height
        for i in range(0, whole, height):
            line = CACHE_LINE // c.itemsize if i else 0
            micro_kernel(height, depth, a, a0 + i * a_row, a_row, a_step, b, b0,
                         ahead, ahead0 + line, ahead_row, start, s0 + i * s_row, s_row,
                         c, c0 + i * c_row, c_row, floor, stream)
        for i in range(whole, rows, few):
            small_micro_kernel(rows - i, depth, a, a0 + i * a_row, a_row, a_step, b, b0,
                               ahead, ahead0, ahead_row, start, s0 + i * s_row, s_row,
                               c, c0 + i * c_row, c_row, floor, stream)
        return
    edge = np.zeros(few * width, c.dtype)       # a narrow panel must not write past its columns
    for i in range(0, rows, few):
        valid = min(few, rows - i)
        for r in range(valid):
            for j in range(columns):
                edge[r * width + j] = start[s0 + (i + r) * s_row + j]
        small_micro_kernel(valid, depth, a, a0 + i * a_row, a_row, a_step, b, b0,
                           ahead, ahead0, ahead_row, edge, 0, width, edge, 0, width, floor, False)
        for r in range(valid):
            for j in range(columns):
                c[c0 + (i + r) * c_row + j] = edge[r * width + j]


@parallel
def _multiply(thread, begin, end, m, n, depth, a, a_row, a_step, b, b_row, b_column, bias, c,
              floor, no_floor, stream, task_rows, task_columns, scratch):
    if shared(thread, begin, end):
        return
    width = tile_columns(c)
    row_tasks = (m + task_rows - 1) // task_rows
    for task in range(begin, end):
        panels = thread * DEPTH * (task_columns + task_rows)
        packed = panels + DEPTH * task_columns
        i0, j0 = task % row_tasks * task_rows, task // row_tasks * task_columns
        rows, columns = min(task_rows, m - i0), min(task_columns, n - j0)
        for k0 in range(0, max(depth, 1), DEPTH):
            count = min(DEPTH, depth - k0)
            pack(b, k0 * b_row + j0 * b_column, b_row, b_column, count, columns, scratch, panels)
            pack_rows(a, i0 * a_row + k0 * a_step, a_row, a_step, rows, count, scratch, packed)
            least = floor if k0 + DEPTH >= depth else no_floor
            for j in range(0, columns, width):
                c0 = i0 * n + j0 + j
                start, s0, s_row = (bias, j0 + j, ZERO) if k0 == 0 else (c, c0, n)
                ahead = (k0 + DEPTH) * b_row + (j0 + j) * b_column  # packed next, if dense in rows
                multiply_panel(rows, min(width, columns - j), count, scratch, packed, count, DENSE,
                               scratch, panels + j * count, b, ahead, b_row,
                               start, s0, s_row, c, c0, n, least, stream)


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
    a_row, a_step = (s // a.itemsize for s in a.strides)
    b_row, b_column = (s // b.itemsize for s in b.strides)
    no_floor = a.dtype.type(NO_FLOOR)
    with scratch(threads * DEPTH * (columns + rows), a.dtype) as room:
        _multiply(-(-m // rows) * -(-n // columns), m, n, depth, flat(a), a_row, a_step,
                  flat(b), b_row, b_column, bias, c.reshape(-1), a.dtype.type(floor), no_floor,
                  out is None and depth <= DEPTH and streams(c), rows, columns, room,
                  threads=threads)
    return c


def flat(matrix: np.ndarray) -> np.ndarray:
    """The elements in the order of memory."""
    return (matrix if matrix.flags.c_contiguous else matrix.T).reshape(-1)

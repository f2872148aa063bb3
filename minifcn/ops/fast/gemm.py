"""Matrix products: portable loops around one small kernel that lives in the registers.

    C[i, j] = start[i, j] + sum over k of A[i, k] B[k, j]

``micro_kernel`` computes a tile of C, 12 x 32 with AVX-512, without touching memory for C: for each k it
loads one row of B (two vectors), spreads 12 elements of A, and issues 24 fused multiply-adds. All else,
convolutions included, only arranges memory around it, in four loops as in BLIS:

    a task      ROWS x COLUMNS of C, owned by one thread, so that no bit depends on their number
    k block     DEPTH rows of B, copied into panels as wide as the tile: each is read front to back
    panel       DEPTH x 32 of B: 32 KB, stays in the L1 cache while the rows of A pass
    tile        12 x 32 of C, in registers

Operands are flat arrays with an offset and strides, in elements: a transposed matrix is a pair of
exchanged strides.

Reference: F. Van Zee, R. van de Geijn, "BLIS", ACM TOMS 41 (3), 2015.
"""
from __future__ import annotations

import functools
import time
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from ..compiling import compiled, parallel
from .memory import empty, scratch

DEPTH = 256         # of a panel: 256 x 32 floats are 32 KB, two thirds of an L1 cache of 48 KB
COLUMNS = 256       # of a task: its part of B, 256 x 256 floats, takes 256 KB of the L2 cache, and is
                    # read in runs of 1 KB, without which main memory gives a third of its bandwidth
ROWS = 264          # of a task, at most: 264 x 256 floats of A take another 264 KB of the L2 cache
STREAM = 2 ** 25    # bytes: a larger result goes straight to memory, past the caches that it would flush
NO_FLOOR = -np.inf  # max(x, -inf) is x


class Tile(NamedTuple):
    """The part of C that the micro-kernel keeps in registers."""

    rows: int
    few_rows: int   # of the second kernel, for what is left at the bottom of C
    vectors: int    # in a row
    lanes: int      # elements of one vector

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


@functools.cache        # asking takes 0.3 ms, and every product asks
def vector_unit() -> tuple[int, int]:
    """Bytes of a vector and number of vector registers that Numba compiles for.

    Numba's own target is asked, since ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` may have changed it.
    """
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    features = set(features.split(","))
    if "+avx512f" in features:
        return 64, 32
    if "+avx" in features:
        return 32, 16
    return 16, 32 if triple.startswith(("aarch64", "arm64")) else 16


def tile_of(dtype: np.dtype) -> Tile:
    """Two vectors wide, and as many rows as leave registers for B and for the spread element of A."""
    size, registers = vector_unit()
    return Tile(rows=12 if registers == 32 else 6, few_rows=4 if registers == 32 else 2, vectors=2,
                lanes=size // np.dtype(dtype).itemsize)


def _constant_of_tile(field: str):
    """For kernels: one number of the tile for an array's dtype, known when compiling."""
    @intrinsic
    def constant(typingctx, array):
        def codegen(context, builder, signature, args):
            return ir.IntType(64)(getattr(tile_of(as_dtype(array.dtype)), field))

        return types.int64(array), codegen

    return constant


tile_rows, tile_few_rows, tile_columns, tile_lanes = map(
    _constant_of_tile, ("rows", "few_rows", "columns", "lanes"))

# Distances, as numbers of NumPy: for each literal, Numba would compile a kernel once more
DENSE = np.int64(1)     # of neighbours
ONE = np.int64(1)       # of something
SAME = np.int64(0)      # of the rows of a matrix whose rows are all one


@intrinsic
def keep_apart(typingctx):
    """Said in a kernel: call it, do not copy it into each caller. Spares seconds of compiling."""
    def codegen(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


class Vectors:
    """Builds LLVM instructions on vectors of one type."""

    def __init__(self, builder, scalar: types.Type):
        self.builder = builder
        self.lanes = tile_of(as_dtype(scalar)).lanes
        self.element = ir.FloatType() if scalar == types.float32 else ir.DoubleType()
        self.type = ir.VectorType(self.element, self.lanes)
        name = f"llvm.fmuladd.v{self.lanes}f{scalar.bitwidth}"
        self._multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.type, [self.type] * 3), name)
        self.align = scalar.bitwidth // 8       # arrays of NumPy promise no more

    def load(self, pointer, offset=0):
        vector = self.builder.load(self._at(pointer, offset))
        vector.align = self.align
        return vector

    def store(self, vector, pointer, offset=0):
        self.builder.store(vector, self._at(pointer, offset)).align = self.align

    def stream(self, vector, pointer, offset=0):
        """Store past the caches: memory need not be read first. The address must be that of a whole vector."""
        store = self.builder.store(vector, self._at(pointer, offset))
        store.align = self.lanes * self.align
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", self.builder.module.add_metadata([one]))

    def store_all(self, values, places, stream=None):
        """Store each value at its (pointer, offset); past the caches where ``stream``, if given, says so."""
        if stream is None:
            for value, place in zip(values, places):
                self.store(value, *place)
            return
        with self.builder.if_else(stream) as (past_caches, through_caches):
            with past_caches:
                for value, place in zip(values, places):
                    self.stream(value, *place)
            with through_caches:
                self.store_all(values, places)

    def _at(self, pointer, offset):
        offset = offset if isinstance(offset, ir.Value) else ir.IntType(64)(offset)
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), self.type.as_pointer())

    def spread(self, scalar):
        """The scalar in every lane."""
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.IntType(32)(0))
        return self.shuffle(first, undefined, [0] * self.lanes)

    def shuffle(self, x, y, lanes: list[int]):
        """The vector of these lanes, counted through x and then y."""
        kind = ir.VectorType(ir.IntType(32), self.lanes)
        return self.builder.shuffle_vector(x, y, ir.Constant(kind, lanes))

    def constant(self, value):
        """A number, exact or not, in every lane."""
        return ir.Constant(self.type, [ir.Constant(self.element, float(value))] * self.lanes)

    def add(self, x, y):
        return self.builder.fadd(x, y)

    def subtract(self, x, y):
        return self.builder.fsub(x, y)

    def multiply(self, x, y):
        return self.builder.fmul(x, y)

    def multiply_add(self, x, y, z):
        return self.builder.call(self._multiply_add, [x, y, z])

    def maximum(self, x, floor):
        """The larger; NaN stays NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, floor), floor, x)


def pointer_to(context, builder, array_type, array, offset):
    """The address of an element of an array argument."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def prefetch(builder, pointer):
    """A cache line on its way to the L1 cache."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    read, keep, data = number(0), number(3), number(1)
    builder.call(function, [builder.bitcast(pointer, byte), read, keep, data])


def make_micro_kernel(height):
    """An intrinsic: C = max(start + A B, floor) for one tile of C and one packed panel of B.

    a, a0, a_row, a_step : array, offset, distance from row to row and along ``depth``
    b, b0                : array, offset of the panel: ``depth`` rows of the tile's columns
    start, s0, s_row     : added to the product: C itself, or a bias with a row distance of 0
    stream               : store past the caches; C must be aligned to vectors
    rows                 : of C, at least 1; rows past the last compute the last one again, which is
                           harmless: every row is read before any is written
    """
    @intrinsic
    def micro_kernel(typingctx, rows, depth, a, a0, a_row, a_step, b, b0, start, s0, s_row,
                     c, c0, c_row, floor, stream):
        scalar = c.dtype
        tile = tile_of(as_dtype(scalar))
        of_tile = getattr(tile, height)

        def codegen(context, builder, signature, args):
            (rows, depth, a, a0, a_row, a_step, b, b0, start, s0, s_row, c, c0, c_row, floor,
             stream) = args
            vectors = Vectors(builder, scalar)
            kinds = signature.args
            a = pointer_to(context, builder, kinds[2], a, a0)
            b = pointer_to(context, builder, kinds[6], b, b0)
            start = pointer_to(context, builder, kinds[8], start, s0)
            c = pointer_to(context, builder, kinds[11], c, c0)
            integer = ir.IntType(64)

            def row_pointers(base, distance):
                for r in range(of_tile):
                    beyond = builder.icmp_signed(">=", integer(r), rows)
                    row = builder.select(beyond, builder.sub(rows, integer(1)), integer(r))
                    yield builder.gep(base, [builder.mul(row, distance)])

            a_rows = list(row_pointers(a, a_row))
            c_rows = list(row_pointers(c, c_row))
            offsets = [v * tile.lanes for v in range(tile.vectors)]
            for row in row_pointers(start, s_row):      # needed at the end: time enough to fetch them
                for offset in offsets:
                    prefetch(builder, builder.gep(row, [integer(offset)]))
            zero = ir.Constant(vectors.type, None)
            total = [cgutils.alloca_once_value(builder, zero)       # LLVM promotes these to registers
                     for _ in range(of_tile * tile.vectors)]
            with cgutils.for_range(builder, depth) as loop:
                b_row = builder.gep(b, [builder.mul(loop.index, integer(tile.columns))])
                b_vectors = [vectors.load(b_row, offset) for offset in offsets]
                along = builder.mul(loop.index, a_step)
                for r, a_pointer in enumerate(a_rows):
                    spread = vectors.spread(builder.load(builder.gep(a_pointer, [along])))
                    for v, b_vector in enumerate(b_vectors):
                        variable = total[r * tile.vectors + v]
                        builder.store(vectors.multiply_add(spread, b_vector, builder.load(variable)),
                                      variable)
            floor = vectors.spread(floor)
            # Added last: a long sum in blocks has a smaller error than one term after the other
            before = [vectors.load(row, offset) for row in row_pointers(start, s_row) for offset in offsets]
            values = [vectors.maximum(vectors.add(builder.load(t), x), floor) for t, x in zip(total, before)]
            places = [(row, offset) for row in c_rows for offset in offsets]
            vectors.store_all(values, places, stream)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, a, types.int64, types.int64, types.int64,
                          b, types.int64, start, types.int64, types.int64,
                          c, types.int64, types.int64, scalar, types.boolean), codegen

    return micro_kernel


micro_kernel = make_micro_kernel("rows")
small_micro_kernel = make_micro_kernel("few_rows")


@intrinsic
def move_vector(typingctx, source, s0, target, t0):
    """Copy one vector: LLVM does not make one of a short loop that may overlap."""
    def codegen(context, builder, signature, args):
        vectors = Vectors(builder, target.dtype)
        vector = vectors.load(pointer_to(context, builder, signature.args[0], args[0], args[1]))
        vectors.store(vector, pointer_to(context, builder, signature.args[2], args[2], args[3]))
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), codegen


@intrinsic
def prefetch_line(typingctx, array, offset):
    """Ask for the cache line of an element: a hint, which may even lie outside of the array."""
    def codegen(context, builder, signature, args):
        prefetch(builder, pointer_to(context, builder, signature.args[0], *args))
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def transpose_square(typingctx, source, s0, s_row, target, t0, t_row):
    """Copy the transpose of lanes x lanes elements.

    Blocks of 2 x 2 exchange their corners, at distances of half the lanes, a quarter, ... and 1.
    """
    def codegen(context, builder, signature, args):
        vectors = Vectors(builder, target.dtype)
        lanes, integer = vectors.lanes, ir.IntType(64)
        origin = pointer_to(context, builder, signature.args[0], args[0], args[1])
        goal = pointer_to(context, builder, signature.args[3], args[3], args[4])
        rows = [vectors.load(origin, builder.mul(args[2], integer(r))) for r in range(lanes)]
        distance = lanes // 2
        while distance:
            upper = [l if l & distance == 0 else lanes + l - distance for l in range(lanes)]
            lower = [l + distance if l & distance == 0 else lanes + l for l in range(lanes)]
            for r in range(lanes):
                if r & distance == 0:
                    pair = rows[r], rows[r + distance]
                    rows[r] = vectors.shuffle(*pair, upper)
                    rows[r + distance] = vectors.shuffle(*pair, lower)
            distance //= 2
        for r, row in enumerate(rows):
            vectors.store(row, goal, builder.mul(args[5], integer(r)))
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64, types.int64), codegen


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
    """Copy ``depth`` x ``columns`` of B into panels as wide as the tile, zeros behind the last column.

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

    At distances of a power of two, all rows of a tile would fall into the same few lines of the L1 cache.
    """
    copy_block(a, a0, a_row, a_step, rows, depth, packed, p0, depth, depth)


@compiled
def multiply_panel(rows, columns, depth, a, a0, a_row, a_step, b, b0, start, s0, s_row,
                   c, c0, c_row, floor, stream):
    """C[rows, columns] = max(start + A B, floor), for one packed panel of B and all rows."""
    keep_apart()
    height, few, width = tile_rows(c), tile_few_rows(c), tile_columns(c)
    if columns == width:
        whole = rows // height * height
        for i in range(0, whole, height):
            micro_kernel(rows - i, depth, a, a0 + i * a_row, a_row, a_step, b, b0,
                         start, s0 + i * s_row, s_row, c, c0 + i * c_row, c_row, floor,
                         stream)
        for i in range(whole, rows, few):
            small_micro_kernel(rows - i, depth, a, a0 + i * a_row, a_row, a_step, b, b0,
                               start, s0 + i * s_row, s_row, c, c0 + i * c_row, c_row, floor,
                               stream)
        return
    edge = np.zeros(few * width, c.dtype)       # a narrow panel must not write past its columns
    for i in range(0, rows, few):
        valid = min(few, rows - i)
        for r in range(valid):
            for j in range(columns):
                edge[r * width + j] = start[s0 + (i + r) * s_row + j]
        small_micro_kernel(valid, depth, a, a0 + i * a_row, a_row, a_step, b, b0,
                           edge, 0, width, edge, 0, width, floor, False)
        for r in range(valid):
            for j in range(columns):
                c[c0 + (i + r) * c_row + j] = edge[r * width + j]


@parallel
def _multiply(thread, begin, end, m, n, depth, a, a_row, a_step, b, b_row, b_column, bias, c,
              floor, no_floor, stream, task_rows, task_columns, scratch):
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
                start, s0, s_row = (bias, j0 + j, SAME) if k0 == 0 else (c, c0, n)
                multiply_panel(rows, min(width, columns - j), count, scratch, packed, count, DENSE,
                               scratch, panels + j * count, start, s0, s_row, c, c0, n, least, stream)


def streams(c: np.ndarray) -> bool:
    """Whether to store a result, an array of ``empty``, past the caches."""
    return c.nbytes >= STREAM and c.shape[-1] % tile_of(c.dtype).lanes == 0


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def multiply(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None,
             floor: float = NO_FLOOR) -> np.ndarray:
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

    Returns
    -------
    c : (m, n) array
        The same bits for any number of threads: each thread owns a part of c, and the sum over k is
        taken in the same order whatever that part is.
    """
    (m, depth), n = a.shape, b.shape[1]
    tile, threads = tile_of(a.dtype), numba.get_num_threads()
    c = empty((m, n), a.dtype)
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
    _multiply(-(-m // rows) * -(-n // columns), m, n, depth, flat(a), a_row, a_step,
              flat(b), b_row, b_column, bias, c.reshape(-1), a.dtype.type(floor), no_floor,
              depth <= DEPTH and streams(c), rows, columns,
              scratch(threads * DEPTH * (columns + rows), a.dtype))
    return c


def flat(matrix: np.ndarray) -> np.ndarray:
    """The elements in the order of memory."""
    return (matrix if matrix.flags.c_contiguous else matrix.T).reshape(-1)


@compiled
def _repeat_micro_kernel(repeats, rows, depth, a, b, c):
    for _ in range(repeats):
        micro_kernel(rows, depth, a, 0, depth, 1, b, 0, c, 0, tile_columns(c), c, 0, tile_columns(c),
                     c[0], False)


def peak(dtype: str = "float32", seconds: float = 0.3) -> float:
    """Operations per second of the micro-kernel on one core, its operands in the L1 cache.

    A multiply-add counts as two. The best of several runs, since other work on the machine only slows.
    """
    tile = tile_of(dtype)
    a = np.ones(tile.rows * DEPTH, dtype)
    b = np.ones(DEPTH * tile.columns, dtype)
    c = np.zeros(tile.rows * tile.columns, dtype)
    repeats = 2000
    _repeat_micro_kernel(1, tile.rows, DEPTH, a, b, c)
    best, end = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < end:
        begin = time.perf_counter()
        _repeat_micro_kernel(repeats, tile.rows, DEPTH, a, b, c)
        duration = time.perf_counter() - begin
        best = max(best, 2 * repeats * tile.rows * tile.columns * DEPTH / duration)
    return best

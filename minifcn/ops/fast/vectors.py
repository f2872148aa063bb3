"""What the kernels need of LLVM: vectors as wide as the CPU's, and a few instructions on them.

Numba compiles scalar loops; LLVM makes vectors of them where it can prove that nothing overlaps. In
the few places where everything depends on it, the kernels here say themselves what they want:
an intrinsic is a function of Python that builds the LLVM instructions for one call in a kernel.
"""
from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import as_dtype


class Tile(NamedTuple):
    """The part of a matrix product that the micro-kernel keeps in registers."""

    rows: int
    few_rows: int   # of the second kernel, for what is left at the bottom
    vectors: int    # in a row
    lanes: int      # elements of one vector

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


@functools.cache        # asking takes 0.3 ms, and every product asks
def vector_unit() -> tuple[int, int]:
    """Bytes of a vector and number of vector registers that Numba compiles for.

    Numba's own target is asked, for ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` change it.
    """
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    features = set(features.split(","))
    if "+avx512f" in features:
        return 64, 32
    if "+avx" in features:
        return 32, 16
    return 16, 32 if triple.startswith(("aarch64", "arm64")) else 16


def tile_of(dtype: np.dtype) -> Tile:
    """Two vectors wide, and as many rows as leave registers for one row of B and elements of A."""
    size, registers = vector_unit()
    rows, few_rows = (12, 4) if registers == 32 else (6, 2)
    return Tile(rows, few_rows, vectors=2, lanes=size // np.dtype(dtype).itemsize)


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


class Matrix(NamedTuple):
    """A matrix in a flat array, as BLIS passes it: its first element, and distances in elements.

    A transposed matrix has its distances exchanged; a row distance of 0 repeats one row.
    """

    array: np.ndarray
    start: int
    row: int        # from row to row
    column: int     # along a row


class Parts(NamedTuple):
    """Scratch memory: a part of ``size`` elements for each thread."""

    array: np.ndarray
    size: int



@intrinsic
def room_for_few_rows(typingctx, like):
    """A flat array of a few rows of a tile, on the stack of the function that asks."""
    def codegen(context, builder, signature, args):
        tile, kind = tile_of(as_dtype(like.dtype)), context.get_value_type(like.dtype)
        size, itemsize = (context.get_constant(types.intp, value) for value in
                          (tile.few_rows * tile.columns, like.dtype.bitwidth // 8))
        array = context.make_array(like)(context, builder)
        populate_array(array, data=cgutils.alloca_once(builder, kind, size=size), shape=[size],
                       strides=[itemsize], itemsize=itemsize, meminfo=None)
        return array._getvalue()

    return like(like), codegen


# Numbers of NumPy: for each literal among its arguments, Numba would compile a kernel once more
DENSE = np.int64(1)     # the distance of neighbours
ONE = np.int64(1)       # of something
ZERO = np.int64(0)      # the first; the distance of rows that are all the same
CACHED = np.bool_(False)        # stored through the caches


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
        """Store a vector, at an address that is a multiple of its size, past the caches.

        Through the caches, memory is read before it is written.
        """
        store = self.builder.store(vector, self._at(pointer, offset))
        store.align = self.lanes * self.align
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", self.builder.module.add_metadata([one]))

    def store_all(self, values, places, stream=None):
        """Store each value at its (pointer, offset), past the caches if ``stream`` says so."""
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


def matrix_of(context, builder, matrix_type, matrix):
    """The address of a matrix's first element, and its distances."""
    array, start, row, column = cgutils.unpack_tuple(builder, matrix, 4)
    return pointer_to(context, builder, matrix_type.types[0], array, start), row, column


def opaque(builder, value):
    """The same value, of which LLVM knows nothing (an assembly of no instructions).

    Where LLVM sees that addresses are at equal distances, it computes each from the one before, and
    more so each time that a kernel is compiled into its caller: the loop of the micro-kernel then
    takes 1.6 times as long.
    """
    nothing = ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0")
    return builder.call(nothing, [value])


class Walk:
    """A pointer that moves on in a loop."""

    def __init__(self, builder, pointer):
        self.builder, self.slot = builder, cgutils.alloca_once_value(builder, pointer)

    def step(self, distance):
        """Where it is, before it moves on by ``distance`` elements."""
        pointer = opaque(self.builder, self.builder.load(self.slot))
        self.builder.store(self.builder.gep(pointer, [distance]), self.slot)
        return pointer


def prefetch(builder, pointer):
    """A cache line on its way to the L1 cache."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    read, keep, data = number(0), number(3), number(1)
    builder.call(function, [builder.bitcast(pointer, byte), read, keep, data])


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

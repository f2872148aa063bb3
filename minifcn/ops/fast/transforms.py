"""The matrices of Winograd's minimal filtering, and the instructions that apply them.

A correlation of n = m + r - 1 inputs d with r weights g, which has m outputs, is

    y = A' [(G g) * (B' d)]

with n multiplications instead of m r. The matrices follow from n points, infinity among them, by
the construction of Cook and Toom: the coefficients of a product of two polynomials are C^-1 applied
to the products of their values, with C the Vandermonde matrix of the points; correlation is the
transpose of that. Here n is always 8, so that B is the same for all kernels, and the points are
those with small errors: below 1e-5 of the largest value for 3x3 kernels.

Reference: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""
from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vectors import Vectors, matrix_of

POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2")))   # and infinity
N = len(POINTS) + 1     # inputs of a tile along one axis
PAIRS = ((1, 2), (3, 4), (5, 6))        # points that differ in sign


def outputs_of_tile(taps: int) -> int:
    """Outputs along one axis of a tile, for a kernel of this extent."""
    return N + 1 - taps


def vandermonde(columns: int) -> list[list[Fraction]]:
    """Powers 0 .. columns-1 of the points; infinity picks the last."""
    return [[point ** k for k in range(columns)] for point in POINTS] + \
           [[Fraction(int(k == columns - 1)) for k in range(columns)]]


def inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """Gauss and Jordan, exact."""
    size = len(matrix)
    rows = [list(row) + [Fraction(int(i == j)) for j in range(size)]
            for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = next(k for k in range(i, size) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(size):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i])]
    return [row[size:] for row in rows]


class CookToom(NamedTuple):
    """Exact matrices with y = A' [(G g) * (B' d)] for the correlation of d (n) with g (r)."""

    at: list[list[Fraction]]    # m x n
    g: list[list[Fraction]]     # n x r
    bt: list[list[Fraction]]    # n x n


def transpose(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    return [list(column) for column in zip(*matrix)]


def cook_toom(taps: int) -> CookToom:
    """The matrices for r taps and m = 9 - r outputs.

    B' is C^-T; its rows are scaled so that the last entry of each is 1, which saves
    multiplications, and G takes the inverse scales.
    """
    bt = transpose(inverse(vandermonde(N)))
    scales = [next(value for value in reversed(row) if value) for row in bt]
    return CookToom(at=transpose(vandermonde(outputs_of_tile(taps))),
                    g=[[scale * x for x in row] for scale, row in zip(scales, vandermonde(taps))],
                    bt=[[x / scale for x in row] for scale, row in zip(scales, bt)])


# ---------------------------------------------------------------------------------------------
# A constant matrix on both sides of a tile of vectors, one lane a channel
# ---------------------------------------------------------------------------------------------


def _linear(vectors: Vectors, coefficients, inputs):
    """The sum of coefficient * input, without multiplying by 0, 1 and -1."""
    terms = [(c, x) for c, x in zip(coefficients, inputs) if c]
    terms.sort(key=lambda term: abs(term[0]) != 1)
    total = None
    for c, x in terms:
        if total is None:
            total = x if c == 1 else vectors.multiply(vectors.constant(c), x)
        elif abs(c) == 1:
            total = vectors.add(total, x) if c == 1 else vectors.subtract(total, x)
        else:
            total = vectors.multiply_add(vectors.constant(c), x, total)
    return total


def _apply(vectors: Vectors, matrix, inputs):
    """matrix @ inputs. Points p and -p share the sums over their even and over their odd powers."""
    if len(matrix) == N:        # rows belong to points: r(p), r(-p) = even + odd, even - odd
        outputs = [_linear(vectors, row, inputs) if row in (matrix[0], matrix[-1]) else None
                   for row in matrix]
        for i, j in PAIRS:
            even = _linear(vectors, [(x + y) / 2 for x, y in zip(matrix[i], matrix[j])], inputs)
            odd = _linear(vectors, [(x - y) / 2 for x, y in zip(matrix[i], matrix[j])], inputs)
            outputs[i], outputs[j] = vectors.add(even, odd), vectors.subtract(even, odd)
        return outputs
    inputs = list(inputs)       # columns belong to points
    for i, j in PAIRS:
        x, y = inputs[i], inputs[j]
        inputs[i], inputs[j] = vectors.add(x, y), vectors.subtract(x, y)
    rows = []
    for row in matrix:
        row = list(row)
        for i, j in PAIRS:
            row[i], row[j] = (row[i] + row[j]) / 2, (row[i] - row[j]) / 2
        rows.append(_linear(vectors, row, inputs))
    return rows


def make_transform(matrix):
    """An intrinsic: target = max(matrix source matrix', floor), for one vector of channels.

    ``source`` and ``target`` are of type `Matrix`; ``floor``, the least value, and ``stream``,
    whether to store past the caches, may be None.
    """
    rows, columns = len(matrix), len(matrix[0])

    @intrinsic
    def transform(typingctx, source, target, floor, stream):
        scalar = target.types[0].dtype

        def codegen(context, builder, signature, args):
            (origin, s_row, s_column), (goal, t_row, t_column) = (
                matrix_of(context, builder, kind, value)
                for kind, value in zip(signature.args, args[:2]))
            least, past_caches = args[2:]
            vectors = Vectors(builder, scalar)
            integer = ir.IntType(64)
            if floor != types.none:
                least = vectors.spread(least)
            between = cgutils.alloca_once(builder, vectors.type, size=integer(rows * columns))

            def half_way(i, j):     # rows x columns vectors, between the two products
                index = builder.add(builder.mul(i, integer(columns)), j)
                return builder.gep(between, [index])

            with cgutils.for_range(builder, integer(columns)) as loop:
                first = builder.gep(origin, [builder.mul(loop.index, s_column)])
                column = [vectors.load(first, builder.mul(s_row, integer(i)))
                          for i in range(columns)]
                for i, value in enumerate(_apply(vectors, matrix, column)):
                    builder.store(value, half_way(integer(i), loop.index))
            with cgutils.for_range(builder, integer(rows)) as loop:
                first = builder.gep(goal, [builder.mul(loop.index, t_row)])
                row = [builder.load(half_way(loop.index, integer(j))) for j in range(columns)]
                values = _apply(vectors, matrix, row)
                places = [(first, builder.mul(t_column, integer(j))) for j in range(rows)]
                if floor == types.none:
                    vectors.store_all(values, places)
                else:
                    values = [vectors.maximum(value, least) for value in values]
                    vectors.store_all(values, places, past_caches)
            return context.get_dummy_value()

        last = (floor, stream) if floor == types.none else (scalar, types.boolean)
        return types.void(source, target, *last), codegen

    return transform

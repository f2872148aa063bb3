"""What this machine can do at most."""
from __future__ import annotations

import time

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minifcn.ops.compiling import compiled
from minifcn.ops.fast.gemm import DEPTH, NO_FLOOR, Result, matrix, multiply_panel
from minifcn.ops.fast.vectors import Vectors, tile_of
from minifcn.ops.threads import set_threads
from minifcn.training.kernels import sgd_step

CHAINS = 12     # independent multiply-adds: more than latency times units, fewer than registers


@intrinsic
def _chains(typingctx, repeats, factor):
    """``CHAINS`` vectors times factor plus factor, ``repeats`` times, in registers only."""

    def codegen(context, builder, signature, args):
        vectors = Vectors(builder, types.float32)
        spread = vectors.spread(args[1])
        chains = [cgutils.alloca_once_value(builder, spread) for _ in range(CHAINS)]
        with cgutils.for_range(builder, args[0]):
            for chain in chains:
                builder.store(vectors.multiply_add(builder.load(chain), spread, spread), chain)
        total = builder.load(chains[0])
        for chain in chains[1:]:
            total = builder.fadd(total, builder.load(chain))
        return builder.extract_element(total, ir.IntType(32)(0))

    return types.float32(types.int64, types.float32), codegen


@compiled
def _run_chains(repeats, factor):
    return _chains(repeats, factor)


def core_peak(seconds: float = 0.3) -> float:
    """Float32 operations per second of one core, a multiply-add counted as two."""
    repeats = 200_000
    operations = 2 * repeats * CHAINS * tile_of("float32").lanes
    _run_chains(repeats, np.float32(0.5))
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        _run_chains(repeats, np.float32(0.5))
        best = min(best, time.perf_counter() - begin)
    return operations / best


@compiled
def _repeat_panel(repeats, rows, depth, a, b, result):
    for _ in range(repeats):
        multiply_panel(rows, b.row, depth, a, b, b, result)


def micro_kernel_peak(dtype: str = "float32", seconds: float = 0.3) -> float:
    """Operations per second of the micro-kernel on one core, its operands in the L1 cache.

    It is called as the layers call it: what a kernel is compiled into can change its own code. A
    multiply-add counts as two. The best of several runs: other work on the machine only slows.
    """
    tile = tile_of(dtype)
    a = matrix(np.ones((tile.rows, DEPTH), dtype))
    b = matrix(np.ones((DEPTH, tile.columns), dtype))
    c = matrix(np.zeros((tile.rows, tile.columns), dtype))
    result = Result(c, c, np.dtype(dtype).type(NO_FLOOR), False)
    repeats = 2000
    _repeat_panel(1, tile.rows, DEPTH, a, b, result)
    best, end = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < end:
        begin = time.perf_counter()
        _repeat_panel(repeats, tile.rows, DEPTH, a, b, result)
        duration = time.perf_counter() - begin
        best = max(best, 2 * repeats * tile.rows * tile.columns * DEPTH / duration)
    return best


def bandwidth(threads: int, values: int = 32_000_000) -> float:
    """Bytes per second between memory and all threads: three streams read, two written."""
    set_threads(threads)
    weight, gradient, velocity = (np.ones(values, np.float32) for _ in range(3))
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        sgd_step(weight, gradient, velocity, 1e-3, 0.9, 0.0)
        seconds.append(time.perf_counter() - begin)
    return 5 * weight.nbytes / min(seconds)

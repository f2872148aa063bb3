"""Other processors: the micro-kernel on AArch64, the engine without AVX."""
import os
import re
import subprocess
import sys

import pytest
from llvmlite import binding as llvm

from minifcn.ops.compiling import JIT_ENABLED

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="nothing is compiled")

# A process of its own: the width of vectors is asked once
EMIT = """
import sys
import numba, numpy as np
from minifcn.ops.fast import vectors
vectors.vector_unit = lambda: (16, 32)          # NEON
from minifcn.ops.fast import gemm
dtype = np.dtype(sys.argv[1])
matrix = gemm.matrix(np.zeros((12, 8), dtype))
result = gemm.Result(matrix, matrix, dtype.type(0), False)

@numba.njit
def tile(depth, a, b, result):
    gemm.micro_kernel(12, depth, a, b, b, result)

tile.compile(tuple(map(numba.typeof, (8, matrix, matrix, result))))
print(tile.inspect_llvm(tile.signatures[0]))
"""


def assembly(ir: str, triple: str) -> str:
    """Of the first function alone, for another processor."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    around = re.findall(r"^(?:declare|attributes|!|%|@\.).*$", ir, flags=re.M)
    module = llvm.parse_assembly("\n".join([re.search(r"^define .*?^}", ir, re.M | re.S)[0],
                                            *around]))
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=3)
    module.triple, module.data_layout = triple, str(machine.target_data)
    return machine.emit_assembly(module)


@pytest.mark.slow
@pytest.mark.parametrize("dtype, lanes", [("float32", "4s"), ("float64", "2d")])
def test_the_micro_kernel_fills_the_registers_of_aarch64(tmp_path, dtype, lanes):
    """24 fused multiply-adds on whole vectors in its loop, and no accumulator leaves the registers.
    """
    done = subprocess.run([sys.executable, "-c", EMIT, dtype], text=True, capture_output=True,
                          env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, timeout=300)
    assert done.returncode == 0, done.stderr
    text = assembly(done.stdout, "aarch64-unknown-linux-gnu")
    loop = max(re.split(r"^\.L\w+:", text, flags=re.M), key=lambda part: part.count("fmla"))
    assert loop.count("fmla") == 24 and loop.count(f".{lanes}") >= 24, loop
    assert not re.search(r"\b(str|stp|stur)\s+q", loop)
    assert re.search(r"\bprfm\b", loop)


GENERIC = """
import numpy as np
import minifcn
from minifcn import ops
from minifcn.ops.fast.vectors import vector_unit
assert vector_unit()[0] == 16, vector_unit()
rng = np.random.default_rng(0)
x, weight = rng.standard_normal((1, 13, 15, 9)), rng.standard_normal((3, 3, 9, 10))
y = ops.conv2d_forward(x, weight, np.zeros(10), 1, 1)
with minifcn.using("reference"):
    right = ops.conv2d_forward(x, weight, np.zeros(10), 1, 1)
print(abs(y - right).max() < 1e-10)
"""


@pytest.mark.slow
@pytest.mark.skipif(llvm.get_default_triple().split("-")[0] != "x86_64", reason="of x86-64")
def test_it_computes_the_same_without_avx(tmp_path):
    done = subprocess.run([sys.executable, "-c", GENERIC], text=True, capture_output=True, env={
        **os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}, timeout=300)
    assert done.stdout == "True\n", done.stderr

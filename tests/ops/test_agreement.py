"""Engines agree, threads give the same bits, and no kernel reads outside its arrays."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minifcn import ops
from minifcn.gradcheck.cases import OPERATIONS, call
from minifcn.ops import reference
from minifcn.ops.compiling import JIT_ENABLED
from tests.gradcheck.conftest import one_thread  # noqa: F401 (used by every test)

compiled_only = pytest.mark.skipif(not JIT_ENABLED, reason="compares with compiled code")


def answers(module, operation, case, dtype=np.float64):
    """Everything that the operation's functions return on a case."""
    given = {
        name: value.astype(dtype) if getattr(value, "dtype", None) == np.float64 else value
        for name, value in case.draw(np.random.default_rng(0)).items()
    }
    forward = getattr(module, operation.forward, None) or getattr(reference, operation.forward)
    answer = call(forward, given)
    answer = answer if isinstance(answer, tuple) else (answer,)
    if operation.backward is None:
        return answer
    dy = np.random.default_rng(1).standard_normal(answer[0].shape).astype(dtype)
    backward = getattr(module, operation.backward, None) or getattr(reference, operation.backward)
    gradients = call(backward, operation.backward_arguments(given, answer, dy))
    return *answer, *(gradients if isinstance(gradients, tuple) else (gradients,))


@compiled_only
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("dtype, precision", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_fast_equals_reference(operation, dtype, precision):
    from minifcn.ops import fast

    for case in operation.cases:
        for ours, theirs in zip(
            answers(fast, operation, case, dtype), answers(reference, operation, case, dtype)
        ):
            scale = max(np.abs(theirs).max(initial=0), 1)
            np.testing.assert_allclose(
                ours, theirs, rtol=0, atol=precision * scale, err_msg=case.name
            )


PLAIN = """
import sys, numpy as np
from minifcn.gradcheck.cases import OPERATIONS
from minifcn.ops import reference
from tests.ops.test_agreement import answers
np.savez(sys.argv[1], **{f"{operation.name}/{k}/{m}": np.asarray(array) for operation in OPERATIONS
                         for k, case in enumerate(operation.cases)
                         for m, array in enumerate(answers(reference, operation, case))})
"""


def run(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@compiled_only
def test_plain_python_equals_compiled(tmp_path):
    run(PLAIN, tmp_path / "plain.npz", NUMBA_DISABLE_JIT="1")
    plain = np.load(tmp_path / "plain.npz")
    for operation in OPERATIONS:
        for k, case in enumerate(operation.cases):
            for m, array in enumerate(answers(reference, operation, case)):
                other = plain[f"{operation.name}/{k}/{m}"]
                # LLVM may fuse a multiplication with an addition: the last bits differ
                np.testing.assert_allclose(
                    array, other, rtol=0, atol=1e-13 * max(np.abs(other).max(initial=0), 1)
                )


@compiled_only
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_all_threads_give_the_bits_of_one_thread_every_time(operation):
    """Races show on tiny arrays, and only now and then: 200 repeats."""
    from minifcn.ops import fast

    case = operation.cases[0]
    ops.set_threads(1)
    right = [np.asarray(each).tobytes() for each in answers(fast, operation, case)]
    ops.set_threads(4)
    for _ in range(200):
        assert [np.asarray(each).tobytes() for each in answers(fast, operation, case)] == right


BOUNDS = """
import minifcn
minifcn.set_threads(1)
from minifcn.gradcheck.cases import OPERATIONS
from minifcn.ops import fast, reference
from tests.ops.test_agreement import answers
import numpy as np
for module in (reference, fast):
    for operation in OPERATIONS:
        for case in operation.cases:
            for dtype in (np.float32, np.float64):
                answers(module, operation, case, dtype)
print("no access out of bounds")
"""


@compiled_only
@pytest.mark.slow
def test_no_kernel_reads_or_writes_out_of_bounds(tmp_path):
    """Compiled anew with bounds checks, in a cache of its own, on one thread.

    Inside ``prange`` an IndexError is swallowed, so the parallel kernels must be thin: their block
    functions, called one by one, are what is checked.
    """
    out = run(BOUNDS, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path), MINIFCN_NUM_THREADS="1")
    assert "no access out of bounds" in out

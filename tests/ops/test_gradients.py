"""Every operation on every engine, on the table of cases: gradients, adjoints, purity."""

import re

import numpy as np
import pytest

from minifcn import gradcheck, ops
from minifcn.gradcheck.cases import OPERATIONS, call
from tests.gradcheck.conftest import one_thread  # noqa: F401 (used by every test)

CASES = [
    pytest.param(operation, case, id=f"{operation.name}: {case.name}")
    for operation in OPERATIONS
    for case in operation.cases
]
LINEAR = ("conv2d", "conv_transpose2d", "bilinear_upsample", "linear", "dropout")


def draw(case, seed=0):
    return case.draw(np.random.default_rng(seed))


# where values are tied or exactly 0 there is no derivative to compare with: see test_kinks.py
SMOOTH = [each for each in CASES if not re.search("ties|constant image|exact zeros", each.id)]


@pytest.mark.parametrize("operation, case", SMOOTH)
def test_gradients_equal_central_differences(engine, operation, case):
    forward, backward, inputs = operation.pair(ops, draw(case))
    report = gradcheck.check(forward, backward, inputs, name=operation.name)
    assert all(c.tested >= min(c.got.size, 1000) for c in report.comparisons)


@pytest.mark.parametrize("operation, case", [p for p in CASES if p.values[0].name in LINEAR])
def test_backward_is_the_adjoint_of_forward(engine, operation, case):
    forward, backward, inputs = operation.pair(ops, draw(case))
    assert gradcheck.check_adjoint(forward, backward, inputs).ok


@pytest.mark.parametrize("name", ["reference", "fast", "ops"])
def test_engines_pass_their_own_checker(name):
    module = ops if name == "ops" else pytest.importorskip(f"minifcn.ops.{name}")
    for function, report in gradcheck.check_module(module).items():
        assert report.ok, f"{function}: {report}"
        assert report.notes == []


def same_bits(a, b):
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(a, b))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation, case", CASES)
def test_a_second_call_gives_the_same_bits_and_the_dtype_is_kept(engine, operation, case, dtype):
    given = {
        name: value.astype(dtype) if getattr(value, "dtype", None) == np.float64 else value
        for name, value in draw(case).items()
    }
    answer = call(getattr(ops, operation.forward), given)
    answer = answer if isinstance(answer, tuple) else (answer,)
    again = call(getattr(ops, operation.forward), given)
    assert same_bits(answer, again if isinstance(again, tuple) else (again,))
    if operation.backward:
        dy = np.random.default_rng(1).standard_normal(answer[0].shape).astype(dtype)
        arguments = operation.backward_arguments(given, answer, dy)
        first, second = (call(getattr(ops, operation.backward), arguments) for _ in range(2))
        first = first if isinstance(first, tuple) else (first,)
        assert same_bits(first, second if isinstance(second, tuple) else (second,))
        assert all(each.dtype == dtype for each in first)
    assert all(
        each.dtype == dtype
        for name, each in zip(operation.outputs, answer)
        if name in ("y", "dscores")
    )

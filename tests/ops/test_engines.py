"""Which engine is in use: for the process, for a block and its thread; engines of one's own."""
import importlib
import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

import minifcn
from minifcn import ops
from minifcn.ops import engine_name, reference
from tests.conftest import ENGINES


@pytest.fixture(autouse=True)
def everything_as_before(monkeypatch):
    registry = importlib.import_module("minifcn.ops.engines")       # ``ops.engines`` is a function
    monkeypatch.setattr(registry, "_of_process", None)
    monkeypatch.setattr(registry, "_registered", {})


def recorder(*names):
    """An engine that does what the reference does, and notes each call."""
    calls = []

    def noting(name):
        function = getattr(reference, name)
        return lambda *arguments: calls.append(name) or function(*arguments)

    return types.SimpleNamespace(**{name: noting(name) for name in names}), calls


def test_the_fast_engine_is_the_default():
    assert engine_name() == ENGINES[-1]
    assert set(ENGINES) <= set(ops.engines())


def test_use_holds_for_the_process():
    minifcn.use("reference")
    assert engine_name() == "reference"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(engine_name()))
    thread.start()
    thread.join()
    assert seen == ["reference"]
    minifcn.use(ENGINES[-1])
    assert engine_name() == ENGINES[-1]


def test_using_holds_for_the_block_and_its_thread():
    module, _ = recorder("relu_forward")
    minifcn.register_engine("mine", module)
    default = engine_name()
    inside, seen = threading.Event(), []
    done = threading.Event()

    def other():
        inside.wait(10)
        seen.append(engine_name())
        with minifcn.using("reference"):
            seen.append(engine_name())
        seen.append(engine_name())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with minifcn.using("mine"):
        inside.set()
        done.wait(10)
        assert engine_name() == "mine"
    thread.join()
    assert seen == [default, "reference", default] and engine_name() == default


def test_use_is_no_block():
    """What was one object once put the process back to the default behind everybody's back."""
    assert minifcn.use("reference") is None
    assert engine_name() == "reference"


def test_making_a_block_switches_nothing():
    block = minifcn.using("reference")
    assert engine_name() == ENGINES[-1]
    with block:
        assert engine_name() == "reference"
    assert engine_name() == ENGINES[-1]


def test_blocks_nest_and_end_with_errors_too():
    module, _ = recorder("relu_forward")
    minifcn.register_engine("mine", module)
    default = engine_name()
    with minifcn.using("mine"):
        with pytest.raises(RuntimeError), minifcn.using("reference"):
            assert engine_name() == "reference"
            raise RuntimeError
        assert engine_name() == "mine"
    assert engine_name() == default


def test_a_block_wins_over_the_process():
    module, _ = recorder("relu_forward")
    minifcn.register_engine("mine", module)
    with minifcn.using("mine"):
        minifcn.use("reference")
        assert engine_name() == "mine"
    assert engine_name() == "reference"


def test_a_partial_engine_falls_back_to_the_reference():
    """The whole FCN runs and trains on a student's own layers."""
    module, calls = recorder("conv2d_forward", "max_pool2d_backward")
    minifcn.register_engine("mine", module)

    def step():
        model = minifcn.FCN(16, 3, width=1 / 64, fc_channels=3, seed=1)
        model.parameters["score_fr.weight"] = 1.0
        x = np.random.default_rng(0).standard_normal((1, 33, 40, 3)).astype("float32")
        scores = model.forward(x, training=True)
        loss, dscores = minifcn.softmax_cross_entropy(scores, np.zeros((1, 33, 40), int))
        model.backward(dscores)
        return [scores, np.array(loss), *model.gradients.values()]

    with minifcn.using("mine"):
        mine = step()
    assert calls.count("conv2d_forward") == 17 and calls.count("max_pool2d_backward") == 5
    with minifcn.using("reference"):
        for got, expected in zip(mine, step(), strict=True):
            np.testing.assert_array_equal(got, expected)
    assert len(calls) == 22


def test_arguments_are_checked_before_a_students_engine_runs():
    module, calls = recorder("conv2d_forward")
    minifcn.register_engine("mine", module)
    x = np.zeros((1, 4, 4, 3), np.float32)
    with (
        minifcn.using("mine"),
        pytest.raises(ValueError, match="weight expects 2 input channels, x has 3"),
    ):
        ops.conv2d_forward(x, np.zeros((3, 3, 2, 1), np.float32), np.zeros(1, np.float32))
    assert calls == []


def test_registering_again_replaces():
    first, calls = recorder("relu_forward")
    second, others = recorder("relu_forward")
    x = np.ones(3, np.float32)
    with_first = minifcn.register_engine("mine", first)
    assert with_first is None
    with minifcn.using("mine"):
        ops.relu_forward(x)
        minifcn.register_engine("mine", second)
        ops.relu_forward(x)
    assert (calls, others) == (["relu_forward"], ["relu_forward"])
    assert ops.engines() == ["reference", "fast", "mine"]


def test_a_real_module_serves(tmp_path):
    module = types.ModuleType("student")
    exec("def relu_forward(x):\n    return x * (x > 0)", module.__dict__)
    minifcn.register_engine("student", module)
    with minifcn.using("student"):
        np.testing.assert_array_equal(ops.relu_forward(np.array([-1.0, 2.0])), [0, 2])


@pytest.mark.parametrize("name", ["reference", "fast"])
def test_built_in_names_are_taken(name):
    module, _ = recorder("relu_forward")
    with pytest.raises(ValueError, match=f"'{name}' is built in"):
        minifcn.register_engine(name, module)


@pytest.mark.parametrize(
    "module",
    [
        types.ModuleType("empty"),
        np,
        types.SimpleNamespace(conv2d_forward=3),
        types.SimpleNamespace(bilinear_kernel=len),
    ],
)
def test_a_module_without_an_operation_is_no_engine(module):
    with pytest.raises(ValueError, match="'mine' has no function with the name of an operation"):
        minifcn.register_engine("mine", module)
    assert "mine" not in ops.engines()


def test_an_unknown_engine():
    with pytest.raises(ValueError, match="there is no engine 'fats'; there are reference, fast"):
        minifcn.use("fats")
    assert engine_name() == ENGINES[-1]


INTERPRETED = """
import numpy as np
import minifcn
from minifcn.ops import engine_name
assert engine_name() == "reference", engine_name()
try:
    minifcn.use("fast")
except ValueError as error:
    print(error)
model = minifcn.FCN(32, 2, width=1 / 64, fc_channels=1)
print(model.predict(np.zeros((3, 5, 3), np.uint8)).shape)
"""


def test_without_the_compiler_only_the_reference_is_there():
    run = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    lines = run.stdout.splitlines()
    assert "NUMBA_DISABLE_JIT=1" in lines[0] and "unset it" in lines[0], run.stderr
    assert lines[1] == "(3, 5)"

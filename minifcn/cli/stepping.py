"""What ``minifcn step`` steps through: a function, and small whole numbers that read well."""
from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minifcn import ops
from minifcn.gradcheck.cases import FUNCTIONS, OPERATIONS, Operation

OPTIONS = {         # what an operation takes beside x, and what it is when not given
    "conv2d": {"kernel": 3, "filters": 2, "stride": 1, "padding": 0},
    "conv_transpose2d": {"kernel": 3, "filters": 2, "stride": 1, "padding": 0},
    "bilinear_upsample": {"kernel": 4, "stride": 2, "padding": 1},
    "max_pool2d": {"kernel": 2, "stride": 2}, "linear": {"filters": 2},
    "relu": {}, "dropout": {}, "softmax_cross_entropy": {},
}


def function_of(text: str) -> tuple[Callable, str]:
    """(function, its name) of ``conv2d_forward``, or of ``FILE.py:conv2d_forward``."""
    file, _, name = text.rpartition(":")
    if name not in FUNCTIONS:
        raise ValueError(f"there is no operation {name!r}; there are {', '.join(FUNCTIONS)}")
    if not file:
        return getattr(ops, name), name
    if not Path(file).is_file():
        raise ValueError(f"{file}: there is no such file")
    sys.path.insert(0, str(Path(file).resolve().parent))        # it may import what lies beside it
    specification = importlib.util.spec_from_file_location("student", file)
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, name, None)):
        raise ValueError(f"{file} has no function {name}")
    return getattr(module, name), name


def arguments_of(name: str, shape: str | None, given: dict[str, int | None],
                 seed: int) -> dict[str, Any]:
    """Arguments of an operation: arrays of whole numbers from -3 to 3."""
    operation = next(each for each in OPERATIONS if name in (each.forward, each.backward))
    options = OPTIONS[operation.name]
    for option, value in given.items():
        if value is not None and option not in options:
            raise ValueError(f"{name} takes no --{option}")
        least = 0 if option == "padding" else 1
        if value is not None and value < least:
            raise ValueError(f"--{option} is {value}, but must be at least {least}")
    options = {option: default if given[option] is None else given[option]
               for option, default in options.items()}
    rng = np.random.default_rng(seed)

    def small(*shape):
        return rng.integers(-3, 4, shape).astype(float)

    axes = 2 if operation.name == "linear" else 4
    x = small(*shape_of(shape or ("2x3" if axes == 2 else "1x4x5x2"), axes))
    arguments = forward_arguments(operation, x, small, options, seed)
    if name == operation.forward:
        return arguments
    with ops.using("reference"):
        outputs = getattr(ops, operation.forward)(*arguments.values())
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return operation.backward_arguments(arguments, outputs, small(*outputs[0].shape))


def forward_arguments(operation: Operation, x, small, options, seed) -> dict[str, Any]:
    kernel, stride, padding = (options.get(each) for each in ("kernel", "stride", "padding"))
    if operation.name in ("conv2d", "conv_transpose2d"):
        weight = small(kernel, kernel, x.shape[-1], options["filters"])
        return {"x": x, "weight": weight, "bias": small(options["filters"]),
                "stride": stride, "padding": padding}
    if operation.name == "linear":
        return {"x": x, "weight": small(x.shape[1], options["filters"]),
                "bias": small(options["filters"])}
    return {"x": x} | {
        "bilinear_upsample": {"factor": stride, "size": kernel, "padding": padding},
        "max_pool2d": {"size": kernel, "stride": stride}, "relu": {},
        "dropout": {"rate": 0.5, "seed": seed},
        "softmax_cross_entropy": {"labels": np.abs(small(*x.shape[:-1])).astype(int) % x.shape[-1]},
    }[operation.name]


def shape_of(text: str, axes: int) -> tuple[int, ...]:
    """``1x4x5x2`` -> (1, 4, 5, 2)."""
    if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5})*", text):
        raise ValueError(f"--shape {text}: give whole numbers like 1x4x5x2")
    shape = tuple(int(each) for each in text.split("x"))
    if len(shape) != axes:
        raise ValueError(f"--shape {text} has {len(shape)} axes; x needs {axes} "
                         f"({'n x h x w x c' if axes == 4 else 'n x c'})")
    return shape

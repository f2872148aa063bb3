"""Which engine runs the operations: for the whole process, or for a block of one thread."""
from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Iterator
from types import ModuleType

from minifcn.ops.compiling import JIT_ENABLED

OPERATIONS = (
    "conv2d_forward", "conv2d_backward", "conv2d_relu_forward", "conv2d_relu_backward",
    "conv_transpose2d_forward", "conv_transpose2d_backward",
    "bilinear_upsample_forward", "bilinear_upsample_backward",
    "max_pool2d_forward", "max_pool2d_backward", "relu_forward", "relu_backward",
    "linear_forward", "linear_backward", "dropout_forward", "dropout_backward",
    "softmax_cross_entropy",
)

_registered: dict[str, ModuleType] = {}
_of_process: str | None = None          # None: the default
_of_thread = threading.local()          # .names: the engines of the open ``using`` blocks


def engines() -> list[str]:
    """Names of all engines that ``use`` and ``using`` take.

    Examples
    --------
    >>> engines()[:2]
    ['reference', 'fast']
    """
    return ["reference", "fast", *_registered]


def engine_name() -> str:
    """Name of the engine in use, in this thread."""
    names = getattr(_of_thread, "names", ())
    return names[-1] if names else _of_process or ("fast" if JIT_ENABLED else "reference")


def register_engine(name: str, module: ModuleType) -> None:
    """Make ``use(name)`` select the functions of a module; what it lacks, ``reference`` supplies.

    Parameters
    ----------
    name : str
        Any name but those of the built-in engines. Registering a name again replaces its module.
    module : module
        Any object with at least one function named as in ``minifcn.ops``.

    Raises
    ------
    ValueError
        If the name is taken, or the module has no function of an operation.
    """
    if name in ("reference", "fast"):
        raise ValueError(f"{name!r} is built in; register the engine under another name")
    if not any(callable(getattr(module, each, None)) for each in OPERATIONS):
        raise ValueError(f"engine {name!r} has no function with the name of an operation, "
                         f"such as conv2d_forward")
    _registered[name] = module


def use(name: str) -> None:
    """Select the engine for the whole process.

    Parameters
    ----------
    name : str
        "reference" (textbook loops), "fast" (the default) or the name of a registered engine.

    Raises
    ------
    ValueError
        If there is no such engine, or "fast" is asked for where Numba is switched off.
    """
    global _of_process
    _of_process = _existing(name)


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Select the engine for a ``with`` block and its thread; see ``use``.

    Examples
    --------
    >>> with using("reference"):
    ...     engine_name()
    'reference'
    """
    before = getattr(_of_thread, "names", ())
    _of_thread.names = (*before, _existing(name))
    try:
        yield
    finally:
        _of_thread.names = before


def _existing(name: str) -> str:
    if name not in engines():
        raise ValueError(f"there is no engine {name!r}; there are {', '.join(engines())}")
    if name == "fast" and not JIT_ENABLED:
        raise ValueError("the fast engine exists only as compiled code, and NUMBA_DISABLE_JIT=1 "
                         "switches the compiler off; unset it, or use the engine 'reference'")
    return name


def find(function: str) -> Callable | None:
    """A function of the engine in use, if it has it. Built-in engines are imported when needed."""
    name = engine_name()
    module = _registered.get(name) or importlib.import_module(f"minifcn.ops.{name}")
    return getattr(module, function, None)


def implementation(function: str) -> Callable:
    """A function of the engine in use, or of the reference where the engine lacks it."""
    return find(function) or getattr(importlib.import_module("minifcn.ops.reference"), function)

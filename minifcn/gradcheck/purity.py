"""Does a function do anything but return its result? And does it return the same again?

Two calls with the same arguments must give the same bits. Where they do not, the sources of random
numbers are reset before each call: equal then means random numbers. If not, everything the function
could have kept since (globals, default arguments, closures, attributes) is put back: equal then
means state. What differs even so is threads that race, or memory that was never written.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import random
import time
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

_ROUNDING = 1e-13  # a sum in another order; no fault


class Finding(NamedTuple):
    cause: str
    diagnosis: str


class Kept:
    """A copy of what a function may have kept from call to call, to be put back.

    Looks at the globals that the function and its helpers name, at their default arguments,
    closures and attributes, and at the object that a method belongs to.
    """

    def __init__(self, function: Callable, only_random: bool = False):
        self._restore: list[Callable[[], None]] = []
        self._only_random = only_random
        self._seen: set[int] = set()
        self._visit(function)

    def restore(self) -> None:
        for put_back in self._restore:
            put_back()

    def _visit(self, function: Any) -> None:
        function = getattr(function, "py_func", function)  # a Numba dispatcher
        if isinstance(function, functools.partial):
            for each in (function.func, *function.args, *function.keywords.values()):
                self._visit(each)
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        if isinstance(function, types.MethodType):
            self._keep_dictionary(
                vars(function.__self__) if hasattr(function.__self__, "__dict__") else {}
            )
            function = function.__func__
        elif not isinstance(function, types.FunctionType):
            if (
                callable(function)
                and hasattr(function, "__dict__")
                and not isinstance(function, type)
            ):
                self._keep_dictionary(vars(function))
                self._visit(vars(type(function)).get("__call__"))
            return
        self._keep_dictionary(vars(function))
        self._keep_defaults(function)
        names = set(_names(function.__code__))
        for name in names & function.__globals__.keys():
            self._keep_item(function.__globals__, name, names)
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # an empty cell
                value = cell.cell_contents
                if self._is_state(value):
                    self._keep(value, lambda v, cell=cell: setattr(cell, "cell_contents", v))
                elif isinstance(value, types.ModuleType):
                    self._look_into(value, set(vars(value)))
                else:
                    self._look_into(value, names)

    def _keep_dictionary(self, dictionary: dict) -> None:
        for name in list(dictionary):
            self._keep_item(dictionary, name, set())

    def _keep_item(self, dictionary: dict, name: str, names: set[str]) -> None:
        value = dictionary[name]
        if self._is_state(value):
            self._keep(value, lambda v: dictionary.__setitem__(name, v))
        else:
            self._look_into(value, names)

    def _look_into(self, value: Any, names: set[str]) -> None:
        if isinstance(value, types.ModuleType):
            if not value.__name__.startswith(("numpy", "scipy", "numba", "minifcn")):
                for name in names & vars(value).keys():
                    self._visit(vars(value)[name])
        elif callable(value):
            self._visit(value)

    def _keep_defaults(self, function: types.FunctionType) -> None:
        if function.__defaults__ and any(map(self._is_state, function.__defaults__)):
            self._keep(function.__defaults__, lambda v: setattr(function, "__defaults__", v))
        if function.__kwdefaults__:
            self._keep(function.__kwdefaults__, lambda v: setattr(function, "__kwdefaults__", v))

    def _is_state(self, value: Any) -> bool:
        generators = (np.random.Generator, np.random.RandomState, random.Random)
        if self._only_random:
            return isinstance(value, generators)
        plain = (
            np.ndarray,
            list,
            dict,
            set,
            bytearray,
            int,
            float,
            complex,
            str,
            tuple,
            type(None),
            np.generic,
        )
        return isinstance(value, (*plain, *generators, types.SimpleNamespace))

    def _keep(self, value: Any, put: Callable[[Any], None]) -> None:
        with contextlib.suppress(
            Exception
        ):  # what cannot be copied (a lock in a list) is left alone
            saved = copy.deepcopy(value)
            self._restore.append(lambda: put(copy.deepcopy(saved)))


def _names(code: types.CodeType) -> Iterator[str]:
    """Every name that a function's code, and the functions inside it, look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@contextlib.contextmanager
def fixed_randomness() -> Iterator[None]:
    """NumPy's and Python's global random numbers start anew, and so does every new Generator."""
    original, python = np.random.default_rng, random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    np.random.default_rng = lambda seed=None: original(0 if seed is None else seed)
    try:
        yield
    finally:
        np.random.default_rng = original
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def same(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> bool:
    """Equal to the bit, or nearly so: BLAS may add in another order."""
    for a, b in zip(first, second):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.tobytes() != b.tobytes():
            if a.dtype.kind not in "fc" or a.dtype.itemsize < 8:
                return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            scale = np.nanmax(np.abs(a), initial=0)
            if not np.allclose(a, b, rtol=0, atol=_ROUNDING * scale, equal_nan=True):
                return False
    return len(first) == len(second)


def spoil_free_memory(arrays: Iterable[np.ndarray]) -> None:
    """Fill freed memory, so that ``np.empty`` does not find an earlier right answer in it."""
    # NumPy keeps a few small blocks of each size for the next array; more than those are taken and
    # filled
    blocks = [np.full(max(array.nbytes, 1), 0x7F, np.uint8) for array in arrays for _ in range(16)]
    del blocks


def explain_difference(
    call: Callable[[], tuple[np.ndarray, ...]], function: Callable, name: str
) -> Finding:
    """Why do two calls with the same arguments differ?"""
    generators, everything = Kept(function, only_random=True), Kept(function)

    def constant(prepare: Callable[[], None], randomness=fixed_randomness) -> bool:
        results = []
        for _ in range(4):
            prepare()
            with randomness():
                results.append(call())
        return all(same(results[0], each) for each in results[1:])

    if constant(lambda: None, contextlib.nullcontext):
        return Finding(
            "stateful",
            f"{name} gives another result after other calls than before, with the same "
            "arguments: it keeps state between calls",
        )
    if constant(generators.restore):
        return Finding(
            "nondeterministic",
            f"{name} gives another result at every call with the same "
            "arguments, and the same again after reseeding NumPy: it draws random numbers",
        )
    if constant(everything.restore):
        return Finding(
            "stateful",
            f"{name} gives another result at a second call with the same arguments, and "
            "the first one again after its globals and defaults were put back: it keeps state "
            "between calls",
        )
    return Finding(
        "nondeterministic",
        f"{name} gives another result at every call with the same arguments, "
        "reseeded or not: threads that race, or memory that is never written",
    )


def repeats_differ(
    call: Callable[[], tuple[np.ndarray, ...]], repeats: int = 200, seconds: float = 0.3
) -> bool:
    """Does any of many calls differ from the first? Races show on tiny arrays, now and then."""
    first, start = call(), time.perf_counter()
    for _ in range(repeats):
        if not same(first, call()):
            return True
        if time.perf_counter() - start > seconds:
            return False
    return False

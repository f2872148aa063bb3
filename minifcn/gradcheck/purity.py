"""Does a function do anything but return its result? And does it return the same again?

Two calls with the same arguments must give the same bits. Where they do not, the sources of random
numbers are reset before each call: equal then means random numbers. If not, everything the function
could have kept since (globals, default arguments, closures, attributes) is put back: equal then
means state. What differs even so is threads that race, or memory that was never written.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import functools
import random
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

_ROUNDING = 1e-13  # a sum in another order; no fault


class Finding(NamedTuple):
    cause: str
    diagnosis: str


class _Nothing:
    """Stands for a name that does not exist (yet)."""

    __slots__ = ()


_NOTHING = _Nothing()
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_PLAIN = (
    np.ndarray,
    np.generic,
    list,
    dict,
    set,
    bytearray,
    tuple,
    str,
    int,
    float,
    complex,
    type(None),
    _Nothing,
)


class _Place(NamedTuple):
    """Where a value is kept, and a copy of it."""

    get: Callable[[], Any]
    put: Callable[[Any], None]
    saved: Any


class Kept:
    """A copy of what a function may have kept from call to call, to be put back.

    Looks at the globals that the function and its helpers name, at their default arguments,
    closures and attributes, and at the attributes of objects among these.
    """

    def __init__(self, function: Callable, only_random: bool = False):
        self._places: list[_Place] = []
        self._kinds = _GENERATORS if only_random else (*_GENERATORS, *_PLAIN)
        self._seen: set[int] = set()
        self._visit(function, set())

    def restore(self) -> None:
        for place in self._places:
            place.put(_copy(place.saved))

    def changed(self) -> bool:
        """Is anything other than when this was made?"""
        return not all(_alike(place.get(), place.saved) for place in self._places)

    def _visit(self, value: Any, names: set[str]) -> None:
        """A function, an object or a module, of which only ``names`` matter."""
        value = getattr(value, "py_func", value)  # a Numba dispatcher
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if _is_of_library(value):
            return
        if isinstance(value, types.ModuleType):
            for name in names & vars(value).keys():
                if callable(vars(value)[name]):
                    self._visit(vars(value)[name], set())
        elif isinstance(value, functools.partial):
            for each in (value.func, *value.args, *value.keywords.values()):
                self._visit(each, names)
        elif isinstance(value, types.MethodType):
            self._visit(value.__self__, names)
            self._visit(value.__func__, names)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, type):
            self._keep_items(vars(value), set(vars(value)), names)
            self._visit(vars(type(value)).get("__call__"), names)

    def _visit_function(self, function: types.FunctionType) -> None:
        names = set(_names(function.__code__))
        self._keep_items(vars(function), set(vars(function)), names)
        self._keep_items(function.__globals__, names - vars(builtins).keys(), names)
        if function.__kwdefaults__:
            self._keep_items(function.__kwdefaults__, set(function.__kwdefaults__), names)
        for each in function.__defaults__ or ():
            self._visit(each, names)
        if any(isinstance(each, self._kinds) for each in function.__defaults__ or ()):
            self._keep(
                lambda: function.__defaults__, lambda v: setattr(function, "__defaults__", v)
            )
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # an empty cell
                value = cell.cell_contents
                if isinstance(value, self._kinds):
                    self._keep(
                        lambda cell=cell: cell.cell_contents,
                        lambda v, cell=cell: setattr(cell, "cell_contents", v),
                    )
                elif isinstance(value, types.ModuleType):
                    self._visit(value, set(vars(value)))
                else:
                    self._visit(value, names)

    def _keep_items(self, dictionary: dict, keys: set[str], names: set[str]) -> None:
        for key in keys:
            value = dictionary.get(key, _NOTHING)
            if not isinstance(value, self._kinds):
                self._visit(value, names)
                continue

            def put(value, key=key):
                if value is _NOTHING:
                    dictionary.pop(key, None)
                else:
                    dictionary[key] = value

            self._keep(lambda key=key: dictionary.get(key, _NOTHING), put)

    def _keep(self, get: Callable[[], Any], put: Callable[[Any], None]) -> None:
        with contextlib.suppress(TypeError):  # a lock in a list cannot be copied: left alone
            self._places.append(_Place(get, put, _copy(get())))


def _is_of_library(value: Any) -> bool:
    """Of NumPy, SciPy, Numba or the engines' machinery: none of the function's own state."""
    module = (
        value.__name__
        if isinstance(value, types.ModuleType)
        else (getattr(value, "__module__", None) or type(value).__module__)
    )
    library = str(module).split(".")[0] in ("numpy", "scipy", "numba", "_cffi_backend")
    machinery = ("minifcn.ops", "minifcn.ops.compiling", "minifcn.ops.crew", "minifcn.ops.memory")
    return library or module in machinery


def _copy(value: Any) -> Any:
    return value if value is _NOTHING else copy.deepcopy(value)


def _alike(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, np.random.Generator):
        return _alike(a.bit_generator.state, b.bit_generator.state)
    if isinstance(a, (np.random.RandomState, random.Random)):
        state = "get_state" if isinstance(a, np.random.RandomState) else "getstate"
        return _alike(getattr(a, state)(), getattr(b, state)())
    return a is b or bool(a == b)


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
    call: Callable[[], tuple[np.ndarray, ...]],
    function: Callable,
    name: str,
    fresh: Sequence[Kept] = (),
) -> Finding:
    """Why do two calls with the same arguments differ?

    ``fresh`` was kept before the first call: without a change since then there is no state.
    """
    generators, everything = Kept(function, only_random=True), Kept(function)

    def constant(prepare: Callable[[], None], randomness=fixed_randomness) -> bool:
        def prepared():
            prepare()
            with randomness():
                return call()

        return not repeats_differ(prepared, repeats=100)

    has_state = everything.changed() or any(kept.changed() for kept in fresh)
    repeats_itself = constant(lambda: None, contextlib.nullcontext)
    has_state = has_state or everything.changed()
    if repeats_itself and has_state:
        return Finding(
            "stateful",
            f"{name} gives another result after other calls than before, with the same "
            "arguments: it keeps state between calls",
        )
    if not repeats_itself and constant(generators.restore):
        return Finding(
            "nondeterministic",
            f"{name} gives another result at every call with the same "
            "arguments, and the same again after reseeding NumPy: it draws random numbers",
        )
    if has_state and constant(everything.restore):
        return Finding(
            "stateful",
            f"{name} gives another result at a second call with the same arguments, and "
            "the first one again after its globals and defaults were put back: it keeps state "
            "between calls",
        )
    return Finding(
        "nondeterministic",
        f"{name} gives now one result, now another with the same arguments, "
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

"""What can be seen only where the checked code runs: results, crashes, changed and shared arrays.

The checker says which calls to make (``Call``), this file makes them and tells what it saw
(``Seen``), as numbers, strings and arrays of its own. It judges nothing and knows no right answer,
so it may run in a student's process, on the other side of a wall: then the calls go there, and what
was seen comes back, through a pipe.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import linecache
import random
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

DISTINCT = 8  # different results of a repeated call that are kept
ROUNDING = 1e-13  # a sum in another order is the same result


class Call(NamedTuple):
    """One call to make.

    Attributes
    ----------
    function : str
        Its name in the module.
    arguments : dict
        In the order of the signature: arrays, numbers, strings, None, pairs.
    defaults : tuple of str
        Those arguments that stand at their default, so that the call leaves them out.
    before : (str, dict, tuple), optional
        A call to make right before this one (a forward, before its backward): function, arguments,
        defaults. What it returns or raises does not matter.
    form : str
        "plain"; "read-only" or "strided": arrays that are not writable, or not contiguous.
    pattern : int
        The byte with which freed memory is filled before the call.
    repeat : int
        How often to call in all; arguments are fresh copies every time. Stops after 0.3 s.
    reseed : bool
        Reset NumPy's and Python's random numbers before every call.
    """

    function: str
    arguments: dict[str, Any]
    defaults: tuple[str, ...] = ()
    before: tuple[str, dict[str, Any], tuple[str, ...]] | None = None
    form: str = "plain"
    pattern: int = 0x7F
    repeat: int = 1
    reseed: bool = False


class Crash(NamedTuple):
    """An exception: its type, its first line of words, and the last line of the user's own."""

    kind: str
    words: str
    line: int = 0
    source: str = ""
    file: str = ""


class Seen(NamedTuple):
    """What one ``Call`` did.

    Attributes
    ----------
    returned : str
        "array", "number", "None", "tuple", "list" (the results are its items) or another type's
        name.
    kinds : list of str
        The same, of each result.
    results : list of array or None
        Copies; None for what is neither array nor number.
    crash : Crash or None
    changed : list of str
        Arguments that the call has changed.
    shared : list of (int, str)
        Results, by number, that share memory with an argument, by name.
    overwritten : bool
        A later call of the same list changed the arrays that this one returned.
    order : list of int
        Of a repeated call: the number of the result, among the different ones, of each repetition;
        -1 for a crash.
    distinct : list of lists of arrays
        The first different results, at most 8.
    """

    returned: str = "None"
    kinds: Sequence[str] = ()
    results: Sequence[np.ndarray | None] = ()
    crash: Crash | None = None
    changed: Sequence[str] = ()
    shared: Sequence[tuple[int, str]] = ()
    overwritten: bool = False
    order: Sequence[int] = ()
    distinct: Sequence[Sequence[np.ndarray | None]] = ()


class ObserverLost(Exception):
    """The process that observes has gone: it died, hung, or sent nonsense. Says how, in words."""


Observe = Callable[[Sequence[Call]], list[Seen]]


def lookup(module: Any, name: str) -> Any:
    """A function of a module, of a dictionary such as ``globals()``, or of an object; or None."""
    if isinstance(module, Mapping):
        return module.get(name)
    return getattr(module, name, None)


def observe(module: Any, calls: Sequence[Call]) -> list[Seen]:
    """Make calls of a module's functions, in order, and tell what was seen."""
    seen, alive = [], []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for call in calls:
            one, live = _one(module, call)
            seen.append(one)
            alive.append(live)
    return [
        one._replace(overwritten=not same(one.results, _copies(live)) if live else False)
        for one, live in zip(seen, alive)
    ]


def answer(module: Any, calls: Sequence[Sequence[Any]]) -> list[Seen]:
    """``observe`` for calls that came through a pipe, as plain tuples."""
    return observe(module, [Call(*each) for each in calls])


def same(first: Sequence[np.ndarray | None], second: Sequence[np.ndarray | None]) -> bool:
    """Equal to the bit, or nearly so: BLAS may add in another order."""
    if len(first) != len(second):
        return False
    for a, b in zip(first, second):
        if a is None or b is None:
            if a is not b:
                return False
        elif a.shape != b.shape or a.dtype != b.dtype:
            return False
        elif a.tobytes() != b.tobytes():
            if a.dtype.kind not in "fc" or a.dtype.itemsize < 8:
                return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
            scale = np.nanmax(np.abs(a), initial=0)
            if not np.allclose(a, b, rtol=0, atol=ROUNDING * scale, equal_nan=True):
                return False
    return True


# -- one call -------------------------------------------------------------------------------------


def _one(module: Any, call: Call) -> tuple[Seen, list[Any]]:
    """What was seen, and the results themselves, to be looked at again later."""
    first, live, order, distinct = Seen(), [], [], []
    start = time.perf_counter()
    for repetition in range(call.repeat):
        if repetition and time.perf_counter() - start > 0.3:
            break
        with fixed_randomness() if call.reseed else contextlib.nullcontext():
            one, results = _called(module, call)
        if repetition == 0:
            first, live = one, results
        if call.repeat > 1:
            known = next((k for k, each in enumerate(distinct) if same(each, one.results)), None)
            if one.crash:
                known = -1
            elif known is None:
                known = len(distinct)
                if known < DISTINCT:
                    distinct.append(one.results)
            order.append(known)
    return first._replace(order=order, distinct=distinct), live


def _called(module: Any, call: Call) -> tuple[Seen, list[Any]]:
    if call.before is not None:
        name, arguments, defaults = call.before
        forward = lookup(module, name)
        if callable(forward):
            with contextlib.suppress(Exception, SystemExit):
                apply(forward, _fresh(arguments), defaults)
    function, given = lookup(module, call.function), _fresh(call.arguments, call.form)
    spoil_free_memory(call.arguments, call.pattern)
    try:
        returned = apply(function, given, call.defaults)
    except (Exception, SystemExit) as error:
        return Seen(crash=crash_of(error), changed=_changed(call.arguments, given)), []
    items = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    shared = [
        (number, name)
        for number, each in enumerate(items)
        for name, value in given.items()
        if isinstance(each, np.ndarray) and isinstance(value, np.ndarray)
        and np.may_share_memory(value, each) and np.shares_memory(value, each)
    ]
    changed = _changed(call.arguments, given)
    kinds = [_kind(each) for each in items]
    return Seen(_kind(returned), kinds, _copies(items), None, changed, shared), items


def apply(function: Callable, arguments: dict[str, Any], defaults: Sequence[str] = ()) -> Any:
    """Call with a signature's arguments: arrays by position, options by name where it has them.

    What stands at its default is left out, so that defaults are tested, and a function without the
    option works. Options without a name (``*args``, a compiled function) go by position.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    positional, named, gap = [], {}, False
    for name, value in arguments.items():
        gap = gap or name in defaults
        if name in defaults:
            continue
        if gap or (name in _OPTIONS and (any_name or name in known)):
            named[name] = value
            gap = True
        else:
            positional.append(value)
    if any_name or set(named) <= known:
        return function(*positional, **named)
    return function(*arguments.values())


_OPTIONS = ("stride", "padding", "size", "ceil_mode", "ignore", "reduction", "class_weights")


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "array"
    if isinstance(value, np.generic):
        return "array scalar"
    if isinstance(value, (bool, int, float)):
        return "number"
    if isinstance(value, (tuple, list)):
        return "tuple" if isinstance(value, tuple) else "list"
    return "None" if value is None else type(value).__name__


def _copies(values: Sequence[Any]) -> list[np.ndarray | None]:
    return [
        np.array(each) if _kind(each) in ("array", "array scalar", "number") else None
        for each in values
    ]


def _fresh(arguments: dict[str, Any], form: str = "plain") -> dict[str, Any]:
    fresh = {}
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            value = strided(value) if form == "strided" and value.ndim else value.copy()
            value.flags.writeable = form != "read-only"
        fresh[name] = value
    return fresh


def strided(array: np.ndarray) -> np.ndarray:
    """The same array on every second element of a memory with reversed axes."""
    memory = np.zeros([2 * extent for extent in array.shape[::-1]], array.dtype)
    view = memory[tuple(slice(None, None, 2) for _ in array.shape)].T
    view[...] = array
    return view


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [
        name
        for name, value in before.items()
        if isinstance(value, np.ndarray)
        and (after[name].shape != value.shape or after[name].tobytes() != value.tobytes())
    ]


def spoil_free_memory(arguments: dict[str, Any], pattern: int) -> None:
    """Fill freed memory, so that ``np.empty`` finds neither zeros nor an earlier right answer."""
    # NumPy keeps a few small blocks of each size for the next array; more than those are filled
    sizes = {value.nbytes for value in arguments.values() if isinstance(value, np.ndarray)}
    sizes |= {extent for size in sizes for extent in (size // 2, size // 4, 2 * size)}
    blocks = [np.full(max(size, 1), pattern, np.uint8) for size in sizes for _ in range(8)]
    del blocks


def crash_of(error: BaseException) -> Crash:
    """The exception in words, with the last line that is not a library's."""
    words = (str(error).strip().splitlines() or [""])[0]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not _is_library(frame.filename)
    ]
    if not frames:
        return Crash(type(error).__name__, words)
    last = frames[-1]
    source = last.line or linecache.getline(last.filename, last.lineno or 0).strip()
    return Crash(type(error).__name__, words, last.lineno or 0, source, last.filename)


def _is_library(filename: str) -> bool:
    return "site-packages" in filename or filename.startswith("<__array_function__")


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


def in_process(module: Any) -> Observe:
    """The observer of a module in this very process: no wall."""
    return functools.partial(observe, module)


def present(module: Any, names: Sequence[str]) -> list[str]:
    """Which functions a module has."""
    return [name for name in names if callable(lookup(module, name))]


def public_names(module: Any) -> list[str]:
    """All functions that a module itself defines, to tell a misspelt name from an absent one."""
    names = module if isinstance(module, Mapping) else dir(module)
    return [
        str(name)
        for name in names
        if not str(name).startswith("_")
        and callable(value := lookup(module, name))
        and not isinstance(value, (type, types.ModuleType))
    ]

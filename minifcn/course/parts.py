"""What an assignment is made of: its parts, their points, and how each is judged.

``hw1.py`` to ``hw4.py`` beside this file declare the assignments. Nothing here is secret: solutions
and the seed of the hidden cases are the instructor's, and no part of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Layer(NamedTuple):
    """A reference operation, judged by ``minifcn.gradcheck``.

    Attributes
    ----------
    name : str
        Of the part; also nbgrader's ``grade_id`` of its test cell.
    functions : tuple of str
        Names of operations: a forward, its backward, or both.
    value, gradient, purity, hidden : float
        Points.
    draw : callable
        ``draw(rng)`` gives the arguments of the forward for one hidden case, as a dictionary.
    page : str
        Where the tutorials explain it.
    leave_out : tuple of str
        Beginnings of the names of the checker's cases that this part does not judge.
    speed : float
        Points for functions that are right and 10 times as fast as plain loops.
    """

    name: str
    functions: tuple[str, ...]
    value: float = 0
    gradient: float = 0
    purity: float = 0
    hidden: float = 0
    draw: Callable[[np.random.Generator], dict[str, Any]] | None = None
    page: str = ""
    leave_out: tuple[str, ...] = ()
    speed: float = 0

    @property
    def points(self) -> float:
        return self.value + self.gradient + self.purity + self.speed


class Function(NamedTuple):
    """A plain function, held to the package's own answer.

    ``cases`` are tuples of arguments that students may know, ``draw(rng)`` gives a hidden one.
    ``mistakes`` are triples of a cause, a sentence, and a function that makes that mistake.
    """

    name: str
    function: str
    points: float
    right: Callable
    cases: Sequence[tuple]
    hidden: float = 0
    draw: Callable[[np.random.Generator], tuple] | None = None
    mistakes: Sequence[tuple[str, str, Callable]] = ()
    page: str = ""

    @property
    def functions(self) -> tuple[str, ...]:
        return (self.function,)


class Judged(NamedTuple):
    """Anything else: ``judge(ask, rng)`` calls the student's functions and gives its verdicts.

    ``ask(name, *arguments, **options)`` calls a function of the student's. A ``judge`` gives
    equally many verdicts whatever the student does. With ``hidden`` points it is called a second
    time, with an ``rng`` from the instructor's seed.
    """

    name: str
    functions: tuple[str, ...]
    points: float
    judge: Callable[[Callable, np.random.Generator], list[Verdict]]
    hidden: float = 0
    page: str = ""


class Words(NamedTuple):
    """A question to be answered in words, graded by hand."""

    name: str
    points: float
    hidden: float = 0
    functions: tuple[str, ...] = ()
    page: str = ""


Part = Layer | Function | Judged | Words


class Assignment(NamedTuple):
    """Homework: ``pages`` says for causes which page explains them.

    ``allowed`` are packages that student's code may import beside NumPy, Numba and matplotlib, of
    those that are refused otherwise (``minifcn.noticed.PACKAGES``).
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    pages: Mapping[str, str] = MappingProxyType({})
    allowed: tuple[str, ...] = ()

    def part(self, name: str) -> Part:
        """The part of that name; raises ValueError with the names that there are."""
        for each in self.parts:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self.parts)
        raise ValueError(f"{self.name} has no part {name!r}; it has {names}")

    @property
    def points(self) -> float:
        return sum(each.points + each.hidden for each in self.parts)


class Verdict(NamedTuple):
    """One check: the share of its points that is earned, and a sentence for the student."""

    share: float
    message: str = ""
    cause: str | None = None


class Failed(Exception):
    """A call of a student's function gave nothing to judge. The text is a sentence."""

    def __init__(self, message: str, cause: str = "crashed"):
        super().__init__(message)
        self.cause = cause


class Code(str):
    """An argument that is Python: evaluated beside the student's code, with ``np`` and ``module``.

    ``Code("lambda x: x ** 2")`` hands over a function, ``Code("module.relu_forward")`` one of the
    student's own.
    """


def attempt(check: Callable[[], Verdict]) -> Verdict:
    """The verdict of one check, 0 where it fails to give one."""
    try:
        return check()
    except Failed as error:
        return Verdict(0, str(error), error.cause)


def close(got: Any, right: Any, rtol: float = 1e-6, name: str = "the result") -> str | None:
    """None if two answers agree, else a sentence that says where they do not.

    Numbers and arrays agree to ``rtol`` of the largest right value; tuples, lists and dictionaries
    item by item.

    Examples
    --------
    >>> close((1.0, [2, 3]), (1.0, [2, 4]))
    'the result[1][1] is 3, right is 4'
    """
    if isinstance(right, dict):
        if not isinstance(got, dict):
            return f"{name} is {_kind(got)}, not a dictionary"
        lacking = [key for key in right if key not in got]
        if lacking:
            return f"{name} has no {lacking[0]!r}"
        items = ((close(got[key], right[key], rtol, f"{name}[{key!r}]")) for key in right)
        return next(filter(None, items), None)
    if isinstance(right, (tuple, list)):
        if isinstance(got, np.ndarray) and got.ndim:
            got = list(got)
        if not isinstance(got, (tuple, list)):
            return f"{name} is {_kind(got)}, not {len(right)} values"
        if len(got) != len(right):
            return f"{name} has {len(got)} values instead of {len(right)}"
        items = (close(a, b, rtol, f"{name}[{k}]") for k, (a, b) in enumerate(zip(got, right)))
        return next(filter(None, items), None)
    if right is None or isinstance(right, (str, bool)):
        same = isinstance(got, (np.bool_, type(right))) and got == right
        return None if same else f"{name} is {_shown(got)}, right is {_shown(right)}"
    return _close_numbers(got, np.asarray(right), rtol, name)


def _close_numbers(got: Any, right: np.ndarray, rtol: float, name: str) -> str | None:
    if not isinstance(got, (np.ndarray, np.generic, int, float, complex)):
        wanted = f"an array {right.shape}" if right.ndim else f"the number {right.item():.6g}"
        return f"{name} is {_kind(got)}, right is {wanted}"
    got = np.asarray(got)
    if got.shape != right.shape:
        return f"{name} has the shape {got.shape}, right is {right.shape}"
    if got.dtype.kind not in "biufc":
        return f"{name} has the dtype {got.dtype}"
    if not right.size:
        return None
    scale = np.abs(right[np.isfinite(right)]).max(initial=0)
    with np.errstate(invalid="ignore"):
        wrong = np.abs(got.astype(right.dtype if right.dtype.kind in "fc" else float) - right)
    bad = ~(wrong <= rtol * scale) & ~(got == right)
    if not bad.any():
        return None
    index = np.unravel_index(
        np.argmax(np.where(bad, np.nan_to_num(wrong, nan=np.inf), -1)), bad.shape
    )
    place = f"[{', '.join(str(int(k)) for k in index)}]" if right.ndim else ""
    return f"{name}{place} is {_shown(got[index])}, right is {_shown(right[index])}"


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array {value.shape}"
    return f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    text = str(value.item()) if isinstance(value, np.generic) else repr(value)
    return text if len(text) <= 80 else text[:76] + " ..."


def assignment(name: str, folder: str | Path = ".") -> Assignment:
    """An assignment by its name, such as "hw1".

    ``NAME_parts.py`` in ``folder`` comes first: there an instructor changes points and questions.

    Raises
    ------
    ValueError
        If there is no such assignment, with the names of those that there are.
    """
    import importlib
    import importlib.util

    own = Path(folder) / f"{name}_parts.py"
    if name.isidentifier() and own.is_file():
        place = importlib.util.spec_from_file_location(own.stem, own)
        module = importlib.util.module_from_spec(place)
        place.loader.exec_module(module)
        return module.ASSIGNMENT
    if name in NAMES:
        return importlib.import_module(f"minifcn.course.{name}").ASSIGNMENT
    raise ValueError(f"there is no assignment {name!r}; there are {', '.join(NAMES)}")


NAMES = ("hw1", "hw2", "hw3", "hw4")

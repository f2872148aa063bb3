"""A mistake and what it answers; and the mistakes that every operation can have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Answers = dict[str, np.ndarray]


class Fault(NamedTuple):
    """A mistake, and what it answers: arrays by name, computed when asked for.

    ``sentence`` may say ``{array}``, which becomes the name of the wrong array.
    """

    cause: str
    sentence: str
    answers: Answers | Callable[[], Answers]

    def answer(self, name: str) -> np.ndarray | None:
        """The array of that name, or None where this mistake leaves it right."""
        return (self.answers() if callable(self.answers) else self.answers).get(name)


def lazily(function: Callable[..., Answers], **arguments: Any) -> Callable[[], Answers]:
    """``function(**arguments)``, but later, and once."""
    return functools.cache(functools.partial(function, **arguments))


_AXIS_WORDS = {
    "n": ("image", "image"),
    "h": ("row", "row"),
    "w": ("column", "column"),
    "c": ("channel", "channel"),
    "kh": ("row", "kernel row"),
    "kw": ("column", "kernel column"),
    "f": ("channel", "output channel"),
    "classes": ("channel", "class"),
}
_LAYOUTS = {
    "weight": ("kh", "kw", "c", "f"),
    "dweight": ("kh", "kw", "c", "f"),
    "bias": ("f",),
    "dbias": ("f",),
    "scores": ("n", "h", "w", "classes"),
    "dscores": ("n", "h", "w", "classes"),
}


def _layout(name: str, ndim: int) -> tuple[str, ...]:
    if ndim == 2:
        return ("c", "f") if name in ("weight", "dweight") else ("n", "c")
    return _LAYOUTS.get(name, ("n", "h", "w", "c"))


def left_out(
    name: str, array: np.ndarray, fill: float = 0
) -> Iterator[tuple[str, str, np.ndarray]]:
    """(cause, words, array without its last or first row, column, ...)"""
    layout = _layout(name, array.ndim)
    if array.ndim != len(layout):
        return
    for which, index in (("last", -1), ("first", 0)):
        for axis, letter in enumerate(layout):
            part, words = _AXIS_WORDS[letter]
            without = array.copy()
            without[(slice(None),) * axis + (index,)] = fill
            yield f"{which}_{part}_missing", f"the {which} {words}", without
        if array.ndim == 4:
            a, b = (0, 1) if layout[0] == "kh" else (1, 2)
            without = array.copy()
            without[(slice(None),) * a + (index,)] = without[(slice(None),) * b + (index,)] = fill
            yield (
                f"{which}_row_missing",
                f"the {which} {_AXIS_WORDS[layout[a]][1]} and {_AXIS_WORDS[layout[b]][1]}",
                without,
            )


def missing_parts(
    right: Callable[..., Answers], arguments: dict[str, Any], answers: Answers
) -> Iterator[Fault]:
    """Loops that end too early (or begin too late), over the results or over an argument."""
    for name, array in answers.items():
        if name == "argmax":
            continue
        for cause, words, without in left_out(name, array):
            yield Fault(
                cause, f"{{array}} is right but for {words}, which is left out", {name: without}
            )
    for name, array in arguments.items():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim:
            for cause, words, without in left_out(name, array):
                yield Fault(
                    cause,
                    f"{{array}} comes out as if {words} of {name} were left out",
                    lazily(right, **{**arguments, name: without}),
                )


def dy_ignored(right, dy) -> Iterator[Fault]:
    yield Fault(
        "dy_ignored",
        "{array} does not depend on dy: it is what dy = 1 everywhere gives",
        lazily(right, dy=np.ones_like(dy)),
    )
    yield Fault(
        "dy_ignored",
        "{array} depends on the sum of dy only",
        lazily(right, dy=np.full_like(dy, dy.sum())),
    )
    yield Fault(
        "dy_ignored",
        "{array} depends on the mean of dy only",
        lazily(right, dy=np.full_like(dy, dy.mean())),
    )

"""Trials: calls whose right answers are known. What was wrong in them, and where."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minifcn.gradcheck.observe import Crash
from minifcn.ops.checks import pair

Answers = dict[str, np.ndarray]


class Finding(NamedTuple):
    """Something that is wrong: one word, one sentence, the textbook's lines before and after."""

    cause: str
    diagnosis: str
    edit: Sequence[tuple[str, str]] = ()


class Trial(NamedTuple):
    """One call, what came back, and what should have. NaN in ``right`` is not judged.

    ``precision`` is relative to the largest right value. ``problem`` says what is wrong with the
    form of the answer, if it is not that of the right one.
    """

    function: str
    case: str
    arguments: dict[str, Any]  # of the function
    given: dict[str, Any]  # of its forward
    right: Answers
    got: Answers | None = None
    crash: Crash | None = None
    problem: Finding | None = None
    precision: float = 1e-9

    @property
    def answered(self) -> bool:
        return self.got is not None

    @property
    def size(self) -> int:
        """Steps that the textbook takes, more or less."""
        weight = self.given.get("weight")
        kernel = weight.shape[0] * weight.shape[1] if np.ndim(weight) == 4 else 1
        arrays = [value.size for value in self.arguments.values() if isinstance(value, np.ndarray)]
        return sum(arrays) * kernel

    def wrong(self, name: str) -> np.ndarray | None:
        """Which elements of an array are wrong; None if it has another shape, or does not exist."""
        if self.got is None or name not in self.got:
            return None
        got, right = self.got[name], self.right[name]
        if got.shape != right.shape:
            return None
        slack = self.precision * self.scale(name)
        with np.errstate(invalid="ignore"):
            agrees = np.abs(np.asarray(got, float) - right) <= slack
        return ~(agrees | np.isnan(right))

    def fails(self, name: str) -> bool:
        wrong = self.wrong(name)
        return wrong is None or bool(wrong.any())

    def scale(self, name: str) -> float:
        """The largest right value; where all are 0, what rounding can leave of the arguments."""
        largest = _largest(self.right[name])
        return largest or 1e-3 * max(map(_largest, self.arguments.values()), default=0.0)

    def is_predicted(self, name: str, predicted: np.ndarray | None) -> bool:
        """Is this array what a mistake predicts? Not finite at the same places is the same."""
        if predicted is None or self.got is None or name not in self.got:
            return False
        got, predicted = self.got[name], np.asarray(predicted)
        if got.shape != predicted.shape or predicted.dtype.kind not in "fiub":
            return False
        slack = 10 * self.precision * max(self.scale(name), _largest(predicted))
        finite = np.isfinite(got)
        with np.errstate(invalid="ignore"):
            close = np.abs(np.asarray(got, float) - predicted) <= slack
        untested = np.isnan(self.right[name]) if self.right[name].shape == got.shape else False
        return bool(np.where(finite, close | untested, ~np.isfinite(predicted)).all())


def _largest(value: Any) -> float:
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.kind not in "fiu":
        return 0.0
    finite = np.abs(value[np.isfinite(value)])
    return float(finite.max(initial=0))


# ---------------------------------------------------------------------------------------------
# Under which condition? Read off the arguments of the trials that fail and of those that do not
# ---------------------------------------------------------------------------------------------


def _options(g: dict[str, Any]) -> tuple:
    """Strides and paddings of a case, as pairs."""
    return pair(g.get("stride", g.get("factor", 1))), pair(g.get("padding", 0))


def _windows(g: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """(extent, kernel, stride, padding) along rows and columns; empty without windows."""
    if np.ndim(g.get("x")) != 4 or "stride" not in g:
        return []
    kernel = g["weight"].shape[:2] if "weight" in g else pair(g["size"])
    return list(zip(g["x"].shape[1:3], kernel, *_options(g)))


def _rests(g: dict[str, Any]) -> list[tuple[int, int]]:
    """What the stride leaves over, and the padding, along rows and columns."""
    return [((e + 2 * p - k) % s, p) for e, k, s, p in _windows(g)]


def _shape(g: dict[str, Any]) -> tuple[int, ...]:
    return g.get("x", g.get("scores")).shape


def _equal(g: dict[str, Any], array: str, axes: slice) -> bool | None:
    """Are two extents of an array equal? None where there is no such array of four axes."""
    array = g.get(array, g.get("scores") if array == "x" else None)
    return array.shape[axes][0] == array.shape[axes][1] if np.ndim(array) == 4 else None


def _ignored(g: dict[str, Any]) -> np.ndarray:
    return g["labels"] == g["ignore"] if "labels" in g else np.zeros(0, bool)


def _relu(g: dict[str, Any]) -> np.ndarray | None:
    return g["x"] if set(g) == {"x"} else None


HALVES, INNER, CHANNELS = slice(0, 2), slice(1, 3), slice(2, 4)
CONDITIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "with more than one image": lambda g: _shape(g)[0] > 1,
    "with one image": lambda g: _shape(g)[0] == 1,
    "with more than 8 images": lambda g: _shape(g)[0] > 8,
    "with more than 16 channels": lambda g: _shape(g)[-1] > 16,
    "with one channel": lambda g: _shape(g)[-1] == 1,
    "where the stride is above 1": lambda g: max(_options(g)[0]) > 1,
    "where the stride is 1": lambda g: max(_options(g)[0]) == 1,
    "where the stride is above 2": lambda g: max(_options(g)[0]) > 2,
    "where the padding is above 0": lambda g: max(_options(g)[1]) > 0,
    "where the padding is 0": lambda g: max(_options(g)[1]) == 0,
    "where stride and padding differ between rows and columns":
        lambda g: any(a != b for a, b in _options(g)),
    "where stride or padding is given as a pair":
        lambda g: any(isinstance(g.get(name), tuple) for name in ("stride", "padding", "size")),
    "where the kernel is square": lambda g: _equal(g, "weight", HALVES) is True,
    "where the kernel is not square": lambda g: _equal(g, "weight", HALVES) is False,
    "where the kernel has an even size": lambda g: "size" in g and pair(g["size"])[0] % 2 == 0,
    "where the kernel has an odd size": lambda g: "size" in g and pair(g["size"])[0] % 2 == 1,
    "where the image is square": lambda g: _equal(g, "x", INNER) is True,
    "where the image is not square": lambda g: _equal(g, "x", INNER) is False,
    "where input and output channels are equal in number":
        lambda g: _equal(g, "weight", CHANNELS) is True,
    "where input and output channels differ in number":
        lambda g: _equal(g, "weight", CHANNELS) is False,
    "where the stride leaves a rest": lambda g: any(rest for rest, _ in _rests(g)),
    "where the stride leaves a rest larger than the padding":
        lambda g: any(rest > p for rest, p in _rests(g)),
    "where the stride leaves no rest": lambda g: _rests(g) and not any(r for r, _ in _rests(g)),
    "where windows overlap": lambda g: any(k > s for _, k, s, _ in _windows(g)),
    "where windows do not overlap": lambda g: _windows(g) and all(k <= s for _, k, s, _
                                                                  in _windows(g)),
    "where windows leave gaps": lambda g: any(k < s for _, k, s, _ in _windows(g)),
    "where the padding is at least the kernel": lambda g: any(p >= k for _, k, _, p in _windows(g)),
    "where the window's size differs from the stride":
        lambda g: any(k != s for _, k, s, _ in _windows(g)),
    "without a bias": lambda g: "bias" in g and g["bias"] is None,
    "where ceil_mode is False": lambda g: g.get("ceil_mode") is False,
    "where ceil_mode is True": lambda g: g.get("ceil_mode") is True,
    "where values in a window are equal":
        lambda g: "ceil_mode" in g and np.unique(g["x"]).size < g["x"].size,
    "where all values are negative": lambda g: "x" in g and (g["x"] < 0).all(),
    "where x is exactly 0 somewhere": lambda g: _relu(g) is not None and (g["x"] == 0).any(),
    "where x has values near 0": lambda g: _relu(g) is not None and _largest(g["x"]) < 1e-3,
    "where x has large values": lambda g: _relu(g) is not None and _largest(g["x"]) > 6,
    "where x has another number of axes than 4": lambda g: np.ndim(_relu(g)) not in (0, 4),
    "with reduction='mean'": lambda g: g.get("reduction") == "mean",
    "with reduction='sum'": lambda g: g.get("reduction") == "sum",
    "with reduction='sum_per_image'": lambda g: g.get("reduction") == "sum_per_image",
    "with another reduction than 'mean'": lambda g: g.get("reduction", "mean") != "mean",
    "with class weights": lambda g: g.get("class_weights") is not None,
    "without class weights": lambda g: "class_weights" in g and g["class_weights"] is None,
    "where pixels are ignored": lambda g: _ignored(g).any(),
    "where some pixels are ignored": lambda g: _ignored(g).any() and not _ignored(g).all(),
    "where no pixel is ignored": lambda g: "ignore" in g and not _ignored(g).any(),
    "where every pixel is ignored": lambda g: "ignore" in g and _ignored(g).all(),
    "where another label than 255 is ignored": lambda g: g.get("ignore", 255) != 255,
    "where a negative label is ignored": lambda g: g.get("ignore", 255) < 0,
    "where the ignored label is one of the classes":
        lambda g: "ignore" in g and 0 <= g["ignore"] < _shape(g)[-1],
    "where the labels are small unsigned integers":
        lambda g: "labels" in g and g["labels"].dtype.itemsize == 1,
    "with large scores": lambda g: _largest(g.get("scores")) > 50,
    "with a single class": lambda g: "scores" in g and _shape(g)[-1] == 1,
    "where the rate is 0": lambda g: g.get("rate") == 0,
    "where the rate is above 0": lambda g: g.get("rate", 0) > 0,
    "in float32": lambda g: g.get("x", g.get("scores")).dtype == np.float32,
    "in float64": lambda g: g.get("x", g.get("scores")).dtype == np.float64,
}


def condition(failing: Sequence[Trial], others: Sequence[Trial]) -> str | None:
    """What all failing trials have in common and none of the others has, in words."""
    if not others or not {"x", "scores"} & failing[0].given.keys():
        return None
    common = {
        words: [bool(test(trial.given)) for trial in others]
        for words, test in CONDITIONS.items() if all(test(trial.given) for trial in failing)
    }
    for words, outside in common.items():
        if not any(outside):
            return words
    for a, b in itertools.combinations(common, 2):
        if not any(x and y for x, y in zip(common[a], common[b])):
            return f"{a} and {b}"
    return None

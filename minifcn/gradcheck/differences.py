"""Derivatives by differences: what the gradient must be, found without knowing how it is computed.

For y = f(x) and a random dy, the gradient of the number ``sum(dy * y)`` is what ``backward``
returns. Each element of x is moved by ±h, and the slope is (f(x + h) - f(x - h)) / 2h, which is
wrong by h² f'''/6 plus rounding of about 1e-16 f / h: h = 1e-5 times the size of x balances the two
in float64, and float32 is hopeless. What counts as equal is relative to the gradient's own largest
element, so that neither tiny gradients pass unseen nor huge ones fail.

ReLU and max pooling have kinks, where there is no derivative. A step that crosses one sees a
mixture of two slopes. So an element that disagrees is tried again with smaller steps: if it then
agrees, the first step had crossed a kink. If the slopes to the left and to the right go on
disagreeing, x stands on the kink itself, and any value between the two will do. Both are counted,
neither is a failure. (Where the function bends strongly, as sqrt does near 0, a smaller step agrees
too, but by and by: ten times smaller, a hundred times better. That is no kink.)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


class Tolerance(NamedTuple):
    """An element agrees if ``|a - n| <= absolute * largest + relative * max(|a|, |n|)``.

    ``largest`` is the largest element of the gradient.
    """

    absolute: float = 1e-7
    relative: float = 1e-6

    def agrees(self, a, n, largest=1.0):
        # written so that a NaN never agrees
        slack = self.absolute * largest + self.relative * np.maximum(np.abs(a), np.abs(n))
        return np.abs(a - n) <= slack


class Element(NamedTuple):
    """One element of a gradient, put to the test."""

    index: tuple[int, ...]
    numerical: float
    agrees: bool
    crosses: bool  # a kink: not counted as a failure


class Slope(NamedTuple):
    """A slope, and what rounding may have added to it."""

    value: float
    noise: float


def slope(function: Function, x: np.ndarray, dy: np.ndarray, direction: np.ndarray,
          before: float, after: float) -> Slope:
    """Slope of ``sum(dy * function(x + t * direction))`` between t = before and t = after."""
    low, high = function(x + before * direction), function(x + after * direction)
    change = np.subtract(high, low)
    size = np.where(change != 0, np.abs(high) + np.abs(low), 0)
    noise = 4 * np.finfo(float).eps * np.linalg.norm(np.ravel(dy * size)) / (after - before)
    return Slope(float(np.sum(dy * change) / (after - before)), float(noise))


def sides(function: Function, x: np.ndarray, dy: np.ndarray, direction: np.ndarray,
          h: float) -> tuple[float, float]:
    """Least and largest slope that a kink at x allows.

    Each element of y may take the slope of its left or of its right side: of two windows of a max
    pooling that share a tied value, one may choose it and the other not.
    """
    left = dy * np.subtract(function(x), function(x - h * direction)) / h
    right = dy * np.subtract(function(x + h * direction), function(x)) / h
    return float(np.sum(np.minimum(left, right))), float(np.sum(np.maximum(left, right)))


def agreement(function: Function, x: np.ndarray, dy: np.ndarray, direction: np.ndarray,
              analytic: float, step: float, tolerance: Tolerance, *, largest: float = 1.0,
              mind_kinks: bool = True) -> tuple[float, bool, bool]:
    """(numerical slope, agrees, crosses a kink) along a direction."""

    def agrees(each: Slope) -> bool:
        error = abs(analytic - each.value)
        within_rounding = error <= each.noise < 0.01 * abs(each.value)
        return bool(tolerance.agrees(analytic, each.value, largest) or within_rounding)

    central = slope(function, x, dy, direction, -step, step)
    if agrees(central) or not mind_kinks:
        return central.value, agrees(central), False
    before = central
    for h in (step / 10, step / 100, step / 1e3, step / 1e4):
        closer = slope(function, x, dy, direction, -h, h)
        if agrees(closer):
            by_and_by = abs(before.value - analytic) < 1000 * abs(closer.value - analytic)
            return closer.value, True, not by_and_by
        before = closer
    far_low, far_high = sides(function, x, dy, direction, step)
    low, high = sides(function, x, dy, direction, step / 100)
    slack = tolerance.absolute * largest + tolerance.relative * max(abs(low), abs(high))
    # between smooth sides the gap shrinks with the step, at a kink it stays
    kink = high - low > max(slack, (far_high - far_low) / 2)
    on_kink = bool(kink and low - slack <= analytic <= high + slack)
    return central.value, on_kink, on_kink


PATIENCE = 50  # failures without a kink among them, after which no more kinks are looked for


def steps(x: np.ndarray, step: float) -> np.ndarray:
    """h for every element: ``step`` times its size, or the median element's if that is larger."""
    sizes = np.maximum(np.abs(x), np.median(np.abs(x)) if x.size else 0.0)
    return step * np.where(sizes > 0, sizes, np.max(sizes, initial=0) or 1.0)


def directions(shape: tuple[int, ...], indices: Iterable) -> Iterator[tuple[tuple, np.ndarray]]:
    """Each index, and an array with 1 there: always the same array."""
    direction = np.zeros(shape)
    for index in indices:
        direction[index] = 1
        yield index, direction
        direction[index] = 0


def compare_elements(function: Function, x: np.ndarray, dy: np.ndarray, gradient: np.ndarray,
                     indices: Iterable[tuple[int, ...]], step: float,
                     tolerance: Tolerance) -> list[Element]:
    """Compare elements of a gradient with central differences."""
    indices, h = list(indices), steps(x, step)
    slopes = [slope(function, x, dy, direction, -h[index], h[index]).value
              for index, direction in directions(x.shape, indices)]
    largest = float(np.max(np.abs([each for each in slopes if np.isfinite(each)]), initial=0))
    elements, failures, crossings = [], 0, 0
    for (index, direction), numerical in zip(directions(x.shape, indices), slopes):
        analytic, crosses = gradient[index], False
        agrees = bool(tolerance.agrees(analytic, numerical, largest))
        if not agrees:
            mind_kinks = crossings > 0 or failures < PATIENCE
            numerical, agrees, crosses = agreement(
                function, x, dy, direction, analytic, h[index], tolerance, largest=largest,
                mind_kinks=mind_kinks)
        elements.append(Element(index, numerical, agrees, crosses))
        failures, crossings = failures + (not agrees), crossings + crosses
    return elements


def numerical_gradient(function: Function, x: np.ndarray, dy: np.ndarray,
                       step: float = 1e-5) -> np.ndarray:
    """The whole gradient of ``sum(dy * function(x))`` by central differences.

    Parameters
    ----------
    function : callable
        From an array like x to an array or number.
    x : float64 array
    dy : array or number like ``function(x)``
    step : float
        h is ``step`` times the size of x.
    """
    return _central(function, x, dy, steps(x, step))


def _central(function: Function, x: np.ndarray, dy: np.ndarray, h: np.ndarray) -> np.ndarray:
    gradient = np.zeros_like(x)
    for index, direction in directions(x.shape, np.ndindex(x.shape)):
        gradient[index] = slope(function, x, dy, direction, -h[index], h[index]).value
    return gradient


def choose_elements(shape: tuple[int, ...], limit: int,
                    rng: np.random.Generator) -> list[tuple[int, ...]]:
    """All elements of an array, or, above ``limit``, a choice that holds what bugs are fond of.

    Every corner, then for every axis a share with that index first and a share with it last
    (borders, first and last channel, first and last image), then random ones.
    """
    if np.prod(shape, dtype=int) <= limit:
        return list(np.ndindex(*shape))
    chosen = dict.fromkeys(itertools.product(*(sorted({0, extent - 1}) for extent in shape)))
    share = limit // (4 * len(shape))
    for axis, extent in enumerate(shape):
        for edge in (0, extent - 1):
            some = rng.integers(0, shape, (share, len(shape)))
            some[:, axis] = edge
            chosen.update(dict.fromkeys(map(tuple, some.tolist())))
    anywhere = rng.integers(0, shape, (limit // 2, len(shape))).tolist()
    return list(chosen | dict.fromkeys(map(tuple, anywhere)))


def complex_step_gradient(function: Function, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The gradient of ``sum(dy * function(x))`` to the last bit, for analytic functions.

    For a real analytic f, f(x + ih) = f(x) + ih f'(x) - h²f''/2 - ...: the imaginary part over h is
    the derivative. Nothing is subtracted, so nothing cancels, and h can be 1e-30. It works where
    ``function`` takes complex arrays and is analytic: sums, products, ``exp``, but not ``abs``,
    ``max`` or a comparison. Lyness and Moler, SIAM J. Numer. Anal. 4 (1967); Squire and Trapp, SIAM
    Review 40 (1998).
    """
    h = 1e-30
    gradient, moved = np.zeros_like(x), x.astype(complex)
    for index in np.ndindex(x.shape):
        moved[index] += 1j * h
        gradient[index] = np.sum(dy * np.imag(function(moved))) / h
        moved[index] = x[index]
    return gradient


class Sweep(NamedTuple):
    """Largest error of the differences over the step h, relative to the largest gradient."""

    steps: np.ndarray
    errors: np.ndarray

    def figure(self):
        """The V: rounding (1/h) on the left, truncation (h²) on the right."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.loglog(self.steps, self.errors, "o-", label="central differences")
        best = int(np.argmin(self.errors))
        label = f"best h = {self.steps[best]:.0e}"
        axes.axvline(self.steps[best], color="grey", linestyle=":", label=label)
        axes.set(xlabel="step h", ylabel="largest error, relative to the largest gradient",
                 title="too small: rounding   |   too large: truncation")
        axes.legend()
        return figure


def sweep(forward: Callable, backward: Callable, inputs: list[np.ndarray], argument: int = 0,
          steps: np.ndarray | None = None, seed: int = 0) -> Sweep:
    """Error of the gradient of one input against differences with many steps.

    A right gradient gives a V that reaches below 1e-8; a wrong one a flat line at the size of its
    mistake.

    Parameters
    ----------
    forward, backward, inputs
        As for ``check``.
    argument : int
        Which of the inputs.
    steps : array, optional
        The values of h; by default 1e-1 to 1e-12.
    """
    steps = np.logspace(-1, -12, 23) if steps is None else np.asarray(steps)
    inputs = [
        each.astype(np.float64) if getattr(each, "dtype", np.dtype(int)).kind == "f" else each
        for each in inputs
    ]
    dy = np.random.default_rng(seed).standard_normal(np.shape(forward(*inputs)))
    gradients = backward(dy, *inputs)
    gradient = gradients[argument] if isinstance(gradients, (tuple, list)) else gradients
    x = inputs[argument]

    def function(moved):
        return forward(*inputs[:argument], moved, *inputs[argument + 1 :])

    errors = []
    for step in steps:
        numerical = _central(function, x, dy, np.full(x.shape, step))
        errors.append(np.abs(numerical - gradient).max() / np.abs(gradient).max())
    return Sweep(steps, np.maximum(errors, np.finfo(float).tiny))

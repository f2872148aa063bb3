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
from collections.abc import Callable, Iterable
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


def slope(
    function: Function,
    x: np.ndarray,
    dy: np.ndarray,
    direction: np.ndarray,
    before: float,
    after: float,
) -> Slope:
    """Slope of ``sum(dy * function(x + t * direction))`` between t = before and t = after."""
    low, high = function(x + before * direction), function(x + after * direction)
    change = np.subtract(high, low)
    size = np.where(change != 0, np.abs(high) + np.abs(low), 0)
    noise = 4 * np.finfo(float).eps * np.linalg.norm(np.ravel(dy * size)) / (after - before)
    return Slope(float(np.sum(dy * change) / (after - before)), float(noise))


def agreement(
    function: Function,
    x: np.ndarray,
    dy: np.ndarray,
    direction: np.ndarray,
    analytic: float,
    step: float,
    tolerance: Tolerance,
    *,
    largest: float = 1.0,
    mind_kinks: bool = True,
) -> tuple[float, bool, bool]:
    """(numerical slope, agrees, crosses a kink) along a direction."""

    def agrees(each: Slope) -> bool:
        return bool(tolerance.agrees(analytic, each.value, largest) or
                    abs(analytic - each.value) <= each.noise < 0.01 * abs(each.value))  # fmt: skip

    central = slope(function, x, dy, direction, -step, step)
    if agrees(central):
        return central.value, True, False
    if not mind_kinks:
        return central.value, False, False
    before = central
    for h in (step / 10, step / 100, step / 1e3, step / 1e4):
        closer = slope(function, x, dy, direction, -h, h)
        if agrees(closer):
            by_and_by = abs(before.value - analytic) < 1000 * abs(closer.value - analytic)
            return closer.value, True, not by_and_by
        before = closer

    def sides(h):
        one, other = (
            slope(function, x, dy, direction, *ends).value for ends in ((-h, 0), (0, h))
        )
        return sorted((one, other))

    (far_low, far_high), (low, high) = sides(step), sides(step / 100)
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


def compare_elements(
    function: Function,
    x: np.ndarray,
    dy: np.ndarray,
    gradient: np.ndarray,
    indices: Iterable[tuple[int, ...]],
    step: float,
    tolerance: Tolerance,
) -> list[Element]:
    """Compare elements of a gradient with central differences."""
    indices, h = list(indices), steps(x, step)
    direction, slopes = np.zeros_like(x), []
    for index in indices:
        direction[index] = 1
        slopes.append(slope(function, x, dy, direction, -h[index], h[index]).value)
        direction[index] = 0
    largest = float(np.max(np.abs([each for each in slopes if np.isfinite(each)]), initial=0))
    elements, failures, crossings = [], 0, 0
    for index, numerical in zip(indices, slopes):
        agrees, crosses = bool(tolerance.agrees(gradient[index], numerical, largest)), False
        if not agrees:
            direction[index] = 1
            mind_kinks = crossings > 0 or failures < PATIENCE
            numerical, agrees, crosses = agreement(
                function,
                x,
                dy,
                direction,
                gradient[index],
                h[index],
                tolerance,
                largest=largest,
                mind_kinks=mind_kinks,
            )
            direction[index] = 0
        elements.append(Element(index, numerical, agrees, crosses))
        failures, crossings = failures + (not agrees), crossings + crosses
    return elements


def numerical_gradient(
    function: Function, x: np.ndarray, dy: np.ndarray, step: float = 1e-5
) -> np.ndarray:
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
    gradient, direction, h = np.zeros_like(x), np.zeros_like(x), steps(x, step)
    for index in np.ndindex(x.shape):
        direction[index] = 1
        gradient[index] = slope(function, x, dy, direction, -h[index], h[index]).value
        direction[index] = 0
    return gradient


def choose_elements(
    shape: tuple[int, ...], limit: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
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
    chosen.update(
        dict.fromkeys(map(tuple, rng.integers(0, shape, (limit // 2, len(shape))).tolist()))
    )
    return list(chosen)


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
        axes.axvline(
            self.steps[best], color="grey", linestyle=":", label=f"best h = {self.steps[best]:.0e}"
        )
        axes.set(
            xlabel="step h",
            ylabel="largest error, relative to the largest gradient",
            title="too small: rounding   |   too large: truncation",
        )
        axes.legend()
        return figure


def sweep(
    forward: Callable,
    backward: Callable,
    inputs: list[np.ndarray],
    argument: int = 0,
    steps: np.ndarray | None = None,
    seed: int = 0,
) -> Sweep:
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
        np.array(each, np.float64)
        if isinstance(each, np.ndarray) and each.dtype.kind == "f"
        else each
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
        numerical = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            direction = np.zeros_like(x)
            direction[index] = 1
            numerical[index] = slope(function, x, dy, direction, -step, step).value
        errors.append(np.abs(numerical - gradient).max() / np.abs(gradient).max())
    return Sweep(steps, np.maximum(errors, np.finfo(float).tiny))

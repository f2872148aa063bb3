"""``check``: is ``backward`` the gradient of ``forward``? For any pair of NumPy functions.

The answer is a ``Report``; by default a failure raises. ``check_layer`` and ``check_model`` bring
objects with parameters into the same form, ``check_adjoint`` is the quick and sharp test for linear
functions.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minifcn.gradcheck import diagnosis, purity
from minifcn.gradcheck.differences import (
    Tolerance,
    agreement,
    choose_elements,
    compare_elements,
    numerical_gradient,
)
from minifcn.gradcheck.purity import Finding
from minifcn.gradcheck.recognition import recognise, unknown_mistakes
from minifcn.gradcheck.report import Comparison, GradientError, Report

MOST_CROSSINGS = 0.05
DIRECTIONS = 8


def check(
    forward: Callable,
    backward: Callable,
    inputs: Sequence[Any],
    strict: bool = True,
    *,
    name: str | None = None,
    names: Sequence[str] | None = None,
    fast: bool = False,
    step: float = 1e-5,
    tolerance: Tolerance | None = None,
    limit: int = 2000,
    seed: int = 0,
) -> Report:
    """Check a backward function against central differences of its forward function.

    Parameters
    ----------
    forward : callable
        ``y = forward(*inputs)``, an array or a number.
    backward : callable
        ``gradients = backward(dy, *inputs)``: one per input, None where there is none. ``forward``
        is called right before it, so it may use what ``forward`` kept.
    inputs : sequence
        float64 arrays get their gradients checked; anything else is passed through.
    strict : bool
        Raise ``GradientError`` on a failure.
    name : str, optional
        What the report calls the pair; the name of ``backward`` by default.
    names : sequence of str, optional
        Of the gradients, such as "dx"; by default "d" and the parameters' names of forward.
    fast : bool
        For large layers: only 8 random directions per array, instead of its elements.
    step : float
        h is ``step * max(1, |x|)``.
    tolerance : Tolerance, optional
        ``Tolerance(absolute=1e-7, relative=1e-6)``, for one layer.
    limit : int
        Arrays with more elements are checked at that many, corners and borders always, and along 8
        random directions.
    seed : int
        Of dy and of the directions.

    Returns
    -------
    report : Report

    Raises
    ------
    GradientError
        With ``strict``, if anything is wrong; it has the report as ``.report``.
    ValueError
        If an input is float32, or none is float64: differences need float64.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> check(np.square, lambda dy, x: 2 * x * dy, [x]).ok
    True
    >>> check(np.square, lambda dy, x: x * dy, [x], strict=False).diagnosis
    'dx is 0.5 times the right answer'
    """
    checker = _Checker(
        forward, backward, inputs, name, names, fast, step, tolerance or Tolerance(), limit, seed
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        report = checker.report()
    if strict and not report.ok:
        raise GradientError(report)
    return report


class _Malformed(Exception):
    """What came back is not what was asked for."""

    def __init__(self, cause: str, words: str):
        super().__init__(words)
        self.finding = Finding(cause, words)


class _Checker:
    """One run of ``check``."""

    def __init__(self, forward, backward, inputs, name, names, fast, step, tolerance, limit, seed):
        self.forward, self.backward = forward, backward
        self.inputs = list(inputs)
        self.name = name or getattr(backward, "__name__", "backward").replace(
            "<lambda>", "backward"
        )
        self.fast, self.step, self.tolerance, self.limit = fast, step, tolerance, limit
        self.rng = np.random.default_rng(seed)
        self.positions = self._differentiable()
        self.names = list(names) if names else _gradient_names(forward, backward, len(self.inputs))
        self.findings: list[Finding] = []
        self.kept = [purity.Kept(backward), purity.Kept(forward)]

    def _differentiable(self) -> list[int]:
        for position, value in enumerate(self.inputs):
            if (
                isinstance(value, np.ndarray)
                and value.dtype.kind == "f"
                and value.dtype != np.float64
            ):
                raise ValueError(
                    f"input {position} is {value.dtype}, whose rounding hides wrong gradients; "
                    f"check with float64: .astype(np.float64)"
                )
        positions = [
            position
            for position, value in enumerate(self.inputs)
            if isinstance(value, np.ndarray) and value.dtype == np.float64
        ]
        if not positions:
            raise ValueError(
                "none of the inputs is a float64 array, so there is no gradient to check"
            )
        return positions

    # -- calls ---------------------------------------------------------------------------------

    def copies(self, inputs=None) -> list[Any]:
        return [
            each.copy() if isinstance(each, np.ndarray) else each
            for each in (self.inputs if inputs is None else inputs)
        ]

    def call_forward(self, inputs: list[Any]) -> np.ndarray:
        """y as an array, after checking its form."""
        y = self._guarded(self.forward, inputs)
        if y is None:
            raise _Malformed("wrong_shape", "forward returns None instead of an array")
        if isinstance(y, tuple):
            raise _Malformed(
                "wrong_shape",
                f"forward returns {len(y)} results; wrap it so that it returns y alone",
            )
        array = np.asarray(y)
        if array.dtype != np.float64:
            raise _Malformed("wrong_dtype", f"forward returns {array.dtype} for float64 inputs")
        if not np.isfinite(array).all():
            raise _Malformed(
                "nan",
                f"forward returns {int((~np.isfinite(array)).sum())} values that are NaN or "
                "infinite",
            )
        return array

    def call_backward(self, dy: np.ndarray, inputs: list[Any]) -> list[np.ndarray | None]:
        """One gradient (or None) per input, after checking number, shapes and dtypes."""
        self._guarded(self.forward, self.copies(inputs))
        result = self._guarded(self.backward, [dy, *inputs])
        if result is None:
            raise _Malformed("wrong_shape", "backward returns None instead of gradients")
        if not isinstance(result, (tuple, list)):
            result = [result] + [None] * (len(inputs) - 1) if len(self.positions) == 1 else [result]
            if self.positions == [position := self.positions[0]] and position:
                result[0], result[position] = None, result[0]
        if len(result) != len(inputs):
            raise _Malformed(
                "wrong_shape",
                f"backward returns {len(result)} gradients for {len(inputs)} inputs; "
                "return None where there is none",
            )
        gradients: list[np.ndarray | None] = []
        for gradient, value in zip(result, inputs):
            gradients.append(
                None
                if gradient is None or not isinstance(value, np.ndarray)
                else np.asarray(gradient)
            )
        if all(gradients[position] is None for position in self.positions):
            raise _Malformed("wrong_shape", "backward returns None for every input")
        return gradients

    def _guarded(self, function: Callable, arguments: list[Any]) -> Any:
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            which = "forward" if function is self.forward else "backward"
            raise _Malformed(
                "crashed", f"{which} raises {type(error).__name__}: {error}"
            ) from error

    # -- the check -----------------------------------------------------------------------------

    def report(self) -> Report:
        report = Report(self.name)
        try:
            y = self.call_forward(self.copies())
            dy = np.asarray(self.rng.standard_normal(y.shape))
            gradients = self.call_backward(dy.copy(), self.copies())
        except _Malformed as error:
            report.cause, report.diagnosis = error.finding
            return report
        gradients = [None if each is None else each.copy() for each in gradients]
        self.look_at_purity(y, dy, gradients)
        report.comparisons = self.compare(dy, gradients)
        finding = self.explain(y, dy, gradients, report.comparisons)
        found = [*([finding] if finding else []), *self.findings]
        if finding and finding.cause == "unknown":
            found.sort(key=lambda each: each.cause == "unknown")
        if found:
            report.cause, report.diagnosis = found[0]
            report.notes += [f"also: {each.diagnosis}" for each in found[1:]]
        report.gradient = "wrong" if any(c.wrong.any() for c in report.comparisons) else "ok"
        report.purity = "wrong" if self.findings else "ok"
        return report

    def compare(self, dy, gradients) -> list[Comparison]:
        """Every gradient beside its differences, element by element or along directions."""
        comparisons = []
        for position in self.positions:
            gradient, x, name = gradients[position], self.inputs[position], self.names[position]
            if gradient is None:
                continue
            if gradient.shape != x.shape:
                self.findings.append(
                    Finding(
                        "wrong_shape", f"{name} has the shape {gradient.shape} instead of {x.shape}"
                    )
                )
                continue
            if gradient.dtype != np.float64:
                self.findings.append(
                    Finding(
                        "wrong_dtype", f"{name} has the dtype {gradient.dtype} for float64 inputs"
                    )
                )
            function = self.along(position)
            right, wrong, crossings = np.full(x.shape, np.nan), np.zeros(x.shape, bool), 0
            if not self.fast:
                indices = choose_elements(x.shape, self.limit, self.rng)
                elements = compare_elements(
                    function, x, dy, gradient, indices, self.step, self.tolerance
                )
                for element in elements:
                    right[element.index], wrong[element.index] = (
                        element.numerical,
                        not element.agrees,
                    )
                crossings = sum(element.crosses for element in elements)
            if self.fast or x.size > self.limit:
                self.along_directions(function, position, dy, gradient, right, wrong)
            comparisons.append(Comparison(name, gradient, right, wrong, crossings))
        return comparisons

    def along(self, position: int) -> Callable[[np.ndarray], np.ndarray]:
        def function(x):
            inputs = self.copies()
            inputs[position] = x
            return np.array(self.forward(*inputs), dtype=np.float64)

        return function

    def along_directions(self, function, position, dy, gradient, right, wrong) -> None:
        """Random directions: every element has a part in each."""
        x = self.inputs[position]
        for _ in range(DIRECTIONS):
            direction = self.rng.standard_normal(x.shape)
            direction /= np.linalg.norm(direction)
            analytic = float(np.sum(gradient * direction))
            numerical, agrees, _ = agreement(
                function, x, dy, direction, analytic, self.step, self.tolerance
            )
            if not agrees and not wrong.any():
                self.findings.append(
                    Finding(
                        "unknown",
                        f"the slope along a random direction is {numerical:.6g}, "
                        f"{self.names[position]} gives "
                        f"{analytic:.6g}; check a smaller array to see which elements are wrong",
                    )
                )
                return

    def look_at_purity(self, y, dy, gradients) -> None:
        """Arguments unchanged, nothing shared, the same again after other calls."""
        inputs, forward_inputs, passed = self.copies(), self.copies(), dy.copy()
        again_y = self.call_forward(forward_inputs)
        again = self.call_backward(passed, inputs)
        for which, values, results in (
            ("forward", forward_inputs, [again_y]),
            ("backward", inputs, again),
            ("backward", [passed], again),
        ):
            for k, value in enumerate(values):
                if not isinstance(value, np.ndarray):
                    continue
                original = dy if value is passed else self.inputs[k]
                label = "dy" if value is passed else self.names[k].removeprefix("d")
                if value.tobytes() != original.tobytes():
                    self.findings.append(
                        Finding("mutates_input", f"{which} changes its argument {label}")
                    )
                if any(
                    result is not None and np.shares_memory(value, result) for result in results
                ):
                    self.findings.append(
                        Finding(
                            "aliases_input",
                            f"a result of {which} shares memory with {label}: "
                            "writing to one changes the other",
                        )
                    )
        moved = [
            each + 0.1 * self.rng.standard_normal(each.shape) if k in self.positions else each
            for k, each in enumerate(self.copies())
        ]
        try:
            others = [self.call_backward(dy + 1, self.copies(moved))]
            for kept in self.kept:
                kept.restore()
            others.append(self.call_backward(dy + 1, self.copies(moved)))
        except _Malformed as error:
            self.findings.append(error.finding)
            return
        for which, function, first in (
            ("forward", lambda: (self.call_forward(self.copies()),), (y,)),
            (
                "backward",
                lambda: tuple(
                    np.array(each)
                    for each in self.call_backward(dy.copy(), self.copies())
                    if each is not None
                ),
                tuple(each for each in gradients if each is not None),
            ),
        ):
            if not purity.same(first, function()) or (
                sum(map(np.size, first)) <= 64 and purity.repeats_differ(function, seconds=0.2)
            ):
                self.findings.append(
                    purity.explain_difference(
                        function,
                        self.forward if which == "forward" else self.backward,
                        which,
                        self.kept,
                    )
                )
                return
        if not purity.same(
            *(tuple(each for each in other if each is not None) for other in others)
        ):
            self.findings.append(
                Finding(
                    "stateful",
                    "backward gives another result after other calls than with its "
                    "globals and defaults put back: it keeps state between calls",
                )
            )

    # -- what is wrong -------------------------------------------------------------------------

    def explain(self, y, dy, gradients, comparisons) -> Finding | None:
        failed = any(c.wrong.any() for c in comparisons)
        misshapen = any(each.cause == "wrong_shape" for each in self.findings)
        tested = sum(c.tested for c in comparisons)
        crossings = sum(c.crossings for c in comparisons)
        for each in self.findings:
            if each.cause in ("stateful", "nondeterministic"):
                return None
        if failed and self.ignores_dy(dy, gradients, comparisons):
            wrong = [c.array for c in comparisons if c.wrong.any()]
            return Finding(
                "dy_ignored",
                f"{' and '.join(wrong)} does not depend on dy: the same for two different ones",
            )
        if single := self.single_precision(y, gradients):
            return single
        if not failed and not misshapen and not crossings:
            return None
        recognised = recognise(self.forward, self.inputs, y, self.numerical)
        if recognised is not None:
            trials = recognised.trials(self.forward, self.backward, self.inputs, dy, gradients)
            if not any(trials[0].fails(name) for name in trials[0].right):  # right, at kinks too
                for each in comparisons:
                    each.wrong[...] = False
                return None
            finding = diagnosis.diagnose(trials)
            return Finding(finding.cause, f"{finding.diagnosis} ({recognised.words})")
        if failed or misshapen:
            return self.explain_unknown(dy, gradients)
        if crossings > MOST_CROSSINGS * tested:
            return Finding(
                "kinks",
                f"{crossings} of {tested} elements lie on a kink, where there is no derivative to "
                "compare with: choose inputs without ties and zeros",
            )
        return None

    def numerical(self, position: int, dy: np.ndarray) -> np.ndarray:
        return numerical_gradient(self.along(position), self.inputs[position], dy, self.step)

    def single_precision(self, y, gradients) -> Finding | None:
        """Numbers of random float64 arguments that all fit in float32 were rounded to it."""
        for label, array in (("y", y), *((self.names[p], gradients[p]) for p in self.positions)):
            if array is None or array.dtype != np.float64 or np.unique(array).size < 3:
                continue
            fits = array.astype(np.float32) == array
            given = all(
                (self.inputs[p].astype(np.float32) == self.inputs[p]).all() for p in self.positions
            )
            if fits.all() and not (given and label == "y"):
                return Finding(
                    "wrong_dtype",
                    f"{label} is float64, but all its values are float32 numbers: it was "
                    "computed or stored in float32",
                )
        return None

    def ignores_dy(self, dy, gradients, comparisons) -> bool:
        other = np.asarray(np.random.default_rng(99).standard_normal(dy.shape))
        try:
            changed = self.call_backward(other, self.copies())
        except _Malformed:
            return False
        by_name = dict(zip(self.names, zip(gradients, changed)))
        wrong = [c.array for c in comparisons if c.wrong.any()]
        return all(np.any(by_name[name][0]) and np.array_equal(*by_name[name]) for name in wrong)

    def explain_unknown(self, dy, gradients) -> Finding | None:
        """The differences stand in for the right answer; arrays too large for that are cut out."""
        right, got, given = {}, {}, {}
        for position in self.positions:
            name, gradient = self.names[position], gradients[position]
            if gradient is not None and self.inputs[position].size <= self.limit:
                right[name] = self.numerical(position, dy)
                got[name] = gradient
                if gradient.shape == right[name].shape:  # a kink is no failure
                    fine = self.tolerance.agrees(gradient, right[name])
                    right[name] = np.where(fine, gradient, right[name])
            given[name.removeprefix("d")] = self.inputs[position]
        if not right:
            return Finding(
                "unknown", "the arrays are too large to try causes: check a smaller case"
            )
        trial = diagnosis.Trial(
            self.name, "these inputs", {"dy": dy}, given, right, got, None, 1e-6
        )
        return diagnosis.diagnose([trial], unknown_mistakes)


def _gradient_names(forward: Callable, backward: Callable, count: int) -> list[str]:
    """ "dx", "dweight", ... after the parameters of forward, or of backward behind dy."""
    for function, skip in ((forward, 0), (backward, 1)):
        try:
            parameters = list(inspect.signature(function).parameters.values())[skip:]
        except (TypeError, ValueError):
            continue
        if len(parameters) >= count and all(
            p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters[:count]
        ):
            return [f"d{parameter.name}" for parameter in parameters[:count]]
    return ["dx"] if count == 1 else [f"dinput{k}" for k in range(count)]

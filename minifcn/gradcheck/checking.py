"""``check``: is ``backward`` the gradient of ``forward``? For any pair of NumPy functions.

What the gradient must be is found by differences, or, for a function that is said to be an
operation (``like="conv2d"``), read off the textbook. The answer is a ``Report``; by default a
failure raises. ``check_layer`` and ``check_model`` bring objects with parameters into the same
form, ``check_adjoint`` is the quick and sharp test for linear functions.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minifcn import ops
from minifcn.gradcheck import diagnosis, purity
from minifcn.gradcheck.cases import DEFAULTS, OPERATIONS, POOL_DEFAULTS, Operation, call
from minifcn.gradcheck.differences import Tolerance, agreement, choose_elements, compare_elements
from minifcn.gradcheck.module import comparisons
from minifcn.gradcheck.observe import Call, Seen, observe, same
from minifcn.gradcheck.report import Comparison, GradientError, Report
from minifcn.gradcheck.trials import Finding, Trial

MOST_CROSSINGS = 0.05
DIRECTIONS = 8


def check(
    forward: Callable,
    backward: Callable,
    inputs: Sequence[Any],
    strict: bool = True,
    like: str | None = None,
    *,
    name: str | None = None,
    names: Sequence[str] | None = None,
    fast: bool = False,
    step: float = 1e-5,
    tolerance: Tolerance | None = None,
    limit: int = 2000,
    seed: int = 0,
    **options: Any,
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
    like : str, optional
        The operation that the pair is meant to be, such as "conv2d", with the inputs in its order
        (x, weight, bias). Then the right answers are the textbook's, and a mistake in forward or
        backward gets a name.
    name : str, optional
        What the report calls the pair; the name of ``backward`` by default.
    names : sequence of str, optional
        Of the gradients, such as "dx"; by default "d" and the parameters' names of forward.
    fast : bool
        For large layers: only 8 random directions per array, instead of its elements.
    step : float
        h is ``step`` times the size of x: of the element, or of the median element if that is
        larger.
    tolerance : Tolerance, optional
        ``Tolerance(absolute=1e-7, relative=1e-6)``, for one layer; the absolute part is relative to
        the largest element of the gradient.
    limit : int
        Arrays with more elements are checked at that many, corners and borders always, and along 8
        random directions.
    seed : int
        Of dy and of the directions.
    **options
        Of the operation, with ``like``: ``stride=2, padding=1``; ``size``, ``factor``; ``labels``,
        ``ignore``, ``reduction``, ``class_weights``.

    Returns
    -------
    report : Report

    Raises
    ------
    GradientError
        With ``strict``, if anything is wrong; it has the report as ``.report``.
    ValueError
        If an input is float32, or none is float64: differences need float64. If ``like`` is no
        operation, or the options and inputs do not fit it.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> check(np.square, lambda dy, x: 2 * x * dy, [x]).ok
    True
    >>> check(np.square, lambda dy, x: x * dy, [x], strict=False).diagnosis
    'dx is 0.5 times the right answer'
    """
    checker = _Pair(forward, backward, inputs, name, names, seed)
    if like is not None:
        checker.operation, checker.given = _meant(like, options, checker.inputs)
    elif options:
        raise ValueError(f"check has no option {', '.join(options)}; those of an operation need "
                         f"like=, such as like='conv2d', stride=2")
    settings = {"fast": fast, "step": step, "tolerance": tolerance or Tolerance(), "limit": limit}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        report = checker.report(settings)
    if strict and not report.ok:
        raise GradientError(report)
    return report


def _meant(like: str, options: dict[str, Any], inputs: list[Any]) -> tuple[Operation, dict]:
    """The operation, and the arguments of its forward that inputs and options stand for."""
    known = {each.name: each for each in OPERATIONS if each.name != "dropout"}
    if like not in known:
        raise ValueError(f"like={like!r} is no operation; there are {', '.join(known)}")
    operation = known[like]
    order = list(operation.cases[0].draw(np.random.default_rng(0)))
    defaults = POOL_DEFAULTS if like == "max_pool2d" else DEFAULTS
    if wrong := [name for name in options if name not in order]:
        raise ValueError(f"{like} has no option {', '.join(wrong)}; it has {', '.join(order)}")
    free = [name for name in order if name not in options]
    if len(inputs) > len(free):
        raise ValueError(f"{like} takes the inputs {', '.join(free)}; {len(inputs)} were given")
    given = dict(zip(free, inputs)) | options
    if missing := [name for name in order if name not in given and name not in defaults]:
        raise ValueError(f"{like} needs {', '.join(missing)} among its inputs or options")
    given = {name: given.get(name, defaults.get(name)) for name in order}
    try:
        call(getattr(ops, operation.forward), given)  # which checks its arguments
    except ValueError as error:
        raise ValueError(f"these inputs are not those of {like}: {error}") from None
    return operation, given


class _Pair:
    """A forward and a backward, called through the observer in this process."""

    def __init__(self, forward, backward, inputs, name, names, seed):
        self.functions = {"forward": forward, "backward": backward}
        self.inputs = list(inputs)
        self.name = name or getattr(backward, "__name__", "backward")
        self.name = self.name.replace("<lambda>", "backward")
        self.rng = np.random.default_rng(seed)
        self.positions = self._differentiable()
        self.names = list(names) if names else _gradient_names(forward, backward, len(self.inputs))
        self.findings: list[Finding] = []
        self.operation: Operation | None = None
        self.given: dict[str, Any] = {}

    def _differentiable(self) -> list[int]:
        positions = []
        for position, value in enumerate(self.inputs):
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                if value.dtype != np.float64:
                    raise ValueError(f"input {position} is {value.dtype}, whose rounding hides "
                                     "wrong gradients; check with float64: .astype(np.float64)")
                positions.append(position)
        if not positions:
            raise ValueError("none of the inputs is a float64 array, so there is no gradient to "
                             "check")
        return positions

    # -- calls ---------------------------------------------------------------------------------

    def call(self, which: str, inputs: Sequence[Any], dy: Any = None, **how: Any) -> Call:
        arguments = {label: value for label, value in zip(self.labels(), inputs)}
        if which == "forward":
            return Call("forward", arguments, **how)
        return Call("backward", {"dy": dy, **arguments}, (), ("forward", arguments, ()), **how)

    def labels(self) -> list[str]:
        """Names of the inputs, each once."""
        found = [name.removeprefix("d") for name in self.names]
        clash = len({*found, "dy"}) <= len(found)
        return [f"input {k}" for k in range(len(found))] if clash else found

    def see(self, *calls: Call) -> list[Seen]:
        return observe(self.functions, calls)

    def y_of(self, seen: Seen) -> np.ndarray | Finding:
        """Forward's result as an array, or what is wrong with it."""
        if seen.crash is not None:
            return Finding("crashed", diagnosis.raises(_crashed("forward", seen)))
        if seen.returned in ("tuple", "list"):
            return Finding("wrong_shape", f"forward returns {len(seen.results)} results; wrap it "
                           "so that it returns y alone")
        y = seen.results[0] if seen.results else None
        if y is None:
            kind = "None" if seen.returned == "None" else f"a {seen.returned}"
            return Finding("wrong_shape", f"forward returns {kind} instead of an array")
        if y.dtype != np.float64 and not (seen.returned == "number" and y.dtype.kind in "iu"):
            return Finding("wrong_dtype", f"forward returns {y.dtype} for float64 inputs")
        if not np.isfinite(y).all():
            count = int((~np.isfinite(y)).sum())
            return Finding("nan", f"forward returns {count} values that are NaN or infinite")
        return y

    def gradients_of(self, seen: Seen) -> list[np.ndarray | None] | Finding:
        """One gradient, or None, per input, or what is wrong with them."""
        if seen.crash is not None:
            return Finding("crashed", diagnosis.raises(_crashed("backward", seen)))
        if seen.returned == "None":
            return Finding("wrong_shape", "backward returns None instead of gradients")
        results = list(seen.results)
        if seen.returned not in ("tuple", "list") and len(self.positions) == 1:
            results = [results[0] if k in self.positions else None for k in range(len(self.inputs))]
        if len(results) != len(self.inputs):
            return Finding("wrong_shape", f"backward returns {len(results)} gradients for "
                           f"{len(self.inputs)} inputs; return None where there is none")
        if all(results[position] is None for position in self.positions):
            return Finding("wrong_shape", "backward returns None for every input")
        return results

    # -- the check -----------------------------------------------------------------------------

    def report(self, settings: dict[str, Any]) -> Report:
        report = Report(self.name)
        seen_y = self.see(self.call("forward", self.inputs))[0]
        gradients = y = self.y_of(seen_y)
        if not isinstance(y, Finding):
            dy = np.asarray(self.rng.standard_normal(y.shape))
            seen = self.see(self.call("backward", self.inputs, dy))[0]
            gradients = self.gradients_of(seen)
        if isinstance(gradients, Finding):
            report.cause, report.diagnosis = gradients.cause, gradients.diagnosis
            return report
        self.look_at_purity(seen_y, seen, dy)
        report.forward = "ok"
        if self.operation is not None:
            finding, report.comparisons = self.by_the_textbook(y, dy, gradients)
            wrong_y = finding and report.comparisons[0].array == self.operation.outputs[0]
            report.forward = "wrong" if wrong_y else "ok"
        else:
            finding, report.comparisons = self.by_differences(dy, gradients, settings)
        impure = [each for each in self.findings if each.cause in ("stateful", "nondeterministic")]
        found = [*impure, *([finding] if finding else []), *self.findings]
        found = [each for k, each in enumerate(found) if each not in found[:k]]
        if finding and finding.cause == "unknown":
            found.sort(key=lambda each: each.cause == "unknown")
        if found:
            report.cause, report.diagnosis, report.edit = found[0]
            report.notes += [f"also: {each.diagnosis}" for each in found[1:]]
        report.gradient = "wrong" if any(c.wrong.any() for c in report.comparisons) else "ok"
        report.purity = "wrong" if self.findings else "ok"
        return report

    def look_at_purity(self, seen_y: Seen, seen: Seen, dy: np.ndarray) -> None:
        """Arguments unchanged, nothing shared, the same again after other calls."""
        wobble = [
            each * (1 + 0.1 * self.rng.uniform(-1, 1, each.shape)) if k in self.positions else each
            for k, each in enumerate(self.inputs)
        ]
        _, moved, again_y, again = self.see(
            self.call("forward", wobble),
            self.call("backward", wobble, dy + 1),
            self.call("forward", self.inputs, pattern=0x3C),
            self.call("backward", self.inputs, dy, pattern=0x3C),
        )
        self.findings += purity.side_effects(seen_y, ("y",), "forward")
        self.findings += purity.side_effects(seen, tuple(self.names), "backward")
        if moved.crash is None and again.crash is not None:
            words = "backward fails at a repeated call with the same arguments"
            self.findings.append(Finding("stateful", words))
            return
        for which, first, later, made in (
            ("forward", seen_y, again_y, self.call("forward", self.inputs)),
            ("backward", seen, again, self.call("backward", self.inputs, dy)),
        ):
            quick = sum(np.size(each) for each in first.results) <= 64
            repeated = made._replace(repeat=purity.REPEATS if quick else 1)
            steady = purity.is_steady(self.see(repeated)[0])
            if not same(first.results, later.results) or not steady:
                self.findings.append(purity.explain_difference(self.observe, made, which))
                return
        if moved.crash is None:
            self.look_for_a_stale_cache(wobble, dy + 1)

    def observe(self, calls: Sequence[Call]) -> list[Seen]:
        return observe(self.functions, calls)

    def look_for_a_stale_cache(self, wobble: list[Any], dy: np.ndarray) -> None:
        """With one input changed: is the gradient that of the new ones, or still of the first?"""
        as_first = self.gradients_of(self.see(self.call("backward", self.inputs, dy))[0])
        for moving in self.positions:
            inputs = [*self.inputs[:moving], wobble[moving], *self.inputs[moving + 1 :]]
            moved = self.gradients_of(self.see(self.call("backward", inputs, dy))[0])
            if isinstance(moved, Finding) or isinstance(as_first, Finding):
                return
            for position in self.positions:
                new, old = moved[position], as_first[position]
                if new is None or old is None or not np.any(new) or not same([new], [old]):
                    continue
                if self.is_slope(position, self.inputs, dy, old) and not self.is_slope(
                    position, inputs, dy, new
                ):
                    self.findings.append(Finding(
                        "stateful", f"{self.names[position]} stays that of the first inputs when "
                        f"{self.labels()[moving]} changes: backward keeps something from call to "
                        "call"))
                    return

    def is_slope(self, position: int, inputs: list[Any], dy, gradient) -> bool:
        """Does a gradient agree along one random direction?"""
        x = inputs[position]
        if gradient.shape != x.shape:
            return False
        direction = self.rng.standard_normal(x.shape) * np.maximum(np.abs(x), np.median(abs(x)))
        analytic = float(np.sum(gradient * direction))
        tolerance = Tolerance(1e-4 * abs(analytic), 1e-4)
        function = self.along(position, inputs)
        return agreement(function, x, dy, direction, analytic, 1e-6, tolerance)[1]

    def along(self, position: int, inputs: list[Any] | None = None) -> Callable:
        base = self.inputs if inputs is None else inputs

        def function(x):
            arguments = [each.copy() if isinstance(each, np.ndarray) else each for each in base]
            arguments[position] = x
            return np.array(self.functions["forward"](*arguments), dtype=np.float64)

        return function

    # -- the right answer, by differences --------------------------------------------------------

    def by_differences(self, dy, gradients, settings) -> tuple[Finding | None, list[Comparison]]:
        lines = []
        for position in self.positions:
            gradient, x, name = gradients[position], self.inputs[position], self.names[position]
            if gradient is None:
                continue
            right, wrong, crossings = np.full(x.shape, np.nan), np.zeros(x.shape, bool), 0
            function = self.along(position)
            if gradient.shape != x.shape:
                words = f"{name} has the shape {gradient.shape} instead of {x.shape}"
                self.findings.append(Finding("wrong_shape", words))
                continue
            if gradient.dtype != np.float64:
                words = f"{name} has the dtype {gradient.dtype} for float64 inputs"
                self.findings.append(Finding("wrong_dtype", words))
            if not settings["fast"]:
                chosen = choose_elements(x.shape, settings["limit"], self.rng)
                elements = compare_elements(function, x, dy, gradient, chosen, settings["step"],
                                            settings["tolerance"])
                for each in elements:
                    right[each.index], wrong[each.index] = each.numerical, not each.agrees
                crossings = sum(each.crosses for each in elements)
            if settings["fast"] or x.size > settings["limit"]:
                finding = self.along_directions(function, position, dy, gradient, settings)
                self.findings += [finding] if finding and not wrong.any() else []
            lines.append(Comparison(name, gradient, right, wrong, crossings))
        return self.explain(dy, gradients, lines), lines

    def along_directions(self, function, position, dy, gradient, settings) -> Finding | None:
        """Random directions: every element has a part in each."""
        x = self.inputs[position]
        for _ in range(DIRECTIONS):
            direction = self.rng.standard_normal(x.shape)
            direction /= np.linalg.norm(direction)
            found = self.disagreement(function, x, dy, gradient, direction, settings)
            if found and not self.agrees_nearby(function, position, dy, direction, settings):
                return Finding("unknown", "the slope along a random direction is "
                               f"{found[0]:.6g}, {self.names[position]} gives {found[1]:.6g}; "
                               "check a smaller array to see which elements are wrong")
        return None

    def disagreement(self, function, x, dy, gradient, direction, settings):
        """(slope by differences, slope by the gradient) along a direction, if they differ."""
        analytic = float(np.sum(gradient * direction))
        size = settings["tolerance"].absolute * float(np.abs(gradient).max(initial=0))
        tolerance = settings["tolerance"]._replace(absolute=size)
        step = settings["step"] * max(1e-300, float(np.linalg.norm(x)) or 1.0)
        numerical, agrees, _ = agreement(function, x, dy, direction, analytic, step, tolerance)
        return None if agrees else (numerical, analytic)

    def agrees_nearby(self, function, position, dy, direction, settings) -> bool:
        """Whether it agrees a little beside x: then many elements of x lie on kinks."""
        x = self.inputs[position]
        beside = x + 1e-3 * np.sqrt(np.mean(x**2)) * self.rng.standard_normal(x.shape)
        inputs = [*self.inputs[:position], beside, *self.inputs[position + 1 :]]
        gradients = self.gradients_of(self.see(self.call("backward", inputs, dy))[0])
        if isinstance(gradients, Finding) or gradients[position] is None:
            return False
        gradient = gradients[position]
        return not self.disagreement(function, beside, dy, gradient, direction, settings)

    def explain(self, dy, gradients, lines: list[Comparison]) -> Finding | None:
        failed = [each for each in lines if each.wrong.any()]
        tested = sum(each.tested for each in lines)
        crossings = sum(each.crossings for each in lines)
        if failed and self.ignores_dy(dy, gradients, failed):
            words = " and ".join(each.array for each in failed)
            verb = "does" if len(failed) == 1 else "do"
            words = f"{words} {verb} not depend on dy: the same for two different ones"
            return Finding("dy_ignored", words)
        if single := self.single_precision(lines):
            return single
        if failed:
            right = {each.array: np.where(each.wrong, each.right, each.got) for each in lines}
            given = {n.removeprefix("d"): value for n, value in zip(self.names, self.inputs)}
            got = {each.array: np.asarray(each.got) for each in lines}
            for each in lines:  # what was not tested is not judged
                right[each.array][np.isnan(each.right)] = np.nan
            trial = Trial(self.name, "these inputs", {"dy": dy}, given, right, got, precision=1e-6)
            words = f"{failed[0].array} is wrong: {failed[0].worst}"
            return diagnosis.diagnose([trial]) or Finding("unknown", words)
        if crossings > MOST_CROSSINGS * tested:
            return Finding("kinks", f"{crossings} of {tested} elements lie on a kink, where there "
                           "is no derivative to compare with: choose inputs without ties and "
                           "zeros, or say what the function is (like='relu', "
                           "like='max_pool2d')")
        return None

    def single_precision(self, lines: list[Comparison]) -> Finding | None:
        """Numbers of random float64 arguments that all fit in float32 were rounded to it."""

        def fit(array):
            return (array.astype(np.float32) == array).all()

        if all(fit(self.inputs[position]) for position in self.positions):
            return None
        for each in lines:
            array = np.asarray(each.got)
            few = np.unique(array).size < 3 or (np.round(array) == array).all()
            if array.dtype == np.float64 and not few and fit(array):
                return Finding("wrong_dtype", f"{each.array} is float64, but all its values are "
                               "float32 numbers: it was computed or stored in float32")
        return None

    def ignores_dy(self, dy, gradients, failed: list[Comparison]) -> bool:
        other = np.asarray(np.random.default_rng(99).standard_normal(dy.shape))
        changed = self.gradients_of(self.see(self.call("backward", self.inputs, other))[0])
        if isinstance(changed, Finding):
            return False
        by_name = dict(zip(self.names, zip(gradients, changed)))
        return all(
            np.any(by_name[each.array][0]) and np.array_equal(*by_name[each.array])
            for each in failed
        )

    # -- the right answer, from the textbook ------------------------------------------------------

    def by_the_textbook(self, y, dy, gradients) -> tuple[Finding | None, list[Comparison]]:
        forward, backward = self.trials_of(self.given, self.inputs, y, dy, gradients)
        y = self.operation.outputs[0]
        if not forward.fails(y) and not any(map(backward.fails, backward.right)):
            return None, comparisons([backward])
        if forward.fails(y):
            trials = [forward, *(each for each, _ in self.in_other_cases())]
        else:
            trials = [backward, *(each for f, each in self.in_other_cases() if not f.fails(y))]
        finding = diagnosis.diagnose(trials, self.operation)
        words = finding.diagnosis.replace(f"{self.operation.forward} raises", "forward raises")
        return finding._replace(diagnosis=words), comparisons(trials[:1])

    def trials_of(self, given, inputs, y, dy, gradients) -> tuple[Trial, Trial]:
        """Forward and backward as trials of the operation's functions; of a loss both in one."""
        operation, first = self.operation, self.operation.outputs[0]
        answer, own, right = operation.right(given, dy)
        if operation.backward is None:
            right, gradients = dict(zip(operation.outputs, map(np.asarray, answer))), gradients[0]
            got = {"loss": y, "dscores": np.asarray(gradients, float) / dy}
            both = Trial(operation.forward, "these inputs", given, given, right, got)
            return both, both
        forward = Trial(operation.forward, "these inputs", given, given, {first: answer[0]},
                        {first: y})
        names = [g for g, n in zip(operation.gradients, operation.inputs) if given[n] is not None]
        got = {name: np.zeros(0) if g is None else g for name, g in zip(names, gradients)}
        right = dict(zip(names, right))
        return forward, Trial(operation.backward, "these inputs", own, given, right, got)

    def in_other_cases(self) -> Iterator[tuple[Trial, Trial]]:
        """The table's cases with these options, where the pair takes them: more evidence."""
        arrays = set(self.operation.inputs)
        plain = len(self.inputs) == len(arrays) and self.operation.backward is not None
        if not plain or any(self.given[name] is None for name in arrays):
            return
        options = {name: value for name, value in self.given.items() if name not in arrays}
        for number, case in enumerate(self.operation.cases):
            given = case.draw(np.random.default_rng(number)) | options
            if any(given[name] is None for name in arrays) or case.optional:
                continue
            inputs = [given[name] for name in self.operation.inputs]
            try:
                shape = self.operation.right(given)[0][0].shape
            except (ValueError, ZeroDivisionError):  # these options do not fit this case
                continue
            if 0 in shape:
                continue
            dy = np.random.default_rng(number + 1).standard_normal(shape)
            calls = self.call("forward", inputs), self.call("backward", inputs, dy)
            seen_y, seen = self.see(*calls)
            y, gradients = self.y_of(seen_y), self.gradients_of(seen)
            if not isinstance(y, Finding) and not isinstance(gradients, Finding):
                pair = self.trials_of(given, inputs, y, dy, gradients)
                yield tuple(each._replace(case=case.name) for each in pair)


def _crashed(function: str, seen: Seen) -> Trial:
    return Trial(function, "", {}, {}, {}, crash=seen.crash)


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

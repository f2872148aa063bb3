"""Check the functions of a module that have the names of operations: values, gradients, purity.

The right answers come from the reference engine, on the cases of ``cases.py``. Every case is tried
with two draws of numbers and then with the first again, so that whatever a function keeps between
calls shows.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minifcn.gradcheck import diagnosis, purity
from minifcn.gradcheck.cases import FUNCTIONS, Case, Operation, call, operation_of
from minifcn.gradcheck.diagnosis import Trial
from minifcn.gradcheck.faults import Fault, faults
from minifcn.gradcheck.purity import Finding
from minifcn.gradcheck.report import Report
from minifcn.ops import reference

Arguments = dict[str, Any]


def check_module(module: Any, reference: Any = reference) -> dict[str, Report]:
    """Check every function of a module that has the name of an operation.

    Parameters
    ----------
    module : module
        Or any object with such functions as attributes. What it lacks gets no entry.
    reference : module
        Where the right answers come from.

    Returns
    -------
    reports : dict
        Name of the function -> Report. Never raises: a function that crashes gets a report that
        says so.
    """
    reports = {}
    for name in FUNCTIONS:
        if callable(getattr(module, name, None)):
            try:
                reports[name] = check_function(module, name, reference)
            except Exception as error:  # ours; the other functions shall have their reports
                reports[name] = Report(
                    name, "unknown", f"the check itself failed: {type(error).__name__}: {error}"
                )
    return reports


def check_function(
    module: Any, name: str, reference: Any = reference, with_forward: bool = True
) -> Report:
    """Check one function of a module; see ``check_module``.

    ``with_forward=False`` does not call a module's forward before its backward.
    """
    subject = Subject(module, name, reference, with_forward)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return subject.report()


class Subject:
    """A function under test, and how to call it on a case."""

    def __init__(self, module: Any, name: str, reference: Any, with_forward: bool):
        self.module, self.name, self.reference = module, name, reference
        self.with_forward = with_forward
        self.function = getattr(module, name)
        self.operation: Operation = operation_of(name)
        self.is_backward = name == self.operation.backward
        self.outputs = self.operation.gradients if self.is_backward else self.operation.outputs
        self.notes: list[str] = []
        self.findings: list[Finding] = []  # about purity
        self.kept = [
            purity.Kept(each) for each in {self.function, self._forward_of_module()} if each
        ]
        self.trials: list[Trial] = []

    def _forward_of_module(self) -> Callable | None:
        wanted = self.is_backward and self.with_forward
        return getattr(self.module, self.operation.forward, None) if wanted else None

    # -- one call ------------------------------------------------------------------------------

    def arguments(self, given: Arguments, seed: int = 1) -> tuple[Arguments, dict[str, np.ndarray]]:
        """The function's own arguments on a case, and the right answer."""
        answer = call(getattr(self.reference, self.operation.forward), _copies(given))
        answer = answer if isinstance(answer, tuple) else (answer,)
        if not self.is_backward:
            return given, dict(zip(self.outputs, map(np.asarray, answer)))
        # a stream of its own: from x's, dy would be x itself wherever their shapes agree
        dy = (
            np.random.default_rng((seed, 1))
            .standard_normal(answer[0].shape)
            .astype(answer[0].dtype)
        )
        own = self.operation.backward_arguments(given, answer, dy)
        right = call(getattr(self.reference, self.name), _copies(own))
        return own, dict(zip(self.outputs, right if isinstance(right, tuple) else (right,)))

    def run(self, given: Arguments, own: Arguments) -> dict[str, np.ndarray]:
        """Call the function, right after its forward if it is a backward. May raise anything."""
        forward = self._forward_of_module()
        if forward is not None:
            with contextlib.suppress(
                Exception, SystemExit
            ):  # a forward's failure is its own report's
                call(forward, _copies(given))
        return self.named(call(self.function, own))

    def named(self, result: Any) -> dict[str, np.ndarray]:
        """The result as arrays by name; raises ``_Malformed`` if it is something else."""
        count = len(self.outputs)
        if result is None:
            raise _Malformed(f"{self.name} returns None instead of {', '.join(self.outputs)}")
        if count == 1 and not isinstance(result, (tuple, list)):
            result = (result,)
        if not isinstance(result, (tuple, list)):
            raise _Malformed(
                f"{self.name} returns one {type(result).__name__} instead of {count} results "
                f"({', '.join(self.outputs)})"
            )
        if len(result) != count:
            raise _Malformed(
                f"{self.name} returns {len(result)} results instead of {count} "
                f"({', '.join(self.outputs)})"
            )
        for name, value in zip(self.outputs, result):
            if value is None:
                raise _Malformed(f"{name} is None instead of an array")
            if not isinstance(
                value,
                (np.ndarray, np.number) if name != "loss" else (np.ndarray, np.number, float, int),
            ):
                raise _Malformed(f"{name} is a {type(value).__name__} instead of an array")
            if np.asarray(value).dtype.kind not in "fiub":
                raise _Malformed(f"{name} has the dtype {np.asarray(value).dtype}")
        return dict(zip(self.outputs, map(np.asarray, result)))

    def attempt(
        self, given: Arguments, own: Arguments
    ) -> tuple[dict[str, np.ndarray] | None, Finding | None]:
        try:
            return self.run(given, own), None
        except _Malformed as error:
            return None, Finding("wrong_shape", str(error))
        except (Exception, SystemExit) as error:
            words = str(error).strip().split("\n")[0]
            return None, Finding(
                "crashed",
                f"{self.name} raises {type(error).__name__}" + (f": {words}" if words else ""),
            )

    # -- all calls -----------------------------------------------------------------------------

    def report(self) -> Report:
        for case in self.operation.cases:
            self.try_case(case)
        finding = self.main_finding()
        if finding is None or finding.cause in ("unknown", "crashed"):
            self.findings += self.other_forms()
        findings = [finding] if finding else []
        if finding and finding.cause == "unknown":
            findings = [*self.findings, finding]
        findings += self.findings
        first = findings[0] if findings else Finding(None, "")
        others = dict.fromkeys(
            each.diagnosis for each in findings[1:] if each != first and each.cause != "unknown"
        )
        # a right dropout has another mask than ours
        compared = [] if self.name == "dropout_forward" else diagnosis.comparisons(self.trials)
        report = Report(
            self.name,
            *first,
            comparisons=compared,
            notes=[*self.notes, *(f"also: {words}" for words in others)],
        )
        verdict = (
            "wrong" if finding and finding.cause not in ("stateful", "nondeterministic") else "ok"
        )
        has_gradient = self.is_backward or self.operation.backward is None
        report.forward = "-" if self.is_backward else verdict
        report.gradient = verdict if has_gradient else "-"
        if self.operation.backward is None and self.trials:
            report.forward, report.gradient = (
                "wrong" if any(t.fails(name) for t in self.trials) else "ok"
                for name in ("loss", "dscores")
            )
        impure = self.findings or (finding and finding.cause in ("stateful", "nondeterministic"))
        report.purity = "wrong" if impure else "ok"
        return report

    def try_case(self, case: Case) -> None:
        draws = [case.draw(np.random.default_rng(seed)) for seed in (0, 1)]
        calls = [(given, *self.arguments(given, seed)) for seed, given in enumerate(draws)]
        results = []
        for given, own, right in [*calls, calls[0]]:
            passed = _copies(own)
            purity.spoil_free_memory(right.values())
            got, problem = self.attempt(given, passed)
            if problem and case.optional and problem.cause == "crashed":
                self.notes.append(f"{case.name}: {problem.diagnosis}")
                return
            self.watch_arguments(own, passed, got, case)
            results.append(
                (got, {name: array.copy() for name, array in got.items()} if got else None)
            )
            if len(results) <= 2:
                self.trials.append(
                    Trial(self.name, case.name, own, given, right, results[-1][1], problem)
                )
        first, _, again = (copied for _, copied in results)
        if first and again and not purity.same(tuple(first.values()), tuple(again.values())):
            self.differs(*calls[0][:2])
        for got, copied in results:
            if got and not purity.same(tuple(got.values()), tuple(copied.values())):
                self.found(
                    "stateful",
                    f"the arrays that {self.name} returned are overwritten by its next call",
                )

    def found(self, cause: str, words: str) -> None:
        if not any(each.cause == cause for each in self.findings):
            self.findings.append(Finding(cause, words))

    def explain_difference(self, call: Callable) -> Finding:
        return purity.explain_difference(call, self.function, self.name, self.kept)

    def repeated(self, given: Arguments, own: Arguments) -> Callable[[], tuple[np.ndarray, ...]]:
        """The same call, as often as one likes."""
        return lambda: tuple(each.copy() for each in self.run(given, _copies(own)).values())

    def differs(self, given: Arguments, own: Arguments) -> None:
        if any(each.cause in ("stateful", "nondeterministic") for each in self.findings):
            return
        with contextlib.suppress(Exception, SystemExit):
            self.findings.append(self.explain_difference(self.repeated(given, own)))
            return
        self.found("stateful", f"{self.name} fails at a repeated call with the same arguments")

    def watch_arguments(
        self, own: Arguments, passed: Arguments, got: dict | None, case: Case
    ) -> None:
        for name, array in passed.items():
            if not isinstance(array, np.ndarray):
                continue
            if array.shape != own[name].shape or array.tobytes() != own[name].tobytes():
                self.found(
                    "mutates_input",
                    f"{self.name} changes its argument {name}, in the case {case.name!r}",
                )
            for output, result in (got or {}).items():
                if np.may_share_memory(array, result) and np.shares_memory(array, result):
                    self.found(
                        "aliases_input",
                        f"{output} shares memory with the argument {name}, in the case "
                        f"{case.name!r}: writing to one changes the other",
                    )

    # -- what is wrong -------------------------------------------------------------------------

    def main_finding(self) -> Finding | None:
        """State or randomness if they show; else what the values tell."""
        for each in self.findings:
            if each.cause in ("stateful", "nondeterministic"):
                self.findings.remove(each)
                return each
        if self.name == "dropout_forward":
            return dropout_properties(self)
        for trial in self.trials:
            if any(trial.fails(name) for name in self.outputs):
                if self.is_right_now(trial):  # it comes and goes
                    return self.explain_difference(self.repeated(trial.given, trial.arguments))
                has_state = any(kept.changed() for kept in self.kept)
                for kept in self.kept:
                    kept.restore()
                if has_state and self.is_right_now(trial):
                    return Finding(
                        "stateful",
                        f"{self.name} is wrong after other calls, and right again once its globals "
                        "and default arguments are put back: it keeps state between calls (case "
                        f"{trial.case!r})",
                    )
        wrong_type = self.wrong_dtype()
        finding = diagnosis.diagnose(self.trials)
        if finding is not None and finding.cause == "crashed":
            finding = self.ignored_option() or finding
        if finding is None or finding.cause in ("unknown", "wrong_dtype"):
            return wrong_type or finding
        return finding

    def is_right_now(self, trial: Trial) -> bool:
        got, _ = self.attempt(trial.given, _copies(trial.arguments))
        again = trial._replace(got=got)
        return not any(again.fails(name) for name in self.outputs)

    def wrong_dtype(self) -> Finding | None:
        for trial in self.trials:
            for name, array in (trial.got or {}).items():
                expected = trial.right[name].dtype
                if name not in ("loss", "mask") and array.dtype != expected:
                    return Finding(
                        "wrong_dtype", f"{name} has the dtype {array.dtype} instead of {expected}"
                    )
        return None

    def ignored_option(self) -> Finding | None:
        """It crashes where stride or padding is set: does it work on a dy of the size without?"""
        if not self.is_backward or "stride" not in self.trials[0].given:
            return None
        for option, default, cause in (
            ("stride", 1, "stride_ignored"),
            ("padding", 0, "padding_ignored"),
        ):
            for trial in self.trials:
                given = trial.given
                if not trial.problem or given.get(option, default) == default:
                    continue
                plain = {**given, option: default}
                with contextlib.suppress(Exception):  # the reference refuses impossible sizes
                    own, right = self.arguments(plain)
                    got, _ = self.attempt(given, _copies({**own, option: given[option]}))
                    again = Trial(self.name, trial.case, own, plain, right, got)
                    if not any(again.fails(name) for name in self.outputs):
                        return Finding(
                            cause,
                            f"{self.name} ignores {option}: it crashes on dy, and works on the dy "
                            "that "
                            f"{option}={default} would give ({trial.problem.diagnosis})",
                        )
        return None

    def other_forms(self) -> Iterator[Finding]:
        """The first case again: read-only, non-contiguous, float32, and many times over."""
        given = self.operation.cases[0].draw(np.random.default_rng(5))
        own, right = self.arguments(given)

        def wrong(passed, right, precision):
            got, problem = self.attempt(given, passed)
            if problem:
                return problem
            if self.name == "dropout_forward":
                return None
            trial = Trial(
                self.name, self.operation.cases[0].name, own, given, right, got, None, precision
            )
            return diagnosis.diagnose([trial])

        if wrong(_copies(own), right, 1e-9):
            return  # reported already
        frozen = _copies(own)
        for array in frozen.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        if problem := wrong(frozen, right, 1e-9):
            cause = "mutates_input" if "read-only" in problem.diagnosis else "crashed"
            yield Finding(cause, f"fails where its arguments are read-only: {problem.diagnosis}")
        if problem := wrong({name: _strided(value) for name, value in own.items()}, right, 1e-9):
            yield Finding(
                "non_contiguous",
                f"wrong where its arguments are not contiguous in memory: {problem.diagnosis}",
            )
        yield from self.in_float32()
        yield from self.races()

    def races(self) -> Iterator[Finding]:
        """Many calls on the smallest case with several images, among which threads share work."""
        several = [trial for trial in self.trials if next(iter(trial.given.values())).shape[0] > 1]
        given, own = min(
            ((trial.given, trial.arguments) for trial in several),
            key=lambda each: sum(np.size(value) for value in each[1].values()),
        )

        again = self.repeated(given, own)
        with contextlib.suppress(_Malformed):
            if purity.repeats_differ(again):
                yield self.explain_difference(again)

    def in_float32(self) -> Iterator[Finding]:
        given = {
            name: value.astype(np.float32)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
            else value
            for name, value in self.operation.cases[0].draw(np.random.default_rng(5)).items()
        }
        own, right = self.arguments(given)
        got, problem = self.attempt(given, _copies(own))
        if problem:
            yield Finding(problem.cause, f"in float32: {problem.diagnosis}")
            return
        for name, array in got.items():
            if name not in ("loss", "mask") and array.dtype != right[name].dtype:
                yield Finding(
                    "wrong_dtype",
                    f"{name} has the dtype {array.dtype} where the arguments are float32",
                )
                return
        trial = Trial(self.name, "float32", own, given, right, got, None, 1e-4)
        if self.name != "dropout_forward" and (finding := diagnosis.diagnose([trial])):
            yield Finding(finding.cause, f"in float32: {finding.diagnosis}")


class _Malformed(Exception):
    """A result that is not what was asked for."""


def _copies(arguments: Arguments) -> Arguments:
    return {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }


def _strided(value: Any) -> Any:
    """The same array on every second element of a memory with reversed axes."""
    if not isinstance(value, np.ndarray) or not value.ndim:
        return value
    memory = np.zeros([2 * extent for extent in value.shape[::-1]], value.dtype)
    view = memory[tuple(slice(None, None, 2) for _ in value.shape)].T
    view[...] = value
    return view


# ---------------------------------------------------------------------------------------------
# Dropout, which is random by right, is judged by its properties
# ---------------------------------------------------------------------------------------------


def dropout_properties(subject: Subject) -> Finding | None:
    """Mask of zeros and ones, kept share, scaling, one mask a seed, another for another."""
    answered = [trial for trial in subject.trials if trial.problem is None]
    for trial in answered:
        for name, array in trial.got.items():
            if array.shape != trial.right[name].shape:
                return Finding(
                    "wrong_shape",
                    f"{name} has the shape {array.shape} instead of {trial.right[name].shape} "
                    f"in the case {trial.case!r}",
                )
    for test in (_mask_values, _rate, _scaling, _shared_mask):
        if answered and (finding := test(answered)):
            return finding
    for trial in subject.trials:
        if trial.problem:
            return Finding(
                trial.problem.cause, f"{trial.problem.diagnosis}, in the case {trial.case!r}"
            )
    return _seeds(subject) or subject.wrong_dtype()


def _mask_values(trials: list[Trial]) -> Finding | None:
    for trial in trials:
        mask, rate = trial.got["mask"].astype(float), trial.given["rate"]
        if not np.isin(mask, (0, 1)).all():
            if diagnosis.close(mask, np.where(mask != 0, 1 / (1 - rate), 0), 1e-6).all():
                return Finding(
                    "constant_factor",
                    "the mask holds 0 and 1 / (1 - rate); it should hold 0 and 1, or be bool",
                )
            return Finding(
                "unknown",
                f"the mask should hold 0 and 1 only, or be bool; it holds {mask.min():g} to "
                f"{mask.max():g}",
            )
    return None


def _rate(trials: list[Trial]) -> Finding | None:
    """The kept share of all trials together, within five standard deviations."""
    worst = None
    for trial in trials:
        x, rate = trial.given["x"], trial.given["rate"]
        kept, nonzero = trial.got["mask"].astype(bool), trial.got["y"] != 0
        slack = 5 * np.sqrt(rate * (1 - rate) / x.size)
        if abs(kept.mean() - (1 - rate)) <= slack:
            continue
        inverted = abs(kept.mean() - rate) <= slack
        if abs(nonzero.mean() - (1 - rate)) <= slack and np.array_equal(nonzero, ~kept):
            worst = Finding(
                "mask_inverted",
                "the mask is 1 where a value is dropped; it should be 1 where it is kept",
            )
        elif inverted:
            worst = Finding(
                "rate_inverted",
                f"values are kept with probability rate, not 1 - rate: at rate {rate:g} "
                f"{kept.mean():.0%} are kept",
            )
        else:
            return Finding(
                "wrong_rate",
                f"at rate {rate:g} {kept.mean():.0%} of the values are kept, not {1 - rate:.0%}",
            )
    return worst


def _scaling(answered: list[Trial]) -> Finding | None:
    trials = [
        trial._replace(
            right={
                "y": np.where(trial.got["mask"], trial.given["x"], 0) / (1 - trial.given["rate"])
            },
            got={"y": trial.got["y"]},
        )
        for trial in answered
    ]

    def mistakes(trial: Trial) -> Iterator[Fault]:
        # y is to x what dx is to dy
        for fault in faults(
            "dropout_backward",
            {"dy": trial.given["x"], "mask": mask_of[id(trial.given)], "rate": trial.given["rate"]},
            {},
        ):
            if fault.cause != "dy_ignored":
                yield Fault(fault.cause, fault.sentence, {"y": fault.answer("dx")})

    mask_of = {id(trial.given): trial.got["mask"] for trial in answered}
    return diagnosis.diagnose(trials, mistakes)


def _shared_mask(trials: list[Trial]) -> Finding | None:
    for trial in trials:
        mask = trial.got["mask"].astype(bool)
        if not 0 < trial.given["rate"] < 1 or mask.size < 100:
            continue
        for axis, name in zip(range(mask.ndim), ("images", "rows", "columns", "channels")):
            if mask.shape[axis] > 1 and (mask == np.take(mask, [0], axis)).all():
                return Finding(
                    "mask_shared",
                    f"all {name} have the same mask; every value should be drawn on its own",
                )
    return None


def _seeds(subject: Subject) -> Finding | None:
    """The first draw of two cases with another seed."""
    for trial in subject.trials:
        if not 0 < trial.given["rate"] < 1:
            continue
        given = {**trial.given, "seed": trial.given["seed"] + 1}
        got, problem = subject.attempt(given, _copies(given))
        if problem:
            return Finding(problem.cause, f"{problem.diagnosis}, with another seed")
        if np.array_equal(got["mask"], trial.got["mask"]):
            return Finding("seed_ignored", "the mask is the same for two different seeds")
    return None

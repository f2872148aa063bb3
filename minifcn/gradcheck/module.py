"""Check the functions of a module that have the names of operations: values, gradients, purity.

The right answers come from the textbook, on the cases of ``cases.py``, with fresh numbers. Every
case is tried with two draws of numbers, with the first again, and in float32, so that whatever a
function keeps between calls shows. The functions are called through ``observe``, here in this very
process, for ``minifcn check`` on the other side of a wall.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import numpy as np

from minifcn.gradcheck import diagnosis, dropout, edits, purity
from minifcn.gradcheck.cases import (
    FUNCTIONS,
    Arguments,
    Case,
    defaults_among,
    fresh,
    operation_of,
    with_images,
)
from minifcn.gradcheck.observe import (
    Call,
    Observe,
    ObserverLost,
    Seen,
    in_process,
    present,
    public_names,
    same,
)
from minifcn.gradcheck.report import Comparison, Report
from minifcn.gradcheck.trials import Finding, Trial

OTHER_DRAWS = 12  # each is the odd one out by chance once in 13 times
RACING_IMAGES = 32  # threads share out images, and race where there are many
ANY_DTYPE = ("loss", "mask")


def check_module(module: Any) -> dict[str, Report]:
    """Check every function of a module that has the name of an operation.

    Parameters
    ----------
    module : module
        Or a dictionary such as ``globals()``, a class, or any object with such functions as
        attributes. What it lacks gets no entry.

    Returns
    -------
    reports : dict
        Name of the function -> Report. Whatever a function does, it gets a report that says so.

    Raises
    ------
    ValueError
        If there is no function to check: with the names that are looked for, and those that are
        nearly right.

    Examples
    --------
    >>> import numpy as np
    >>> reports = check_module({"relu_forward": lambda x: np.abs(x)})
    >>> reports["relu_forward"].diagnosis
    'y is the absolute value of x'
    """
    names = present(module, FUNCTIONS)
    if not names:
        raise ValueError(nothing_to_check(public_names(module)))
    observe = in_process(module)
    return {name: check_observed(observe, name) for name in names}


def nothing_to_check(names: list[str]) -> str:
    """What to say where no function has the name of an operation; ``names`` are those there are."""
    near = {
        name: close[0]
        for name in names
        if (close := difflib.get_close_matches(name.lower(), FUNCTIONS, 1, 0.75))
    }
    words = "there is no function with the name of an operation: " + ", ".join(FUNCTIONS)
    if near:
        words += "; did you mean " + ", ".join(f"{b} by {a}" for a, b in near.items()) + "?"
    return words


def check_function(module: Any, name: str, leave_out: tuple[str, ...] = ()) -> Report:
    """Check one function of a module, but for cases that begin so; see ``check_module``."""
    return check_observed(in_process(module), name, leave_out=leave_out)


def check_observed(
    observe: Observe,
    name: str,
    with_forward: bool = True,
    seed: int | None = 0,
    leave_out: tuple[str, ...] = (),
) -> Report:
    """Check one function through an observer, in this process or behind a wall.

    Parameters
    ----------
    observe : callable
        Makes a list of calls and tells what was seen; raises ``ObserverLost`` when it cannot.
    name : str
        Of the function.
    with_forward : bool
        Call the module's forward right before its backward, which may use what it kept.
    seed : int, optional
        Of the numbers; None for numbers that nobody can foretell.
    leave_out : tuple of str
        Beginnings of the names of cases that are not tried.
    """
    return _Function(observe, name, with_forward, seed, leave_out).report()


class _Function:
    """A function under test."""

    def __init__(
        self,
        observe: Observe,
        name: str,
        with_forward: bool,
        seed: int | None,
        leave_out: tuple[str, ...],
    ):
        self.observe, self.name, self.with_forward = observe, name, with_forward
        self.seeds = np.random.SeedSequence(seed)
        self.operation = operation_of(name)
        self.cases = [
            each for each in self.operation.cases if not each.name.startswith(tuple(leave_out))
        ]
        self.is_backward = name == self.operation.backward
        operation = self.operation
        self.outputs = operation.gradients if self.is_backward else operation.outputs
        self.trials: list[Trial] = []
        self.findings: list[Finding] = []  # about purity
        self.notes: list[str] = []
        self.takes_pairs = True

    def report(self) -> Report:
        try:
            finding = self.findings_of_all_cases()
        except ObserverLost as lost:
            finding = Finding("crashed", f"{self.name} {lost}")
        findings = [finding, *self.findings] if finding else self.findings
        findings = sorted(findings, key=lambda each: each.cause == "unknown")
        by_values = finding and finding.cause not in ("stateful", "nondeterministic")
        verdict = "wrong" if by_values else "ok"
        first = findings[0] if findings else Finding(None, "")
        others = dict.fromkeys(each.diagnosis for each in findings[1:] if each != first)
        # a right dropout has another mask than ours
        lines = [] if self.name == "dropout_forward" else comparisons(self.trials)
        notes = [*self.notes, *(f"also: {words}" for words in others)]
        report = Report(self.name, first.cause, first.diagnosis, lines, notes=notes,
                        edit=first.edit)
        report.forward = "-" if self.is_backward else verdict
        report.gradient = verdict if self.is_backward else "-"
        if self.operation.backward is None and self.trials:
            report.forward, report.gradient = (
                "wrong" if any(trial.fails(name) for trial in self.trials) else "ok"
                for name in self.outputs
            )
        report.purity = "wrong" if self.findings or (finding and not by_values) else "ok"
        return report

    def findings_of_all_cases(self) -> Finding | None:
        for case in self.cases:
            self.try_case(case)
        finding = self.main_finding()
        if finding is None:
            for each in self.other_forms():
                self.found(each)
        return finding

    # -- calls ---------------------------------------------------------------------------------

    def trial(self, case: str, given: Arguments) -> Trial:
        """A call to make, and the right answer."""
        answer, own, right = self.operation.right(given)
        if self.is_backward:
            draw = np.random.default_rng(self.seeds.spawn(1)[0])
            dy = draw.standard_normal(answer[0].shape).astype(answer[0].dtype)
            answer, own, right = self.operation.right(given, dy)
        results = right if self.is_backward else answer
        precision = 1e-4 if any(a.dtype == np.float32 for a in _floats(given)) else 1e-9
        return Trial(
            self.name,
            case,
            own if self.is_backward else given,
            given,
            dict(zip(self.outputs, map(np.asarray, results))),
            precision=precision,
        )

    def call(self, trial: Trial, **how: Any) -> Call:
        before = None
        if self.is_backward and self.with_forward:
            before = (self.operation.forward, trial.given, defaults_among(trial.given))
        arguments = trial.arguments
        return Call(self.name, arguments, defaults_among(arguments), before, **how)

    def answered(self, trial: Trial, seen: Seen) -> Trial:
        """The trial with what came back, or with what is wrong with its form."""
        if seen.crash is not None:
            return trial._replace(crash=seen.crash)
        problem = self.problem_of_form(seen)
        if problem:
            return trial._replace(problem=Finding("wrong_shape", problem))
        return trial._replace(got=dict(zip(self.outputs, seen.results)))

    def problem_of_form(self, seen: Seen) -> str | None:
        wanted = ", ".join(self.outputs)
        if seen.returned == "None":
            return f"{self.name} returns None instead of {wanted} (is there a return?)"
        count = len(seen.results)
        if count != len(self.outputs):
            several = seen.returned in ("tuple", "list")
            given = f"{count} results" if several else f"one {seen.returned}"
            return f"{self.name} returns {given} instead of {len(self.outputs)} ({wanted})"
        for name, kind, array in zip(self.outputs, seen.kinds, seen.results):
            if array is None or (kind == "number" and name != "loss"):
                return f"{name} is {'None' if kind == 'None' else f'a {kind}'} instead of an array"
            if array.dtype.kind not in "fiub":
                return f"{name} has the dtype {array.dtype}"
        return None

    def ask(self, *trials: Trial, **how: Any) -> list[Trial]:
        """Make the calls now."""
        seen = self.observe([self.call(trial, **how) for trial in trials])
        return [self.answered(trial, each) for trial, each in zip(trials, seen)]

    def drawn(self, case: Case) -> Arguments:
        return case.draw(np.random.default_rng(self.seeds.spawn(1)[0]))

    # -- cases ---------------------------------------------------------------------------------

    def try_case(self, case: Case) -> None:
        first, second = (self.trial(case.name, self.drawn(case)) for _ in range(2))
        single = self.trial(f"{case.name}, float32", fresh(first.given, np.float32))
        trials = first, second, first, single
        calls = [self.call(trial, pattern=p) for trial, p in zip(trials, (0x7F, 0x7F, 0x3C, 0x7F))]
        seen = self.observe(calls)
        answers = [self.answered(trial, each) for trial, each in zip(trials, seen)]
        if case.optional and all(each.crash for each in answers):
            if "equal" in case.name:
                self.takes_pairs = False
            if not self.takes_pairs:  # whole numbers only: that is allowed
                self.notes.append(f"{case.name}: {diagnosis.raises(answers[0])}")
                return
        for trial, each in zip(answers, seen):
            for finding in purity.side_effects(each, self.outputs, self.name, trial.case):
                self.found(finding)
        if bool(seen[0].crash) != bool(seen[2].crash):
            self.found(Finding("stateful", f"{self.name} fails at a repeated call with the same "
                               "arguments"))
        elif not seen[0].crash and not same(seen[0].results, seen[2].results):
            self.found(purity.explain_difference(self.observe, calls[0], self.name))
            answers = self.without_unwritten(answers)
        self.trials += [answers[0], answers[1], answers[3]]

    def without_unwritten(self, answers: list[Trial]) -> list[Trial]:
        """0 where memory was never written: then a loop that ends too early looks like one."""
        first, again = answers[0].got, answers[2].got
        if not any("never wrote" in each.diagnosis for each in self.findings) or not first:
            return answers
        changed = []
        for trial in answers:
            got = {name: array.copy() for name, array in (trial.got or {}).items()}
            for name, array in got.items():
                if first[name].shape == again[name].shape == array.shape and array.ndim:
                    array[purity.unwritten(first[name], again[name])] = 0
            changed.append(trial._replace(got=got or None))
        return changed

    def found(self, finding: Finding) -> None:
        if not any(each.cause == finding.cause for each in self.findings):
            self.findings.append(finding)

    # -- what is wrong -------------------------------------------------------------------------

    def main_finding(self) -> Finding | None:
        """State or randomness if they show; else what the values tell."""
        for each in self.findings:
            if each.cause in ("stateful", "nondeterministic"):
                self.findings.remove(each)
                if "never wrote" in each.diagnosis:
                    return self.named_unwritten(each)
                return each
        if self.name == "dropout_forward":
            found = dropout.properties(self.trials, self.with_other_seed)
            return found or self.wrong_dtype()
        if state := self.comes_and_goes():
            return state
        wrong_type = self.wrong_dtype()
        finding = diagnosis.diagnose(self.trials, self.operation)
        if finding is None or finding.cause in ("unknown", "wrong_dtype"):
            return (finding and self.ignores_dy()) or wrong_type or finding
        return (finding.cause in edits.KINDS and self.ignores_dy()) or finding

    def named_unwritten(self, each: Finding) -> Finding:
        if self.name == "dropout_forward":
            return each
        named = diagnosis.diagnose(self.trials, self.operation)
        if named is None or named.cause in ("unknown", "crashed", "nan"):
            return each
        words = f"{named.diagnosis} (there it returns memory that was never written: np.empty)"
        return named._replace(diagnosis=words)

    def with_other_seed(self, trial: Trial) -> Trial:
        given = trial.given | {"seed": trial.given["seed"] + 1}
        return self.ask(trial._replace(arguments=given, given=given))[0]

    def comes_and_goes(self) -> Finding | None:
        """Wrong before, right now; or right for the numbers that came first, and for no others."""
        failing = [trial for trial in self.trials if self.is_wrong(trial) and trial.answered]
        for trial in failing[:3]:
            if not self.is_wrong(self.ask(trial)[0]):
                return purity.explain_difference(self.observe, self.call(trial), self.name)
        # what is pure treats the first draw of a case as any other
        firsts = [a for a, b in zip(self.trials[::3], self.trials[1::3])
                  if not self.is_wrong(a) and self.is_wrong(b)]
        for first in firsts[:3]:
            case = next(each for each in self.operation.cases if each.name == first.case)
            others = [self.trial(case.name, self.drawn(case)) for _ in range(OTHER_DRAWS)]
            *others, again = self.ask(*others, first)
            if self.is_wrong(again) or not all(map(self.is_wrong, others)):
                return None
        if not firsts:
            return None
        return Finding(
            "stateful",
            f"{self.name} is right for the numbers that it was called with first, and wrong for "
            f"all others of the same shapes (first in the case {firsts[0].case!r}): it keeps "
            "something from its first call",
        )

    def is_wrong(self, trial: Trial) -> bool:
        return any(trial.fails(name) for name in self.outputs)

    def ignores_dy(self) -> Finding | None:
        """The same gradient for two different dy."""
        failing = [trial for trial in self.trials if self.is_wrong(trial) and trial.answered]
        if not self.is_backward or not failing:
            return None
        trial = failing[0]
        other = trial._replace(arguments=trial.arguments | {"dy": trial.arguments["dy"][::-1] + 1})
        again = self.ask(other)[0]
        wrong = [name for name in self.outputs if trial.fails(name)]
        if again.answered and all(
            np.array_equal(again.got[name], trial.got[name]) and trial.got[name].any()
            for name in wrong
        ):
            verb = "does" if len(wrong) == 1 else "do"
            return Finding("dy_ignored", f"{' and '.join(wrong)} {verb} not depend on dy: the same "
                           "for two different ones")
        return None

    def wrong_dtype(self) -> Finding | None:
        for trial in self.trials:
            for name, array in (trial.got or {}).items():
                expected = trial.right[name].dtype
                if name not in ANY_DTYPE and array.dtype != expected:
                    return Finding("wrong_dtype", f"{name} has the dtype {array.dtype} instead of "
                                   f"{expected}, in the case {trial.case!r}")
        return None

    def other_forms(self) -> Iterator[Finding]:
        """A right function once more: read-only, not contiguous, many images, many times over."""
        for case in self.operation.cases[:2]:
            trial = self.trial(case.name, self.drawn(case))
            if finding := self.wrong_in_form(trial, "read-only"):
                cause = "mutates_input" if "read-only" in finding.diagnosis else "crashed"
                words = f"fails where its arguments are read-only: {finding.diagnosis}"
                yield Finding(cause, words)
            if finding := self.wrong_in_form(trial, "strided"):
                yield Finding("non_contiguous", "wrong where its arguments are not contiguous in "
                              "memory (a transposed or sliced array): "
                              f"{finding.diagnosis}")
        yield from self.races()

    def wrong_in_form(self, trial: Trial, form: str) -> Finding | None:
        answered = self.ask(trial, form=form)[0]
        if self.name != "dropout_forward":
            return diagnosis.diagnose([answered], self.operation)
        return dropout.failure(answered)

    def races(self) -> Iterator[Finding]:
        """Many calls with many images, among which threads share the work."""
        case = next(each for each in self.operation.cases if "differ" in each.name or
                    "rate 0.5" in each.name or "ignored" in each.name)
        trial = self.trial(case.name, with_images(self.drawn(case), RACING_IMAGES))
        call = self.call(trial, repeat=purity.REPEATS)
        seen = self.observe([call])[0]
        answered = self.answered(trial._replace(case=f"{case.name}, {RACING_IMAGES} images"), seen)
        if not purity.is_steady(seen):
            yield purity.explain_difference(self.observe, call._replace(repeat=1), self.name)
        elif self.name != "dropout_forward" and (
            found := diagnosis.diagnose([answered], self.operation)
        ):
            yield found._replace(diagnosis=f"with {RACING_IMAGES} images: {found.diagnosis}")


def _floats(given: Arguments) -> list[np.ndarray]:
    return [v for v in given.values() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]


def comparisons(trials: list[Trial]) -> list[Comparison]:
    """For every array the first trial in which it is wrong, else the first of all."""
    lines = []
    for name in trials[0].right if trials else ():
        usable = [trial for trial in trials if trial.wrong(name) is not None]
        if usable:
            trial = next((each for each in usable if each.fails(name)), usable[0])
            got, right = (np.asarray(a, float) for a in (trial.got[name], trial.right[name]))
            lines.append(Comparison(name, got, right, trial.wrong(name), where=trial.case))
    return lines

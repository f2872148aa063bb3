"""The grading core: a submission and an assignment give results, the same for every front end.

Operations are judged by ``gradcheck.runner.check_file``; everything else calls the student's
functions in a ``Worker`` of its own for each part. No student code runs in this process.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minifcn import noticed
from minifcn.course import beside, speed, submission
from minifcn.course.parts import (
    Assignment,
    Code,
    Failed,
    Function,
    Judged,
    Layer,
    Part,
    Verdict,
    Words,
    assignment,
    attempt,
    close,
)
from minifcn.isolation import Ended, Limits, Other, Raised, Worker, busy, plain

LIMITS = Limits(memory=4 << 30)
SECONDS = 60  # for a function, or for a part that is no operation; of an idle machine
HIDDEN_CASES = 4
NO_FORM = ("crashed", "missing", "wrong_shape", "nan")  # nothing whose purity could be judged

Ask = Callable[..., Any]


class Result(NamedTuple):
    """One line of a grade.

    Attributes
    ----------
    name : str
        "conv2d.value", "output-size", "output-size.hidden".
    score, out_of : float
    message : str
        For the student: the cause in words, the named index and its values.
    cause : str or None
        One word, such as "kernel_flipped".
    hidden : bool
        Whether it was judged on cases from the instructor's seed.
    page : str
        Which page explains it.
    """

    name: str
    score: float
    out_of: float
    message: str = ""
    cause: str | None = None
    hidden: bool = False
    page: str = ""

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]


class Grades(list):
    """The results of one submission.

    Attributes
    ----------
    remarks : list of str
        For student and instructor: what was repaired, which cell cannot be read.
    notices : list of str
        For the instructor: neutral sentences about what the code does.
    missing : list of str
        What this system could not limit while the code ran.
    """

    def __init__(self, results: Iterable[Result] = (), remarks=(), notices=(), missing=()):
        super().__init__(results)
        self.remarks, self.notices, self.missing = [*remarks], [*notices], [*missing]

    @property
    def score(self) -> float:
        return round(sum(each.score for each in self), 6)

    @property
    def out_of(self) -> float:
        return round(sum(each.out_of for each in self), 6)


def grade(
    path: str | Path,
    homework: str | Assignment,
    seed: int | None = None,
    release: str | Path | None = None,
    hide: tuple[str, ...] = (),
    seconds: float = SECONDS,
    progress: Callable[[str], None] = lambda name: None,
) -> Grades:
    """Judge a submission: notebook, Python file, or folder.

    Parameters
    ----------
    path : path
    homework : str or Assignment
        Such as "hw1".
    seed : int, optional
        The instructor's, from which hidden cases are drawn. Without it there are no results of
        hidden cases.
    release : path, optional
        The notebook that was handed out: locked cells are taken from it.
    hide : tuple of str
        Folders that shall look empty to the student's code.
    seconds : float
        For each function, of an idle machine.
    progress : callable
        Called with the name of what is judged next.

    Returns
    -------
    grades : Grades
        A list of ``Result``. Whatever a submission does or is, there is a result for everything
        that is judged.

    Raises
    ------
    ValueError
        If there is no such assignment.
    """
    if isinstance(homework, str):
        homework = assignment(homework)
    judged = [each for each in homework.parts if not isinstance(each, Words)]
    refuse = tuple(sorted(noticed.PACKAGES - set(homework.allowed)))
    limits = LIMITS._replace(refuse=refuse, hide=hide)
    functions = tuple(name for each in judged for name in each.functions)
    with tempfile.TemporaryDirectory() as folder:
        try:
            ready = submission.prepare(path, Path(folder), homework.name, release, functions)
        except (ValueError, OSError) as error:
            return _nothing(judged, homework, seed, plain(str(error)))
        grades = Grades((), ready.remarks, ready.notices)
        session = _Session(ready.entry, limits, seconds)
        try:
            lacking = session.load(functions)
        except Failed as error:
            nothing = _nothing(judged, homework, seed, plain(str(error)))
            nothing.remarks, nothing.notices = ready.remarks, ready.notices
            nothing.missing = session.missing
            return nothing
        grades.remarks += [plain(each) for each in session.failed_cells]
        reports = _reports(ready.entry, judged, limits, seconds, lacking, grades, progress)
        for part in judged:
            progress(part.name)
            results = _of_part(part, session, reports, seed, homework)
            grades.remarks += session.speeds
            said = session.noticed.get(part.name, set()).union(
                *(reports.noticed.get(name, ()) for name in part.functions)
            )
            results = _withheld(results, said)
            grades.notices += [f"{part.name}: the code {each}" for each in sorted(said)]
            grades += results
        session.stop()
        grades.missing = session.missing
        grades.notices += _visible_only(grades)
    grades.remarks, grades.notices = _once(grades.remarks), _once(grades.notices)
    return grades


def _once(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def rng_of(part: str, seed: int | None) -> np.random.Generator:
    """The generator of a part: each part has its own, so that one more call moves no other."""
    return np.random.default_rng([zlib.crc32(part.encode()), 0 if seed is None else seed])


# -- one part -------------------------------------------------------------------------------------


def _of_part(part: Part, session: _Session, reports, seed, homework: Assignment) -> list[Result]:
    """The results of a part, behind the wall."""
    if isinstance(part, Layer):
        results, session.speeds = layer_results(part, reports[part.name], session.best_seconds)
    else:
        results = [judged(part, session.asking(part.name))]
    if part.hidden and seed is not None:
        results.append(hidden(part, session.asking(part.name), seed))
    return [with_page(each, part, homework) for each in results]


def layer_results(
    part: Layer, reports: dict[str, Any], seconds: Callable[[str, tuple], float]
) -> tuple[list[Result], list[str]]:
    """Points for value, gradient, purity and speed, and how fast it is.

    ``seconds`` measures a function on arguments; the rest comes from the checker's reports.
    """
    from minifcn.gradcheck.cases import operation_of

    values, gradients, pure = [], [], []
    for name in part.functions:
        report, operation = reports[name], operation_of(name)
        formed = report.cause not in NO_FORM
        # remembered or random numbers may be right at times
        steady = report.cause not in ("stateful", "nondeterministic") or report.worst is None
        right = formed and steady
        if name == operation.backward:
            gradients.append((report, right and report.gradient == "ok"))
        else:
            values.append((report, right and report.forward == "ok"))
            if operation.backward is None:  # the loss, which gives its gradient too
                gradients.append((report, right and report.gradient == "ok"))
        pure.append((report, formed and report.purity == "ok"))
    results = []
    for kind, points, found in (
        ("value", part.value, values),
        ("gradient", part.gradient, gradients),
        ("purity", part.purity, pure),
    ):
        if not points:
            continue
        wrong = [report for report, ok in found if not ok]
        score = points * (1 - len(wrong) / len(found))
        message = "\n".join(dict.fromkeys(_words(each, kind) for each in wrong))
        results.append(
            Result(
                f"{part.name}.{kind}",
                round(score, 6),
                points,
                message,
                wrong[0].cause if wrong else None,
            )
        )
    ratios = {name: _ratio(name, seconds) if report.ok else 0.0 for name, report in reports.items()}
    told = [speed.words(name, ratio) for name, ratio in ratios.items() if ratio]
    if part.speed:
        share = sum(ratio >= speed.RATIO for ratio in ratios.values()) / len(ratios)
        slow = "" if share == 1 else "\n".join(told) or "only what is right can be fast"
        name = f"{part.name}.speed"
        cause = None if share == 1 else "slow"
        results.append(Result(name, round(part.speed * share, 6), part.speed, slow, cause))
    return results, told


def _ratio(name: str, seconds: Callable[[str, tuple], float]) -> float:
    arguments = speed.largest_case(name, rng_of(name, None))
    try:
        own = seconds(name, arguments)
    except Failed:
        return 0.0
    return speed.plain_seconds(name, arguments) / max(own, 1e-6)


def _words(report: Any, kind: str) -> str:
    """A checker's report as feedback, in words only: never its edit of the textbook."""
    if kind == "purity":
        if report.cause in NO_FORM:
            return f"{report.name}: nothing to judge yet"
        also = [note for note in report.notes if note.startswith("also: ")]
        if also and report.cause not in ("stateful", "nondeterministic"):
            return plain(f"{report.name}: {'; '.join(also)}", 1000)
    if report.cause == "missing":
        return f"{report.name}: {report.diagnosis}"
    text = f"{report.name}: {report.cause}: {report.diagnosis}"
    if report.worst and report.cause not in ("stateful", "nondeterministic"):
        text += f"; {report.worst}"
    expected = [note for note in report.notes if note.startswith("expected: ")]
    return plain("\n".join([text, *expected]), 1000)


def judged(part: Function | Judged, ask: Ask) -> Result:
    """The result of a plain function, or of a judge, on what students may know."""
    if isinstance(part, Function):
        wrong = _wrong_answers(part, part.cases, ask)
        return Result(part.name, 0.0 if wrong else part.points, part.points, *(wrong or ("", None)))
    verdicts = _verdicts(part, ask, rng_of(part.name, None))
    return _of_verdicts(part.name, part.points, verdicts)


def hidden(part: Layer | Function | Judged, ask: Ask, seed: int) -> Result:
    """The result on cases from a seed. Its message shows none of them."""
    rng, name = rng_of(part.name, seed), f"{part.name}.hidden"
    if isinstance(part, Judged):
        result = _of_verdicts(name, part.hidden, _verdicts(part, ask, rng))
        wrong = result.score < result.out_of
        message = "not right on the hidden cases" if wrong else ""
        return result._replace(message=message, hidden=True)
    if isinstance(part, Function):
        cases = [part.draw(rng) for _ in range(2 * HIDDEN_CASES)]
        counts = {part.function: [_wrong_answers(part, [case], ask) is None for case in cases]}
    else:
        counts = _hidden_layer(part, ask, rng)
    share = sum(all(each) for each in counts.values()) / len(counts)
    message = "\n".join(
        f"{function}: right in {sum(each)} of {len(each)} hidden cases, of other shapes or values"
        for function, each in counts.items()
        if not all(each)
    )
    cause = None if share == 1 else "hidden_cases"
    return Result(name, round(part.hidden * share, 6), part.hidden, message, cause, True)


def _hidden_layer(part: Layer, ask: Ask, rng) -> dict[str, list[bool]]:
    from minifcn.gradcheck.cases import defaults_among, operation_of

    counts: dict[str, list[bool]] = {name: [] for name in part.functions}
    for _ in range(HIDDEN_CASES):
        given = part.draw(rng)
        for name in part.functions:
            operation = operation_of(name)
            answer, own, right = operation.right(given)
            if name == operation.backward:
                dy = rng.standard_normal(answer[0].shape)
                _, own, right = operation.right(given, dy)
            arguments = dict(own if name == operation.backward else given)
            defaults = defaults_among(arguments)
            while (last := next(reversed(arguments))) in defaults:
                del arguments[last]
            right = right if name == operation.backward else answer
            right = right if len(right) > 1 else right[0]

            def check(name=name, arguments=arguments, right=right):
                got = ask(name, *arguments.values())
                return Verdict(close(got, right) is None)

            counts[name].append(bool(attempt(check).share))
    return counts


def _wrong_answers(part: Function, cases, ask: Ask) -> tuple[str, str | None] | None:
    """What is wrong with a plain function's answers, and the cause; None if nothing is."""
    answers, first = [], None
    for case in cases:
        try:
            got = ask(part.function, *case)
        except Failed as error:
            return first or (str(error), error.cause)
        answers.append(got)
        call = f"{part.function}({', '.join(map(_argument, case))})"
        words = close(got, part.right(*case), name=call)
        first = first or (words and (words, "wrong_value"))
    if first:
        for cause, sentence, mistaken in part.mistakes:
            if all(close(a, mistaken(*case)) is None for a, case in zip(answers, cases)):
                return f"{sentence}; {first[0]}", cause
    return first


def _argument(value: Any) -> str:
    return f"an array {value.shape}" if isinstance(value, np.ndarray) else repr(value)


def _verdicts(part: Judged, ask: Ask, rng) -> list[Verdict]:
    try:
        return part.judge(ask, rng)
    except Failed as error:
        return [Verdict(0, str(error), error.cause)]


def _of_verdicts(name: str, points: float, verdicts: list[Verdict]) -> Result:
    share = sum(min(max(float(each.share), 0), 1) for each in verdicts) / len(verdicts)
    wrong = [each for each in verdicts if each.share < 1]
    message = "\n".join(dict.fromkeys(each.message for each in wrong if each.message))
    cause = next((each.cause for each in wrong if each.cause), "wrong_value" if wrong else None)
    return Result(name, round(points * share, 6), points, plain(message, 2000), cause)


def with_page(result: Result, part: Part, homework: Assignment) -> Result:
    """The result, with the page that explains what is wrong."""
    if result.score >= result.out_of:
        return result
    return result._replace(page=homework.pages.get(result.cause or "", part.page))


def out_of(part: Part, with_hidden: bool) -> list[Result]:
    """What there is to earn in a part, as results with no points."""
    if isinstance(part, Layer):
        kinds = [
            (f"{part.name}.{kind}", getattr(part, kind))
            for kind in ("value", "gradient", "purity", "speed")
            if getattr(part, kind)
        ]
    else:
        kinds = [(part.name, part.points)]
    results = [Result(name, 0.0, points) for name, points in kinds]
    if part.hidden and with_hidden:
        results.append(Result(f"{part.name}.hidden", 0.0, part.hidden, hidden=True))
    return results


def _nothing(judged: list[Part], homework: Assignment, seed, why: str) -> Grades:
    """No points at all, and why."""
    return Grades(
        with_page(each._replace(message=why, cause="not_loaded"), part, homework)
        for part in judged
        for each in out_of(part, seed is not None)
    )


def _withheld(results: list[Result], said: set[str]) -> list[Result]:
    """No points where code was seen to go round the task; a refused import has failed already."""
    serious = sorted(each for each in said if not each.startswith("imports "))
    if not serious:
        return results
    why = f"not judged: the code {'; '.join(serious)}"
    return [each._replace(score=0.0, message=why, cause="not_judged", page="") for each in results]


def _visible_only(grades: Grades) -> list[str]:
    """Parts that are right on all cases that students know and on no hidden one."""
    notices = []
    for part in _once([each.part for each in grades]):
        known = [each for each in grades if each.part == part and not each.hidden]
        unknown = [each for each in grades if each.part == part and each.hidden]
        all_known = known and all(each.score == each.out_of for each in known)
        if all_known and unknown and not any(each.score for each in unknown):
            notices.append(f"{part}: right on every case that students know, on no hidden one")
    return notices


# -- behind the wall ------------------------------------------------------------------------------


class _Reports(dict):
    """Name of a part -> name of a function -> report; and what was noticed, by function."""

    noticed: dict[str, list[str]]


def _reports(entry, judged, limits, seconds, lacking, grades, progress) -> _Reports:
    """The checker's report of each function that is an operation."""
    from minifcn.gradcheck.report import Report
    from minifcn.gradcheck.runner import check_file

    reports = _Reports()
    reports.noticed = {}
    layers = [part for part in judged if isinstance(part, Layer)]
    for leave_out in dict.fromkeys(part.leave_out for part in layers):
        parts = [part for part in layers if part.leave_out == leave_out]
        names = [name for part in parts for name in part.functions]
        found = {name: Report(name, "missing", f"there is no function {name}") for name in names}
        there = [name for name in names if name not in lacking]
        if there:
            try:
                checked = check_file(
                    entry,
                    seconds,
                    there,
                    limits=limits,
                    leave_out=leave_out,
                    progress=lambda done, count, name: name and progress(name),
                )
                found |= {name: unwritten(each) for name, each in checked.reports.items()}
                for name, said in checked.noticed.items():
                    reports.noticed.setdefault(name, []).extend(said)
            except (ValueError, OSError) as error:
                found |= {name: Report(name, "crashed", plain(str(error))) for name in there}
        reports.update(
            {part.name: {name: found[name] for name in part.functions} for part in parts}
        )
    return reports


def unwritten(report: Any) -> Any:
    """The report, or one that says that the function is still to be written."""
    from minifcn.gradcheck.report import Report

    if report.cause == "crashed" and "NotImplementedError" in report.diagnosis:
        return Report(report.name, "missing", "is still to be written")
    return report


class _Session:
    """The student's file behind a wall, for everything that is no operation."""

    def __init__(self, entry: Path, limits: Limits, seconds: float):
        self.worker = Worker(entry, probes=(noticed.__file__, beside.__file__), limits=limits)
        self.seconds = seconds
        self.missing: list[str] = []
        self.failed_cells: list[str] = []
        self.noticed: dict[str, set[str]] = {}
        self.speeds: list[str] = []

    def stop(self) -> None:
        self.worker.stop()

    def load(self, functions: tuple[str, ...]) -> list[str]:
        """Load the file; returns which functions it lacks. Raises Failed if it does not load."""
        try:
            self.worker.start()
            self.missing = [plain(str(each), 200) for each in self.worker.missing]
            lacking = self.worker.probe("lacking", list(functions), seconds=10)
            failed = self.worker.probe("failed_cells", seconds=10)
        except (Raised, Ended) as error:
            raise Failed(f"cannot be loaded: {words_of(error)}", "not_loaded") from None
        self.failed_cells = [each for each in failed if isinstance(each, str)]
        return [each for each in functions if each in lacking]

    def best_seconds(self, name: str, arguments: tuple[Any, ...]) -> float:
        """CPU seconds of a function, as the student's process says."""
        try:
            told = self.worker.probe("best_seconds", name, list(arguments), seconds=self.seconds)
        except (Raised, Ended) as error:
            raise failure(name, error) from None
        if not isinstance(told, float) or not told >= 0:
            raise Failed(f"{name} cannot be measured")
        return told

    def asking(self, part: str) -> Ask:
        """What a judge calls the student's functions with, in a process of the part's own."""
        self.worker.stop()
        left = self.seconds

        def ask(name: str, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left <= 0:
                raise Failed(f"{name} was not called any more: the time for this part is used up")
            start = time.monotonic()
            try:
                encoded = [_encoded(each) for each in arguments]
                options = {key: _encoded(each) for key, each in options.items()}
                got = self.worker.probe("call", name, encoded, options, seconds=max(left, 1))
                said = self.worker.probe("noticed", seconds=10)
            except (Raised, Ended) as error:
                raise failure(name, error) from None
            finally:
                left -= (time.monotonic() - start) / busy()
            said = {plain(each, 80) for each in said if isinstance(each, str)}
            if said:
                self.noticed.setdefault(part, set()).update(said)
            return received(name, got)

        return ask


def received(name: str, got: Any) -> Any:
    """What a function returned, unless it is of a kind that cannot be sent."""
    if isinstance(got, Other):
        raise Failed(f"{name} returns a {got}", "wrong_type")
    return got


def failure(name: str, error: Raised | Ended) -> Failed:
    """A failed call, as a sentence."""
    if isinstance(error, Raised) and error.kind == "NotImplementedError":
        return Failed(f"{name} is still to be written", "missing")
    if isinstance(error, Raised) and error.kind == "KeyError" and error.words.strip("'") == name:
        return Failed(f"there is no function {name}", "missing")
    return Failed(f"{name} {words_of(error)}")


def words_of(error: Raised | Ended) -> str:
    if isinstance(error, Raised):
        where = f", at line {error.line} ({error.code.strip()})" if error.line else ""
        return plain(f"raises {' '.join(str(error).split())}{where}", 600)
    return plain(str(error))


def _encoded(value: Any) -> Any:
    if isinstance(value, Code):
        return {beside.CODE: str(value)}
    if isinstance(value, (list, tuple)):
        return type(value)(_encoded(each) for each in value)
    return value

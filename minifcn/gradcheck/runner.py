"""``minifcn check my_layers.py``: the student's functions behind the wall, the judgement before it.

Each function gets a process of its own, which makes the calls that the checker asks for and tells
what it saw (``observe.py``). Right answers, comparison and diagnosis stay here.
"""

from __future__ import annotations

import ast
import difflib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minifcn import noticed
from minifcn.gradcheck import observe
from minifcn.gradcheck.cases import FUNCTIONS
from minifcn.gradcheck.module import check_observed
from minifcn.gradcheck.observe import Call, Crash, ObserverLost, Seen
from minifcn.gradcheck.report import Report
from minifcn.gradcheck.signatures import layouts, signature
from minifcn.isolation import (
    Ended,
    Limits,
    Raised,
    Worker,
    busy,
    parsed,
    plain,
    without_magic,
)

PROBES = (noticed.__file__, observe.__file__)
LARGEST = 4 << 20  # bytes of a file with homework; notebooks carry pictures


class Checked(NamedTuple):
    """What the check of a file gave.

    Attributes
    ----------
    reports : dict of Report
        By the function's name.
    notes : list of str
        What is worth a look, but no mistake: names that look misspelt, ready-made layers.
    missing : list of str
        What could not be limited on this system while the code ran.
    printed : dict of str
        What each function printed.
    noticed : dict of list of str
        What each function's process was seen to do: "imports torch", "starts another program".
    """

    reports: dict[str, Report]
    notes: list[str]
    missing: list[str]
    printed: dict[str, str]
    noticed: dict[str, list[str]]

    @property
    def ok(self) -> bool:
        return all(report.ok for report in self.reports.values())


def check_file(
    path: str | Path,
    seconds: float = 60,
    required: Sequence[str] = (),
    notice: bool = True,
    limits: Limits | None = None,
    progress: Callable[[int, int, str], None] = lambda done, count, name: None,
    leave_out: tuple[str, ...] = (),
) -> Checked:
    """Check the functions of a Python file or notebook that have the names of operations.

    Parameters
    ----------
    path : path
    seconds : float
        For the calls of each function, after which its process and all its children are killed.
    required : sequence of str
        Functions that must be there; only these are checked. Without it, those of the file.
    notice : bool
        Say in ``notes`` where the file uses ready-made layers or starts other programs.
    limits : Limits
        Of each process.
    progress : callable
        Called with the number of functions checked, that of all, and the next one's name.
    leave_out : tuple of str
        Beginnings of the names of cases that are not tried.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no Python, cannot be imported, or has nothing to check.
    """
    path = Path(path)
    shown = plain(str(path))
    try:
        source = source_of(path)
        defined = _defined(source)
    except ValueError as error:
        raise ValueError(f"{shown} {error}") from None
    notes, printed, seen = noticed.in_source(source) if notice else set(), {}, {}
    with Worker(path, source, PROBES, limits) as process:
        try:
            process.start()
            said = process.probe("present", FUNCTIONS, seconds=seconds)
            public = process.probe("public_names", seconds=seconds)
        except (Raised, Ended) as error:
            raise ValueError(f"{shown} cannot be imported: {_words(error)}") from None
        missing = [str(each) for each in process.missing]
        said = {each for each in said if isinstance(each, str)} if isinstance(said, list) else set()
        wanted = set(required) or said | defined
        names = [name for name in FUNCTIONS if name in wanted]
        near = _misspelt(public, set(FUNCTIONS) - wanted)
        if not names:
            words = f"has no function with the name of an operation, such as {FUNCTIONS[0]}"
            raise ValueError("; ".join([f"{shown} {words}, {', '.join(FUNCTIONS[1:3])}", *near]))
        reports = {}
        for done, name in enumerate(names):
            progress(done, len(names), name)
            if name not in said:
                reports[name] = Report(name, "missing", f"the file has no function {name}")
                continue
            reports[name] = _check(process, name, seconds, leave_out)
            seen[name] = sorted(_noticed(process)) if notice else []
            notes.update(seen[name])
            process.stop()
            printed[name] = process.printed
    progress(len(names), len(names), "")
    uses = [
        f"{plain(path.name)} {each}; that is no mistake by itself"
        for each in sorted(notes)
        if not any(other.startswith(f"{each} (line") for other in notes)
    ]
    return Checked(reports, near + uses, missing, printed, seen)


def _check(process: Worker, name: str, seconds: float, leave_out: tuple[str, ...]) -> Report:
    """The report of one function; with its forward, unless that is what ends the process."""
    left, lost = seconds, False

    def ask(calls: Sequence[Call]) -> list[Seen]:
        nonlocal left, lost
        start = time.monotonic()
        try:
            answer = process.probe("answer", [tuple(each) for each in calls], seconds=max(left, 1))
        except (Raised, Ended) as error:
            lost = True
            raise ObserverLost(_words(error)) from None
        finally:
            left -= (time.monotonic() - start) / busy()
        if not isinstance(answer, list) or len(answer) != len(calls):
            raise ObserverLost("sent something that is no answer")
        return [_seen(each) for each in answer]

    report = check_observed(ask, name, seed=None, leave_out=leave_out)
    if lost and name.endswith("_backward"):
        left = seconds
        alone = check_observed(ask, name, False, None, leave_out)
        report = alone if alone.ok or not report.ok else report
    if report.cause in ("crashed", "wrong_shape"):
        shapes = "; ".join(f"{key}: {text}" for key, text in layouts(name).items())
        report.notes.append(f"expected: {signature(name)}, with {shapes}")
    return report


def _seen(told: Any) -> Seen:
    """What a student's process says that it saw, if it has the form of that."""

    def texts(value):
        return isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)

    def arrays(value):
        value = [None if isinstance(each, str) else each for each in value]  # no array of numbers
        if not all(each is None or isinstance(each, np.ndarray) for each in value):
            raise ValueError
        return value

    try:
        returned, kinds, results, crash, changed, shared, overwritten, order, distinct = told
        if not (isinstance(returned, str) and texts(kinds) and texts(changed)):
            raise ValueError
        if crash is not None:
            kind, words, line, code, file = crash
            short = [plain(str(each), 200) for each in (kind, words, code)]
            crash = Crash(short[0], short[1], int(line), short[2], plain(Path(str(file)).name, 80))
        shared = [(int(number), str(argument)) for number, argument in shared]
        order = [int(each) for each in order]
        distinct = [arrays(each) for each in distinct]
        kinds = [plain(each, 80) for each in kinds]
        parts = plain(returned, 80), kinds, arrays(results), crash, changed, shared
        return Seen(*parts, overwritten is True, order, distinct)
    except (TypeError, ValueError, OverflowError):
        raise ObserverLost("sent something that is no answer") from None


def _noticed(process: Worker) -> set[str]:
    try:
        said = process.probe("noticed", seconds=5)
    except (Raised, Ended):
        return set()
    return {plain(each, 80) for each in said if isinstance(each, str)}


def _words(error: Exception) -> str:
    where = ""
    if isinstance(error, Raised) and error.line:
        where = f" (line {error.line} of {error.path}: {error.code})"
    return f"{' '.join(str(error).split())}{where}"


# -- the file -------------------------------------------------------------------------------------


def source_of(path: Path) -> bytes:
    """The Python of a file: its bytes, or the code cells of a notebook."""
    if not path.is_file():
        raise FileNotFoundError(f"{plain(str(path))}: there is no such file")
    if path.suffix == ".ipynb":
        return _cells(path)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"has {path.stat().st_size >> 20} MB: that is no Python file")
    return path.read_bytes()


def _cells(path: Path) -> bytes:
    """A notebook's code, with "pass" in place of what is Jupyter's and not Python."""
    cells = []
    try:
        for cell in json.loads(path.read_bytes())["cells"]:
            if cell["cell_type"] == "code":
                text = cell["source"]
                cells.append(text if isinstance(text, str) else "".join(text))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("is no notebook of version 4: save it with Jupyter") from None
    lines = []
    for number, cell in enumerate(cells, 1):
        lines.append(f"# cell {number}")
        lines.extend(without_magic(cell))
    return "\n".join([*lines, ""]).encode("utf-8", "replace")


def _defined(source: bytes) -> set[str]:
    """The operations that a file's text defines, whatever its process may say."""
    body = parsed(source)
    return {each.name for each in body if isinstance(each, ast.FunctionDef)} & set(FUNCTIONS)


def _misspelt(public: Any, absent: set[str]) -> list[str]:
    notes = []
    for name in public if isinstance(public, list) else []:
        if isinstance(name, str) and name not in FUNCTIONS and len(notes) < 20:
            close = difflib.get_close_matches(name[:80].lower(), sorted(absent), 1, 0.85)
            notes += [f"{plain(name, 80)}: did you mean {close[0]}?"] if close else []
    return notes

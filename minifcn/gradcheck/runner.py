"""``minifcn check my_layers.py``: every function in a fresh process with a time limit, one table.

A student's function may crash, hang, exit or write past an array. In a process of its own it takes
nothing else with it, and what it prints does not spoil the table. The child writes its verdict as
JSON to a file: its standard output belongs to the function under test.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from minifcn.gradcheck.cases import FUNCTIONS

AT_ONCE = 2
LOAD, ALONE = "--load", "--alone"


class Verdict(NamedTuple):
    """One line of the table."""

    function: str
    forward: str = "-"
    gradient: str = "-"
    purity: str = "-"
    verdict: str = "wrong"
    hint: str = ""


def check_file(path: str | Path, seconds: float = 60, quiet: bool = False) -> int:
    """Check the functions of a Python file that have the names of the operations; print one table.

    Parameters
    ----------
    path : path
        A Python file.
    seconds : float
        Limit for each function, after which its process and all its children are killed.
    quiet : bool
        Print only what is wrong.

    Returns
    -------
    code : int
        0 if all is well, 1 if a function is wrong, 2 if the file cannot be read or has nothing to
        check.
    """
    path = Path(path)
    if not path.is_file():
        print(f"{path}: there is no such file", file=sys.stderr)
        return 2
    names, error = _functions(path, seconds)
    if error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    if not names:
        print(
            f"{path} has no function with the name of an operation, such as "
            f"{', '.join(FUNCTIONS[:3])}",
            file=sys.stderr,
        )
        return 2
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(lambda name: _check_apart(path, name, seconds), names))
    wrong = [each for each in verdicts if each.verdict != "ok"]
    if wrong or not quiet:
        print(table(wrong if quiet else verdicts))
    if not quiet:
        print(f"\n{len(verdicts) - len(wrong)} of {len(verdicts)} functions are right")
    return 1 if wrong else 0


def table(verdicts: list[Verdict]) -> str:
    """The verdicts as text, hints wrapped to the width of the terminal."""
    width = shutil.get_terminal_size((120, 24)).columns
    head = Verdict("function", "forward", "gradient", "purity", "verdict", "hint")
    widths = [max(len(row[k]) for row in [head, *verdicts]) for k in range(5)]
    indent = sum(widths) + 2 * len(widths)
    lines = []
    for row in [head, *verdicts]:
        hint = textwrap.wrap(row.hint, max(width - indent, 30)) or [""]
        start = "".join(f"{cell:<{w}}  " for cell, w in zip(row, widths))
        lines += [(start + hint[0]).rstrip(), *(" " * indent + rest for rest in hint[1:])]
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------
# In the parent
# ---------------------------------------------------------------------------------------------


def _functions(path: Path, seconds: float) -> tuple[list[str], str | None]:
    """Names of the operations that a file has, asked of a process that imports it."""
    try:
        ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        return [], f"cannot be read as Python{where}: {getattr(error, 'msg', error)}"
    answer, ending = _in_process([str(path), LOAD], seconds)
    if answer is None:
        return [], f"cannot be imported: {ending}"
    return answer.get("names", []), answer.get("error")


def _check_apart(path: Path, name: str, seconds: float) -> Verdict:
    answer, ending = _in_process([str(path), name], seconds)
    if answer is None and name.endswith(
        "_backward"
    ):  # or was it its forward that ended the process?
        answer, ending = _in_process([str(path), name + ALONE], seconds)
    if answer is None:
        return Verdict(name, hint=f"{name} {ending}")
    return Verdict(name, **answer)


def _in_process(arguments: list[str], seconds: float) -> tuple[dict | None, str]:
    """Run this module as a program: (its answer, or None and how it ended)."""
    handle, name = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    result = Path(name)
    process = subprocess.Popen(
        [sys.executable, "-m", "minifcn.gradcheck.runner", *arguments, name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
    )
    try:
        code = process.wait(seconds)
        text = result.read_text(encoding="utf-8")
        if text:
            return json.loads(text), ""
        return None, _ending(code)
    except subprocess.TimeoutExpired:
        return None, f"was stopped after {seconds:g} s: it hangs, or is far too slow"
    finally:
        _kill(process)
        result.unlink(missing_ok=True)


def _ending(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            what = {
                signal.SIGSEGV: "a segmentation fault, writing or reading outside an array",
                signal.SIGKILL: "killed, most likely out of memory",
            }
            which = signal.Signals(-code)
            return f"ended its process with {which.name}" + (
                f" ({what[which]})" if which in what else ""
            )
    return f"ended its process with exit code {code}"


def _kill(process: subprocess.Popen) -> None:
    """The process and all its children, which share its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


# ---------------------------------------------------------------------------------------------
# In the child
# ---------------------------------------------------------------------------------------------


def load(path: Path):
    """Import a Python file as a module; files beside it can be imported by it."""
    sys.path.insert(0, str(path.resolve().parent))
    specification = importlib.util.spec_from_file_location("student", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules["student"] = module
    specification.loader.exec_module(module)
    return module


def _child(path: Path, task: str) -> dict:
    try:
        module = load(path)
    except (Exception, SystemExit) as error:
        return {"error": f"cannot be imported: {type(error).__name__}: {error}".strip(": ")}
    if task == LOAD:
        return {"names": [name for name in FUNCTIONS if callable(getattr(module, name, None))]}
    from minifcn.gradcheck.module import check_function

    report = check_function(module, task.removesuffix(ALONE), with_forward=not task.endswith(ALONE))
    hint = "" if report.ok else f"{report.cause}: {report.diagnosis}"
    if report.worst and report.cause not in ("stateful", "nondeterministic"):
        hint += f"; {report.worst}"
    return {
        "forward": report.forward,
        "gradient": report.gradient,
        "purity": report.purity,
        "verdict": "ok" if report.ok else "wrong",
        "hint": hint if hint or not report.notes else f"note: {report.notes[0]}",
    }


def main() -> None:
    path, task, result = sys.argv[1:]
    Path(result).write_text(json.dumps(_child(Path(path), task)), encoding="utf-8")


if __name__ == "__main__":
    main()

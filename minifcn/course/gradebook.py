"""nbgrader's side: its configuration, its commands, and a preprocessor in place of its execution.

nbgrader runs a submission in a kernel and reads points from what the test cells leave there, so a
student's code could write its own grade. ``Judge`` stands in that place: it fills the test cells
with the results of the grading core, which has judged the submission behind a wall.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from minifcn.course.building import ANSWER, STUB

GRADES = "MINIFCN_COURSE_GRADES"  # environment variable: the file with the grades to fill in

CONFIG = f'''"""nbgrader's configuration, by `minifcn course init`; add to it as you like."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = {{name!r}}
c.CourseDirectory.root = {{root!r}}
c.ClearSolutions.code_stub = {{{{"python": "{STUB}"}}}}
c.ClearSolutions.text_stub = "{ANSWER}"
c.Execute.timeout = 300
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = r"Numba\\w*Warning"
# submissions are judged by minifcn, behind a wall, and not run in a kernel
c.Autograde.autograde_preprocessors = [
    "minifcn.course.gradebook.Judge",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
'''


def installed() -> bool:
    """Is nbgrader there? Course folders work without it, too."""
    import importlib.util

    return importlib.util.find_spec("nbgrader") is not None


def command(root: Path, *words: str, **environment: str) -> str:
    """Run one of nbgrader's commands in a course folder; returns what it printed.

    Raises
    ------
    ValueError
        If it fails, with the last of its lines that says why.
    """
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=root,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # it starts alembic by its name alone
        env={**os.environ, "PATH": programs, "PYTHONWARNINGS": "ignore", **environment},
    )
    if done.returncode:
        lines = [each for each in done.stdout.splitlines() if each.strip()]
        told = [each for each in lines if "ERROR" in each or "Error:" in each] or lines
        raise ValueError(
            f"nbgrader {' '.join(words[:2])}: {told[-1].strip() if told else 'failed'}"
        )
    return done.stdout


def manual(root: Path, name: str, student: str) -> dict[str, float | None]:
    """Points given by hand: part -> points, None where it is still to be graded."""
    from nbgrader.api import Gradebook, MissingEntry

    with Gradebook(f"sqlite:///{(root / 'gradebook.db').resolve()}") as book:
        try:
            graded = book.find_submission_notebook(name, name, student)
        except MissingEntry:
            return {}
        return {
            each.name: None if each.needs_manual_grade else each.manual_score or 0.0
            for each in graded.grades
            if each.auto_score is None
        }


try:
    from nbgrader.preprocessors import NbGraderPreprocessor
except ImportError:  # then nbgrader does not ask for it either
    NbGraderPreprocessor = object


class Judge(NbGraderPreprocessor):
    """Fills test cells with results: feedback as printed text, points as the cell's value."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        from nbformat import v4

        from minifcn.course.athome import shown
        from minifcn.course.records import read

        record = read(self._file(resources))
        for cell in nb.cells:
            marks = cell.metadata.get("nbgrader", {})
            if cell.cell_type != "code" or not marks.get("grade"):
                continue
            part = marks["grade_id"].removesuffix("-hidden")
            hidden = marks["grade_id"] != part
            results = [
                each for each in record.grades if each.part == part and each.hidden == hidden
            ]
            if not results:
                raise ValueError(f"there is no result for the cell {marks['grade_id']}")
            score = round(sum(each.score for each in results), 6)
            cell.outputs = [
                v4.new_output("stream", name="stdout", text=shown(results) + "\n"),
                v4.new_output(
                    "execute_result", {"text/plain": repr(float(score))}, execution_count=1
                ),
            ]
            cell.execution_count = 1
        return nb, resources

    @staticmethod
    def _file(resources: Any) -> Path:
        marks = resources["nbgrader"]
        told = os.environ.get(GRADES)
        file = Path(told or Path("grades", marks["assignment"], f"{marks['student']}.json"))
        if not file.is_file():
            raise ValueError(
                f"{marks['student']} has no grade yet: use minifcn course grade "
                f"{marks['assignment']}, which calls nbgrader itself"
            )
        return file


def notebook_text(notebook: dict[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"

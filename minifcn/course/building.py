"""From an assignment's source, a jupytext percent script with solutions, to what is handed out.

A cell's kind stands in its metadata, ``# %% minifcn="solution" id="conv2d_forward"``; the kinds are
those of ``KINDS``. What is made: the instructor's notebook, in which nbgrader knows every cell; the
student's notebook; and the plain variant, ``student_layers.py`` with stubs and ``adapters.py``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from minifcn.course.parts import Assignment, Words
from minifcn.course.submission import id_of, kind_of, text_of

# kind -> grade, locked, solution
KINDS = {
    "setup": (False, True, False),
    "given": (False, True, False),
    "try": (False, True, False),
    "solution": (False, False, True),
    "test": (True, True, False),
    "hidden": (True, True, False),
    "words": (True, False, True),
}
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "raise NotImplementedError"
ANSWER = "Your answer here."
ID = re.compile(r"[a-zA-Z0-9_-]+")

Notebook = dict[str, Any]


def instructors(source: Path, homework: Assignment) -> Notebook:
    """The notebook with solutions, and with nbgrader's metadata.

    Raises
    ------
    ValueError
        If the source and the declaration of the assignment do not fit together, or a marker or an
        id is wrong.
    """
    import jupytext

    notebook = jupytext.read(source, fmt="py:percent")
    cells, seen = [], set()
    for number, cell in enumerate(notebook.cells, 1):
        kind = cell.metadata.get("minifcn", "")
        place = f"{source.name}, cell {number}"
        metadata = {}
        if kind:
            if kind not in KINDS:
                raise ValueError(
                    f"{place}: there is no kind {kind!r}; there are {', '.join(KINDS)}"
                )
            name, points = _name_and_points(cell, kind, homework, place)
            if not ID.fullmatch(name) or name in seen:
                raise ValueError(
                    f"{place}: the id {name!r} is used twice, or has other characters "
                    "than letters, digits, - and _"
                )
            seen.add(name)
            metadata = {"minifcn": kind, "nbgrader": _marks(kind, name, points)}
        elif "tags" in cell.metadata:
            metadata = {"tags": cell.metadata["tags"]}
        _check_markers(cell.source, kind, place)
        cells.append(_cell(cell.cell_type, cell.source, metadata, len(cells)))
    _check_parts(homework, seen, source.name)
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _name_and_points(cell, kind: str, homework: Assignment, place: str) -> tuple[str, float | None]:
    if kind in ("test", "hidden", "words"):
        part = homework.part(cell.metadata.get("part", ""))
        if (kind == "words") != isinstance(part, Words):
            raise ValueError(f"{place}: {part.name} is declared as {type(part).__name__}")
        if kind == "hidden":
            return f"{part.name}-hidden", part.hidden
        return part.name, part.points
    if kind == "setup":
        return "setup", None
    name = str(cell.metadata.get("id", ""))
    return f"answer-{name}" if kind == "solution" and name else name, None


def _marks(kind: str, name: str, points: float | None) -> dict[str, Any]:
    grade, locked, solution = KINDS[kind]
    marks = {
        "grade": grade,
        "grade_id": name,
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return marks if points is None else {**marks, "points": points}


def _check_markers(text: str, kind: str, place: str) -> None:
    found = [line.strip() for line in text.splitlines() if line.strip() in (BEGIN, END)]
    pairs = [BEGIN, END] * (len(found) // 2)
    if found != pairs or "BEGIN SOLUTION" in text.replace(BEGIN, ""):
        raise ValueError(f"{place}: {BEGIN!r} and {END!r} must stand in pairs")
    if bool(found) != (kind in ("solution", "words")):
        raise ValueError(
            f"{place}: a solution stands in a cell of kind solution or words, "
            f"and each of these has one; this is {kind or 'of no kind'}"
        )


def _check_parts(homework: Assignment, seen: set[str], file: str) -> None:
    wanted = {each.name for each in homework.parts}
    wanted |= {f"{each.name}-hidden" for each in homework.parts if each.hidden}
    if wanted - seen:
        raise ValueError(f"{file} has no test or words cell for {', '.join(sorted(wanted - seen))}")


def _cell(kind: str, text: str, metadata: dict, number: int) -> dict[str, Any]:
    cell = {"id": f"cell-{number}", "cell_type": kind, "metadata": metadata, "source": text}
    return {**cell, "outputs": [], "execution_count": None} if kind == "code" else cell


# -- what students get ----------------------------------------------------------------------------


def students(notebook: Notebook) -> Notebook:
    """The notebook without solutions, as nbgrader makes it too."""
    cells = []
    for cell in notebook["cells"]:
        kind, text = kind_of(cell), text_of(cell)
        if kind in ("solution", "words"):
            text = without_solution(text, STUB if kind == "solution" else ANSWER)
        cells.append({**cell, "source": text})
    return {**notebook, "cells": cells}


def without_solution(text: str, stub: str) -> str:
    lines, inside = [], False
    for line in text.splitlines():
        if line.strip() == BEGIN:
            lines.append(line[: len(line) - len(line.lstrip())] + stub)
            inside = True
        elif line.strip() == END:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def solutions(notebook: Notebook) -> list[str]:
    """The lines between the markers, without indentation."""
    lines, inside = [], False
    for cell in notebook["cells"]:
        for line in text_of(cell).splitlines():
            if line.strip() in (BEGIN, END):
                inside = line.strip() == BEGIN
            elif inside and line.strip():
                lines.append(line.strip())
    return lines


def plain_variant(notebook: Notebook, homework: Assignment) -> dict[str, str]:
    """File name -> text of the variant without notebooks; of the solution, if it is given one."""
    layers, comment = [], ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            comment = "\n".join(f"# {line}".rstrip() for line in text_of(cell).splitlines())
        elif kind_of(cell) in ("given", "solution"):
            layers.append(f"{comment}\n\n{text_of(cell)}" if comment else text_of(cell))
            comment = ""
    head = f'"""{homework.title}. Your code goes here; see README.md."""'
    text = "\n\n\n".join([head, *layers]) + "\n"
    return {
        "student_layers.py": text,
        "adapters.py": _adapters(text, homework),
        f"test_{homework.name}.py": _TEST.format(name=homework.name),
        "README.md": _readme(notebook, homework),
    }


_TEST = '''"""Run with pytest. The same judgement: minifcn course check {name} ."""

from pathlib import Path

from minifcn.course.testing import judged

test_part = judged("{name}", Path(__file__).parent)
'''


def _adapters(layers: str, homework: Assignment) -> str:
    """One function for each that is judged, which calls the student's."""
    signatures = {
        node.name: node.args for node in ast.parse(layers).body if isinstance(node, ast.FunctionDef)
    }
    parts = [
        '"""What is judged. If your own names, classes or layouts differ, change it here."""\n'
        "\nimport student_layers\n"
    ]
    for name in dict.fromkeys(each for part in homework.parts for each in part.functions):
        if name not in signatures:
            raise ValueError(f"{homework.name} declares {name}, which its source does not define")
        given = signatures[name]
        names = [each.arg for each in (*given.posonlyargs, *given.args)]
        names += [f"{each.arg}={each.arg}" for each in given.kwonlyargs]
        parts.append(
            f"\n\ndef {name}({ast.unparse(given)}):\n"
            f"    return student_layers.{name}({', '.join(names)})\n"
        )
    return "".join(parts)


def _readme(notebook: Notebook, homework: Assignment) -> str:
    """The text of the notebook, with how to work without it."""
    text = "\n\n".join(
        text_of(cell)
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown" and kind_of(cell) != "words"
    )
    questions = [each.name for each in homework.parts if isinstance(each, Words)]
    answers = "\n".join(f"\n### {name}\n\n{ANSWER}" for name in questions)
    return (
        f"{text}\n\n---\n\n## Without a notebook\n\nWrite your code in `student_layers.py`. "
        "`adapters.py` calls it under the names that are judged: change it if yours are others. "
        f"Then run `minifcn course check {homework.name} .` or `pytest`. Hand in the folder.\n"
        + (f"\n## Answers in words\n{answers}\n" if questions else "")
    )


def identifiers(notebook: Notebook) -> list[str]:
    return [id_of(cell) for cell in notebook["cells"] if id_of(cell)]

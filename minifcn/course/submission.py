"""What a student hands in, made ready to be judged: looked through, repaired, put in one place.

A notebook becomes one Python file. In it the cells of the setup, the tests and the things to try
are left out, and a statement outside functions may fail without harm to the rest. Nothing here
runs any of it.
"""

from __future__ import annotations

import ast
import json
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from minifcn import noticed
from minifcn.isolation import parsed, plain, without_magic

LARGEST = 4 << 20  # bytes of a Python file, and of all the code of a notebook
TELLING = 130  # nodes of a syntax tree, below which everyone writes the same
SKIPPED = ("setup", "try", "test", "hidden")


class Submission(NamedTuple):
    """A submission made ready.

    Attributes
    ----------
    entry : Path
        The Python file to load.
    remarks : list of str
        What was repaired, or is worth knowing: for student and instructor.
    notices : list of str
        Neutral sentences for the instructor.
    """

    entry: Path
    remarks: list[str]
    notices: list[str]


def prepare(
    path: str | Path,
    folder: Path,
    name: str,
    release: str | Path | None = None,
    functions: tuple[str, ...] = (),
) -> Submission:
    """Make a submission ready in ``folder``.

    Parameters
    ----------
    path : path
        A notebook, a Python file, or a folder that holds ``NAME.ipynb`` or ``student_layers.py``.
    folder : Path
        Empty; the Python is put here.
    name : str
        Of the assignment.
    release : path, optional
        The notebook that was handed out: what was locked in it is taken from there.
    functions : tuple of str
        That are judged; compared with the textbook.

    Raises
    ------
    ValueError, OSError
        If there is nothing to judge, with a sentence that says why.
    """
    path = found(Path(path), name)
    _no_link(path)
    if path.suffix == ".ipynb":
        notebook, remarks, notices = looked_through(read_notebook(path), release)
        source, more = as_python(notebook)
        entry = folder / f"{name}.py"
        entry.write_text(source, encoding="utf-8", errors="replace")
        theirs = as_python(notebook, given=False)[0]
        texts, remarks = {path.name: theirs.encode("utf-8", "replace")}, remarks + more
    else:
        remarks, notices, texts = [], [], {}
        beside = sorted(path.parent.glob("*.py")) if path.name == "adapters.py" else [path]
        for each in [*beside, path.with_name("student_layers.py")]:
            if each.is_file() and each.name not in texts and not each.name.startswith("test_"):
                _no_link(each)
                if each.stat().st_size > LARGEST:
                    raise ValueError(
                        f"{plain(each.name)} has {each.stat().st_size >> 20} MB: "
                        "that is no Python file"
                    )
                texts[each.name] = each.read_bytes()
                shutil.copyfile(each, folder / each.name)
        entry = folder / path.name
    for file, text in texts.items():
        notices += [f"{plain(file)} {each}" for each in _imports(text)]
        notices += copied(text, functions)
    return Submission(entry, remarks, sorted(set(notices)))


def found(path: Path, name: str) -> Path:
    """The file to judge: the path itself, or in a folder the one that is named as expected."""
    if not path.exists():
        raise FileNotFoundError(f"{plain(str(path))}: there is no such file")
    if path.is_file():
        if path.suffix not in (".py", ".ipynb"):
            raise ValueError(f"{plain(path.name)} is neither a notebook nor a Python file")
        return path
    for each in (f"{name}.ipynb", "adapters.py", "student_layers.py", f"{name}.py"):
        if (path / each).is_file():
            return path / each
    files = [
        each
        for pattern in ("*.ipynb", "*.py")
        for each in sorted(path.glob(pattern))
        if not each.name.startswith("test_")
    ]
    if len(files) == 1:
        return files[0]
    raise ValueError(
        f"there is neither {name}.ipynb nor student_layers.py"
        + (f", but {', '.join(plain(each.name) for each in files[:5])}" if files else "")
    )


def _no_link(path: Path) -> None:
    """A link would lead to another student's files, or to the solution."""
    if path.is_symlink():
        raise ValueError(f"{plain(path.name)} is a link to another file")


# -- notebooks ------------------------------------------------------------------------------------


def read_notebook(path: Path) -> dict[str, Any]:
    """The notebook in a file; raises ValueError where there is none of version 4."""
    try:
        notebook = json.loads(path.read_bytes())
        for cell in notebook["cells"]:
            if not isinstance(cell["cell_type"], str) or not isinstance(text_of(cell), str):
                raise TypeError
            cell.setdefault("metadata", {})
        size = sum(len(text_of(cell)) for cell in notebook["cells"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(
            f"{plain(path.name)} is no notebook of version 4: save it with Jupyter"
        ) from None
    if size > LARGEST:
        raise ValueError(f"{plain(path.name)} has {size >> 20} MB of text")
    return notebook


def text_of(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def id_of(cell: dict[str, Any]) -> str:
    """nbgrader's name of a cell, or ""."""
    marks = cell["metadata"].get("nbgrader")
    name = marks.get("grade_id", "") if isinstance(marks, dict) else ""
    return name if isinstance(name, str) else ""


def kind_of(cell: dict[str, Any]) -> str:
    """One of ``building.KINDS``, or "" for a student's own."""
    kind = cell["metadata"].get("minifcn", "")
    return kind if isinstance(kind, str) else ""


def looked_through(
    notebook: dict[str, Any], release: str | Path | None = None
) -> tuple[dict[str, Any], list[str], list[str]]:
    """A notebook repaired, what was repaired or is odd, and sentences for the instructor."""
    remarks, notices = [], []
    cells, seen, copies = [], set(), []
    for cell in notebook["cells"]:
        name = id_of(cell)
        if name in seen:
            copies.append(name)
            if kind_of(cell) != "solution":
                continue
            cell["metadata"] = {}  # a copy of an answer runs, but is no second answer
        elif name:
            seen.add(name)
        cells.append(cell)
    if copies:
        remarks.append(f"copied cells, counted once: {_listed(copies)}")
    size = sum(len(json.dumps(cell.get("outputs", []))) for cell in cells) >> 20
    if size >= 20:
        remarks.append(f"{size} MB of outputs were left out")
    if out_of_order(cells):
        remarks.append("was not run from top to bottom: run all cells in a fresh kernel")
    cells = [
        {**cell, "outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
        for cell in cells
    ]
    language = _language(notebook)
    if language not in ("python", ""):
        remarks.append(f"the kernel is {plain(language, 40)}, not Python")
    if release is not None:
        cells, more = restored(cells, read_notebook(Path(release)))
        notices += more
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    theirs = notebook.get("metadata")
    theirs = theirs if isinstance(theirs, dict) else {}
    named = theirs.get("kernelspec")
    if isinstance(named, dict) and named.get("name", "python3") != "python3":
        remarks.append(f"the kernel {plain(str(named['name']), 40)} was replaced by python3")
    metadata = {**theirs, "kernelspec": kernel}
    minor = notebook.get("nbformat_minor")
    mended = {
        "nbformat": 4,
        "nbformat_minor": minor if isinstance(minor, int) else 5,
        "metadata": metadata,
        "cells": cells,
    }
    return mended, remarks, notices


def restored(cells: list[dict], release: dict[str, Any]) -> tuple[list[dict], list[str]]:
    """Locked cells as they were handed out, cells that are missing put back where they stood."""
    handed_out = {id_of(cell): cell for cell in release["cells"] if id_of(cell)}
    changed = []
    for k, cell in enumerate(cells):
        original = handed_out.get(id_of(cell))
        if id_of(cell) and original is None:
            cells[k] = {**cell, "metadata": {}}
        elif original is not None:
            locked = original["metadata"]["nbgrader"]["locked"]
            if locked and text_of(cell).strip() != text_of(original).strip():
                changed.append(id_of(cell))
            cells[k] = (
                dict(original)
                if locked
                else {**cell, "cell_type": original["cell_type"], "metadata": original["metadata"]}
            )
    there = [id_of(cell) for cell in cells]
    missing = [name for name in handed_out if name not in there]
    for name in missing:
        before = list(handed_out)[: list(handed_out).index(name)]
        place = max((k + 1 for k, cell in enumerate(cells) if id_of(cell) in before), default=0)
        cells.insert(place, dict(handed_out[name]))
    notices = [f"cells that were locked had been changed, and were put back: {_listed(changed)}"]
    lacking = [f"cells were missing, and were put back as handed out: {_listed(missing)}"]
    return cells, (notices if changed else []) + (lacking if missing else [])


def _listed(names: list[str]) -> str:
    return ", ".join(plain(each, 80) for each in dict.fromkeys(names))


def out_of_order(cells: list[dict]) -> bool:
    """Do the numbers beside the cells tell of another order than from top to bottom?"""
    counts = [
        cell.get("execution_count")
        for cell in cells
        if cell["cell_type"] == "code" and text_of(cell).strip()
    ]
    numbers = [each for each in counts if isinstance(each, int)]
    return bool(numbers) and (len(numbers) < len(counts) or numbers != sorted(set(numbers)))


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        part = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(part, dict) and isinstance(part.get(name), str):
            return part[name].lower()
    return ""


def as_python(notebook: dict[str, Any], given: bool = True) -> tuple[str, list[str]]:
    """The code of a notebook that is judged, as one Python file, and what had to be left out."""
    parts, remarks = ["_failed_cells = []"], []
    for number, cell in enumerate(notebook["cells"], 1):
        kind = kind_of(cell)
        if cell["cell_type"] != "code" or kind in SKIPPED or (kind == "given" and not given):
            continue
        text = "\n".join(without_magic(text_of(cell)))
        if text.lstrip().startswith("judge("):  # a test cell that was copied by hand
            continue
        try:
            body = parsed(text)
        except ValueError as error:
            remarks.append(f"cell {number} {error}")
            continue
        lines = text.splitlines()
        parts.append(f"\n# cell {number}")
        for node in body:
            parts.append(_forgiving(node, lines, number))
    return "\n".join([*parts, ""]), remarks


def _forgiving(node: ast.stmt, lines: list[str], number: int) -> str:
    """A statement's own text if it defines something, else one that may fail."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        decorators = [each.lineno for each in node.decorator_list]
        return "\n".join(lines[min([node.lineno, *decorators]) - 1 : node.end_lineno])
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return ""
    body = "\n    ".join(ast.unparse(node).splitlines())
    if any(
        isinstance(each, ast.Constant) and isinstance(each.value, str) and "\n" in each.value
        for each in ast.walk(node)
    ):
        body = f"exec({ast.unparse(node)!r}, globals())"
    return (
        f"try:\n    {body}\nexcept BaseException as error:\n"
        f"    _failed_cells.append(f'cell {number} raises {{type(error).__name__}}: {{error}}')"
    )


# -- what is worth a sentence ---------------------------------------------------------------------


def _imports(text: bytes) -> list[str]:
    try:
        return sorted(noticed.in_source(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def copied(text: bytes, functions: tuple[str, ...]) -> list[str]:
    """Sentences about functions that are the textbook's, whatever their variables are called."""
    try:
        trees = _shapes(text.decode("utf-8", "replace"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    books = {}
    for name in {each.removesuffix("_forward").removesuffix("_backward") for each in functions}:
        file = Path(noticed.__file__).parent / "ops" / "reference" / f"{name}.py"
        if file.is_file():
            books |= {
                shape: (each, file.name)
                for each, shape in _shapes(file.read_text(encoding="utf-8")).items()
            }
    return [
        f"{plain(name)} has the syntax tree of {books[shape][0]} in the textbook "
        f"(minifcn/ops/reference/{books[shape][1]})"
        for name, shape in trees.items()
        if shape in books
    ]


def _shapes(text: str) -> dict[str, str]:
    """Name -> normalised syntax tree, of each function that is long enough to tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    shapes = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            shape = _normalised(node)
            if shape.count("(") >= TELLING:
                shapes[node.name] = shape
    return shapes


class _Renamed(ast.NodeTransformer):
    """Every local name becomes its number, in order of appearance; hints and docstrings go."""

    def __init__(self):
        self.numbers: dict[str, str] = {}

    def number(self, name: str) -> str:
        return self.numbers.setdefault(name, f"v{len(self.numbers)}")

    def visit_Name(self, node):
        return ast.Name(self.number(node.id), node.ctx)

    def visit_arg(self, node):
        return ast.arg(self.number(node.arg))


def _normalised(function: ast.FunctionDef) -> str:
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    bare = ast.FunctionDef("f", function.args, body or [ast.Pass()], [], None)
    renamed = _Renamed().visit(ast.parse(ast.unparse(ast.fix_missing_locations(bare))))
    return ast.dump(renamed)

"""From a percent script to an executed notebook, and how two executed notebooks may differ."""
import os
import re
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from minifcn.files import written_whole
from tests.notebooks import pages

SECONDS_A_CELL = 120
LARGEST = 1_500_000         # bytes of a committed notebook
TOLERANCE = 1e-3            # of numbers, relative; a cell may say tolerance=...
NUMBER = re.compile(r"[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.I)
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def notebook_of(path: Path) -> nbformat.NotebookNode:
    """The notebook that a percent script describes, not executed."""
    book = jupytext.read(path, fmt="py:percent")
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number:02}"
        if "answer" in cell.metadata.get("tags", []):       # folded in JupyterLab and on the site
            cell.metadata.tags = ["answer", "hide-cell"]
            cell.metadata.jupyter = {"source_hidden": True, "outputs_hidden": True}
    book.metadata = {"kernelspec": {"name": "python3", "language": "python",
                                    "display_name": "Python 3"},
                     "language_info": {"name": "python"}}
    return book


def executed(path: Path, folder: Path, home: Path) -> nbformat.NotebookNode:
    """Run a percent script in a fresh kernel that works in ``folder`` and knows no profile."""
    book = notebook_of(path)
    client = NotebookClient(book, timeout=SECONDS_A_CELL, kernel_name="python3",
                            record_timing=False, resources={"metadata": {"path": str(folder)}})
    # figures appear as in a student's notebook, whatever backend the tests use
    client.execute(env={**os.environ, "IPYTHONDIR": str(home),
                        "MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    for cell in book.cells:
        cell.metadata.pop("execution", None)
    book.metadata["language_info"] = {"name": "python"}
    return book


def as_text(book: nbformat.NotebookNode) -> str:
    return nbformat.writes(book) + "\n"


def write(book: nbformat.NotebookNode, path: Path) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(as_text(book), encoding="utf-8")


def problems(book: nbformat.NotebookNode) -> list[str]:
    """What must not be in an executed notebook: warnings, images without words, a large file."""
    found = []
    for number, cell in enumerate(book.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"cell {number} warned: {output.text.strip()}")
        found += [f"cell {number} has {problem}" for problem in pages.problems_of_images(cell)]
    size = len(as_text(book).encode())
    if size > LARGEST:
        found.append(f"it has {size:,} bytes, at most {LARGEST:,} are allowed")
    return found


def differences(new: nbformat.NotebookNode, old: nbformat.NotebookNode) -> list[str]:
    """Where a fresh run says something else than the committed notebook."""
    def plain(cell):
        return cell.cell_type, cell.source, cell.metadata

    if [plain(cell) for cell in new.cells] != [plain(cell) for cell in old.cells]:
        return ["its cells are not those of the source: run make notebooks WRITE=1"]
    found = []
    for number, (a, b) in enumerate(zip(new.cells, old.cells)):
        if a.cell_type == "code" and "timing" not in pages.tags(a):
            tolerance = a.metadata.get("tolerance", TOLERANCE)
            problem = difference(pages.output_text(a), pages.output_text(b), tolerance)
            if problem:
                found.append(f"cell {number}: {problem}\n{a.source}")
    return found


def difference(new: str, old: str, tolerance: float) -> str | None:
    """The first difference between two texts: words exactly, numbers within a tolerance."""
    new, old = (ADDRESS.sub("0x", " ".join(text.split())) for text in (new, old))
    if NUMBER.split(new) != NUMBER.split(old):
        return f"words differ: now\n  {new}\ncommitted\n  {old}"
    for a, b in zip(NUMBER.findall(new), NUMBER.findall(old)):
        x, y = (float(number.replace(",", "").replace("_", "")) for number in (a, b))
        if abs(x - y) > tolerance * abs(y):
            return f"{a} is not within {tolerance:g} of the committed {b}, in: {new}"
    return None

"""Canned students of the small assignment in ``tiny/``, and what each must get."""
from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from minifcn.course import building
from minifcn.course.parts import assignment

TINY = Path(__file__).parent / "tiny"
HOMEWORK = assignment("tiny", TINY)
SOLVED = building.instructors(TINY / "tiny.py", HOMEWORK)
RELEASED = building.students(SOLVED)

FULL = {"relu.value": 20, "relu.gradient": 20, "relu.purity": 10, "relu.hidden": 10,
        "size": 10, "size.hidden": 10, "slope": 10}

RIGHT = {
    "relu_forward": "def relu_forward(x):\n    return np.maximum(x, np.zeros((), x.dtype))",
    "relu_backward": "def relu_backward(dy, y):\n    return dy * (y > 0)",
    "output_size": "def output_size(size, kernel, stride, padding):\n"
                   "    return (size + 2 * padding - kernel) // stride + 1",
    "slope": "def slope(f, x, step=1e-5):\n    return (f(x + step) - f(x - step)) / (2 * step)",
}


class Student(NamedTuple):
    """``write(folder)`` hands in; ``lost`` are points below full ones; ``told`` must be said."""

    write: Callable[[Path], None]
    lost: Mapping[str, float] = MappingProxyType({})
    noticed: str = ""
    remarked: str = ""

    @property
    def points(self) -> dict[str, float]:
        return {name: points - self.lost.get(name, 0) for name, points in FULL.items()}


def notebook(answers: dict[str, str], change: Callable[[dict], None] = lambda notebook: None):
    """Hands in a notebook with these answers; ``change`` does what else the student did."""
    def write(folder: Path) -> None:
        filled = copy.deepcopy(RELEASED)
        for cell in filled["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
            if name.startswith("answer-") and name[7:] in answers:
                cell["source"] = answers[name[7:]]
        change(filled)
        (folder / "tiny.ipynb").write_text(json.dumps(filled), encoding="utf-8")
    return write


def files(**texts: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return write


def add(source: str, first: bool = False) -> Callable[[dict], None]:
    """A cell of the student's own."""
    cell = {"cell_type": "code", "id": "own", "metadata": {}, "source": source, "outputs": [],
            "execution_count": None}

    def change(notebook: dict) -> None:
        notebook["cells"].insert(2 if first else len(notebook["cells"]), cell)
    return change


def copy_cells(notebook: dict) -> None:
    for cell in notebook["cells"][5:9]:
        notebook["cells"].append(copy.deepcopy(cell))


def change_tests(notebook: dict) -> None:
    for cell in notebook["cells"]:
        if cell["metadata"].get("minifcn") in ("test", "hidden"):
            cell["source"] = "100.0"


def broken(folder: Path) -> None:
    (folder / "tiny.ipynb").write_text('{"cells": [', encoding="utf-8")


def with_(name: str, text: str) -> dict[str, str]:
    return {**RIGHT, name: text}


RELU = {"relu.value": 20, "relu.gradient": 20, "relu.purity": 10, "relu.hidden": 10}
CLASSES = '''
import numpy as np


class Relu:
    """Keeps what it passed on."""

    def __call__(self, x):
        self.y = np.where(x > 0, x, 0).astype(x.dtype)
        return self.y

    def back(self, dy, y):
        dx = dy.copy()
        dx[y <= 0] = 0
        return dx


def windows(size, kernel, stride, padding):
    return len(range(0, size + 2 * padding - kernel + 1, stride))


def slope(f, x, step=1e-5):
    return np.array([(f(x[k] + step) - f(x[k] - step)) / 2 / step for k in range(len(x))])
'''
ADAPTERS = '''
import student_layers


def relu_forward(x):
    return student_layers.Relu()(x)


def relu_backward(dy, y):
    return student_layers.Relu().back(dy, y)


output_size = student_layers.windows
slope = student_layers.slope
'''

STUDENTS = {
    "perfect": Student(notebook(RIGHT)),
    "empty": Student(notebook({}), FULL),
    "partly": Student(
        notebook({"relu_forward": RIGHT["relu_forward"],
                  "relu_backward": "def relu_backward(dy, y):\n    return dy * (y >= 0)",
                  "output_size": "def output_size(size, kernel, stride, padding):\n"
                                 "    return (size + 2 * padding - kernel) // stride"}),
        {"relu.gradient": 20, "relu.hidden": 5, "size": 10, "size.hidden": 10, "slope": 10}),
    "visible-only": Student(
        notebook(with_("output_size", "def output_size(*case):\n"
                       "    return {(7, 3, 2, 0): 3, (8, 3, 1, 1): 8, (9, 2, 3, 1): 4}[case]")),
        {"size.hidden": 10}, noticed="size: right on every case that students know, on no hidden"),
    "copied-cell": Student(notebook(RIGHT, copy_cells), remarked="copied cells, counted once"),
    "endless": Student(
        notebook(with_("slope", "def slope(f, x):\n    while True:\n        pass")),
        {"slope": 10}),
    "greedy": Student(
        notebook(with_("relu_forward", "def relu_forward(x):\n    hoard = np.ones(20 << 27)\n"
                       "    return np.maximum(x, 0) + hoard[0] - 1")),
        {"relu.value": 20, "relu.purity": 5, "relu.hidden": 5}),
    "changed-tests": Student(notebook({}, change_tests), FULL,
                             noticed="cells that were locked had been changed"),
    "imports-answer": Student(
        notebook(with_("relu_forward", "def relu_forward(x):\n"
                       "    from minifcn.ops import reference\n"
                       "    return reference.relu_forward(x)")
                 | {"relu_backward": "from minifcn.ops.reference import relu_backward"}),
        RELU, noticed="imports minifcn"),
    "warns": Student(
        notebook(with_("relu_forward", "import warnings\nimport sys\n\n\ndef relu_forward(x):\n"
                       "    warnings.warn('slow')\n    print('hm', file=sys.stderr)\n"
                       "    return np.maximum(x, np.zeros((), x.dtype))"))),
    "classes": Student(files(student_layers=CLASSES, adapters=ADAPTERS)),
    "broken": Student(broken, FULL),
    "patches-numpy": Student(
        notebook(RIGHT, add("np.allclose = lambda *a, **k: True\nnp.array_equal = np.allclose")),
        FULL, noticed="the code changes numpy.allclose"),
    "other-program": Student(
        notebook(with_("slope", "def slope(f, x, step=1e-5):\n    import subprocess\n"
                       "    subprocess.run(['true'])\n"
                       "    return (f(x + step) - f(x - step)) / (2 * step)")),
        {"slope": 10}, noticed="slope: the code starts another program"),
    "looks-for-the-seed": Student(
        notebook(with_("output_size", "def output_size(size, kernel, stride, padding):\n"
                       "    import glob\n    for name in glob.glob('/*/*/private/course.json') + "
                       "['/etc/hosts']:\n        open(name).read()\n"
                       "    return (size + 2 * padding - kernel) // stride + 1")),
        {"size": 10, "size.hidden": 10}, noticed="size: the code opens files outside its folder"),
    "one-cell-fails": Student(
        notebook(RIGHT, add("x = 1 / 0\nimport torch\nprint(y)", first=True)),
        remarked="cell 3 raises ZeroDivisionError"),
}

"""A trace as a page: what the script ``viewer/stepper.js`` gets, the poster, and plain text.

The script replays the steps, so that a step is a few numbers: the cells read (their values are
known from the steps before), the cells written and their new values. Lines with the same places for
numbers share a template.
"""
from __future__ import annotations

import ast
import math

import numpy as np

from minifcn.teaching.arithmetic import PLACE, digits, label, number, short
from minifcn.teaching.page import Page
from minifcn.teaching.poster import poster

LINES = 12      # of the plain text


def page_of(trace) -> Page:
    """The stepper of a trace."""
    step = poster_step(trace)
    alt = f"Stepper of {trace.name}, {len(trace.steps):,} steps. " + (
        f"Step {step + 1}, line {trace.steps[step].line}: {line(trace.steps[step])}")
    return Page(f"{trace.name}, step by step", "stepper.js", Export(trace).data,
                poster(trace, step), alt, text_of(trace))


def poster_step(trace) -> int:
    """A step that shows much: the last in the first two thirds that reads most cells."""
    if trace.error is not None:
        return len(trace.steps) - 1
    steps = trace.steps[:max(1, 2 * len(trace.steps) // 3)]
    return max(range(len(steps)), key=lambda k: (
        sum(np.ndim(getattr(each, "cells", [0])) == 0 for each in steps[k]._reads), k))


def line(step) -> str:
    """The arithmetic of a step with at most four digits a number."""
    return step.template.fill(step.records, step._writes, short)


def text_of(trace) -> str:
    """The first steps and the last, as plain text."""
    steps = list(enumerate(trace.steps, 1))
    shown = steps if len(steps) <= LINES else [*steps[:LINES - 2], None, *steps[-2:]]
    lines = [f"{trace.name}: {len(steps):,} steps"]
    for each in shown:
        lines.append("   ..." if each is None else
                     f"{each[0]:>4}  line {each[1].line}: {line(each[1])}")
    if trace.error is not None:
        lines.append(f"then line {trace.line} raised {error_text(trace.error)}")
    return "\n".join(lines)


def error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Export:
    """Numbers arrays, local numbers, templates and texts, and writes each step as a short list."""

    def __init__(self, trace):
        self.trace, self.recorder = trace, trace.recorder
        self.arrays = list(self.recorder.arrays.values())
        self.tables: dict[str, dict] = {name: {} for name in
                                        ("sources", "templates", "locals", "tests", "loops")}
        self.state: dict[int, object] = {}      # of the local numbers
        steps = [self.step(each) for each in trace.steps]
        axes = axes_of(self.recorder)
        self.data = {
            "name": trace.name,
            "sources": [{"name": source.name, "first": source.first,
                         "lines": source.text.rstrip("\n").split("\n")}
                        for source in self.tables["sources"]],
            "arrays": [self.array(each, axes) for each in self.arrays],
            "locals": list(self.tables["locals"]),
            "templates": list(self.tables["templates"]),
            "tests": list(self.tables["tests"]),
            "loops": [self.loop(each) for each in self.tables["loops"]],
            "steps": steps,
            "error": None if trace.error is None else
            {"line": trace.line, "text": error_text(trace.error)},
        }

    def number(self, table: str, key) -> int:
        table = self.tables[table]
        return table.setdefault(key, len(table))

    def array(self, array, axes: dict) -> dict:
        names = axes.get(array.name) or default_axes(array)
        return {"name": array.name, "shape": array.shape, "axes": names,
                "grid": grid_axes(array, names), "output": array.name in self.trace.returned,
                "initial": None if array.initial is None else array.initial,
                "dtype": str(array.dtype)}

    def loop(self, loop: int) -> list:
        statement = self.recorder.loops[loop]
        return [self.number("sources", statement.source), statement.line, statement.text]

    def step(self, step) -> list:
        writes, cells = [], []
        for each in step._writes:
            if hasattr(each, "cells"):
                writes.append(self.arrays.index(each.array))
                cells += [runs(each.cells), each.value]
            else:
                writes.append(-1 - self.number("locals", (each.function, each.name)))
                cells.append(each.value)
        reads = [each for each in step._reads if hasattr(each, "cells")]
        numbers = [self.number("locals", (each.function, each.name)) for each in step._reads
                   if not hasattr(each, "cells")]
        changes = self.changes(step)
        tests = [self.number("tests", f"{test} is {str(truth).lower()}") for test, truth in
                 ((template_of_test(*each[:2]), each[2]) for each in step._tests)]
        loops = [self.number("loops", each) for each in step.loops]
        template = self.number("templates", (
            self.number("sources", step.statement.source), step.line,
            *self.texts(step, reads),
            tuple(self.arrays.index(each.array) for each in reads), tuple(numbers), tuple(writes)))
        short_step = [template, [runs(each.cells) for each in reads], cells, changes, tests, loops]
        while not short_step[-1] and len(short_step) > 3:
            short_step.pop()
        return short_step

    def changes(self, step) -> list:
        """Local numbers that changed without a step of their own (of loops), before the step."""
        written = {(each.function, each.name): each.value for each in step._writes
                   if not hasattr(each, "cells")}
        changes = []
        for name, value in step.locals.items():
            key = step.function, name
            where = self.number("locals", key)
            if key not in written and not same(self.state.get(where), value):
                changes += [where, value]
                self.state[where] = value
        for key, value in written.items():
            self.state[self.number("locals", key)] = value
        return changes

    def texts(self, step, reads: list) -> tuple[str, str, str]:
        """The three parts of a line, with places for what the script knows."""
        template = step.template

        def place(match, numbers: bool):
            thing = step._writes[int(match[2])] if match[1] else step.records[int(match[2])][1]
            if match[1] in ("w", "b"):
                return match[0]
            for k, each in enumerate(reads):
                if each is thing:
                    return f"⟨{k}⟩"
            for k, each in enumerate(step._writes):
                if not numbers and each.array is thing.array:
                    return f"⟨w{k}⟩"
            if hasattr(thing, "name") and (thing.function, thing.name) in self.tables["locals"]:
                return f"⟨n{self.number('locals', (thing.function, thing.name))}⟩"
            return number(match, step.records, step._writes, short)

        return (PLACE.sub(lambda match: place(match, False), template.left),
                PLACE.sub(lambda match: place(match, True), template.right),
                PLACE.sub(lambda match: place(match, True), template.result))


def template_of_test(statement, notes) -> str:
    from minifcn.teaching.arithmetic import render
    return render(statement, notes, ()).fill_test(notes)


def same(a, b) -> bool:
    return type(a) is type(b) and (a == b or a != a and b != b)


def runs(cells):
    """A cell's number; of several the borders of their runs: 3, 4, 5, 9 is 3, 6, 9, 10."""
    if np.ndim(cells) == 0:
        return int(cells)
    flat = np.asarray(cells).reshape(-1)
    if not flat.size:
        return []
    cuts = np.flatnonzero(np.diff(flat) != 1) + 1
    starts, ends = flat[np.r_[0, cuts]], flat[np.r_[cuts - 1, -1]] + 1
    return np.stack([starts, ends], 1).reshape(-1).tolist()


# -------------------------------------------------------------------------------------------------
# How arrays are laid out
# -------------------------------------------------------------------------------------------------


def axes_of(recorder) -> dict[str, list[str]]:
    """What the source calls the axes of each array: ``y[n, i, j, f]`` names four."""
    found: dict[str, list[str]] = {}
    for statement in recorder.statements:
        for node in ast.walk(statement.node):
            if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
                continue
            array = recorder.bindings.get((statement.source.name, node.value.id))
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if array is not None and len(parts) == len(array.shape) \
                    and all(isinstance(each, ast.Name) for each in parts):
                found.setdefault(array.name, [each.id for each in parts])
    return found


def is_kernel(array) -> bool:
    return len(array.shape) == 4 and any(word in array.name for word in ("weight", "kernel"))


def default_axes(array) -> list[str]:
    """Names of axes where the source has none: the project's layouts."""
    if is_kernel(array):
        return ["ki", "kj", "c", "f"]
    known = {1: ["i"], 2: ["i", "j"], 3: ["n", "i", "j"], 4: ["n", "i", "j", "c"]}
    return known.get(len(array.shape)) or [f"axis {k}" for k in range(len(array.shape))]


def grid_axes(array, names: list[str]) -> list[int]:
    """Axes of the rows and columns of a grid; the others number the grids.

    Of activations (n, h, w, c) they are h and w, of kernels (kh, kw, c_in, c_out) kh and kw.
    """
    axes = len(array.shape)
    if axes == 4:
        return [0, 1] if is_kernel(array) or names[0].startswith("k") else [1, 2]
    if axes == 3 and array.shape[2] <= min(4, array.shape[0] - 1):
        return [0, 1]
    return list(range(axes))[-2:]


def tile_of(array, names, cell: int):
    """(fixed indices of the other axes, cells of the grid) of the grid with a cell."""
    grid = grid_axes(array, names)
    index = list(np.unravel_index(cell, array.shape)) if array.shape else []
    cells = np.arange(math.prod(array.shape)).reshape(array.shape)
    where = tuple(slice(None) if k in grid else int(index[k]) for k in range(len(array.shape)))
    others = {names[k]: int(index[k]) for k in range(len(array.shape)) if k not in grid}
    return others, np.atleast_2d(cells[where])


__all__ = ["digits", "label", "page_of", "text_of"]

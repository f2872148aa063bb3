"""A trace as a page: what the script ``viewer/stepper.js`` gets, the poster, and plain text.

The script replays the steps, so that a step is a few numbers: the cells read (their values are
known from the steps before), the cells written and their new values. Lines with the same places for
numbers share a template.
"""
from __future__ import annotations

import ast
import math
from html import escape

import numpy as np

from minifcn.teaching.arithmetic import PLACE, number, short
from minifcn.teaching.page import VIEWER, Page
from minifcn.teaching.poster import largest, poster

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
    """What the script replays.

    Keys number the cells of all arrays, then the local numbers. A step is

        [template, keys read, keys and values written, keys and values changed by loops before,
         tests, rounds of loops begun]

    where several cells are given by the borders of their runs.
    """

    def __init__(self, trace):
        self.trace, self.recorder = trace, trace.recorder
        self.arrays = list(self.recorder.arrays.values())
        sizes = [array.array.size for array in self.arrays]
        self.starts = {array.name: sum(sizes[:k]) for k, array in enumerate(self.arrays)}
        self.cells = sum(sizes)
        self.tables: dict[str, dict] = {name: {} for name in
                                        ("sources", "templates", "locals", "tests", "loops")}
        self.state: dict[int, object] = {}      # of the local numbers
        steps = [self.step(each) for each in trace.steps]
        loops = [self.recorder.loops[each] for each in self.tables["loops"]]
        self.data = {
            "name": trace.name,
            "html": self.html(loops),
            "sources": [source.name for source in self.tables["sources"]],
            "arrays": [self.array(each) for each in self.arrays],
            "locals": list(self.tables["locals"]),
            "templates": list(self.tables["templates"]),
            "tests": list(self.tables["tests"]),
            "steps": steps,
            "finished": self.finished(),
            "error": None if trace.error is None else
            {"line": trace.line, "text": error_text(trace.error)},
        }

    def number(self, table: str, key) -> int:
        table = self.tables[table]
        return table.setdefault(key, len(table))

    def key_of_number(self, function: str, name: str) -> int:
        return self.cells + self.number("locals", (function, name))

    def keys(self, thing):
        """The key, or the borders of runs of keys, of what was read or written."""
        if hasattr(thing, "cells"):
            return runs(thing.cells + self.starts[thing.array.name])
        return self.key_of_number(thing.function, thing.name)

    def values(self, array) -> np.ndarray:
        """All values that an array ever holds."""
        written = [write.value for step in self.trace.steps for write in step._writes
                   if getattr(write, "array", None) is array]
        initial = () if array.initial is None else array.initial
        return np.concatenate([np.reshape(each, -1) for each in [*written, initial]])

    def digits(self, array) -> int:
        """Of the longest number, as the page shows it."""
        return max((len(f"{each:.3g}") for each in self.values(array).tolist()), default=0)

    def array(self, array) -> dict:
        strides = [math.prod(array.shape[k + 1:]) for k in range(len(array.shape))]
        values = np.abs(self.values(array)).astype(float)
        return {"name": array.name, "shape": array.shape, "strides": strides,
                "start": self.starts[array.name], "cells": array.array.size,
                "initial": array.initial, "largest": largest(values)}

    def finished(self) -> list[int]:
        """Steps that write a cell of what is returned for the last time."""
        last = {}
        for k, step in enumerate(self.trace.steps):
            for each in step._writes:
                if hasattr(each, "cells") and each.array.name in self.trace.returned:
                    last.update({(each.array.name, int(cell)): k
                                 for cell in np.reshape(each.cells, -1)})
        return sorted(set(last.values()))

    def step(self, step) -> list:
        writes = [part for each in step._writes for part in (self.keys(each), flat(each.value))]
        changes = self.changes(step)
        tests = [self.number("tests", test) for test in step.tests]
        rounds = [self.number("loops", each) for each in step.loops]
        template = self.number("templates", (
            self.number("sources", step.statement.source), step.line, *self.texts(step)))
        short_step = [template, [self.keys(each) for each in step._reads], writes,
                      changes, tests, rounds]
        while not short_step[-1] and len(short_step) > 3:
            short_step.pop()
        return short_step

    def changes(self, step) -> list:
        """Local numbers that changed without a step of their own (in loops), before the step."""
        written = {self.keys(each): each.value for each in step._writes
                   if not hasattr(each, "cells")}
        changes = []
        for name, value in step.locals.items():
            key = self.key_of_number(step.locals_of, name)
            if key not in written and not same(self.state.get(key), value):
                changes += [key, value]
                self.state[key] = value
        self.state.update(written)
        return changes

    def texts(self, step) -> list[str]:
        """The three parts of a line, with places for what the script knows."""
        writes = []             # borders of each write among the cells written
        for each in step._writes:
            first = writes[-1][1] if writes else 0
            writes.append((first, first + np.size(getattr(each, "cells", 0))))

        def place(match):
            if match[1] in ("w", "b"):
                first, last = writes[int(match[2])]
                return f"⟨{match[1]}{first}:{last}⟩"
            thing = step.records[int(match[2])][1]
            for k, each in enumerate(step._reads):
                if each is thing:
                    return f"⟨{k}⟩"
            for (first, last), each in zip(writes, step._writes):       # a target
                if getattr(each, "array", each) is getattr(thing, "array", None):
                    return f"⟨w{first}:{last}⟩"
            return number(match, step.records, step._writes, short)

        return [PLACE.sub(place, text) for text in step.template]

    # -- the HTML that the script brings to life ---------------------------------------------------

    def html(self, loops: list) -> str:
        units = [("line", "line"), ("cell", "finished output cell"),
                 *((k, f"round of {loop.text.rstrip(':')} (line {loop.line})")
                   for k, loop in enumerate(loops))]
        skeleton = (VIEWER / "stepper.html").read_text(encoding="utf-8")
        return skeleton.format(
            name=escape(self.trace.name), count=len(self.trace.steps),
            units="".join(f"<option value={value}>{escape(text)}" for value, text in units),
            sources="".join(map(source_html, self.tables["sources"])),
            arrays="".join(map(self.array_html, self.in_order())))

    def in_order(self) -> list:
        """What is returned first, then the other arrays as they came up."""
        return sorted(self.arrays, key=lambda array: array.name not in self.trace.returned)

    def array_html(self, array) -> str:
        names = axes_of(self.recorder).get(array.name) or default_axes(array)
        first = self.starts[array.name]
        tiles = "".join(tile_html(array.name, tile, corner, cells + first)
                        for tile, corner, cells in tiles_of(array, names))
        small = " small" if self.digits(array) <= 3 else ""
        return (f'<figure class="array{small}"><figcaption>{escape(array.name)}'
                f"<span class=axes>[{escape(', '.join(names))}]</span>"
                f"<span class=shape>shape {array.shape}</span></figcaption>"
                f"<div class=tiles>{tiles}</div></figure>")


def source_html(source) -> str:
    rows = []
    for k, line in enumerate(source.text.rstrip().split("\n"), source.first):
        indent = len(line) - len(line.lstrip())
        rows.append(f"<span class=row><span class=number aria-hidden=true>{k}</span><span "
                    f"class=words style=--indent:{indent}>{escape(line.strip())}</span></span>")
    return (f'<pre class=code tabindex=0 data-first={source.first} '
            f'aria-label="Source of {escape(source.name)}">{"".join(rows)}</pre>')


def tile_html(name: str, tile: str, corner: str, keys: np.ndarray) -> str:
    columns = "".join(f"<span class=axis role=columnheader>{j}</span>"
                      for j in range(keys.shape[1]))
    rows = [f"<div class=line role=row><span class=axis role=rowheader>{i}</span>" + "".join(
        f"<span class=cell role=gridcell tabindex={-(i + j > 0)} data-key={key}></span>"
        for j, key in enumerate(row)) + "</div>" for i, row in enumerate(keys)]
    return (f"<div class=tile><p class=tile-name>{escape(tile)}</p>"
            f'<div class=grid role=grid aria-label="{escape(f"{name} {tile}".strip())}">'
            f"<div class=line role=row><span class=axis role=columnheader>{escape(corner)}</span>"
            f"{columns}</div>{''.join(rows)}</div></div>")


def flat(value):
    """The values of a region in one list, in the order of its keys."""
    return value.reshape(-1) if isinstance(value, np.ndarray) else value


def same(a, b) -> bool:
    return type(a) is type(b) and (a == b or (a != a and b != b))


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


def tiles_of(array, names: list[str]):
    """(indices of the other axes in words, names of rows and columns, cells) of every grid."""
    grid = grid_axes(array, names)
    others = [k for k in range(len(array.shape)) if k not in grid]
    cells = np.arange(math.prod(array.shape)).reshape(array.shape)
    corner = " ".join(f"{names[k]}{arrow}" for k, arrow in zip(grid[::-1], "→↓"))
    for index in np.ndindex(*(array.shape[k] for k in others)):
        where = [slice(None)] * len(array.shape)
        for k, place in zip(others, index):
            where[k] = place
        tile = ", ".join(f"{names[k]} {place}" for k, place in zip(others, index))
        yield tile, corner, np.atleast_2d(cells[tuple(where)])

"""The poster of a stepper: one step as a picture, for where no script runs."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, CELL = 1100, 28, 52
PAPER, INK, SOFT, LINE = "#fcfcfa", "#1d2126", "#5a626c", "#dcdfe2"
READ, WRITTEN, WASH = "#00756b", "#a3246d", "#e3f1f8"
NEGATIVE, POSITIVE = np.array([33, 102, 172]), np.array([217, 119, 6])


def poster(trace, step: int) -> bytes:
    """PNG of a step: the formula, the lines around it, and the grids that it touches."""
    from minifcn.teaching.stepper import line
    picture = Picture()
    now = trace.steps[step]
    picture.text(f"{now.function}   step {step + 1:,} of {len(trace.steps):,}", 17, SOFT)
    left, _, right = line(now).partition("  ->  ")
    picture.text(left, 21, mono=True)
    picture.text(f"= {right}" if len(right) < 80 else right, 25, WRITTEN, mono=True)
    if trace.error is not None:
        from minifcn.teaching.stepper import error_text
        picture.text(f"then line {trace.line} raised {error_text(trace.error)}", 19, WRITTEN)
    picture.space(14)
    top = picture.y
    picture.code(now)
    bottom, picture.y = picture.y, top
    picture.grids(trace, step)
    picture.y = max(bottom, picture.y)
    return picture.png()


def fonts(size: int, mono: bool) -> ImageFont.FreeTypeFont:
    import matplotlib
    name = "DejaVuSansMono.ttf" if mono else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


class Picture:
    """Draws from top to bottom."""

    def __init__(self):
        self.image = Image.new("RGB", (WIDTH, 1400), PAPER)
        self.draw, self.y = ImageDraw.Draw(self.image), MARGIN

    def space(self, height: int) -> None:
        self.y += height

    def text(self, words: str, size: int, colour: str = INK, mono: bool = False,
             x: int = MARGIN, width: int = WIDTH - 2 * MARGIN) -> None:
        font = fonts(size, mono)
        while words and font.getlength(words) > width:
            words = words[:-2] + "…"
        self.draw.text((x, self.y), words, colour, font)
        self.y += round(size * 1.55)

    def code(self, step) -> None:
        """Lines around the current one."""
        source = step.statement.source
        lines, current = source.text.rstrip().split("\n"), step.line - source.first
        first = max(0, min(current - 9, len(lines) - 14))
        shown = lines[first:first + 14]
        indent = min((len(each) - len(each.lstrip()) for each in shown if each.strip()), default=0)
        for k, each in enumerate(shown, first):
            if k == current:
                self.draw.rectangle((MARGIN - 8, self.y - 3, 530, self.y + 19), WASH)
            self.text(f"{k + source.first:>3}  {each[indent:]}", 14, INK if k == current else SOFT,
                      mono=True, width=500)

    def grids(self, trace, step: int) -> None:
        """Of every array that the step touches the grid with the touched cell."""
        from minifcn.teaching.stepper import axes_of, default_axes, tiles_of
        axes, state = axes_of(trace.recorder), values_after(trace, step)
        x, bottom = 560, self.y
        marks: dict[str, dict[int, str]] = {}
        things = [(each, READ) for each in trace.steps[step]._reads if hasattr(each, "cells")] + \
            [(each, WRITTEN) for each in trace.steps[step]._writes if hasattr(each, "cells")]
        arrays = {}
        for each, colour in things:
            arrays[each.array.name] = each.array
            for cell in np.atleast_1d(each.cells).reshape(-1):
                marks.setdefault(each.array.name, {})[int(cell)] = colour
        for name, array in arrays.items():
            if not marks.get(name):
                continue
            names = axes.get(name) or default_axes(array)
            touched = next(iter(marks[name]))
            tile, _, cells = next(each for each in tiles_of(array, names) if touched in each[2])
            rows, columns = (min(extent, most) for extent, most in zip(cells.shape, (5, 8)))
            if x > 560 and x + columns * CELL > WIDTH - MARGIN:
                x, self.y = 560, bottom + 16
            title = f"{name}: {tile}" if tile else name
            top = self.y
            self.text(title, 15, INK, x=x, width=WIDTH - x - MARGIN)
            top_of_cells = self.y
            for i in range(rows):
                for j in range(columns):
                    cell = int(cells[i, j])
                    self.cell(x + j * CELL, top_of_cells + i * 34, state[name][cell],
                              largest(state[name]), marks[name].get(cell))
            bottom, self.y = max(bottom, top_of_cells + rows * 34), top
            x += max(columns * CELL, round(fonts(15, False).getlength(title))) + 28
        self.y = bottom + 8

    def cell(self, x, y, value, most, mark) -> None:
        from minifcn.teaching.arithmetic import short
        blank = value is None
        share = 0 if blank or not np.isfinite(value) else min(1, abs(value) / most) * 0.45
        tone = NEGATIVE if not blank and value < 0 else POSITIVE
        colour = tuple(int(v) for v in 255 * (1 - share) + tone * share)
        self.draw.rectangle((x, y, x + CELL - 3, y + 31), colour, mark or LINE, 3 if mark else 1)
        words = "" if blank else f"{value:.3g}" if isinstance(value, (float, np.floating)) \
            else short(value)
        font = fonts(14 if len(words) < 6 else 11, True)
        self.draw.text((x + (CELL - 3) / 2, y + 16), words, INK, font, anchor="mm")

    def png(self) -> bytes:
        image = self.image.crop((0, 0, WIDTH, min(self.y + MARGIN, 1400)))
        file = io.BytesIO()
        image.quantize(64).save(file, "PNG", optimize=True)
        return file.getvalue()


def largest(values) -> float:
    """The largest finite size of a number, to colour by; 1 where there is none."""
    finite = [abs(value) for value in values if value is not None and np.isfinite(value)]
    return max(finite, default=0) or 1


def values_after(trace, step: int) -> dict[str, list]:
    """Every array's flat values after a step; None where nothing was written yet."""
    state = {name: [None] * array.array.size if array.initial is None else list(array.initial)
             for name, array in trace.recorder.arrays.items()}
    for each in trace.steps[:step + 1]:
        for write in each._writes:
            if hasattr(write, "cells"):
                cells, values = np.reshape(write.cells, -1), np.reshape(write.value, -1)
                for cell, value in zip(cells, values):
                    state[write.array.name][int(cell)] = value
    return state

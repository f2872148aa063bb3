"""What a check found: verdict, cause, one sentence, the worst element, a table and a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

_AXES = {
    "image": ("n", "i", "j", "c"),
    "weight": ("ki", "kj", "c", "f"),
    "scores": ("n", "i", "j", "class"),
    "labels": ("n", "i", "j"),
}
_IMAGES = ("x", "y", "dy", "dx", "mask", "argmax")


def axis_names(array: str, ndim: int) -> tuple[str, ...]:
    """Names of the axes of an array such as "dweight", from its own name and its number of axes."""
    base = array if array in _IMAGES else array.removeprefix("d")
    if ndim == 1:
        return ("f",) if base in ("bias", "b") else ("i",)
    if ndim == 2:
        return {"weight": ("c", "f"), "w": ("c", "f")}.get(base, ("n", "c"))
    kind = {"weight": "weight", "w": "weight", "scores": "scores"}.get(base, "image")
    if ndim == 4 and (kind != "image" or base in _IMAGES):
        return _AXES[kind]
    return tuple(f"axis{axis}" for axis in range(ndim))


class Worst(NamedTuple):
    """The element with the largest error: where it is, what was returned, what is right."""

    array: str
    index: tuple[int, ...]
    got: float
    right: float

    def __str__(self) -> str:
        names = axis_names(self.array, len(self.index))
        where = ", ".join(f"{name}={i}" for name, i in zip(names, self.index))
        element = f"{self.array}[{where}]" if where else self.array
        return f"{element} is {self.got:.6g}, right is {self.right:.6g}"


@dataclass
class Comparison:
    """One array of results beside what it should be, which is NaN where it was not tested."""

    array: str
    got: np.ndarray
    right: np.ndarray
    wrong: np.ndarray  # bool, which elements fail
    crossings: int = 0  # elements on a kink, not counted
    where: str = ""  # the case

    @property
    def tested(self) -> int:
        return int(np.isfinite(self.right).sum())

    @property
    def error(self) -> np.ndarray:
        """Absolute error, infinite where the result is not finite."""
        with np.errstate(invalid="ignore"):
            error = np.abs(np.asarray(self.got, float) - self.right)
        return np.where(np.isnan(error) & np.isfinite(self.right), np.inf, error)

    @property
    def worst(self) -> Worst | None:
        if not self.wrong.any():
            return None
        error = np.where(self.wrong, self.error, -1)
        index = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
        return Worst(self.array, index, float(self.got[index]), float(self.right[index]))

    def line(self) -> str:
        finite = self.error[np.isfinite(self.error)]
        largest = f"{finite.max():.1e}" if finite.size else "-"
        return (
            f"{self.array:<10} {self.tested:>8} {int(self.wrong.sum()):>8} {self.crossings:>8} "
            f"{largest:>12}   {self.where}"
        ).rstrip()


@dataclass
class Report:
    """The result of checking one function, or one pair of forward and backward.

    Attributes
    ----------
    ok : bool
    cause : str or None
        One word for what is wrong, such as "kernel_flipped"; None when all is well.
    diagnosis : str
        One sentence with the evidence.
    worst : Worst or None
        The element that is furthest off: array, index, both values. ``str`` names its indices.
    forward, gradient, purity : str
        "ok", "wrong", or "-" where that was not checked.
    table : str
        One line per array compared.
    edit : sequence of (str, str)
        The mistake as lines of the textbook, right and wrong, where it is one. It shows the right
        line, so neither ``str`` nor feedback that is graded shows it.
    """

    name: str
    cause: str | None = None
    diagnosis: str = ""
    comparisons: list[Comparison] = field(default_factory=list)
    forward: str = "-"
    gradient: str = "-"
    purity: str = "-"
    notes: list[str] = field(default_factory=list)
    edit: Sequence[tuple[str, str]] = ()

    @property
    def ok(self) -> bool:
        return self.cause is None

    @property
    def worst(self) -> Worst | None:
        worsts = [each for each in (c.worst for c in self.comparisons) if each]
        return worsts[0] if worsts else None

    @property
    def table(self) -> str:
        columns = ("array", "tested", "wrong", "on kinks", "worst error", "case")
        head = "{:<10} {:>8} {:>8} {:>8} {:>12}   {}".format(*columns)
        return "\n".join([head, *(each.line() for each in self.comparisons)])

    def __str__(self) -> str:
        if self.ok:
            return "\n".join([f"{self.name}: ok", self.table, *self.notes])
        lines = [f"{self.name}: {self.cause}: {self.diagnosis}"]
        if self.worst:
            comparison = next(c for c in self.comparisons if c.worst)
            share = comparison.wrong.sum() / max(comparison.tested, 1)
            lines.append(f"worst: {self.worst} ({share:.0%} of {comparison.array} is wrong)")
        return "\n".join([*lines, self.table, *self.notes])

    def __repr__(self) -> str:
        return f"Report of {self}".split("\n")[0]

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import report_html

        return report_html(self)

    def figure(self, edit: bool = False):
        """Where the error lies: over rows and columns, and along the other axes.

        Parameters
        ----------
        edit : bool
            Below, show the mistake as a difference of the textbook, if it is one. That shows the
            right line.

        Returns
        -------
        figure : matplotlib Figure
            One row of panels per wrong array, or, when all is well, for the first array.
        """
        from matplotlib.figure import Figure

        shown = [c for c in self.comparisons if c.wrong.any()] or self.comparisons[:1]
        figure = Figure(figsize=(8, 1 + 2.6 * max(len(shown), 1)), layout="constrained")
        figure.suptitle(f"{self.name}: {self.diagnosis or 'ok'}", wrap=True, fontsize=11)
        if shown:
            grid = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(2, 3))
            for (heat, bars), comparison in zip(grid, shown):
                _heat_map(figure, heat, comparison)
                _share_along_axes(bars, comparison)
        if edit and self.edit:
            lines = [line for old, new in self.edit for line in (f"- {old}", f"+ {new}")]
            words = "\n".join(["the textbook (-) and this mistake (+):", *lines])
            figure.supxlabel(words, family="monospace", fontsize=9, ha="left", x=0.02)
        return figure


def _heat_map(figure, axes, comparison: Comparison) -> None:
    error = np.nan_to_num(comparison.error, posinf=np.nanmax(np.abs(comparison.right), initial=1))
    names = axis_names(comparison.array, error.ndim)
    if error.ndim >= 3:  # the two spatial axes; the worst over all others
        rows, columns = (0, 1) if names[0] == "ki" else (error.ndim - 3, error.ndim - 2)
        others = tuple(axis for axis in range(error.ndim) if axis not in (rows, columns))
        error = error.max(axis=others)
        axes.set(ylabel=names[rows], xlabel=names[columns])
    elif error.ndim == 2:
        axes.set(ylabel=names[0], xlabel=names[1])
    else:
        error = error.reshape(1, -1)
        axes.set(yticks=[], xlabel=names[0] if names else "")
    image = axes.imshow(error, cmap="magma", aspect="auto", vmin=0)
    axes.set_title(f"|error| of {comparison.array}")
    figure.colorbar(image, ax=axes)


def _share_along_axes(axes, comparison: Comparison) -> None:
    """Share of wrong elements at each index of each axis: a lone tall bar names the culprit."""
    wrong, position, ticks = comparison.wrong, 0, {}
    for axis, name in enumerate(axis_names(comparison.array, wrong.ndim)):
        share = wrong.mean(axis=tuple(a for a in range(wrong.ndim) if a != axis))
        axes.bar(position + np.arange(len(share)), share)
        ticks[position + (len(share) - 1) / 2] = f"{name}\n0..{len(share) - 1}"
        position += len(share) + 1
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set(ylim=(0, 1.05), title=f"share of wrong elements of {comparison.array}, by index")


class GradientError(AssertionError):
    """A check failed. ``report`` says what is wrong and where."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report

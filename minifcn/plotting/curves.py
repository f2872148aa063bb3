"""How a training went: loss, rate and validation over the steps."""
from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minifcn.files import shortened
from minifcn.plotting.pictures import rendered, write_picture

SMOOTHING = 40      # the smooth curve is a mean over one part in so many of the run


def smoothed(values: np.ndarray) -> np.ndarray:
    """The mean of the values around each one; at the ends of those that are there."""
    values = np.asarray(values, np.float64)
    reach = len(values) // SMOOTHING // 2
    sums = np.concatenate([[0.0], values.cumsum()])
    positions = np.arange(len(values))
    first, last = (positions - reach).clip(0), (positions + reach + 1).clip(max=len(values))
    return (sums[last] - sums[first]) / (last - first)


def run_figure(log: Mapping[str, np.ndarray], validation: Mapping[str, np.ndarray],
               title: str = ""):
    """Draw one run: loss above, validation in the middle if there is any, rate below.

    Parameters
    ----------
    log : mapping of str to array
        ``step``, ``rate`` and ``loss``.
    validation : mapping of str to array
        ``step``, ``mean_iu`` and ``pixel_accuracy``, the latter two in 0..1; may be empty.
    title : str

    Returns
    -------
    figure : matplotlib Figure
    """
    from matplotlib.figure import Figure

    scored = len(validation.get("step", ())) > 0
    figure = Figure(figsize=(9, 8 if scored else 5.5), dpi=100, layout="constrained")
    figure.suptitle(title, parse_math=False)
    *upper, lowest = figure.subplots(3 if scored else 2, 1, sharex=True,
                                     height_ratios=(3, 3, 1) if scored else (3, 1))
    _draw_losses(upper[0], [("loss", log["step"], log["loss"])])
    if scored:
        for name, colour in (("mean_iu", "C2"), ("pixel_accuracy", "C1")):
            label = name.replace("_", " ").replace("iu", "IU")
            score = 100 * validation[name]
            upper[1].plot(validation["step"], score, "o-", color=colour, markersize=4,
                          label=f"{label}, last {score[-1]:.1f} %")
        upper[1].set(ylabel="validation, %", ylim=(0, 100))
        upper[1].legend()
    lowest.plot(log["step"], log["rate"], color="C3")
    lowest.set(ylabel="rate", xlabel="step")
    lowest.set_ylim(bottom=0)
    for axes in (*upper, lowest):
        axes.grid(alpha=0.3)
    return figure


def draw_curves(folder: str | Path) -> None:
    """Draw ``log.csv`` and ``validation.csv`` of a run's folder as its ``curves.png``."""
    folder = Path(folder)
    log, validation = _columns(folder / "log.csv"), _columns(folder / "validation.csv")
    write_picture(folder / "curves.png", rendered(
        run_figure(log, validation, shortened(folder.name, 100))))


def loss_figure(losses: Mapping[str, Sequence[float]], stages: Sequence[int] = ()):
    """Draw the losses of several runs over each other.

    Parameters
    ----------
    losses : mapping of str to list of float
        The name of a run, and its loss at each step.
    stages : sequence of int, optional
        Steps at which a new stage begins; marked by a line.

    Returns
    -------
    figure : matplotlib Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    for number, step in enumerate(stages):
        axes.axvline(step, color="0.5", linestyle=":", label="" if number else "a new stage")
    _draw_losses(axes, [(name, range(1, len(values) + 1), values)
                        for name, values in losses.items()])
    axes.set(xlabel="step")
    axes.grid(alpha=0.3)
    return figure


def write_losses(path: str | Path, losses: Mapping[str, Sequence[float]],
                 stages: Sequence[int] = ()) -> None:
    """Write a `loss_figure` as PNG, whole or not at all."""
    write_picture(path, rendered(loss_figure(losses, stages)))


def _draw_losses(axes, runs: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> None:
    """Each run (name, steps, losses) raw and pale, and smooth on top."""
    axes.set_ylabel("training loss")
    runs = [run for run in runs if len(run[1])]
    if not runs:
        return
    for index, (name, steps, losses) in enumerate(runs):
        smooth = smoothed(losses)
        axes.plot(steps, losses, color=f"C{index}", alpha=0.2, linewidth=0.8)
        axes.plot(steps, smooth, color=f"C{index}", linewidth=2, zorder=3,
                  label=f"{name}, last {smooth[-1]:.3g}")
    axes.legend()
    # A few first steps may lie far above all others; the picture is about the others.
    axes.set_ylim(0, max(1.1 * np.quantile(losses, 0.98) for _, _, losses in runs) or 1)


def _columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file of numbers by their names; none of a file that is not there.

    The last line may be half written: the run goes on, or was killed.
    """
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(line for line in file if line.endswith("\n"))
    numbers = np.array(rows, np.float64).reshape(-1, len(names))
    return dict(zip(names, numbers.T))

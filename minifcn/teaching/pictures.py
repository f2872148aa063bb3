"""Pictures in notebooks: figures with a text alternative, and arrays drawn with their numbers."""
from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

FRAMES = ("#c2410c", "#0f766e", "#7c3aed", "#a16207")
NEGATIVE_TO_POSITIVE = LinearSegmentedColormap.from_list(
    "values", ["#92c5de", "#ffffff", "#f3b173"])


@dataclass(frozen=True)
class Picture:
    """A drawn figure with its text alternative; leave it at the end of a notebook's cell."""

    png: bytes
    alt: str

    def __repr__(self) -> str:
        return f"[picture] {self.alt}"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        return (f'<img alt="{html.escape(self.alt)}" style="max-width:100%;height:auto" '
                f'src="data:image/png;base64,{data}">')

    def _repr_png_(self) -> bytes:
        return self.png


def show(figure: Figure, alt: str) -> Picture:
    """Make a picture of a figure, and close the figure.

    Parameters
    ----------
    figure : matplotlib Figure
    alt : str
        What one sees, for those who do not see it: the objects, the numbers, what follows.

    Raises
    ------
    ValueError
        Without a text alternative.

    Examples
    --------
    >>> figure, axis = plt.subplots()
    >>> show(figure, alt="an empty pair of axes")
    [picture] an empty pair of axes
    """
    if not isinstance(figure, Figure):
        raise ValueError(f"show takes a matplotlib figure, not a {type(figure).__name__}; "
                         "figure, axis = plt.subplots() makes one")
    if not alt.strip():
        raise ValueError("say in alt what the figure shows, for readers who do not see it")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100, bbox_inches="tight", facecolor="white",
                   metadata={"Software": None})
    plt.close(figure)
    return Picture(file.getvalue(), " ".join(alt.split()))


def grid(axis: Axes, array: np.ndarray, title: str = "",
         marks: Iterable[tuple[int, int, int, int]] = (), numbers: bool = True) -> None:
    """Draw an array as cells: its numbers, orange above zero and blue below.

    Parameters
    ----------
    axis : matplotlib Axes
    array : (rows, columns) array
    title : str
        Say the shape in it.
    marks : tuples (top, left, height, width)
        Rectangles of cells to frame, each in a colour of its own.
    numbers : bool
        Write the numbers into the cells.

    Raises
    ------
    ValueError
        If the array is not one of rows and columns; pick an image and a channel first.
    """
    array = np.asarray(array, float)
    if array.ndim != 2:
        raise ValueError(f"grid draws rows and columns, the shape is {array.shape}; "
                         "pick one image and one channel, such as x[0, :, :, 0]")
    largest = max(float(np.abs(array).max()) if array.size else 0.0, 1e-12)
    axis.imshow(array, cmap=NEGATIVE_TO_POSITIVE, norm=TwoSlopeNorm(0, -largest, largest))
    rows, columns = array.shape
    axis.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="#57606a", linewidth=0.6)
    axis.tick_params(which="both", length=0)
    axis.set_xticks(range(columns), range(columns), fontsize=7, color="#57606a")
    axis.set_yticks(range(rows), range(rows), fontsize=7, color="#57606a")
    axis.set_title(title, fontsize=10)
    if numbers:
        for (i, j), value in np.ndenumerate(array):
            axis.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=9)
    for number, (top, left, height, width) in enumerate(marks):
        axis.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, clip_on=False,
                                 linewidth=2.5, edgecolor=FRAMES[number % len(FRAMES)]))

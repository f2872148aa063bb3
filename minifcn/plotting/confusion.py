"""A confusion matrix as a picture: of each true class, what share is predicted as what."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minifcn.plotting.pictures import rendered, write_picture

MOST_NUMBERS = 24       # classes; with more, numbers in the cells are too small to read
LONGEST_NAME = 24


def confusion_figure(confusion: np.ndarray, class_names: Sequence[str], title: str = ""):
    """Draw a confusion matrix, each row divided by its sum.

    Parameters
    ----------
    confusion : integer (classes, classes)
        Pixels by true class (row) and predicted class (column).
    class_names : list of str
    title : str

    Returns
    -------
    figure : matplotlib Figure
        Rows of classes absent from the truth are grey.

    Raises
    ------
    ValueError
        The matrix is not square, or not of as many classes as there are names.
    """
    from matplotlib.figure import Figure

    classes = len(class_names)
    if np.shape(confusion) != (classes, classes):
        raise ValueError(f"a confusion matrix of {classes} classes has the shape "
                         f"{(classes, classes)}, not {np.shape(confusion)}")
    confusion = np.asarray(confusion, np.float64)
    total = confusion.sum(axis=1, keepdims=True)
    share = np.divide(100 * confusion, total, out=np.full_like(confusion, np.nan), where=total > 0)
    side = float(np.clip(2.5 + 0.42 * classes, 4.5, 12))
    figure = Figure(figsize=(side + 1, side), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("0.85")
    image = axes.imshow(share, cmap="viridis", vmin=0, vmax=100)
    names = [name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME - 1] + "…"
             for name in class_names]
    small = {"fontsize": 9 if classes <= MOST_NUMBERS else 5, "parse_math": False}
    axes.set_xticks(range(classes), names, rotation=90, **small)
    axes.set_yticks(range(classes), names, **small)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(title, parse_math=False, wrap=True)
    figure.colorbar(image, ax=axes, shrink=0.7, label="% of the true class's pixels")
    if classes <= MOST_NUMBERS:
        for i, j in zip(*np.nonzero(share >= 0.5)):
            axes.text(j, i, f"{share[i, j]:.0f}", ha="center", va="center", fontsize=8,
                      color="black" if share[i, j] > 60 else "white")
    return figure


def write_confusion(path: str | Path, confusion: np.ndarray, class_names: Sequence[str],
                    title: str = "") -> None:
    """Write a `confusion_figure` as PNG, whole or not at all."""
    write_picture(path, rendered(confusion_figure(confusion, class_names, title)))

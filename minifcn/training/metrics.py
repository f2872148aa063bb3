"""The four metrics of the paper, from one confusion matrix over the whole data set.

With n[i, j] pixels of class i predicted as j, t[i] the sum of row i, p[j] that of column j::

    pixel accuracy          sum_i n[i, i] / sum_i t[i]
    mean accuracy           mean_i n[i, i] / t[i]
    mean IU                 mean_i n[i, i] / (t[i] + p[i] - n[i, i])
    frequency weighted IU   sum_i t[i] * IU[i] / sum_i t[i]

Absent classes, as in the paper's code: an undefined quotient (0 / 0) leaves the mean. So a class
that is neither in the truth nor predicted does not count for the mean IU, while one that is
predicted without being there counts as 0; a class that is not in the truth has no accuracy.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MEANS = ("pixel_accuracy", "mean_accuracy", "mean_iu", "frequency_weighted_iu")
ABSENT_RULE = "classes in neither truth nor prediction leave the mean"


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, classes: int,
                     ignore: int | None = 255) -> np.ndarray:
    """Count pixels by true class (row) and predicted class (column).

    Parameters
    ----------
    truth, prediction : integer arrays of the same shape
        Class ids; ``truth`` may also hold ``ignore``.
    classes : int
    ignore : int, optional
        Pixels with this label in the truth are not counted.

    Returns
    -------
    confusion : (classes, classes) array of int64

    Raises
    ------
    ValueError
        If shapes differ, or a counted pixel holds no class; says where.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
    valid = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    for name, ids in (("truth", truth), ("prediction", prediction)):
        if ids.dtype.kind not in "iub":
            raise ValueError(f"{name} must hold class ids, not {ids.dtype}")
        wrong = valid & ((ids < 0) | (ids >= classes))
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(f"{name} is {ids[place]} at {place}, which is no class "
                             f"(0..{classes - 1})")
    pairs = truth[valid].astype(np.int64) * classes + prediction[valid]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def baseline(confusion: np.ndarray) -> tuple[int, np.ndarray]:
    """What one would get without looking: every pixel as the most frequent class of the truth.

    Where background rules, as in VOC, this is the all-background baseline. A pixel accuracy near
    it means that nothing was learned, however high it is.

    Returns
    -------
    answer : int
        The class.
    confusion : (classes, classes) array of int64
    """
    answer = int(confusion.sum(axis=1).argmax())
    constant = np.zeros_like(confusion)
    constant[:, answer] = confusion.sum(axis=1)
    return answer, constant


@dataclass(frozen=True)
class Metrics:
    """The metrics of one confusion matrix, as fractions; NaN where nothing was counted."""

    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    frequency_weighted_iu: float
    accuracy: np.ndarray        # (classes,), NaN for classes absent from the truth
    iu: np.ndarray              # (classes,), NaN for classes absent from truth and prediction
    pixels: np.ndarray          # (classes,), of the truth
    class_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        means = (f"mean IU {100 * self.mean_iu:.2f}, pixel accuracy "
                 f"{100 * self.pixel_accuracy:.2f}, mean accuracy {100 * self.mean_accuracy:.2f}, "
                 f"frequency weighted IU {100 * self.frequency_weighted_iu:.2f}")
        return f"Metrics in per cent: {means}\n{len(self.iu)} classes, {self.pixels.sum():,} pixels"

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import metrics_html

        return metrics_html(self)

    def to_dict(self) -> dict:
        """A dictionary that JSON can hold: the four means, and those of each class by its name."""
        def number(value):
            return None if np.isnan(value) else float(value)

        names = self.class_names or [f"class {i}" for i in range(len(self.iu))]
        return {**{name: number(getattr(self, name)) for name in MEANS}, "classes": {
            name: {"pixels": int(self.pixels[i]), "accuracy": number(self.accuracy[i]),
                   "iu": number(self.iu[i])} for i, name in enumerate(names)}}

    def means(self) -> tuple[float, ...]:
        """The four metrics, in the order of `MEANS`."""
        return tuple(getattr(self, name) for name in MEANS)

    @classmethod
    def from_confusion(cls, confusion: np.ndarray, class_names: Sequence[str] = ()) -> Metrics:
        """Compute them all from a (classes, classes) count of pixels, truth in the rows."""
        confusion = np.asarray(confusion, np.float64)
        if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
            raise ValueError(f"a confusion matrix is square, not {confusion.shape}")
        right, truth = np.diag(confusion), confusion.sum(axis=1)
        union = truth + confusion.sum(axis=0) - right
        iu = _quotient(right, union)
        present = truth > 0
        return cls(
            pixel_accuracy=float(_quotient(right.sum(), truth.sum())),
            mean_accuracy=_mean(_quotient(right, truth)),
            mean_iu=_mean(iu),
            frequency_weighted_iu=float(_quotient((truth * iu)[present].sum(), truth.sum())),
            accuracy=_quotient(right, truth), iu=iu, pixels=truth.astype(np.int64),
            class_names=tuple(class_names))


def _quotient(a, b) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=np.asarray(b) > 0)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def summary_table(rows: Sequence[tuple[str, Metrics]]) -> str:
    """The four metrics in per cent, one line for each (name, metrics)."""
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}  pixel acc.  mean acc.  mean IU  f.w. IU"]
    lines += [f"{name:{width}}  " + "  ".join(map(_percent, metrics.means(), (10, 9, 7, 7)))
              for name, metrics in rows]
    return "\n".join(lines)


def class_table(metrics: Metrics, names: Sequence[str]) -> str:
    """Accuracy, IU and share of the pixels of each class, in per cent."""
    width = max(5, *(len(name) for name in names))
    share = _quotient(metrics.pixels, np.full(len(names), metrics.pixels.sum()))
    lines = [f"{'class':{width}}  {'pixels':>7}  accuracy       IU"]
    lines += [f"{name:{width}}  {_percent(share[i], 7)}  {_percent(metrics.accuracy[i], 8)}  "
              f"{_percent(metrics.iu[i], 7)}" for i, name in enumerate(names)]
    return "\n".join(lines)


def report(confusion: np.ndarray, names: Sequence[str], title: str = "model") -> str:
    """Everything that an evaluation prints: per class, then the means beside the baseline."""
    metrics = Metrics.from_confusion(confusion)
    answer, constant = baseline(confusion)
    rows = [(title, metrics),
            (baseline_name(names[answer]), Metrics.from_confusion(constant))]
    return (f"{class_table(metrics, names)}\n\n{summary_table(rows)}\n"
            f"in per cent; {ABSENT_RULE} (-)")


def baseline_name(answer: str) -> str:
    """The baseline's line in a table, which says what it answers everywhere."""
    return f"all-background baseline (every pixel '{answer}')"


def _percent(value: float, width: int) -> str:
    return f"{'-':>{width}}" if np.isnan(value) else f"{100 * value:{width}.2f}"

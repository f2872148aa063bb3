"""What is in a data set: pictures, sizes, pixels of each class, and what is wrong with it."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minifcn import progress
from minifcn.data.images import image_size
from minifcn.data.paired import DataSet, PairedFiles, check_labels, check_sizes

SHOWN = 10      # faults that are printed


class Survey(NamedTuple):
    """The result of `survey`; ``print`` it.

    ``pixels`` are int64 (classes + 1,), the ignored ones last; ``pictures`` the number of pictures
    that show each class. ``smallest`` and ``largest`` are (h, w). A fault is a sentence.
    """

    count: int
    class_names: list[str]
    pixels: np.ndarray
    pictures: np.ndarray
    smallest: tuple[int, int]
    largest: tuple[int, int]
    faults: list[str]

    @property
    def missing(self) -> list[str]:
        """Names of classes that no pixel has."""
        return [name for name, count in zip(self.class_names, self.pixels) if not count]

    def __str__(self) -> str:
        share = 100 * self.pixels / max(1, self.pixels.sum())
        width = max(len("ignored"), *map(len, self.class_names))
        (h, w), (tall, wide) = self.smallest, self.largest
        lines = [f"{self.count} pictures of {h} x {w}" + (
                     f" to {tall} x {wide} (rows x columns)" if (h, w) != (tall, wide)
                     else " (rows x columns)"),
                 f"{'class':<{width}}  id  share of pixels  pictures"]
        for number, name in enumerate([*self.class_names, "ignored"]):
            label = str(number) if number < len(self.class_names) else ""
            lines.append(f"{name:<{width}}{label:>4}{share[number]:>15.2f} %"
                         f"{self.pictures[number]:>10}")
        lines += [f"wrong: {fault}" for fault in self.faults[:SHOWN]]
        if len(self.faults) > SHOWN:
            lines.append(f"wrong: and {len(self.faults) - SHOWN} more")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        return {"pictures": self.count, "smallest": self.smallest, "largest": self.largest,
                "classes": [{"name": name, "id": number, "pixels": int(self.pixels[number]),
                             "pictures": int(self.pictures[number])}
                            for number, name in enumerate(self.class_names)],
                "ignored_pixels": int(self.pixels[-1]), "faults": self.faults}


def survey(data: DataSet, quiet: bool = True, title: str = "reading labels") -> Survey:
    """Look through a data set: every label map is read, of image files the header only.

    Parameters
    ----------
    data : DataSet
    quiet : bool
        No progress bar.

    Returns
    -------
    survey : Survey
        Unreadable files, sizes that disagree and labels that are no class are among its faults;
        nothing is raised for them.
    """
    classes = len(data.class_names)
    pixels, pictures = np.zeros(classes + 1, np.int64), np.zeros(classes + 1, np.int64)
    sizes, faults = [], []
    with progress.bar(range(len(data)), unit="picture", desc=title, quiet=quiet) as indices:
        for index in indices:
            try:
                size, labels = _look_at(data, index)
            except (ValueError, OSError) as error:
                faults.append(str(error))
                continue
            sizes.append(size)
            found = np.bincount(np.where(labels == data.ignore, classes, labels).ravel(),
                                minlength=classes + 1)
            pixels += found
            pictures += found > 0
    order = sorted(sizes, key=lambda size: size[0] * size[1]) or [(0, 0)]
    return Survey(len(data), list(data.class_names), pixels, pictures, order[0], order[-1], faults)


def _look_at(data: DataSet, index: int) -> tuple[tuple[int, int], np.ndarray]:
    """(h, w) and labels of a sample; ValueError if they do not fit."""
    if not isinstance(data, PairedFiles):
        sample = data[index]
        check_labels(sample.labels, len(data.class_names), data.ignore, sample.name)
        return sample.image.shape[:2], sample.labels
    image_path, labels_path = data.pairs[index]
    size, labels = image_size(image_path), data.read_labels(index)
    check_sizes(image_path, size, labels_path, labels.shape)
    return size, labels


def assert_sound(surveyed: Survey) -> None:
    """Raise ValueError with the first fault, if there is one."""
    if surveyed.faults:
        more = len(surveyed.faults) - 1
        raise ValueError(surveyed.faults[0] + (f" (and {more} more faults; minifcn data lists "
                                               "them)" if more else ""))


def spread(data: Sequence, count: int) -> list[int]:
    """Indices of up to ``count`` samples, evenly over a data set."""
    return sorted({round(index) for index in np.linspace(0, len(data) - 1, min(count, len(data)))})

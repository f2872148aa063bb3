"""Data sets on disk: pairs of image and label files, checked when opened, read when asked for."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.data.images import SUFFIXES, limits, read_image, read_labels
from minifcn.palette import check_class_names

MOST_SCENES = 2**31


class Legend(NamedTuple):
    """What the labels of a sample mean: class names, colours uint8 (classes, 3), and ``ignore``."""

    class_names: Sequence[str]
    palette: np.ndarray
    ignore: int


class _Triple(NamedTuple):
    image: np.ndarray
    labels: np.ndarray
    name: str


class Sample(_Triple):
    """One image uint8 (h, w, 3), its labels integer (h, w), and a name for messages and files.

    It is a triple; a data set adds the ``legend`` by which a notebook shows it.
    """

    legend: Legend | None = None

    def with_legend(self, legend: Legend | None) -> Sample:
        """The same triple, shown with these names and colours."""
        sample = Sample(*self)
        sample.legend = legend
        return sample

    def __repr__(self) -> str:
        return (f"Sample({self.name!r}: image {self.image.dtype} {self.image.shape}, "
                f"labels {self.labels.dtype} {self.labels.shape})")

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import sample_html

        return sample_html(self)


class DataSet(Sequence):
    """A sequence of `Sample` with ``class_names``, ``palette`` and ``ignore``."""

    class_names: list[str]
    palette: np.ndarray
    ignore: int

    @property
    def legend(self) -> Legend:
        return Legend(self.class_names, self.palette, self.ignore)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}: {len(self)} samples, {len(self.class_names)} classes "
                f"({', '.join(self.class_names[:4])}{', ...' * (len(self.class_names) > 4)})")

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import data_html

        return data_html(self)


class PairedFiles(DataSet):
    """A sequence of `Sample`, read from pairs of files each time that one is asked for.

    Parameters
    ----------
    pairs : list of (image path, labels path)
    class_names : list of str
        The classes; their ids are the positions in this list.
    palette : uint8 (classes, 3)
    ignore : int
        The label that is neither trained on nor scored.
    void : uint8 (k, 3), optional
        Colours that mean ``ignore`` in label files coded in the palette's colours; without it, such
        files are refused.
    relabel : dict of int to int, optional
        Labels of the files that stand for other labels.
    """

    def __init__(self, pairs: list[tuple[Path, Path]], class_names: Sequence[str],
                 palette: np.ndarray, ignore: int, void: np.ndarray | None = None,
                 relabel: Mapping[int, int] | None = None) -> None:
        if not -2**31 <= ignore < 2**31:
            raise ValueError(f"ignore is {ignore}; a label has at most 32 bits")
        self.pairs = pairs
        self.class_names = check_class_names(class_names)
        self.palette = np.asarray(palette, dtype=np.uint8)
        self.ignore = ignore
        self._void = void
        self._relabel = dict(relabel or {})

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image_path, labels_path = self.pairs[index]
        image, labels = read_image(image_path), self.read_labels(index)
        check_sizes(image_path, image.shape[:2], labels_path, labels.shape)
        return Sample(image, labels, image_path.stem).with_legend(self.legend)

    def read_labels(self, index: int) -> np.ndarray:
        """The labels of one sample, integer (h, w), checked; its image is not read."""
        path = self.pairs[index][1]
        if self._void is None:
            labels = read_labels(path)
        else:
            ids = [*range(len(self.palette)), *[self.ignore] * len(self._void)]
            labels = read_labels(path, np.concatenate([self.palette, self._void]), ids)
        if self._relabel:
            stored = labels
            labels = stored.astype(np.int64)
            for old, new in self._relabel.items():
                labels[stored == old] = new
        check_labels(labels, len(self.class_names), self.ignore, path)
        return labels


def check_scenes(count: int, size: tuple[int, int], seed: int) -> None:
    """Raise ValueError for generated scenes that cannot be: their number, (h, w) and seed."""
    if count < 1:
        raise ValueError(f"count has to be at least 1, not {count}")
    if count > MOST_SCENES:
        raise ValueError(f"count has to be at most {MOST_SCENES:,}, not {count}")
    if min(size) < 1:
        raise ValueError(f"size is (h, w) of at least 1 pixel, not {size}")
    if size[0] * size[1] > limits().pixels:
        raise ValueError(f"size is (h, w) of at most {limits().pixels:,} pixels, not {size}")
    if seed < 0:
        raise ValueError(f"seed has to be at least 0, not {seed}")


def check_sizes(image_path: Path, image: tuple[int, ...], labels_path: Path,
                labels: tuple[int, ...]) -> None:
    """Raise ValueError, with both sizes (h, w), unless an image and its labels have the same."""
    if image != labels:
        raise ValueError(f"{image_path} is {image[1]} x {image[0]} pixels (upright) and its labels "
                         f"{labels_path} are {labels[1]} x {labels[0]}; they have to be of one "
                         "size")


def check_labels(labels: np.ndarray, classes: int, ignore: int, name: str | Path) -> None:
    """Raise ValueError, with position and value, unless each label is a class or ``ignore``."""
    wrong = (labels >= classes) & (labels != ignore)
    if labels.dtype.kind == "i":
        wrong |= (labels < 0) & (labels != ignore)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"label {labels[row, column]} at row {row}, column {column} of {name} is "
                         f"neither a class (0..{classes - 1}) nor the ignore value {ignore}")


def images_in(folder: Path) -> dict[str, Path]:
    """The image files of a folder by their names without suffix, in the order of the names.

    Raises
    ------
    ValueError
        The folder is missing, holds no image, or two images of one name.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise ValueError(f"{files[path.stem]} and {path.name} have one name; "
                             "remove one of them")
        files[path.stem] = path
    if not files:
        raise ValueError(f"{folder} holds no images ({' '.join(SUFFIXES)})")
    return files


def pair_up(images: Mapping[str, Path], labels: Mapping[str, Path],
            image_folder: Path, label_folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of equal name; ValueError names the files that have no partner."""
    for files, others, folder in ((images, labels, label_folder), (labels, images, image_folder)):
        alone = [path for name, path in files.items() if name not in others]
        if alone:
            more = f" (and {len(alone) - 1} more files)" if len(alone) > 1 else ""
            raise ValueError(f"{alone[0]}{more} has no partner {folder / alone[0].stem}.*")
    return [(path, labels[name]) for name, path in images.items()]


def pair_folders(image_folder: Path, label_folder: Path) -> list[tuple[Path, Path]]:
    """Every image of one folder with the label file of the same name in another."""
    return pair_up(images_in(image_folder), images_in(label_folder), image_folder, label_folder)


def existing(paths: Iterable[Path]) -> Path | None:
    """The first of the paths that is a folder."""
    return next((path for path in paths if path.is_dir()), None)

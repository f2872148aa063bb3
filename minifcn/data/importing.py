"""From what annotation tools write to a folder that ``minifcn train folder`` reads.

    labelme      a folder of images with a JSON file of polygons beside each
    coco         one JSON file of polygons and run lengths, and a folder of images
    cityscapes   the folder that holds leftImg8bit/ and gtFine/

A reader gives each picture its regions in the order in which they are painted, so that later ones
cover earlier ones: in labelme that of the file; in COCO crowds first (they become void), then from
large to small; Cityscapes has label maps already. What no region covers becomes ``background``.

Sources: labelme's documentation of its JSON, version 5 and later; the COCO data format
(cocodataset.org); cityscapesScripts, ``labels.py``.
"""
from __future__ import annotations

import base64
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minifcn import progress
from minifcn.data.images import BAND, image_size, read_labels, read_png, write_mask
from minifcn.files import read_text, untrusted, written_whole
from minifcn.leaving import tidied
from minifcn.palette import CITYSCAPES, VOID_NAMES, check_class_names, voc_palette

KINDS = ("labelme", "coco", "cityscapes")
IGNORE = 255
BACKGROUND = "background"
CLASS_TABLE = "classes.txt"
ANNOTATIONS = 2**29         # bytes of a JSON file; COCO's own have 450 MB

Paint = Callable[[np.ndarray, int], None]       # sets a region of a label map to a value


class Region(NamedTuple):
    """A painted region: its class, or None for void."""

    name: str | None
    paint: Paint


class Picture(NamedTuple):
    """An image file with what is known of its pixels; ``split`` if the data set has its own."""

    image: Path
    size: tuple[int, int]           # h, w
    regions: Sequence[Region]
    split: str | None = None


class Imported(NamedTuple):
    """What was written."""

    folder: Path
    class_names: list[str]
    counts: dict[str, int]          # pictures by split
    left_out: dict[str, int]        # what has no area, such as points and lines

    def __str__(self) -> str:
        lines = [f"{sum(self.counts.values())} pictures in {self.folder}: "
                 + ", ".join(f"{count} {split}" for split, count in self.counts.items()),
                 f"{len(self.class_names)} classes: {', '.join(self.class_names)}"]
        lines += [f"left out: {count} of the kind {kind!r}, which covers no area"
                  for kind, count in self.left_out.items()]
        return "\n".join(lines)


def import_annotations(source: str | Path, out: str | Path, kind: str | None = None,
                       class_names: Sequence[str] | None = None, images: str | Path | None = None,
                       validation: float = 0.1, seed: int = 0, quiet: bool = True) -> Imported:
    """Write ``images/`` and ``labels/`` (with ``train`` and ``val`` in each) and ``classes.txt``.

    Parameters
    ----------
    source : path
        Folder of labelme files, COCO's JSON file, or the folder of Cityscapes.
    out : path
        A folder that does not exist yet, or is empty.
    kind : {"labelme", "coco", "cityscapes"}, optional
        Recognised from ``source`` if not given.
    class_names : list of str, optional
        The classes in the order of their ids, ``background`` among them if it is one. By default
        background and all names that occur (COCO: in the order of its categories).
    images : path, optional
        COCO: the folder of the images; by default that of the JSON file.
    validation : float
        Share of pictures for validation, drawn by ``seed``; without effect where the data set has
        splits of its own.
    quiet : bool
        No progress bar.

    Returns
    -------
    imported : Imported

    Raises
    ------
    ValueError
        Naming the file: not of this kind, a region outside of the classes, sizes that disagree.
    """
    with untrusted(source):
        return _import(Path(source), Path(out), kind, class_names, images, validation, seed, quiet)


def _import(source: Path, out: Path, kind, class_names, images, validation, seed, quiet
            ) -> Imported:
    if not source.exists():
        raise ValueError(f"there is no file or folder {source}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already; choose a new folder")
    if not 0 <= validation < 1:
        raise ValueError(f"the share for validation is 0 to below 1, not {validation}")
    kind = kind or recognise(source)
    left_out: dict[str, int] = {}
    if kind == "cityscapes":
        pictures, found = list(read_cityscapes(source)), list(CITYSCAPES)
    elif kind == "coco":
        pictures, found = read_coco(source, Path(images or source.parent))
    elif kind == "labelme":
        pictures = list(read_labelme(source, left_out))
        found = sorted({region.name for each in pictures for region in each.regions
                        if region.name is not None})
    else:
        raise ValueError(f"there is no kind {kind!r}; choose one of {', '.join(KINDS)}")
    if not pictures:
        raise ValueError(f"{source} holds no annotated picture")
    if class_names is None:
        names = found if kind == "cityscapes" else [BACKGROUND, *(
            name for name in found if name != BACKGROUND)]
    else:
        names = list(class_names)
    if not 2 <= len(names) <= IGNORE:
        raise ValueError(f"{source} has {len(names)} classes; 2 to {IGNORE} are possible")
    _check_names(pictures, names)
    splits = _splits(pictures, validation, seed)
    check_class_names(names)
    temporary = out.with_name(f".{os.urandom(6).hex()}.tmp")
    try:
        with tidied(lambda: shutil.rmtree(temporary, ignore_errors=True)):
            _write(temporary, pictures, splits, names, kind, quiet)
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = {split: splits.count(split) for split in dict.fromkeys(sorted(splits))}
    return Imported(out, names, counts, left_out)


def recognise(source: Path) -> str:
    """The kind of annotations that a path holds."""
    if source.is_file():
        return "coco"
    if (source / "gtFine").is_dir():
        return "cityscapes"
    if next(source.glob("*.json"), None):
        return "labelme"
    raise ValueError(f"{source} holds no annotations known here: no *.json beside images "
                     "(labelme), no gtFine (Cityscapes); for COCO give its JSON file")


def _check_names(pictures: Sequence[Picture], names: Sequence[str]) -> None:
    for picture in pictures:
        for region in picture.regions:
            if region.name is not None and region.name not in names:
                raise ValueError(f"{picture.image.name} has a region {region.name!r}, which is "
                                 f"none of the classes {', '.join(names)}")


def _splits(pictures: Sequence[Picture], validation: float, seed: int) -> list[str]:
    """The split of each picture; a share of those without one is drawn for validation."""
    own = [picture.split for picture in pictures]
    free = [index for index, split in enumerate(own) if split is None]
    chosen = np.random.default_rng(seed).permutation(free)[:math.ceil(validation * len(free))]
    drawn = {int(index) for index in chosen}
    return [split or ("val" if index in drawn else "train") for index, split in enumerate(own)]


def _write(out: Path, pictures: Sequence[Picture], splits: Sequence[str], names: Sequence[str],
           kind: str, quiet: bool) -> None:
    palette = np.array(list(CITYSCAPES.values()), np.uint8) if kind == "cityscapes" \
        else voc_palette(len(names))
    taken: set[tuple[str, str]] = set()
    rest = names.index(BACKGROUND) if BACKGROUND in names else IGNORE
    for room in ("images", "labels"):
        for split in splits:
            (out / room / split).mkdir(parents=True, exist_ok=True)
    with progress.bar(list(zip(pictures, splits)), unit="picture", quiet=quiet) as shown:
        for picture, split in shown:
            if (split, picture.image.stem) in taken:
                raise ValueError(f"two pictures are called {picture.image.stem}; rename one")
            taken.add((split, picture.image.stem))
            labels = np.full(picture.size, rest, np.uint8)
            for region in picture.regions:
                region.paint(labels, IGNORE if region.name is None else names.index(region.name))
            shutil.copyfile(picture.image, out / "images" / split / picture.image.name)
            write_mask(out / "labels" / split / f"{picture.image.stem}.png", labels, palette)
    with written_whole(out / CLASS_TABLE) as temporary:
        lines = [f"{name} {red} {green} {blue}\n"
                 for name, (red, green, blue) in zip(names, palette.tolist())]
        temporary.write_text("".join(lines), encoding="utf-8")


# ---------------------------------------------------------------------------------------------
# labelme
# ---------------------------------------------------------------------------------------------


def read_labelme(folder: Path, left_out: dict[str, int]) -> Iterator[Picture]:
    """The pictures of a folder of labelme files; what has no area is counted in ``left_out``."""
    for path in sorted(folder.glob("*.json")):
        content = _json(path)
        shapes = _get(content, "shapes", list, path)
        image = path.parent / _get(content, "imagePath", str, path).replace("\\", "/")
        if not image.is_file():
            image = path.with_name(image.name)
        size = _size_of(image, path)
        stated = (content.get("imageHeight"), content.get("imageWidth"))
        if None not in stated and stated != size:
            raise ValueError(f"{path} was drawn on an image of {stated[1]} x {stated[0]} pixels, "
                             f"but {image.name} has {size[1]} x {size[0]}")
        regions = []
        for shape in shapes:
            kind = shape.get("shape_type") or "polygon" if isinstance(shape, dict) else ""
            if kind in ("point", "line", "linestrip", "points"):
                left_out[kind] = left_out.get(kind, 0) + 1
                continue
            regions.append(Region(_class_name(_get(shape, "label", str, path)),
                                  _labelme_area(shape, kind, size, path)))
        yield Picture(image, size, regions)


def _labelme_area(shape: dict, kind: str, size: tuple[int, int], path: Path) -> Paint:
    points = _points(_get(shape, "points", list, path), path)
    if kind == "polygon":
        return _polygons([points])
    if kind == "rectangle" and len(points) == 2:
        (a, b), (c, d) = points
        return _polygons([[(a, b), (c, b), (c, d), (a, d)]])
    if kind == "circle" and len(points) == 2:
        (x, y), (u, v) = points
        return _disc(x, y, math.hypot(u - x, v - y))
    if kind == "mask" and len(points) == 2:
        return _patch(_png(_get(shape, "mask", str, path), path), points[0], size, path)
    raise ValueError(f"{path} has a shape of the kind {kind!r} with {len(points)} points, "
                     "which cannot be read")


def _disc(x: float, y: float, radius: float) -> Paint:
    def paint(labels: np.ndarray, value: int) -> None:
        columns = np.arange(labels.shape[1])
        for top in range(0, len(labels), BAND):
            band = labels[top:top + BAND]
            rows = np.arange(top, top + len(band))[:, None]
            band[(rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= radius ** 2] = value

    return paint


def _patch(mask: np.ndarray, corner: tuple[float, float], size: tuple[int, int],
           path: Path) -> Paint:
    """A mask whose first pixel lies at ``corner`` (x, y)."""
    column, row = int(corner[0]), int(corner[1])
    if row < 0 or column < 0 or row + mask.shape[0] > size[0] or column + mask.shape[1] > size[1]:
        raise ValueError(f"{path} has a mask that reaches out of the image")

    def paint(labels: np.ndarray, value: int) -> None:
        labels[row:row + mask.shape[0], column:column + mask.shape[1]][mask] = value

    return paint


def _png(text: str, path: Path) -> np.ndarray:
    try:
        return read_png(base64.b64decode(text, validate=True)) > 0
    except ValueError as error:
        raise ValueError(f"{path} has a mask that is no PNG ({error})") from error


# ---------------------------------------------------------------------------------------------
# COCO
# ---------------------------------------------------------------------------------------------


def read_coco(path: Path, folder: Path) -> tuple[list[Picture], list[str]]:
    """The pictures of a COCO file, and its classes in the order of their ids."""
    content = _json(path)
    categories = {_get(each, "id", int, path): _class_name(_get(each, "name", str, path))
                  for each in _get(content, "categories", list, path)}
    by_image: dict[int, list[tuple[bool, float, Region]]] = {}
    sizes = {_get(each, "id", int, path): (_get(each, "file_name", str, path),
                                           (each.get("height"), each.get("width")))
             for each in _get(content, "images", list, path)}
    headers = {}
    for number, (name, stated) in sizes.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{path} names the image {name}, which lies outside of {folder}")
        headers[number] = folder / name, _size_of(folder / name, path)
        if None not in stated and stated != headers[number][1]:
            height, width = headers[number][1]
            raise ValueError(f"{path} says that {name} has {stated[1]} x {stated[0]} pixels, but "
                             f"it has {width} x {height}")
    for each in _get(content, "annotations", list, path):
        number, category = _get(each, "image_id", int, path), _get(each, "category_id", int, path)
        if number not in headers or category not in categories:
            raise ValueError(f"{path} has an annotation of image {number} and category {category}; "
                             "one of them is not in its lists")
        crowd = bool(each.get("iscrowd", 0))
        paint, area = _coco_area(each.get("segmentation"), headers[number][1], path)
        region = Region(None if crowd else categories[category], paint)
        by_image.setdefault(number, []).append((not crowd, -area, region))
    pictures = [Picture(*headers[number], [region for *_, region in
                                           sorted(by_image.get(number, []), key=lambda r: r[:2])])
                for number in sizes]
    return pictures, [categories[number] for number in sorted(categories)
                      if categories[number] is not None]


def _coco_area(segmentation: Any, size: tuple[int, int], path: Path) -> tuple[Paint, float]:
    """How to paint polygons or run lengths, and their area in pixels."""
    if isinstance(segmentation, list):
        polygons = [_points([flat[k:k + 2] for k in range(0, len(flat), 2)], path)
                    for flat in segmentation if isinstance(flat, list)]
        return _polygons(polygons), sum(map(_area, polygons))
    if isinstance(segmentation, dict):
        stated = segmentation.get("size")
        if list(size) != stated:
            raise ValueError(f"{path} has run lengths for the size {stated}, the image has "
                             f"{list(size)}")
        counts = segmentation.get("counts")
        runs = _inflate(counts, path) if isinstance(counts, str) else counts
        mask = _unroll(runs, size, path)
        return _patch(mask, (0, 0), size, path), float(mask.sum())
    raise ValueError(f"{path} has an annotation without polygons or run lengths")


def _inflate(text: str, path: Path) -> list[int]:
    """COCO's compressed run lengths: 5 bits a character; from the third on, differences."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError(f"{path} has run lengths with the letter {letter!r}, which is none "
                             "of the format's")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _unroll(runs: Any, size: tuple[int, int], path: Path) -> np.ndarray:
    """A mask from runs of zeros and ones in turn, column by column."""
    pixels = size[0] * size[1]
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= pixels
                                             for run in runs) or sum(runs) != pixels:
        raise ValueError(f"{path} has run lengths that do not add up to the {pixels} pixels of "
                         "the image")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return mask.reshape(size[::-1]).T


# ---------------------------------------------------------------------------------------------
# Cityscapes
# ---------------------------------------------------------------------------------------------

# id in *_labelIds.png of each class, in the order of CITYSCAPES
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def read_cityscapes(folder: Path) -> Iterator[Picture]:
    """The pictures of the splits train and val; those of test have no labels to learn from."""
    ids = np.full(256, IGNORE, np.uint8)
    ids[list(CITYSCAPES_IDS)] = range(len(CITYSCAPES_IDS))
    for split in ("train", "val"):
        for path in sorted((folder / "gtFine" / split).glob("*/*_gtFine_labelIds.png")):
            stem = path.name.removesuffix("_gtFine_labelIds.png")
            image = (folder / "leftImg8bit" / split / path.parent.name
                     / f"{stem}_leftImg8bit.png")
            size = _size_of(image, path)
            yield Picture(image, size, [Region(BACKGROUND_OF_MAP, _whole(path, ids, size))], split)


BACKGROUND_OF_MAP = next(iter(CITYSCAPES))      # a map paints all classes at once


def _whole(path: Path, ids: np.ndarray, size: tuple[int, int]) -> Paint:
    def paint(labels: np.ndarray, value: int) -> None:
        stored = read_labels(path)
        if stored.shape != size:
            raise ValueError(f"{path} has {stored.shape[1]} x {stored.shape[0]} pixels, its image "
                             f"{size[1]} x {size[0]}")
        if stored.min() < 0 or stored.max() > 255:
            raise ValueError(f"{path} has the label {max(stored.max(), -stored.min())}; those of "
                             "Cityscapes are 0 to 255")
        labels[:] = ids[stored]

    return paint


# ---------------------------------------------------------------------------------------------
# What the readers share
# ---------------------------------------------------------------------------------------------


def _json(path: Path) -> dict:
    try:
        content = json.loads(read_text(path, ANNOTATIONS))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} instead of an object with names")
    return content


def _get(content: Any, name: str, kind: type, path: Path) -> Any:
    value = content.get(name) if isinstance(content, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{path} has no {name!r} where one is needed ({kind.__name__})")
    return value


def _class_name(name: str) -> str | None:
    """As it stands in a class table, or None for void."""
    name = " ".join(name.split())
    if not name or not name.isprintable():
        raise ValueError(f"{name!r} is no name for a class")
    return None if name.lower() in VOID_NAMES else name


def _points(values: list, path: Path) -> list[tuple[float, float]]:
    try:
        points = [(float(x), float(y)) for x, y in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} has points that are not pairs of numbers") from error
    if not all(math.isfinite(number) and abs(number) < 1e6 for point in points for number in point):
        raise ValueError(f"{path} has a point that lies nowhere near an image")
    return points


def _polygons(polygons: Sequence[Sequence[tuple[float, float]]]) -> Paint:
    """Pixels whose centre lies in one of the polygons; pixel (0, 0) reaches from 0 to 1."""
    from matplotlib.path import Path as Outline

    def paint(labels: np.ndarray, value: int) -> None:
        height, width = labels.shape
        for polygon in polygons:
            if len(polygon) < 3:
                continue
            xs, ys = zip(*polygon)
            left, right = (int(np.clip(x, 0, width)) for x in (min(xs), math.ceil(max(xs))))
            top, bottom = (int(np.clip(y, 0, height)) for y in (min(ys), math.ceil(max(ys))))
            outline = Outline(polygon)
            for first in range(top, bottom, BAND):
                rows, columns = np.mgrid[first:min(first + BAND, bottom), left:right] + 0.5
                inside = outline.contains_points(np.stack([columns.ravel(), rows.ravel()], 1))
                labels[first:first + len(rows), left:right][inside.reshape(rows.shape)] = value

    return paint


def _area(polygon: Sequence[tuple[float, float]]) -> float:
    """The shoelace formula."""
    following = [*polygon[1:], *polygon[:1]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following))) / 2


def _size_of(image: Path, named_by: Path) -> tuple[int, int]:
    """(h, w) from the header of an image, before anything is decoded."""
    if not image.is_file():
        raise ValueError(f"{named_by} is about the image {image}, which does not exist")
    return image_size(image, upright=False)

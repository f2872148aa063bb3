"""Images, label maps and masks: from files to arrays and back.

Whatever Pillow may find in a file (palettes, 16 bits, alpha, EXIF rotation, animation) becomes one
thing, or is refused with one sentence that names the file:

- an image is uint8 (h, w, 3), RGB, upright;
- a label map is an integer array (h, w) of class ids, exactly as stored;
- a mask that we write is a palette PNG: class ids that every viewer shows in colour.
"""
from __future__ import annotations

import functools
import importlib.util
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, features

from minifcn.files import open_file, untrusted, written_whole

PIXEL_LIMIT = 100_000_000       # of an image, unless MINIFCN_MEGAPIXELS says otherwise
MEMORY_LIMIT = 500_000_000      # bytes that reading an image may take, or MINIFCN_MEGABYTES
BAND = 256                      # rows that are converted at a time

# What Pillow decodes by itself. EPS would start Ghostscript, and nobody segments an ICO.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm",
            ".jp2")

ORIENTATION = 0x0112    # the EXIF tag; its values 2 to 8 say how the stored pixels are turned
STORED = {              # an upright array, seen as the pixels are stored
    2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}
SIDEWAYS = (5, 6, 7, 8)
# Bytes that a pixel takes: in Pillow, by its mode (others have 4), and beside it in the decoder.
MODES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
DECODERS = {"JPEG2000": 16, "WEBP": 16, "HEIF": 12, "AVIF": 12, "GIF": 8}
PROGRESSIVE = 6         # of a JPEG: all its coefficients are kept
RESULT = 4              # of the array: colours take 3, labels up to 4
# Pillow stretches grey of 2 and 4 bits to 0..255; a label map means the stored values.
STRETCHED = {"L;2": 85, "L;4": 17}


def read_image(path: str | Path, limit: int | None = None) -> np.ndarray:
    """Read an image file as it looks in a viewer.

    Grey becomes three equal channels, CMYK and palettes become RGB, 16 bits are scaled by their
    full range (65535 -> 255), transparent pixels are laid on white, EXIF rotation is applied; of an
    animation or a file of several pages the first is taken.

    Parameters
    ----------
    path : path of a JPEG, PNG, BMP, TIFF, WebP, GIF, PPM or JPEG 2000 file
        HEIC is read if pillow-heif is installed, AVIF if Pillow knows it.
    limit : int, optional
        Largest number of pixels; by default that of ``limits``.

    Returns
    -------
    image : uint8 (h, w, 3), RGB

    Raises
    ------
    ValueError
        The file is empty, cut off, no image, over the limit of pixels or memory, or of a kind that
        has no range of colours (32-bit or floating point pixels).
    OSError
        The file is missing or may not be read.
    """
    with _opened(path, limit) as (image, _):
        return rgb(image, path)


def rgb(image: Image.Image, name: str | Path = "the picture") -> np.ndarray:
    """A Pillow image as `read_image` gives it: uint8 (h, w, 3), upright; ``name`` is for errors."""
    orientation = _orientation(image)
    h, w = image.size if orientation in SIDEWAYS else image.size[::-1]
    upright = np.empty((h, w, 3), np.uint8)
    stored = STORED.get(orientation, lambda a: a)(upright)
    for rows, band in _bands(image):
        stored[rows] = _rgb(band, name)
    return upright


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """An image in bands of rows, so that what is made of it takes little memory."""
    for top in range(0, image.height, BAND):
        bottom = min(top + BAND, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _rgb(image: Image.Image, name: str | Path) -> np.ndarray:
    if image.mode == "F":
        raise ValueError(f"{name} has floating point pixels, whose range is unknown; "
                         "convert it to 8 or 16 bits")
    if image.mode.startswith("I"):    # 16 bits, which some versions of Pillow widen to 32
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"{name} has 32-bit pixels, whose range is unknown; "
                             "convert it to 8 or 16 bits")
        return ((values + 128) // 257).astype(np.uint8)[..., None]
    try:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(image.convert("RGB"))
    except (ValueError, OSError) as error:    # of a rare colour space
        raise ValueError(f"{name} cannot be converted to RGB ({error}); "
                         "save it as PNG") from error


def to_image(picture: str | Path | Image.Image | np.ndarray) -> np.ndarray:
    """The picture as an array: a path is read, a Pillow image converted, an array stays."""
    if isinstance(picture, (str, Path)):
        return read_image(picture)
    return rgb(picture) if isinstance(picture, Image.Image) else picture


def read_labels(path: str | Path, palette: np.ndarray | None = None,
                ids: Sequence[int] | None = None, limit: int | None = None) -> np.ndarray:
    """Read a label map: one class id a pixel.

    A palette file gives its indices, a grey file its values (1 to 16 bits, as stored), a file in
    RGB colours the rows of ``palette``. EXIF rotation is not applied: labels are data, not a photo.

    Parameters
    ----------
    path : path of a PNG, BMP, TIFF, WebP, GIF or PPM file
        JPEG is refused: its compression invents labels along every edge.
    palette : uint8 (k, 3), optional
        Colours of a colour-coded file.
    ids : k ints, optional
        The label of each colour; by default 0, 1, 2 ...

    Returns
    -------
    labels : integer (h, w), in the file's own width (uint8, uint16 or int32)

    Raises
    ------
    ValueError
        As ``read_image``; for a colour that is not in the palette, with its position; and for a
        palette file whose own colours contradict ``palette``.
    """
    with _opened(path, limit) as (image, stored_as):
        if image.format == "JPEG":
            raise ValueError(f"{path} is a JPEG, whose compression changes labels; "
                             "save label maps as PNG")
        if palette is not None:
            palette = np.asarray(palette, dtype=np.uint8)
            ids = range(len(palette)) if ids is None else ids
        if image.mode == "P" and palette is not None:
            _check_indices(image, palette, ids, path)
        if image.mode in ("P", "I") or image.mode.startswith("I;16"):
            return _stacked(image, lambda band, top: np.asarray(band))
        if image.mode in ("1", "L"):
            return _stacked(image, lambda band, top: np.asarray(band).astype(np.uint8)
                            // STRETCHED.get(stored_as, 1))
        opaque = image.mode == "RGBA" and image.getextrema()[3] == (255, 255)
        if image.mode != "RGB" and not opaque:
            raise ValueError(f"{path} has pixels of mode {image.mode}; a label map is a palette "
                             "PNG, grey with one class id a pixel, or RGB colours of a palette")
        if palette is None:
            raise ValueError(f"{path} is coded in RGB colours, and no palette says what they mean; "
                             "give a palette, or save it as grey PNG with one class id a pixel")
        return _stacked(image, lambda band, top: _look_up(
            np.asarray(band.convert("RGB")), palette, ids, path, top))


def _stacked(image: Image.Image, labels_of: Callable[[Image.Image, int], np.ndarray]) -> np.ndarray:
    """The labels of an image, band by band: ``labels_of`` each, and the number of its first row."""
    labels = None
    for rows, band in _bands(image):
        part = labels_of(band, rows.start)
        if labels is None:
            labels = np.empty((image.height, image.width), part.dtype)
        labels[rows] = part
    return labels

def image_size(path: str | Path, upright: bool = True) -> tuple[int, int]:
    """(h, w) of an image file as ``read_image`` gives it, from its header; or as it is stored.

    Raises
    ------
    ValueError
        The file is empty, no image, or over the limit of pixels or memory.
    """
    with _opened(path, decode=False) as (image, _):
        width, height = image.size
        sideways = upright and _orientation(image) in SIDEWAYS
        return (width, height) if sideways else (height, width)


def _look_up(image: np.ndarray, palette: np.ndarray, ids: Sequence[int],
             path: str | Path, top: int) -> np.ndarray:
    """Replace each colour by its id: a binary search among the sorted colours of the palette."""
    weights = np.array([65536, 256, 1], dtype=np.int32)     # a colour as one number
    colours, pixels = (each.astype(np.int32) @ weights for each in (palette, image))
    order = np.argsort(colours, kind="stable")
    found = order[np.searchsorted(colours[order], pixels).clip(max=len(colours) - 1)]
    wrong = colours[found] != pixels
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"colour {tuple(image[row, column].tolist())} at row {top + row}, "
                         f"column {column} of {path} is not in the palette; add it there, or "
                         "correct the file")
    return np.asarray(ids, dtype=np.int32)[found]


def _check_indices(image: Image.Image, palette: np.ndarray, ids: Sequence[int],
                   path: str | Path) -> None:
    """Refuse RGB colours that a tool has squeezed into a palette file: its indices mean nothing."""
    own = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3).tolist()
    meant = {tuple(colour): label for colour, label in zip(palette.tolist(), ids)}
    used = [index for index, count in enumerate(image.histogram()) if count]
    shown = [meant.get(tuple(own[index])) if index < len(own) else None for index in used]
    if None not in shown and shown != used:
        index, label = next(pair for pair in zip(used, shown) if pair[0] != pair[1])
        raise ValueError(f"{path} shows index {index} in the colour of label {label}; save it in "
                         "RGB, or with its indices in the order of the classes")


@contextmanager
def _opened(path: str | Path, limit: int | None = None,
            decode: bool = True) -> Iterator[tuple[Image.Image, object]]:
    """The decoded file, and how its pixels are stored; ValueError if it cannot be decoded."""
    # A folder or a missing file raises the system's own error here, which names the path.
    with untrusted(path), open_file(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError(f"{path} is empty (0 bytes); copy it again")
        yield _decoded(file, path, (*FORMATS, *modern_formats()), limit, decode)


def read_png(content: bytes) -> np.ndarray:
    """The grey values of a PNG in memory, uint8 (h, w); ValueError if it is none."""
    return np.asarray(_decoded(io.BytesIO(content), "it", ("PNG",))[0].convert("L"))


def _decoded(file: BinaryIO, path: str | Path, formats: Sequence[str], limit: int | None = None,
             decode: bool = True) -> tuple[Image.Image, object]:
    """What `_opened` gives; without ``decode`` the header only. ``path`` is for messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of Pillow's, about size and odd metadata: judged below
        try:
            image = Image.open(file, formats=formats)
        except Image.DecompressionBombError as error:
            raise ValueError(f"{path} has more pixels than the limit of "
                             f"{limit or limits().pixels:,}; scale it down ({error})") from error
        except Image.UnidentifiedImageError as error:
            if advice := _missing(file):
                raise ValueError(f"{path} {advice}") from error
            raise ValueError(f"{path} is not an image that can be read ({', '.join(formats)}); "
                             "convert it to PNG") from error
        except Exception as error:    # a broken header may end anywhere in any of the decoders
            raise ValueError(f"{path} has a broken header ({error}); "
                             "copy or convert it again") from error
        _check_size(image, path, limit)
        stored_as = image.tile[0][3] if image.tile else None
        if decode:
            try:
                image.load()
            except Exception as error:    # as above
                raise ValueError(f"{path} is cut off or damaged ({error}); "
                                 "copy it again") from error
        return image, stored_as


def _check_size(image: Image.Image, path: str | Path, limit: int | None) -> None:
    """Refuse an image that has too many pixels, or takes too much memory, before it is decoded."""
    width, height = image.size
    pixels, most = width * height, limits()
    if pixels == 0:
        raise ValueError(f"{path} has no pixels ({width} x {height})")
    if pixels > (limit or most.pixels):
        raise ValueError(f"{path} has {width} x {height} = {pixels:,} pixels, more than the limit "
                         f"of {limit or most.pixels:,}; scale it down")
    needed = pixels * (MODES.get(image.mode, 4) + DECODERS.get(image.format, 0) + RESULT
                       + PROGRESSIVE * bool(image.info.get("progressive"))) + _tile_bytes(image)
    if needed > most.memory:
        raise ValueError(f"{path} has {width} x {height} pixels, and to read it would take "
                         f"{needed / 1e6:.0f} MB of memory, more than the limit of "
                         f"{most.memory / 1e6:.0f} MB; scale it down, or set MINIFCN_MEGABYTES")


def _tile_bytes(image: Image.Image) -> int:
    """Of a TIFF file's tiles, which may be much larger than its picture."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return 0
    width, height = (_whole(tags.get(tag)) for tag in (322, 323))
    return width * height * 4 * max(1, _whole(tags.get(277)))


def _whole(value) -> int:
    return value if isinstance(value, int) and value > 0 else 0


class Limits(NamedTuple):
    """Of an image: ``pixels``, and bytes of ``memory`` that reading it may take."""

    pixels: int
    memory: int


def limits() -> Limits:
    """The limits in force: `PIXEL_LIMIT` and `MEMORY_LIMIT`, or what the user has set.

    ``MINIFCN_MEGAPIXELS`` and ``MINIFCN_MEGABYTES`` are read from the environment.

    Raises
    ------
    ValueError
        One of them is not a number above 0.

    Examples
    --------
    >>> limits()
    Limits(pixels=100000000, memory=500000000)
    """
    return Limits(_millions("MINIFCN_MEGAPIXELS", PIXEL_LIMIT),
                  _millions("MINIFCN_MEGABYTES", MEMORY_LIMIT))


def _millions(name: str, default: int) -> int:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        number = float(text)
        if not 0 < number < 1e9:
            raise ValueError
    except ValueError:
        raise ValueError(f"{name} is {text!r}; it should be a number above 0, such as "
                         f"{default / 1e6:g}") from None
    return round(number * 1e6)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1    # a broken EXIF block says nothing about the pixels, which are fine


@functools.cache
def modern_formats() -> dict[str, tuple[str, ...]]:
    """Formats of telephones that can be read here, beside `FORMATS`, each with its suffixes."""
    found = {}
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        found["HEIF"] = (".heic", ".heif")
    if "avif" in features.modules and features.check_module("avif"):
        found["AVIF"] = (".avif",)
    return found


def advice_for(suffix: str) -> str | None:
    """How files of this suffix can be read here, if they cannot be yet but could be."""
    if suffix in (".heic", ".heif") and "HEIF" not in modern_formats():
        return "pip install pillow-heif"
    if suffix == ".avif" and "AVIF" not in modern_formats():
        return "pip install --upgrade pillow"
    return None


def _missing(file: BinaryIO) -> str | None:
    """What to say of a HEIC or AVIF file, whatever its name is, that cannot be read here."""
    file.seek(0)
    head = file.read(12)
    if head[4:8] != b"ftyp":
        return None
    suffix = {b"avi": ".avif", b"hei": ".heic", b"hev": ".heic", b"mif": ".heic"}.get(head[8:11])
    advice = suffix and advice_for(suffix)
    return advice and f"is {suffix[1:].upper()}; to read such pictures: {advice}"


def as_image(array: np.ndarray, name: str = "image") -> np.ndarray:
    """The array itself if it is an image, uint8 (h, w, 3); else a ValueError says what to do."""
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is a {type(array).__name__}, not a NumPy array; "
                         "read a file with minifcn.data.read_image(path)")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        raise ValueError(f"{name} is grey, shape {array.shape}; an image is (h, w, 3): "
                         "np.repeat(image.reshape(h, w, 1), 3, axis=2)")
    if array.ndim == 4:
        raise ValueError(f"{name} is a batch, shape {array.shape}; "
                         "pass the images one by one, as a list")
    if array.ndim == 3 and array.shape[2] == 4:
        raise ValueError(f"{name} has 4 channels, shape {array.shape}; drop alpha: image[..., :3]")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"{name} has the shape {array.shape}; an image is (h, w, 3), RGB")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"{name} has no pixels, shape {array.shape}")
    if array.dtype != np.uint8:
        raise ValueError(f"{name} has dtype {array.dtype}; an image is uint8, 0..255: for values "
                         "in 0..1 (image * 255).round().astype(np.uint8)")
    return array


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) at another size (h, w): each pixel takes the one under its centre."""
    rows, columns = (((np.arange(new) + 0.5) * (old / new)).astype(int)
                     for old, new in zip(labels.shape, size))
    return labels[rows[:, None], columns]


def write_mask(path: str | Path, mask: np.ndarray, palette: np.ndarray) -> None:
    """Write class ids as a palette PNG: ``read_labels`` gives them back, viewers show colours.

    Parameters
    ----------
    path : path of the PNG; replaced at once, never half written
    mask : integer (h, w), ids 0..255
    palette : uint8 (classes, 3)
        Ids beyond it are shown in VOC's pale void colour.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "ui" or mask.size == 0:
        raise ValueError(f"a mask is an integer array (h, w), not {mask.dtype} {mask.shape}")
    if mask.min() < 0 or mask.max() > 255:
        value = mask.min() if mask.min() < 0 else mask.max()
        raise ValueError(f"a palette PNG holds the ids 0..255; the mask for {path} has {value}")
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    colours = np.tile(np.array([224, 224, 192], np.uint8), (256, 1))
    colours[:len(palette)] = np.asarray(palette)[:256]
    image.putpalette(colours.tobytes())
    write_png(path, image)


def write_png(path: str | Path, image: Image.Image) -> None:
    """Write a Pillow image as PNG, whole or not at all."""
    with written_whole(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)

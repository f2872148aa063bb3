"""What all pictures share: colours of a mask, sizes on the screen, text, legends, small files."""
from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minifcn.files import written_whole

LARGEST_FILE = 300_000      # bytes: a picture is to be looked at, sent and pasted into a page
MOST_EXACT = 64             # colours of 256 that a picture of few colours keeps as they are
INK, PAPER = (32, 32, 32), (255, 255, 255)
WRONG = (220, 20, 40)
STRIPES, STRIPE_WIDTH = (236, 196), 4   # greys of what is ignored: no class looks like that
TEXT, SWATCH, GAP = 15, 18, 8       # pixels


class Entry(NamedTuple):
    """A line of a legend; without a colour it is striped, as ignored pixels are."""

    name: str
    colour: tuple[int, int, int] | None


def check_mask(mask: np.ndarray, image: np.ndarray, palette: np.ndarray,
               class_names: Sequence[str]) -> None:
    """Raise ValueError unless mask and image are of one size, and each class has a colour."""
    if mask.shape != image.shape[:2] or mask.size == 0:
        raise ValueError(f"a mask of shape {mask.shape} does not fit an image of shape "
                         f"{image.shape}")
    if len(palette) != len(class_names):
        raise ValueError(f"{len(class_names)} class names, but {len(palette)} colours in "
                         "the palette")


def coloured(mask: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Class ids (h, w) -> uint8 (h, w, 3); ids without a colour become grey stripes."""
    h, w = mask.shape
    stripe = (np.arange(h)[:, None] + np.arange(w)) // STRIPE_WIDTH % 2
    picture = np.array(STRIPES, np.uint8)[stripe][..., None].repeat(3, axis=2)
    known = (mask >= 0) & (mask < len(palette))
    picture[known] = np.asarray(palette, np.uint8)[mask[known]]
    return picture


def present(masks: Iterable[np.ndarray], palette: np.ndarray,
            class_names: Sequence[str]) -> list[Entry]:
    """The legend of the classes that occur in the masks, in the order of their ids."""
    classes = len(class_names)
    counts = np.zeros(classes + 1, np.int64)
    for mask in masks:
        known = (mask >= 0) & (mask < classes)
        counts += np.bincount(np.where(known, mask, classes).ravel(), minlength=classes + 1)
    entries = [Entry(class_names[i], tuple(map(int, palette[i])))
               for i in np.flatnonzero(counts[:-1])]
    return entries + ([Entry("ignored", None)] if counts[-1] else [])


def fitted(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of a picture in a box: shrunk, or enlarged by a whole factor: pixels stay square."""
    scale = min(box[0] / size[0], box[1] / size[1])
    scale = math.floor(scale) if scale > 1 else scale
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (h, w, 3) at another size: each pixel is the mean of what it covers."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


@functools.cache
def font(size: int = TEXT, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Matplotlib's font, which has the letters of most European languages."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def shortened(text: str, width: float, face: ImageFont.FreeTypeFont) -> str:
    """One line of text that is at most ``width`` pixels wide."""
    text = " ".join(text.split())
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def legend(entries: Sequence[Entry], width: int) -> Image.Image:
    """Swatches with their names, in as many lines as ``width`` pixels need."""
    face, line = font(), SWATCH + GAP
    places, x, y = [], GAP, GAP
    for name, colour in entries:
        name = shortened(name, width - SWATCH - 3 * GAP, face)
        extent = SWATCH + GAP + math.ceil(face.getlength(name))
        if x > GAP and x + extent + GAP > width:
            x, y = GAP, y + line
        places.append((x, y, name, colour))
        x += extent + 2 * GAP
    picture = Image.new("RGB", (width, y + line), PAPER)
    draw = ImageDraw.Draw(picture)
    for x, y, name, colour in places:
        ids = np.full((SWATCH, SWATCH), -1 if colour is None else 0)
        picture.paste(Image.fromarray(coloured(ids, np.array([colour or PAPER]))), (x, y))
        draw.rectangle((x, y, x + SWATCH - 1, y + SWATCH - 1), outline=INK)
        draw.text((x + SWATCH + GAP, y + SWATCH / 2), name, INK, face, anchor="lm")
    return picture


def rendered(figure) -> Image.Image:
    """A matplotlib Figure as a Pillow image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def write_picture(path: str | Path, picture: Image.Image,
                  exact: Sequence[Sequence[int]] = ()) -> None:
    """Write a PNG of at most `LARGEST_FILE` bytes, whole or not at all.

    Photographs need more than that in true colour: such a picture is reduced to 256 colours and, if
    this is not enough, shrunk. Colours in ``exact`` stay as they are: the legend has to agree.
    """
    data, reduced = _encoded(picture), picture
    while len(data) > LARGEST_FILE:
        data = _encoded(_in_few_colours(reduced, [PAPER, *exact]))
        scale = 0.95 * math.sqrt(LARGEST_FILE / len(data))
        reduced = picture = picture.resize([max(1, int(extent * min(scale, 0.95)))
                                            for extent in picture.size], Image.Resampling.LANCZOS)
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def _in_few_colours(picture: Image.Image, exact: Sequence[Sequence[int]]) -> Image.Image:
    """A palette picture: the colours of ``exact`` that occur, and others that fit the rest."""
    weights = np.array([65536, 256, 1], np.int32)       # a colour as one number
    pixels = np.asarray(picture, np.int32) @ weights
    exact = np.asarray(exact, np.int32).reshape(-1, 3)
    exact = exact[np.isin(exact @ weights, pixels, kind="table")][:MOST_EXACT]
    some = picture.resize([-(-extent // 3) for extent in picture.size], Image.Resampling.NEAREST)
    fitting = some.quantize(256 - len(exact), dither=Image.Dither.NONE).getpalette("RGB")
    colours = Image.new("P", (1, 1))
    colours.putpalette([*exact.ravel().tolist(), *fitting[:3 * (256 - len(exact))]])
    reduced = picture.quantize(palette=colours, dither=Image.Dither.NONE)
    indices = np.array(reduced)
    for index, colour in enumerate(exact @ weights):    # Pillow takes the nearest only roughly
        indices[pixels == colour] = index
    result = Image.fromarray(indices)
    result.putpalette(reduced.getpalette("RGB"))
    return result


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()

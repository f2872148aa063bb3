"""A mask laid over its image, with a legend of the classes in it."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from minifcn.data.images import as_image, resize_labels
from minifcn.plotting import pictures

# Longest side in pixels: smaller images are enlarged by a whole factor, larger ones shrunk.
SMALL, LARGE = 640, 1200
NARROWEST = 240     # room for the names in the legend of a tall image


def overlay(image: np.ndarray, mask: np.ndarray, palette: np.ndarray, class_names: Sequence[str],
            alpha: float = 0.5) -> Image.Image:
    """Draw class colours over an image.

    Parameters
    ----------
    image : uint8 (h, w, 3)
    mask : integer (h, w)
        Class ids; any other value is ignored and shown in grey stripes.
    palette : uint8 (classes, 3)
    class_names : list of str
    alpha : float
        Opacity of the colours, 0..1.

    Returns
    -------
    picture : Pillow image
        Of a size for the screen, whatever the image's is; the legend lies below.

    Raises
    ------
    ValueError
        Sizes of image and mask, or of palette and names, differ.
    """
    mask = np.asarray(mask)
    pictures.check_mask(mask, as_image(image), palette, class_names)
    longest = max(mask.shape)
    size = mask.shape
    if longest <= SMALL or longest > LARGE:
        side = SMALL if longest <= SMALL else LARGE
        size = pictures.fitted(mask.shape, (side, side))
    colours = pictures.coloured(resize_labels(mask, size), palette)
    blended = (1 - alpha) * pictures.resized(image, size) + alpha * colours
    entries = pictures.present([mask], palette, class_names)
    legend = pictures.legend(entries, max(size[1], NARROWEST))
    canvas = Image.new("RGB", (legend.width, size[0] + legend.height), pictures.PAPER)
    canvas.paste(Image.fromarray(np.rint(blended).astype(np.uint8)), (0, 0))
    canvas.paste(legend, (0, size[0]))
    return canvas


def write_overlay(path: str | Path, image: np.ndarray, mask: np.ndarray, palette: np.ndarray,
                  class_names: Sequence[str], alpha: float = 0.5) -> None:
    """Write an `overlay` as PNG of at most 300 kB, whole or not at all."""
    pictures.write_picture(path, overlay(image, mask, palette, class_names, alpha), palette)

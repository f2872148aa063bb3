"""Random changes of an image and its labels together; off unless asked for.

Every random number comes from the generator passed in, in a fixed order, so that a run that is
resumed with the same generator sees the same pictures.
"""
from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from PIL import Image

from minifcn.data.images import limits, resize_labels
from minifcn.data.paired import Sample

LARGEST_SCALE = 100     # times the size


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a sample. The default changes nothing.

    Parameters
    ----------
    flip : float
        Probability of a horizontal flip.
    scale : (smallest, largest)
        Range of the factor of size, uniform in its logarithm: half is as likely as double.
    crop : (h, w), optional
        Size of a random window. What lies outside of the image has the mean colour and is ignored.
    colour : float
        Strength 0..1: brightness, contrast and the gain of each channel vary by up to this part.

    Examples
    --------
    >>> augmentation = Augmentation(flip=0.5, scale=(0.75, 1.5), crop=(256, 256), colour=0.2)
    """

    flip: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[int, int] | None = None
    colour: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is a probability in 0..1, not {self.flip}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= LARGEST_SCALE:
            raise ValueError("scale is (smallest, largest), both positive and at most "
                             f"{LARGEST_SCALE}, not {self.scale}")
        if self.crop is not None:
            h, w = self.crop
            if not all(isinstance(extent, Integral) for extent in (h, w)) or min(h, w) < 1:
                raise ValueError(f"crop is (h, w) of at least 1 pixel, not {self.crop}")
            if h * w > limits().pixels:
                raise ValueError(f"crop is (h, w) of at most {limits().pixels:,} pixels, not "
                                 f"{self.crop}")
        if not 0 <= self.colour <= 1:
            raise ValueError(f"colour is a strength in 0..1, not {self.colour}")

    def apply(self, sample: Sample, generator: np.random.Generator, ignore: int = 255,
              mean_colour=(124, 116, 104)) -> Sample:
        """The sample, changed; labels take the nearest pixel, so that no new label appears.

        ``ignore`` and ``mean_colour`` (three of 0..255) fill what a crop shows beyond the image.
        """
        image, labels, name = sample
        if self.colour:
            image = _colour(image, self.colour, generator)
        if self.scale != (1.0, 1.0):
            factor = np.exp(generator.uniform(*np.log(self.scale)))
            image, labels = _resize(image, labels, factor)
        if self.flip and generator.random() < self.flip:
            image, labels = image[:, ::-1], labels[:, ::-1]
        if self.crop is not None:
            top, left = (_offset(extent, wanted, generator)
                         for extent, wanted in zip(labels.shape, self.crop))
            image = _window(image, top, left, self.crop, np.asarray(mean_colour, np.uint8))
            labels = _window(labels, top, left, self.crop, ignore)
        changed = Sample(np.ascontiguousarray(image), np.ascontiguousarray(labels), name)
        return changed.with_legend(sample.legend)


def _colour(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    contrast = 1 + generator.uniform(-strength, strength)
    brightness = 255 * generator.uniform(-strength, strength) / 2
    gains = 1 + generator.uniform(-strength, strength, size=3) / 2
    values = np.arange(256.0)[:, None]
    table = ((values - 128) * contrast + 128 + brightness) * gains
    table = np.rint(table.clip(0, 255)).astype(np.uint8)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)


def _resize(image: np.ndarray, labels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    h, w = (max(1, round(extent * factor)) for extent in labels.shape)
    resized = np.asarray(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR))
    # Pillow's bilinear filter has the same centres.
    return resized, resize_labels(labels, (h, w))


def _offset(extent: int, wanted: int, generator: np.random.Generator) -> int:
    """Where the window begins: inside a larger image, at or before the edge of a smaller one."""
    room = extent - wanted
    return int(generator.integers(min(0, room), max(0, room) + 1))


def _window(array: np.ndarray, top: int, left: int, size: tuple[int, int], fill) -> np.ndarray:
    h, w = size
    if 0 <= top <= array.shape[0] - h and 0 <= left <= array.shape[1] - w:
        return array[top:top + h, left:left + w]
    dtype = np.result_type(array, np.min_scalar_type(fill))     # holds a fill of -1 among uint8
    window = np.full((h, w, *array.shape[2:]), fill, dtype=dtype)
    inside = array[max(top, 0):top + h, max(left, 0):left + w]
    row, column = max(-top, 0), max(-left, 0)
    window[row:row + inside.shape[0], column:column + inside.shape[1]] = inside
    return window

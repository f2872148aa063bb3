"""From pixels to the numbers that a set of weights was trained on: y = (image - mean) / std.

The most common cause of a bad segmentation is a preprocessing that does not belong to the weights;
therefore it is a value of its own that travels inside every checkpoint.
"""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image before the first layer.

    Parameters
    ----------
    mean, std : tuple of 3 floats
        Subtracted from, and then divided into, each channel. In the order red, green, blue and in
        units of 0..255, whatever ``order`` is.
    order : "RGB" or "BGR"
        Order of the channels that the network sees.

    Examples
    --------
    >>> Preprocessing.caffe().apply(np.full((1, 1, 3), 255, np.uint8))[0, 0]
    array([150.99301, 138.33124, 132.32108], dtype=float32)
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: str = "RGB"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} needs 3 finite numbers (red, green, blue), not {values}")
            object.__setattr__(self, name, values)
        if min(self.std) <= 0:
            raise ValueError(f"std has to be positive, not {self.std}")
        if self.order not in ("RGB", "BGR"):
            raise ValueError(f'order is "RGB" or "BGR", not {self.order!r}')

    @classmethod
    def imagenet(cls) -> Preprocessing:
        """RGB with ImageNet's mean and deviation: torchvision's and timm's weights, new models."""
        return cls(mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
                   std=(0.229 * 255, 0.224 * 255, 0.225 * 255))

    @classmethod
    def caffe(cls) -> Preprocessing:
        """BGR minus the mean of the released FCN weights, which were trained with Caffe."""
        return cls(mean=(122.67891434, 116.66876762, 104.00698793), std=(1, 1, 1), order="BGR")

    @classmethod
    def caffe_vgg(cls) -> Preprocessing:
        """BGR minus the mean of the released VGG16 classifier (caffemodel and Keras)."""
        return cls(mean=(123.68, 116.779, 103.939), std=(1, 1, 1), order="BGR")

    @property
    def mean_colour(self) -> np.ndarray:
        """uint8 (3,), RGB: the colour that becomes (nearly) zero, used to fill borders."""
        return np.rint(np.clip(self.mean, 0, 255)).astype(np.uint8)

    def apply(self, image: np.ndarray, dtype="float32") -> np.ndarray:
        """uint8 (..., h, w, 3) RGB -> ``dtype`` of the same shape, channels in ``order``.

        Returns a new C-contiguous array; the image is left alone.
        """
        image = np.asarray(image)
        if image.ndim < 3 or image.shape[-1] != 3:
            raise ValueError(f"an image has the shape (h, w, 3), not {image.shape}")
        scale = 1 / np.array(self.std)
        shift = -np.array(self.mean) * scale
        if self.order == "BGR":
            image, scale, shift = image[..., ::-1], scale[::-1], shift[::-1]
        # Whole rows at once: NumPy's inner loop over w*3 values, not 3, is 15 times faster.
        width = image.shape[-2]
        rows = image.reshape(*image.shape[:-2], width * 3)
        y = np.multiply(rows, np.tile(scale, width).astype(dtype), dtype=dtype)
        y += np.tile(shift, width).astype(dtype)
        return y.reshape(image.shape)

    def to_dict(self) -> dict:
        """A dictionary that JSON can hold; ``from_dict`` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Preprocessing:
        """The inverse of ``to_dict``; ValueError if a field is missing, unknown or unusable."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError("preprocessing needs mean, std and order, "
                             f"not {values!r}") from error

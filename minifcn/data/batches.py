"""Samples of any sizes -> one batch: preprocessed, padded at bottom and right to the largest."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minifcn.data.images import as_image
from minifcn.data.paired import Sample

if TYPE_CHECKING:
    from minifcn.models.preprocessing import Preprocessing


class Batch(NamedTuple):
    """``x`` (n, h, w, 3) for the network, ``labels`` int32 (n, h, w) for the loss."""

    x: np.ndarray
    labels: np.ndarray


def make_batch(samples: Sequence[Sample], preprocessing: Preprocessing, ignore: int = 255,
               dtype="float32") -> Batch:
    """Preprocess samples and put them side by side.

    Parameters
    ----------
    samples : sequence of Sample
        At least one; images uint8 (h, w, 3) with labels (h, w), sizes may differ.
    preprocessing : Preprocessing
        That of the model.
    ignore : int
        Label of the padding; its pixels are zero, which is the mean colour.
    dtype : dtype of ``x``

    Raises
    ------
    ValueError
        No samples, or an image that does not fit its labels.
    """
    if not samples:
        raise ValueError("a batch needs at least one sample")
    for image, labels, name in samples:
        if as_image(image, name).shape[:2] != labels.shape:
            raise ValueError(f"{name} has an image of shape {image.shape} and labels of shape "
                             f"{labels.shape}; they have to be of one size")
    h = max(sample.labels.shape[0] for sample in samples)
    w = max(sample.labels.shape[1] for sample in samples)
    x = np.zeros((len(samples), h, w, 3), dtype=dtype)
    padded = np.full((len(samples), h, w), ignore, dtype=np.int32)
    for i, (image, labels, _) in enumerate(samples):
        rows, columns = labels.shape
        x[i, :rows, :columns] = preprocessing.apply(image, dtype)
        padded[i, :rows, :columns] = labels
    return Batch(x, padded)

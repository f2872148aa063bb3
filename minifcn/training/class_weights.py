"""Weights of classes in the loss, so that thin and rare things count as much as roads do."""
from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minifcn.data import check_labels


def median_frequency(label_maps: Iterable[np.ndarray], classes: int, ignore: int) -> np.ndarray:
    """Median-frequency weights: the median of all classes' frequencies, divided by the class's own.

    The frequency of a class is its share of the pixels of those images that show it (ignored pixels
    belong to no class, but are pixels of the image).

    Parameters
    ----------
    label_maps : iterable of (h, w) integer arrays
        Class ids, or ``ignore``.
    classes : int
    ignore : int

    Returns
    -------
    weights : (classes,) array of float64
        1 for classes that no image shows.

    References
    ----------
    Eigen, Fergus: Predicting Depth, Surface Normals and Semantic Labels (ICCV 2015).
    """
    pixels = np.zeros(classes, np.int64)
    shown_in = np.zeros(classes, np.int64)
    for labels in label_maps:
        check_labels(labels, classes, ignore, "a label map")
        counts = np.bincount(labels[labels != ignore].ravel(), minlength=classes)[:classes]
        pixels += counts
        shown_in[counts > 0] += labels.size
    if not pixels.any():
        raise ValueError("no label map holds any class, so there are no class weights")
    shown = pixels > 0
    frequency = pixels[shown] / shown_in[shown]
    weights = np.ones(classes)
    weights[shown] = np.median(frequency) / frequency
    return weights

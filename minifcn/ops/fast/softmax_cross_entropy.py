"""Softmax cross-entropy and its gradient, in one pass over the pixels.

    scores (n, h, w, classes)   labels (n, h, w) integers  ->  loss (float),  dscores

    loss = sum over pixels of weight[t] (log(sum over f of exp(scores[f])) - scores[t]) / divisor
    d loss / d scores[f] = weight[t] (p[f] - (1 if f == t else 0)) / divisor

The divisor depends on the labels alone, so a first look at them (a small part of the memory) makes
the gradient final when it is written. Each block of pixels sums in float64 and in order, and the
blocks' sums are added in order: the number of threads cannot be seen in the bits.
"""
from typing import NamedTuple

import numpy as np

from minifcn.ops.checks import dense
from minifcn.ops.compiling import block
from minifcn.ops.memory import empty
from minifcn.ops.threads import parallel, shared

PIXELS = 1 << 10    # of a block: with 21 classes 86 kB of float32 scores; also of a sum


@block
def _sum_of_weights(labels, ignore, weights):
    total = 0.0
    for i in range(labels.size):
        if labels[i] != ignore:
            total += weights[labels[i]]
    return total


class Target(NamedTuple):
    """What the scores should say, and what each class counts."""

    labels: np.ndarray
    ignore: int
    factors: np.ndarray


@block
def _pixels(scores, labels, ignore, factors, dscores):
    """The loss of some pixels, whose gradients are written; a class counts ``factors[label]``."""
    loss = 0.0
    for i in range(labels.size):
        label, pixel, gradient = labels[i], scores[i], dscores[i]
        if label == ignore:
            gradient[:] = 0
            continue
        largest = pixel[0]
        for f in range(pixel.size):
            largest = max(largest, pixel[f])
        total = 0.0
        for f in range(pixel.size):
            gradient[f] = np.exp(pixel[f] - largest)
            total += gradient[f]
        factor = factors[label]
        loss += factor * (np.log(total) - (pixel[label] - largest))
        scale = scores.dtype.type(factor / total)
        for f in range(pixel.size):
            gradient[f] *= scale
        gradient[label] -= scores.dtype.type(factor)
    return loss


@parallel
def _loss_and_gradient(thread, begin, end, scores, target, losses, dscores):
    if shared(thread, begin, end):
        return
    labels, ignore, factors = target
    for task in range(begin, end):
        start, stop = task * PIXELS, min((task + 1) * PIXELS, labels.size)
        losses[task] = _pixels(scores[start:stop], labels[start:stop], ignore, factors,
                               dscores[start:stop])


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    classes = scores.shape[-1]
    labels = labels.astype(np.int64).reshape(-1)
    weights = np.ones(classes) if class_weights is None else np.array(class_weights, np.float64)
    divisor = {"mean": _sum_of_weights(labels, ignore, weights), "sum": 1.0,
               "sum_per_image": scores.shape[0]}[reduction]
    if divisor == 0:        # no valid pixel, or no image
        return 0.0, np.zeros(scores.shape, scores.dtype)
    losses, dscores = np.zeros(-(-labels.size // PIXELS)), empty(scores.shape, scores.dtype)
    _loss_and_gradient(len(losses), dense(scores).reshape(-1, classes),
                       Target(labels, ignore, weights / divisor), losses,
                       dscores.reshape(-1, classes))
    return float(sum(losses.tolist())), dscores

"""Softmax and cross-entropy of every pixel, in one: the loss and its gradient.

    scores (n, h, w, classes)   labels (n, h, w) integers
    ->   loss (a Python float),  dscores like scores

With p = softmax(scores[n, i, j]) and t the pixel's label, the pixel's loss is -log p[t]. Because
log p[t] = scores[t] - log(sum over f of exp(scores[f])),

    d(-log p[t]) / d scores[f]  =  p[f] - (1 if f == t else 0)

The largest score is subtracted first: p does not change, and no exponential overflows. Each pixel
counts with the weight of its class (1 without ``class_weights``), a pixel with the label ``ignore``
not at all: no loss, gradient 0. With the reduction "mean" the sum is divided by the sum of the
weights of the valid pixels, with "sum" by 1, with "sum_per_image" by n. Where no pixel is valid the
loss is 0.
"""
import numpy as np

from minifcn.ops.checks import dense
from minifcn.ops.compiling import compiled


@compiled
def _loss_and_gradient(scores, labels, ignore, weights, dscores):
    """Sums over the pixels, (n h w) of them: the weighted loss, and the weights."""
    loss, total = 0.0, 0.0
    classes = scores.shape[1]
    for i in range(scores.shape[0]):
        label = labels[i]
        if label == ignore:
            continue
        weight = weights[label]
        largest = scores[i].max()
        exponentials = np.exp(scores[i] - largest)
        sum_of_exponentials = exponentials.sum()
        loss += weight * (np.log(np.float64(sum_of_exponentials)) - (scores[i, label] - largest))
        total += weight
        for f in range(classes):
            dscores[i, f] = weight * exponentials[f] / sum_of_exponentials
        dscores[i, label] -= weight
    return loss, total


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    classes = scores.shape[-1]
    weights = np.ones(classes) if class_weights is None else np.array(class_weights, np.float64)
    dscores = np.zeros(scores.shape, scores.dtype)
    loss, total = _loss_and_gradient(
        dense(scores).reshape(-1, classes), labels.astype(np.int64).reshape(-1), ignore,
        weights, dscores.reshape(-1, classes))
    divisor = {"mean": total, "sum": 1, "sum_per_image": scores.shape[0]}[reduction]
    if divisor == 0:        # no valid pixel, or no image
        return 0.0, dscores
    dscores /= scores.dtype.type(divisor)
    return float(loss / divisor), dscores

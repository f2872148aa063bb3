"""Homework 2: ReLU, max pooling, and the softmax cross-entropy of every pixel."""

from __future__ import annotations

from functools import partial

import numpy as np

from minifcn.course.comparing import aspects, compared
from minifcn.course.parts import (
    Assignment,
    Failed,
    Judged,
    Layer,
    Verdict,
    Words,
    attempt,
)


def draw_relu(rng):
    shape = tuple(int(v) for v in rng.integers(1, 6, int(rng.integers(1, 5))))
    x = rng.standard_normal(shape)
    x[rng.random(shape) < 0.2] = 0
    return {"x": x}


def draw_pool(rng):
    """Small whole numbers, so that there are ties; windows that do and do not hang over."""
    n, h, w, c = (int(v) for v in rng.integers((1, 4, 4, 1), (4, 11, 12, 4)))
    size, stride = (int(v) for v in rng.integers((2, 1), (4, 4)))
    x = rng.integers(-6, 3, (n, h, w, c)).astype(float)
    return {"x": x, "size": size, "stride": stride, "ceil_mode": bool(rng.integers(2))}


def draw_loss(rng, weighted=False):
    n, h, w, classes = (int(v) for v in rng.integers((2, 1, 2, 2), (5, 5, 6, 8)))
    ignore = int(rng.choice([255, -1, classes - 1]))
    labels = rng.integers(0, classes, (n, h, w))
    labels[rng.random(labels.shape) < 0.4] = ignore
    labels[0, 0, 0], labels[0, 0, 1] = 0 if ignore else 1, ignore
    return {
        "scores": 3 * rng.standard_normal((n, h, w, classes)),
        "labels": labels,
        "ignore": ignore,
        "reduction": str(rng.choice(["mean", "sum", "sum_per_image"])),
        "class_weights": rng.uniform(0.2, 4, classes) if weighted else None,
    }


# -- leaky ReLU -----------------------------------------------------------------------------------


def judge_leaky_relu(ask, rng):
    slope = float(rng.choice([0.125, 0.25, 0.375]))
    shape = tuple(int(v) for v in rng.integers(2, 5, 3))
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    x[rng.random(shape) < 0.2] = x.flat[0] = 0
    y, dx = np.maximum(x, slope * x), dy * np.where(x > 0, 1, slope)

    def forwards():
        return compared(ask("leaky_relu_forward", x, slope), y, "y", (
            ("leaky", "is 0 where x is negative", np.maximum(x, 0)),
            ("sign", "has the wrong sign where x is negative", np.where(x > 0, x, -slope * x)),
            ("leaky", "is x itself", x)))  # fmt: skip

    def backwards(zeros):
        given = (y == 0) if zeros else (y != 0)
        result = ask("leaky_relu_backward", dy, y, slope)
        if np.shape(result) != shape:
            words = f"dx has the shape {np.shape(result)}, right is {shape}"
            return Verdict(0, words, "wrong_shape")
        name = "dx where x is 0" if zeros else "dx"
        return compared(np.asarray(result)[given], dx[given], name, (
            ("leaky", "is 0 where y is negative", (dy * (y > 0))[given]),
            ("relu_mask", "is dy, as where x is positive", dy[given]),
            ("relu_mask", "is 0", 0 * dy[given]),
            ("dy_ignored", "is the same for every dy", np.where(y > 0, 1, slope)[given]),
        ))  # fmt: skip

    def single():
        got = np.asarray(ask("leaky_relu_forward", x.astype(np.float32), slope))
        right = got.dtype == np.float32
        words = "" if right else f"y has the dtype {got.dtype} for an x of float32"
        return Verdict(float(right), words, None if right else "wrong_dtype")

    return [attempt(each) for each in
            (forwards, lambda: backwards(False), lambda: backwards(True), single)]  # fmt: skip


# -- softmax --------------------------------------------------------------------------------------


def log_softmax(scores):
    return scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)


def _scores(axes, size):
    def draw(rng):
        shape = tuple(int(v) for v in rng.integers(2, 6, axes))
        return (size * rng.standard_normal(shape),)

    return draw


SCORES = {
    "for one pixel": _scores(1, 2),
    "for several axes": _scores(4, 3),
    "for scores of a thousand": _scores(2, 1000),
    "for probabilities near 0": lambda rng: (
        np.array([0, -900.0, 1]) + rng.standard_normal((2, 3)),),
}


SCORE_MISTAKES = (
    ("softmax_axis", "has a softmax over all axes, not over the last alone",
     lambda s: s - np.logaddexp.reduce(s, axis=None)),
    ("softmax_axis", "has a softmax over the first axis, not over the last",
     lambda s: s - np.logaddexp.reduce(s, axis=0, keepdims=True)),
    ("wrong_logarithm", "is the softmax, not its logarithm",
     lambda s: np.exp(log_softmax(s))),
    ("wrong_logarithm", "is the logarithm to another base",
     lambda s: log_softmax(s) / np.log(2)),
    ("sign", "has the wrong sign", lambda s: -log_softmax(s)),
    ("unstable", "is right for small scores only: exp of a large score is infinite",
     lambda s: np.log(np.exp(s) / np.exp(s).sum(-1, keepdims=True))),
    ("unstable", "is right for small scores only: the logarithm of a tiny probability is infinite",
     lambda s: np.log(np.exp(log_softmax(s)))),
    ("unstable", "is right for small scores only: exp of a large score is infinite",
     lambda s: s - np.log(np.exp(s).sum(-1, keepdims=True))),
    ("unstable", "is right only if all pixels have scores of one size: the largest of all is "
     "subtracted, not that of each pixel",
     lambda s: (s - s.max()) - np.log(np.exp(s - s.max()).sum(-1, keepdims=True))),
)  # fmt: skip


def loss_of(target, scores, labels, ignore, reduction, class_weights):
    """The loss and its gradient for any target of the classes, (n, h, w, classes)."""
    logs, valid = log_softmax(scores), labels != ignore
    of_class = np.ones(scores.shape[-1]) if class_weights is None else np.asarray(class_weights)
    weight = np.where(valid, of_class[np.where(valid, labels, 0)], 0)
    total = {"mean": weight.sum(), "sum": 1, "sum_per_image": len(scores)}[reduction]
    if total == 0:
        return 0.0, np.zeros(scores.shape)
    weight = weight[..., None] / total
    return float((weight * target * -logs).sum()), weight * np.exp(logs) - weight * target


def smooth_target(scores, labels, of_label, of_each):
    """``of_each`` for every class, and ``of_label`` more for the label."""
    return of_each + of_label * (labels[..., None] == np.arange(scores.shape[-1]))


def smooth_loss(scores, labels, ignore, reduction, class_weights, smoothing):
    target = smooth_target(scores, labels, 1 - smoothing, smoothing / scores.shape[-1])
    return loss_of(target, scores, labels, ignore, reduction, class_weights)


def _judge_loss(ask, cases, candidates, what):
    """Two verdicts for each case: the loss, and dscores."""
    verdicts = []
    for arguments in cases:
        right = smooth_loss(*arguments)
        got, failed = None, None
        try:
            got = ask("softmax_cross_entropy", *arguments)
            if not isinstance(got, (tuple, list)) or len(got) != 2:
                raise Failed("softmax_cross_entropy does not return loss, dscores", "wrong_shape")
        except Failed as error:
            failed = Verdict(0, f"{what}: {error}", error.cause)
        for k, name in enumerate(("loss", "dscores")):
            mistakes = [(cause, words, partial(_part, other, arguments, k))
                        for cause, words, other in candidates]  # fmt: skip
            verdicts.append(failed or compared(got[k], right[k], f"{name} with {what}", mistakes))
    return verdicts


def _part(function, arguments, k):
    return function(*arguments)[k]


def _scaled(factor):
    def other(scores, labels, ignore, reduction, weights, smoothing):
        loss, dscores = smooth_loss(scores, labels, ignore, reduction, weights, smoothing)
        scale = factor(scores, labels, ignore, reduction, weights)
        return loss * scale, dscores * scale

    return other


def _sum_of_weights(labels, ignore, weights):
    return np.asarray(weights)[labels[labels != ignore]].sum()


def judge_class_weights(ask, rng):
    draws = [draw_loss(rng, weighted=True) for _ in range(3)]
    for each, reduction in zip(draws, ("mean", "sum", "sum_per_image")):
        each["reduction"] = reduction
    cases = [(*each.values(), 0.0) for each in draws]
    return _judge_loss(ask, cases, (
        ("class_weights_ignored", "leaves them out",
         lambda s, t, i, r, w, e: smooth_loss(s, t, i, r, None, e)),
        ("class_weights_not_normalised", "is divided by the number of valid pixels",
         _scaled(lambda s, t, i, r, w: _sum_of_weights(t, i, w) / (t != i).sum())),
        ("class_weights_not_normalised", "is not divided by the weights of the valid pixels",
         _scaled(lambda s, t, i, r, w: _sum_of_weights(t, i, w))),
        ("class_weights_not_normalised", "is divided by the sum of the weights of the classes",
         _scaled(lambda s, t, i, r, w: _sum_of_weights(t, i, w) / w.sum())),
        ("ignored_counted", "is divided by the number of all pixels",
         _scaled(lambda s, t, i, r, w: _sum_of_weights(t, i, w) / t.size)),
        ("class_weights_wrong_axis", "has the weight of each class in place of that of the label",
         lambda s, t, i, r, w, e: (None, smooth_loss(s, t, i, r, None, e)[1] * w)),
        ("class_weights_twice", "applies them twice",
         lambda s, t, i, r, w, e: smooth_loss(s, t, i, r, w ** 2, e)),
    ), "class weights")  # fmt: skip


def judge_smoothing(ask, rng):
    first, second = draw_loss(rng), draw_loss(rng, weighted=True)
    first["reduction"], second["reduction"] = "mean", str(rng.choice(["sum", "sum_per_image"]))
    cases = [(*first.values(), 0.1), (*second.values(), 0.25)]
    return _judge_loss(ask, cases, (
        ("smoothing_ignored", "is the same for every smoothing",
         lambda s, t, i, r, w, e: smooth_loss(s, t, i, r, w, 0)),
        ("smoothing_shared", "shares it out over the other classes only",
         lambda s, t, i, r, w, e: smooth_loss(s, t, i, r, w, e * s.shape[-1] / (s.shape[-1] - 1))),
        ("smoothing_shared", "gives every class all of it, not a share",
         lambda s, t, i, r, w, e: loss_of(smooth_target(s, t, 1 - e, e), s, t, i, r, w)),
        ("smoothing_shared", "has a target that adds up to more than 1",
         lambda s, t, i, r, w, e: loss_of(smooth_target(s, t, 1, e / s.shape[-1]), s, t, i, r, w)),
        ("class_weights_ignored", "leaves class weights out",
         lambda s, t, i, r, w, e: smooth_loss(s, t, i, r, None, e)),
    ), "smoothing")  # fmt: skip


RELU, POOL = ("relu_forward", "relu_backward"), ("max_pool2d_forward", "max_pool2d_backward")
LOSS = ("softmax_cross_entropy",)
ASSIGNMENT = Assignment(
    name="hw2",
    title="Layers that choose, and a loss for every pixel",
    parts=(
        Layer("relu", RELU, value=3, gradient=3, purity=1, hidden=1, draw=draw_relu,
              page="tutorials/04_pooling"),
        Judged("leaky-relu", ("leaky_relu_forward", "leaky_relu_backward"), 4, judge_leaky_relu,
               hidden=2, page="tutorials/04_pooling"),
        Layer("max-pool-forward", POOL[:1], value=12, purity=2, hidden=4, draw=draw_pool,
              page="tutorials/04_pooling"),
        Layer("max-pool-backward", POOL[1:], gradient=9, purity=1, hidden=4, draw=draw_pool,
              page="tutorials/04_pooling"),
        Judged("log-softmax", ("log_softmax",), 4,
               aspects("log_softmax", log_softmax, SCORES, SCORE_MISTAKES), hidden=2,
               page="tutorials/08_loss"),
        Layer("loss", LOSS, value=7, gradient=7, purity=2, hidden=4, draw=draw_loss,
              page="tutorials/08_loss", leave_out=("class weights",)),
        Judged("class-weights", LOSS, 4, judge_class_weights, hidden=2, page="tutorials/08_loss"),
        Judged("smoothing", LOSS, 4, judge_smoothing, hidden=2, page="tutorials/08_loss"),
        Words("ignored-pixels", 8),
        Words("stuck-loss", 8),
    ),
    pages={
        "pool_ties_all": "docs/why/pooling-ties",
        "pool_last_tie": "docs/why/pooling-ties",
        "overlap_assigned": "docs/why/col2im-adds",
        "ignored_not_zero": "docs/why/ignore-255",
        "ignored_counted": "docs/why/ignore-255",
        "mean_for_sum": "docs/why/rate-1e-10",
        "sum_for_mean": "docs/why/rate-1e-10",
    },
)  # fmt: skip

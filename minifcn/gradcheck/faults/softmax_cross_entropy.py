"""What mistakes in the loss and its gradient answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, left_out


class _Pixels(NamedTuple):
    """Every pixel's part in the loss."""

    softmax: np.ndarray
    log_softmax: np.ndarray
    onehot: np.ndarray
    valid: np.ndarray  # (n, h, w) bool
    weight: np.ndarray  # (n, h, w)


def _pixels(scores, labels, ignore, class_weights, stand_in=None) -> _Pixels:
    """``stand_in`` is the class that ignored pixels get, -1 the last; None: as class 0."""
    classes = scores.shape[-1]
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    valid = labels != ignore
    label = np.where(valid, labels.astype(int), 0 if stand_in is None else stand_in) % classes
    weights = np.ones(classes) if class_weights is None else np.asarray(class_weights)
    return _Pixels(np.exp(log_softmax), log_softmax, np.eye(classes)[label], valid, weights[label])


def softmax_cross_entropy(
    scores, labels, ignore=255, reduction="mean", class_weights=None
) -> Iterator[Fault]:
    n, pixels, classes = scores.shape[0], labels.size, scores.shape[-1]
    parts = _pixels(scores, labels, ignore, class_weights)
    valid, total = int(parts.valid.sum()), float((parts.weight * parts.valid).sum())
    divisors = {"mean": total, "sum": 1.0, "sum_per_image": float(n)}
    divisor = divisors[reduction] or 1.0

    def answer(parts=parts, counted=None, divisor=divisor, sign=-1.0, onehot=1.0, weight=None):
        counted = parts.valid if counted is None else counted
        weight = (parts.weight if weight is None else weight) * counted
        loss = sign * (weight[..., None] * parts.log_softmax * parts.onehot).sum() / divisor
        dscores = weight[..., None] * (parts.softmax - onehot * parts.onehot) / divisor
        return {"loss": np.float64(loss), "dscores": dscores}

    right = answer()
    yield Fault(
        "onehot_missing",
        "{array} is the softmax without the minus one-hot",
        {"dscores": answer(onehot=0.0)["dscores"]},
    )
    yield Fault(
        "onehot_missing",
        "{array} is the softmax plus the one-hot",
        {"dscores": answer(onehot=-1.0)["dscores"]},
    )
    yield Fault(
        "onehot_missing",
        "{array} is minus the one-hot without the softmax",
        {"dscores": answer(onehot=1.0)["dscores"] - answer(onehot=0.0)["dscores"]},
    )

    yield from _ignored_pixels(scores, labels, ignore, reduction, class_weights, parts, answer)
    if class_weights is not None:
        ones = np.ones_like(parts.weight)
        by_count = {"mean": float(valid) or 1.0}.get(reduction, divisor)
        yield Fault(
            "class_weights_ignored",
            "{array} comes out as if there were no class weights",
            answer(weight=ones, divisor=by_count),
        )
        yield Fault(
            "class_weights_ignored",
            "{array} has class weights in its divisor only",
            answer(weight=ones),
        )
        yield Fault(
            "class_weights_not_normalised",
            "{array} is divided by the number of valid pixels, not by the sum of their weights",
            answer(divisor=by_count),
        )
        yield Fault(
            "class_weights_twice",
            "{array} has the class weights applied twice",
            answer(weight=parts.weight**2),
        )
        shared = np.asarray(class_weights)
        yield Fault(
            "class_weights_not_normalised",
            "{array} is divided by the sum of all class weights",
            answer(divisor=by_count * shared.sum()),
        )
        yield Fault(
            "class_weights_not_normalised",
            "{array} is divided by the sum of the class weights instead",
            answer(divisor=shared.sum()),
        )
        by_class = parts._replace(weight=ones)
        yield Fault(
            "class_weights_wrong_axis",
            "{array} has each class's gradient multiplied by that class's weight, "
            "not by the weight of the pixel's label",
            {"dscores": answer(by_class, divisor=divisor)["dscores"] * shared},
        )
        yield Fault(
            "class_weights_wrong_axis",
            "{array} has softmax weighted by class",
            {
                "dscores": (parts.softmax * shared - parts.onehot * shared)
                * parts.valid[..., None]
                / divisor
            },
        )

    for fault in _loss_divisors(answer, reduction, total, valid, pixels, n, classes):
        yield fault  # under every reduction of the kind, or under this one alone
        yield fault._replace(sentence=f"{fault.sentence} (reduction={reduction!r})")
    for words, axis in (("images", 0), ("rows", 1), ("columns", 2)):
        e = np.exp(scores - scores.max(axis=axis, keepdims=True))
        softmax = e / e.sum(axis=axis, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            yield Fault(
                "softmax_axis",
                f"the softmax runs over {words}, not over the classes",
                answer(parts._replace(softmax=softmax, log_softmax=np.log(softmax))),
            )
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        softmax = e / e.sum(axis=axis, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_softmax = (
                scores
                - scores.max(axis=-1, keepdims=True)
                - np.log(e.sum(axis=axis, keepdims=True))
            )
            yield Fault(
                "softmax_axis",
                f"the exponentials are added up over {words}, not over the classes",
                answer(parts._replace(softmax=softmax, log_softmax=log_softmax)),
            )
    e = np.exp(scores - scores.max())
    softmax = e / e.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        yield Fault(
            "softmax_axis",
            "the softmax runs over the whole array, not over the classes of each pixel",
            answer(parts._replace(softmax=softmax, log_softmax=np.log(softmax))),
        )
    yield Fault(
        "wrong_logarithm",
        "the loss uses the logarithm to base 2",
        {"loss": right["loss"] / np.log(2)},
    )
    yield Fault(
        "wrong_logarithm",
        "the loss uses the logarithm to base 10",
        {"loss": right["loss"] / np.log(10)},
    )
    yield Fault(
        "wrong_logarithm",
        "the loss has no logarithm",
        {
            "loss": np.float64(
                -(parts.weight * parts.valid * (parts.softmax * parts.onehot).sum(-1)).sum()
                / divisor
            )
        },
    )
    for cause, words, without in left_out("scores", np.ones_like(scores)):
        if "channel" not in cause:
            kept = parts.valid & without[..., 0].astype(bool)
            yield Fault(cause, f"{{array}} leaves out {words}", answer(counted=kept))
            if reduction == "mean":
                yield Fault(
                    cause,
                    f"{{array}} leaves out {words}, which is not counted either",
                    answer(counted=kept, divisor=(parts.weight * kept).sum() or 1.0),
                )
    for cause, words, without in left_out("dscores", right["dscores"]):
        yield Fault(
            cause, f"{{array}} is right but for {words}, which is left out", {"dscores": without}
        )


def _ignored_pixels(
    scores, labels, ignore, reduction, class_weights, parts, answer
) -> Iterator[Fault]:
    """Pixels with the ignore label that are treated like others, of one class or another."""
    classes, total = scores.shape[-1], float((parts.weight * parts.valid).sum())
    plain = {"mean": total, "sum": 1.0, "sum_per_image": float(scores.shape[0])}[reduction]
    everywhere = np.ones_like(parts.valid)
    stand_ins = {
        "": None,
        ", as if their class were 0": 0,
        ", as if theirs were the last class": -1,
        ", with their label taken modulo the classes": ignore % classes,
        ", with their label cut to the classes": min(max(ignore, 0), classes - 1),
    }
    for counted in (False, True):
        for words, stand_in in stand_ins.items():
            other = _pixels(scores, labels, ignore, class_weights, stand_in)
            if stand_in is None:
                other = parts._replace(onehot=parts.onehot * parts.valid[..., None])
            divisor = other.weight.sum() if counted and reduction == "mean" else plain
            if divisor:  # else there is no valid pixel, and 0 is returned at once
                wrong = answer(other, everywhere, divisor)
                words += " and are counted in the mean" if counted else ""
                yield Fault(
                    "ignored_counted",
                    f"pixels with the ignore label have a loss{words}",
                    {"loss": wrong["loss"]},
                )
                yield Fault(
                    "ignored_not_zero",
                    f"pixels with the ignore label have a gradient{words}",
                    {"dscores": wrong["dscores"]},
                )
                yield Fault(
                    "ignored_not_zero",
                    f"pixels with the ignore label have a loss and a gradient{words}",
                    wrong,
                )
    if ignore != 255:
        taken = _pixels(scores, labels, 255, class_weights)
        taken_total = (taken.weight * taken.valid).sum()
        yield Fault(
            "ignored_not_zero",
            "the ignore value is taken to be 255, whatever is asked for",
            answer(taken, taken.valid, taken_total if reduction == "mean" else plain),
        )


def _loss_divisors(answer, reduction, total, valid, pixels, n, classes) -> Iterator[Fault]:
    """The right sum, divided by the wrong number."""
    mean_only = reduction == "mean"
    if mean_only:
        yield Fault(
            "ignored_counted",
            "{array} is divided by all pixels, the ignored ones included",
            answer(divisor=pixels),
        )
        yield Fault(
            "sum_for_mean",
            "{array} is the sum over the valid pixels where their mean is asked for",
            answer(divisor=1),
        )
        yield Fault(
            "sum_for_mean",
            "{array} is divided by the number of images, not by that of the valid pixels",
            answer(divisor=n),
        )
        yield Fault(
            "sum_for_mean",
            "{array} is divided by the pixels of one image, not by all valid pixels",
            answer(divisor=pixels / n),
        )
        yield Fault(
            "sum_for_mean",
            "{array} is divided by the valid pixels per image",
            answer(divisor=(valid or 1) / n),
        )
        yield Fault(
            "mean_for_sum",
            "{array} is divided by the number of images once too often",
            answer(divisor=(total or 1) * n),
        )
        yield Fault(
            "mean_for_sum",
            "{array} is divided by the number of classes as well",
            answer(divisor=(total or 1) * classes),
        )
        yield Fault(
            "ignored_counted",
            "{array} is divided by all pixels times classes",
            answer(divisor=pixels * classes),
        )
    for words, other in (
        ("valid pixels", total or 1),
        ("valid pixels, by count", valid or 1),
        ("all pixels", pixels),
    ):
        if reduction != "mean":
            yield Fault(
                "mean_for_sum",
                f"{{array}} is a mean over the {words} where a sum is asked for",
                answer(divisor=other),
            )
            yield Fault(
                "mean_for_sum",
                f"{{array}} is a mean over the {words} and images where a sum is asked for",
                answer(divisor=other * n),
            )
            yield Fault(
                "mean_for_sum",
                f"{{array}} is a mean over the {words} of each image where a sum is asked for",
                answer(divisor=other / n),
            )
    if reduction == "sum":
        yield Fault(
            "mean_for_sum",
            "{array} is divided by the number of images where the sum is asked for",
            answer(divisor=n),
        )
    if reduction == "sum_per_image":
        yield Fault(
            "sum_for_mean", "{array} is not divided by the number of images", answer(divisor=1)
        )
    for words, divisor in (("the plain sum", 1), ("divided by the number of images", n)):
        yield Fault(
            "mean_for_sum" if divisor == n else "sum_for_mean",
            f"{{array}} is {words}, whatever reduction is asked for",
            answer(divisor=divisor),
        )
    yield Fault(
        "mean_for_sum",
        "{array} is the mean, whatever reduction is asked for",
        answer(divisor=total or 1),
    )
    yield Fault(
        "ignored_counted",
        "{array} is divided by all pixels, the ignored ones included, whatever reduction is "
        "asked for",
        answer(divisor=pixels),
    )

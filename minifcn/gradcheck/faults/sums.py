"""Mistakes in sums: parts assigned instead of added, biases, and the order of a weight's axes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, lazily

ORDERS = (("windows", "of the last window"), ("taps", "of the last cell of the kernel"))


def wrong_weights(exchanged: str) -> Iterator[tuple[str, str, Callable]]:
    """Weights read in the wrong order, as functions of a weight (or of dweight)."""
    yield (
        "kernel_flipped",
        "{array} equals the right answer with the kernel flipped along both axes",
        lambda w: w[::-1, ::-1],
    )
    yield (
        "kernel_flipped",
        "{array} equals the right answer with the kernel flipped along its rows",
        lambda w: w[::-1],
    )
    yield (
        "kernel_flipped",
        "{array} equals the right answer with the kernel flipped along its columns",
        lambda w: w[:, ::-1],
    )
    yield (
        "kernel_axes_swapped",
        "{array} equals the right answer with its two kernel axes swapped",
        lambda w: w.swapaxes(0, 1),
    )
    words = (
        "{array} equals the right answer with its two channel axes swapped"
        if "axes" in exchanged
        else "{array} equals the right answer with the weight's input and output channels exchanged"
    )
    yield exchanged, words, lambda w: w.swapaxes(2, 3)
    yield (exchanged, words + " and the kernel flipped", lambda w: w[::-1, ::-1].swapaxes(2, 3))
    yield (
        "kernel_axes_swapped",
        "{array} equals the right answer with all axes of the weight reversed",
        lambda w: w.transpose(1, 0, 3, 2),
    )
    # a reshape where a transpose is needed
    yield (
        "kernel_axes_swapped",
        "{array} equals the right answer with the weight reshaped as if its kernel "
        "axes were exchanged",
        lambda w: w.reshape(w.shape[1], w.shape[0], *w.shape[2:]).swapaxes(0, 1),
    )
    yield (
        exchanged,
        words + ", by a reshape instead of a transpose",
        lambda w: w.reshape(*w.shape[:2], w.shape[3], w.shape[2]).swapaxes(2, 3),
    )


def reordered(right, weight, answers, orders) -> Iterator[Fault]:
    def answer(reorder):
        wrong = right(weight=reorder(weight)) if reorder(weight).shape == weight.shape else {}
        return wrong | ({"dweight": reorder(answers["dweight"])} if "dweight" in answers else {})

    for cause, sentence, reorder in orders:
        yield Fault(cause, sentence, lazily(answer, reorder=reorder))


def bias_mistakes(
    y: np.ndarray, bias: np.ndarray | None, repeats: dict[str, int]
) -> Iterator[Fault]:
    if bias is None:
        return
    yield Fault("bias_missing", "{array} equals the right answer without the bias", {"y": y - bias})
    yield Fault(
        "sign", "{array} equals the right answer with the bias subtracted", {"y": y - 2 * bias}
    )
    for words, count in repeats.items():
        yield Fault(
            "bias_repeated",
            f"{{array}} has the bias added once per {words}",
            {"y": y + (count - 1) * bias},
        )
    for axis in range(y.ndim - 1):
        if y.shape[axis] == len(bias):
            shape = [1] * y.ndim
            shape[axis] = -1
            yield Fault(
                "bias_axes",
                f"{{array}} has the bias added along axis {axis} instead of the last",
                {"y": y - bias + bias.reshape(shape)},
            )


def bias_gradients(dy: np.ndarray) -> Iterator[Fault]:
    """dy summed over the wrong axes."""
    right_axes = tuple(range(dy.ndim - 1))
    for count in range(dy.ndim + 1):
        for axes in itertools.combinations(range(dy.ndim), count):
            if axes == right_axes:
                continue
            total = dy.sum(axis=axes)
            words = f"over the axes {axes} of dy, not over {right_axes}" if axes else "not at all"
            yield Fault("bias_axes", f"dbias is summed {words}", {"dbias": total})
            if count == dy.ndim:
                yield Fault(
                    "bias_axes",
                    "dbias is the sum of all of dy at every channel",
                    {"dbias": np.full(dy.shape[-1], total)},
                )
            if set(axes) < set(right_axes):  # one image, row or column instead of all
                rest = total.reshape(-1, dy.shape[-1])
                left = [
                    name
                    for axis, name in enumerate(("image", "row", "column")[: dy.ndim - 1])
                    if axis not in axes
                ]
                yield Fault(
                    "bias_axes",
                    f"dbias sums the first {' and '.join(left)} of dy only",
                    {"dbias": rest[0]},
                )
                yield Fault(
                    "overlap_assigned",
                    f"dbias holds the last {' and '.join(left)} of dy only: assigned "
                    "instead of added",
                    {"dbias": rest[-1]},
                )
    yield Fault(
        "bias_axes",
        "dbias is summed over rows of dy reshaped to (channels, -1), which mixes channels",
        {"dbias": dy.reshape(dy.shape[-1], -1).sum(axis=1)},
    )


def assigned_weights(name: str, products: np.ndarray) -> Iterator[Fault]:
    """dweight from products (n, i, j, ...) of which only the last survives."""
    for words, kept in (
        ("image", products[-1:]),
        ("row and column", products[:, -1:, -1:]),
        ("row", products[:, -1:]),
        ("column", products[:, :, -1:]),
        ("image, row and column", products[-1:, -1:, -1:]),
    ):
        yield Fault(
            "overlap_assigned",
            f"{{array}} holds the contribution of the last {words} only: assigned instead of added",
            {name: kept.sum(axis=(0, 1, 2))},
        )


def gathered(name: str, products: np.ndarray, rest: np.ndarray | float) -> Iterator[Fault]:
    """An output summed from products (n, i, j, ki, kj, c) of which only the last survives."""
    for words, kept in (
        ("cell of the kernel", products[..., -1:, -1:, :]),
        ("row of the kernel", products[..., -1:, :, :]),
        ("column of the kernel", products[..., :, -1:, :]),
        ("input channel", products[..., -1:]),
        ("cell of the kernel and channel", products[..., -1:, -1:, -1:]),
    ):
        total = kept.sum(axis=(-3, -2, -1))
        for with_rest in (total + rest, total):
            yield Fault(
                "overlap_assigned",
                f"{{array}} holds the contribution of the last {words} only: "
                "assigned instead of added",
                {name: with_rest},
            )


def only_last(array: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.arange(array.shape[axis]) == array.shape[axis] - 1, 0, -1).reshape(
        [-1 if a == axis else 1 for a in range(array.ndim)]
    )

"""What mistakes in a linear layer answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, dy_ignored, missing_parts
from minifcn.gradcheck.faults.sums import (
    bias_gradients,
    bias_mistakes,
    reordered,
)


def linear(x, weight, bias=None, dy=None) -> Iterator[Fault]:
    offset = 0 if bias is None else bias

    def forward(x=x, weight=weight, bias=offset, **_):
        return {"y": x @ weight + bias}

    def backward(dy=dy, x=x, weight=weight, **_):
        return {"dx": dy @ weight.T, "dweight": x.T @ dy, "dbias": dy.sum(axis=0)}

    right, given = (
        (forward, {"x": x, "weight": weight, "bias": offset})
        if dy is None
        else (backward, {"dy": dy, "x": x, "weight": weight})
    )
    answers = right()
    yield from reordered(
        right,
        weight,
        answers,
        (
            (
                "channel_axes_swapped",
                "{array} equals the right answer with the two channel axes of the weight swapped",
                lambda w: w.T,
            ),
            (
                "channel_axes_swapped",
                "{array} equals the right answer with the weight reshaped where a transpose is "
                "needed",
                lambda w: w.reshape(w.shape[::-1]).T,
            ),
        ),
    )
    if dy is None:
        yield from bias_mistakes(answers["y"], bias, {"input channel": x.shape[1]})
        products = np.einsum("nc,cf->nfc", x, weight)
        for total in (products[..., -1], products[..., -1] + offset):
            yield Fault(
                "overlap_assigned",
                "{array} holds the contribution of the last input channel only: "
                "assigned instead of added",
                {"y": total},
            )
    else:
        yield from dy_ignored(right, dy)
        yield from bias_gradients(dy)
        yield Fault(
            "overlap_assigned",
            "{array} holds the contribution of the last image only: assigned instead of added",
            {"dweight": np.outer(x[-1], dy[-1])},
        )
        yield Fault(
            "overlap_assigned",
            "{array} holds the contribution of the last output channel only: assigned "
            "instead of added",
            {"dx": np.outer(dy[:, -1], weight[:, -1])},
        )
    yield from missing_parts(right, given, answers)

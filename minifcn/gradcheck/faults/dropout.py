"""What mistakes in the backward pass of dropout answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, dy_ignored, missing_parts


def dropout_backward(dy, mask, rate) -> Iterator[Fault]:
    keep = mask.astype(bool)

    def right(dy=dy, **_):
        return {"dx": np.where(keep, dy, 0) / (1 - rate)}

    yield Fault("constant_factor", "{array} is not divided by 1 - rate", {"dx": dy * keep})
    yield Fault(
        "constant_factor",
        "{array} is multiplied by 1 - rate instead of divided",
        {"dx": dy * keep * (1 - rate)},
    )
    if rate:
        yield Fault(
            "constant_factor",
            "{array} is divided by rate instead of 1 - rate",
            {"dx": dy * keep / rate},
        )
    yield Fault(
        "constant_factor",
        "{array} is divided by 1 - rate twice",
        {"dx": dy * keep / (1 - rate) ** 2},
    )
    for words, scale in (("", 1 / (1 - rate)), (", nor divided by 1 - rate", 1.0)):
        yield Fault("mask_ignored", f"{{array}} is not masked{words}", {"dx": dy * scale})
        yield Fault(
            "mask_inverted",
            f"{{array}} is masked where values were kept{words}",
            {"dx": dy * ~keep * scale},
        )
    yield from dy_ignored(right, dy)
    yield Fault("dy_ignored", "{array} does not depend on dy: it is the mask", {"dx": keep * 1.0})
    yield from missing_parts(right, {"dy": dy}, right())

"""What mistakes in ReLU answer: most are another mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, dy_ignored, missing_parts

COMPARISONS = {
    "> 0": lambda a: a > 0,
    ">= 0": lambda a: a >= 0,
    "< 0": lambda a: a < 0,
    "<= 0": lambda a: a <= 0,
    "!= 0": lambda a: a != 0,
    "== 0": lambda a: a == 0,
}


def relu(x, y=None, dy=None) -> Iterator[Fault]:
    y = np.maximum(x, 0)
    source, name = (x, "y") if dy is None else (dy, "dx")

    def right(x=x, dy=dy, **_):
        return {"y": np.maximum(x, 0)} if dy is None else {"dx": np.where(x > 0, dy, 0)}

    masks = {"x": x} if dy is None else {"y": y, "x": x, "dy": dy}
    for of, array in masks.items():
        for comparison, test in COMPARISONS.items():
            yield Fault(
                "relu_mask",
                f"{{array}} is let through where {of} {comparison}, not where x > 0",
                {name: np.where(test(array), source, 0)},
            )
    if dy is None:
        yield Fault("relu_mask", "{array} is the absolute value of x", {"y": np.abs(x)})
        yield Fault("relu_mask", "{array} is the mask x > 0 itself", {"y": (x > 0) * 1.0})
        yield Fault(
            "relu_mask", "{array} is min(x, 0) with its sign changed", {"y": np.maximum(-x, 0)}
        )
    else:
        for of, array in (("y", y), ("x", x)):
            yield Fault(
                "relu_mask",
                f"{{array}} is dy multiplied by {of} instead of by the mask",
                {"dx": dy * array},
            )
        yield Fault(
            "relu_mask",
            "{array} is dy where both y > 0 and dy > 0",
            {"dx": np.where((y > 0) & (dy > 0), dy, 0)},
        )
        yield from dy_ignored(right, dy)
        for comparison, test in COMPARISONS.items():
            yield Fault(
                "dy_ignored",
                f"{{array}} does not depend on dy: it is the mask y {comparison}",
                {"dx": test(y) * 1.0},
            )
    for slope in (0.01, 0.1, 0.2):
        yield Fault(
            "leaky",
            f"{{array}} lets a share of {slope} through where x < 0",
            {name: np.where(x > 0, source, slope * source)},
        )
    yield from missing_parts(right, {"dy": dy} if dy is not None else {"x": x}, right())

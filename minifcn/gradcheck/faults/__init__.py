"""What each typical mistake would have answered.

A diagnosis compares a wrong answer with the answers that known mistakes give on the same arguments,
whole arrays at a time. Here are the mistakes: for every operation a generator of ``Fault``s, each
with its cause, a sentence, and the arrays that someone who makes it returns. Everything is plain
NumPy on tiny arrays; the files have the names of the operations' files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minifcn.gradcheck.faults.bilinear import bilinear_upsample
from minifcn.gradcheck.faults.conv2d import conv2d
from minifcn.gradcheck.faults.conv_transpose2d import conv_transpose2d
from minifcn.gradcheck.faults.dropout import dropout_backward
from minifcn.gradcheck.faults.fault import Fault
from minifcn.gradcheck.faults.linear import linear
from minifcn.gradcheck.faults.max_pool2d import max_pool2d
from minifcn.gradcheck.faults.relu import relu
from minifcn.gradcheck.faults.softmax_cross_entropy import softmax_cross_entropy

__all__ = ["Fault", "faults"]


def faults(function: str, arguments: dict[str, Any], given: dict[str, Any]) -> Iterator[Fault]:
    """All mistakes of a function on its arguments; ``given`` are those of its forward."""
    operation = function.removesuffix("_forward").removesuffix("_backward")
    if function == "dropout_backward":
        return dropout_backward(**arguments)
    generators = {
        "conv2d": conv2d,
        "conv_transpose2d": conv_transpose2d,
        "bilinear_upsample": bilinear_upsample,
        "linear": linear,
        "relu": relu,
        "max_pool2d": max_pool2d,
        "softmax_cross_entropy": softmax_cross_entropy,
    }
    if function.endswith("_backward"):
        known = {name: value for name, value in given.items() if name != "bias"}
        return generators[operation](**known, dy=arguments["dy"])
    return generators[operation](**given)

"""What mistakes in a transposed convolution answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, dy_ignored, lazily, missing_parts
from minifcn.gradcheck.faults.sums import (
    ORDERS,
    assigned_weights,
    bias_gradients,
    bias_mistakes,
    gathered,
    only_last,
    reordered,
    wrong_weights,
)
from minifcn.gradcheck.faults.windows import Windows, uncropped, wrong_windows
from minifcn.ops.checks import pair


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, dy=None) -> Iterator[Fault]:
    """Mistakes of conv_transpose2d_forward (without dy) and conv_transpose2d_backward (with it)."""
    s, p = pair(stride), pair(padding)
    kernel = weight.shape[:2]
    extent = tuple((n - 1) * si + k - 2 * pi for n, si, k, pi in zip(x.shape[1:3], s, kernel, p))
    windows = Windows.of(x.shape[1:3], kernel, s, p)
    offset = 0 if bias is None else bias

    def forward(x=x, weight=weight, bias=offset, windows=windows, order="add", extent=extent, **_):
        patches = np.einsum("nijc,abcf->nijabf", x, weight, optimize=True)
        return {"y": windows.scatter(patches, extent, order) + bias}

    def backward(dy=dy, x=x, weight=weight, windows=windows, mode="constant", **_):
        patches = windows.gather(dy, mode)
        return {
            "dx": np.einsum("nijabf,abcf->nijc", patches, weight, optimize=True),
            "dweight": np.einsum("nijc,nijabf->abcf", x, patches, optimize=True),
            "dbias": dy.sum(axis=(0, 1, 2)),
        }

    right, given = (
        (forward, {"x": x, "weight": weight, "bias": offset})
        if dy is None
        else (backward, {"dy": dy, "x": x, "weight": weight})
    )
    answers = right()
    yield from reordered(right, weight, answers, wrong_weights("in_out_exchanged"))
    for cause, sentence, wrong in wrong_windows(x.shape[1:3], kernel, s, p):
        yield Fault(cause, sentence, lazily(right, windows=wrong))
    unpadded = windows._replace(rows=windows.rows + p[0], columns=windows.columns + p[1])
    padded = (extent[0] + 2 * p[0], extent[1] + 2 * p[1])
    if dy is None:
        yield from uncropped("y", forward(windows=unpadded, extent=padded)["y"], p)
        ones = Windows.of(x.shape[1:3], kernel, (1, 1), p)
        small = tuple(n + k - 1 - 2 * pi for n, k, pi in zip(x.shape[1:3], kernel, p))
        if min(small) > 0:
            yield Fault(
                "stride_ignored",
                "{array} has the size and values of a stride of 1",
                {"y": forward(windows=ones, extent=small)["y"]},
            )
        yield from bias_mistakes(
            answers["y"],
            bias,
            {"cell of the kernel": kernel[0] * kernel[1], "input channel": x.shape[3]},
        )
        if bias is not None:  # added to the stamps: once per overlapping stamp
            stamps = np.ones((*x.shape[:3], *kernel, len(bias)))
            count = windows.scatter(stamps, extent)
            yield Fault(
                "bias_repeated",
                "{array} has the bias added once per stamp that overlaps",
                {"y": answers["y"] - bias + count * bias},
            )
        for order, words in ORDERS:
            for weights, also in (
                (weight, ""),
                (np.where(only_last(weight, 2), weight, 0), " and input channel"),
            ):
                sentence = (
                    f"{{array}} holds the contribution {words}{also} only where several overlap: "
                    "assigned instead of added"
                )
                total = forward(weight=weights, order=order, bias=0)["y"]
                covered = windows.scatter(np.ones((*x.shape[:3], *kernel, 1)), extent) > 0
                yield Fault("overlap_assigned", sentence, {"y": total + offset})
                yield Fault(
                    "overlap_assigned",
                    sentence + ", the bias too",
                    {"y": total + np.where(covered, 0, offset)},
                )
    else:
        yield from dy_ignored(right, dy)
        yield from bias_gradients(dy)
        products = np.einsum("nijc,nijabf->nijabcf", x, windows.gather(dy))
        yield from assigned_weights("dweight", products)
        yield from gathered("dx", np.einsum("nijabf,abcf->nijcabf", windows.gather(dy), weight), 0)
        inner = tuple((n - k) // si + 1 for n, k, si in zip(dy.shape[1:3], kernel, s))
        if min(inner) > 0:
            ignored = Windows.of(inner, kernel, s, (0, 0))
            yield Fault(
                "padding_ignored",
                "{array} comes out as if dy were not padded",
                {"dx": np.einsum("nijabf,abcf->nijc", ignored.gather(dy), weight)},
            )
    yield from missing_parts(right, given, answers)

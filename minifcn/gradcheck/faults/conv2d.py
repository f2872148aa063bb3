"""What mistakes in a convolution answer."""

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
from minifcn.ops import reference
from minifcn.ops.checks import pair


def conv2d(x, weight, bias=None, stride=1, padding=0, dy=None) -> Iterator[Fault]:
    """Mistakes of conv2d_forward (without dy) and conv2d_backward (with it)."""
    s, p = pair(stride), pair(padding)
    kernel, image = weight.shape[:2], x.shape[1:3]
    y = reference.conv2d_forward(
        x, weight, np.zeros(weight.shape[3]) if bias is None else bias, stride, padding
    )
    windows = Windows.of(y.shape[1:3], kernel, s, p)
    offset = 0 if bias is None else bias

    def forward(x=x, weight=weight, bias=offset, windows=windows, mode="constant", **_):
        return {
            "y": np.einsum("nijabc,abcf->nijf", windows.gather(x, mode), weight, optimize=True)
            + bias
        }

    def backward(
        dy=dy, x=x, weight=weight, windows=windows, mode="constant", order="add", extent=image, **_
    ):
        patches = np.einsum("nijf,abcf->nijabc", dy, weight, optimize=True)
        return {
            "dx": windows.scatter(patches, extent, order),
            "dweight": np.einsum("nijabc,nijf->abcf", windows.gather(x, mode), dy, optimize=True),
            "dbias": dy.sum(axis=(0, 1, 2)),
        }

    right, given = (
        (forward, {"x": x, "weight": weight, "bias": offset})
        if dy is None
        else (backward, {"dy": dy, "x": x, "weight": weight})
    )
    answers = right()
    yield from reordered(right, weight, answers, wrong_weights("channel_axes_swapped"))
    for cause, sentence, wrong in wrong_windows(y.shape[1:3], kernel, s, p):
        yield Fault(cause, sentence, lazily(right, windows=wrong))
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        if mode == "wrap" or min(image) > max(*p, 1) + max(kernel) * max(s):
            yield Fault(
                "padding_not_zero",
                f"{{array}} comes out as if x were padded by np.pad's {mode!r}, not by zeros",
                lazily(right, mode=mode),
            )
    if dy is None:
        yield from _forward_sizes(x, weight, offset, s, p)
        yield from bias_mistakes(
            y,
            bias,
            {
                "cell of the kernel": kernel[0] * kernel[1],
                "input channel": x.shape[3],
                "product": kernel[0] * kernel[1] * x.shape[3],
            },
        )
        yield from gathered(
            "y", np.einsum("nijabc,abcf->nijfabc", windows.gather(x), weight), offset
        )
    else:
        yield from dy_ignored(right, dy)
        yield from bias_gradients(dy)
        padded = (image[0] + 2 * p[0], image[1] + 2 * p[1])
        unpadded = windows._replace(rows=windows.rows + p[0], columns=windows.columns + p[1])

        def only_dx(**wrong):
            return {"dx": backward(**wrong)["dx"]}

        yield from uncropped("dx", backward(windows=unpadded, extent=padded)["dx"], p)
        for order, words in ORDERS:
            for weights, also in (
                (weight, ""),
                (np.where(only_last(weight, 3), weight, 0), " and output channel"),
            ):
                yield Fault(
                    "overlap_assigned",
                    f"{{array}} holds the contribution {words}{also} only where several "
                    "overlap: assigned instead of added",
                    lazily(only_dx, weight=weights, order=order),
                )
        products = np.einsum("nijabc,nijf->nijabcf", windows.gather(x), dy)
        yield from assigned_weights("dweight", products)
    yield from missing_parts(right, given, answers)


def _forward_sizes(x, weight, bias, stride, padding) -> Iterator[Fault]:
    """Convolutions of another size than asked for."""
    for cause, words, s, p in (
        ("stride_ignored", "{array} has the size and values of a stride of 1", (1, 1), padding),
        ("padding_ignored", "{array} has the size and values of no padding", stride, (0, 0)),
        (
            "stride_ignored",
            "{array} has the size and values of a row stride of 1",
            (1, stride[1]),
            padding,
        ),
        (
            "stride_ignored",
            "{array} has the size and values of a column stride of 1",
            (stride[0], 1),
            padding,
        ),
        (
            "padding_not_cropped",
            "{array} comes out as if the padding were twice as large",
            stride,
            (2 * padding[0], 2 * padding[1]),
        ),
    ):
        if x.shape[1] + 2 * p[0] >= weight.shape[0] and x.shape[2] + 2 * p[1] >= weight.shape[1]:
            zeros = np.zeros(weight.shape[3])
            yield Fault(
                cause, words, {"y": reference.conv2d_forward(x, weight, zeros, s, p) + bias}
            )

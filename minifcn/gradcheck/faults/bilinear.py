"""What mistakes in bilinear upsampling answer: a transposed convolution, channel by channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, dy_ignored, lazily, missing_parts
from minifcn.gradcheck.faults.sums import (
    ORDERS,
    gathered,
)
from minifcn.gradcheck.faults.windows import Windows, uncropped, wrong_windows
from minifcn.ops.checks import bilinear_kernel, pair


def bilinear_upsample(x, factor, size, padding, dy=None) -> Iterator[Fault]:
    """Mistakes of bilinear upsampling: a transposed convolution, channel by channel."""
    kernel, places = bilinear_kernel(size), x.shape[1:3]
    s, p, k = (factor, factor), pair(padding), (size, size)
    extent = tuple((n - 1) * factor + size - 2 * cut for n, cut in zip(places, p))
    windows = Windows.of(places, k, s, p)

    def forward(x=x, kernel=kernel, windows=windows, order="add", extent=extent, **_):
        return {"y": windows.scatter(np.einsum("nijc,ab->nijabc", x, kernel), extent, order)}

    def backward(dy=dy, kernel=kernel, windows=windows, **_):
        return {"dx": np.einsum("nijabc,ab->nijc", windows.gather(dy), kernel)}

    right, given = (forward, {"x": x}) if dy is None else (backward, {"dy": dy})
    answers = right()
    for cause, sentence, wrong in wrong_windows(places, k, s, p):
        yield Fault(cause, sentence, lazily(right, windows=wrong))
    for words, wrong in (
        ("normalised to a sum of 1", kernel / kernel.sum()),
        ("normalised to a peak of 1", kernel / kernel.max()),
        ("normalised to a sum of factor squared", kernel * factor**2 / kernel.sum()),
    ):
        yield Fault(
            "constant_factor",
            f"{{array}} comes out as if the bilinear kernel were {words}",
            lazily(right, kernel=wrong),
        )
    line = kernel[size // 2] / kernel[size // 2].max()
    odd = 1 - np.abs(np.arange(size) - ((size + 1) // 2 - 1)) / ((size + 1) // 2)
    half = 1 - np.abs(np.arange(size) - ((size + 1) // 2 - 0.5)) / ((size + 1) // 2)
    by_factor = 1 - np.abs(np.arange(size) - (size - 1) / 2) / factor
    for words, each in (
        ("centred on a cell for even sizes too", odd),
        ("centred between cells for odd sizes too", half),
        ("divided by the factor", by_factor),
        ("constant", np.ones(size)),
        ("cut below zero", np.maximum(by_factor, 0)),
    ):
        yield Fault(
            "wrong_kernel",
            f"{{array}} comes out as if the bilinear kernel were {words}",
            lazily(right, kernel=np.outer(each, each)),
        )
    yield Fault(
        "wrong_kernel",
        "{array} comes out as if the kernel interpolated along columns only",
        right(kernel=np.outer(np.ones(size), line)),
    )
    yield Fault(
        "wrong_kernel",
        "{array} comes out as if the kernel interpolated along rows only",
        right(kernel=np.outer(line, np.ones(size))),
    )
    unpadded = windows._replace(rows=windows.rows + p.rows, columns=windows.columns + p.columns)
    padded = tuple(n + 2 * cut for n, cut in zip(extent, p))
    if dy is None:
        yield from uncropped("y", forward(windows=unpadded, extent=padded)["y"], p)
        small = tuple(n + size - 1 - 2 * cut for n, cut in zip(places, p))
        if min(small) > 0:
            yield Fault(
                "stride_ignored",
                "{array} has the size and values of a factor of 1",
                {"y": forward(windows=Windows.of(places, k, (1, 1), p), extent=small)["y"]},
            )
        for order, words in ORDERS:
            yield Fault(
                "overlap_assigned",
                f"{{array}} holds the contribution {words} only where several overlap: "
                "assigned instead of added",
                forward(order=order),
            )
        mixed = x.sum(axis=3, keepdims=True) * np.ones(x.shape[3])
    else:
        yield from dy_ignored(right, dy)
        products = np.einsum("nijabc,ab->nijcab", windows.gather(dy), kernel)[..., None]
        yield from gathered("dx", products, 0)
        mixed = dy.sum(axis=3, keepdims=True) * np.ones(dy.shape[3])
    yield Fault(
        "channels_mixed",
        "{array} adds up all channels: the kernel is dense instead of diagonal",
        right(**{next(iter(given)): mixed}),
    )
    yield from missing_parts(right, given, answers)

"""Windows of an image, and how they come out when stride or padding are misused.

Convolution, transposed convolution and bilinear upsampling are one algebra: windows of an image
that are gathered (im2col) or scattered back (col2im). ``rows[i, ki]`` is the row of the image under
row ki of the kernel at place i, i * stride - padding + ki if all is well. Most mistakes are another
``rows``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minifcn.gradcheck.faults.fault import Fault


class Windows(NamedTuple):
    rows: np.ndarray  # (places, kernel) row of the image
    columns: np.ndarray

    @classmethod
    def of(cls, places, kernel, stride, padding) -> Windows:
        return cls(
            *(
                np.arange(count)[:, None] * s - p + np.arange(k)
                for count, k, s, p in zip(places, kernel, stride, padding)
            )
        )

    def gather(self, image: np.ndarray, mode: str = "constant") -> np.ndarray:
        """(n, h, w, c) -> (n, i, j, ki, kj, c), ``mode`` as for np.pad."""
        before = [max(0, -int(index.min())) for index in self]
        after = [
            max(0, int(index.max()) + 1 - extent) for index, extent in zip(self, image.shape[1:3])
        ]
        padded = np.pad(image, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)), mode)
        rows, columns = self.rows + before[0], self.columns + before[1]
        return padded[:, rows[:, None, :, None], columns[None, :, None, :]]

    def scatter(
        self, patches: np.ndarray, extent: tuple[int, int], order: str = "add"
    ) -> np.ndarray:
        """The reverse: (n, i, j, ki, kj, c) -> (n, *extent, c); what falls outside is lost.

        ``order`` "add" is right; "windows" and "taps" assign, so that the last window, or the last
        cell of the kernel, overwrites what was there.
        """
        low = [min(0, int(index.min())) for index in self]
        high = [max(size, int(index.max()) + 1) for size, index in zip(extent, self)]
        rows, columns = self.rows - low[0], self.columns - low[1]
        canvas = np.zeros((patches.shape[0], high[0] - low[0], high[1] - low[1], patches.shape[5]))
        if order == "windows":
            for i, j in np.ndindex(patches.shape[1:3]):
                canvas[(slice(None), *np.ix_(rows[i], columns[j]))] = patches[:, i, j]
        else:
            for ki, kj in np.ndindex(patches.shape[3:5]):
                where = (slice(None), *np.ix_(rows[:, ki], columns[:, kj]))
                canvas[where] = patches[:, :, :, ki, kj] + (canvas[where] if order == "add" else 0)
        return canvas[:, -low[0] : extent[0] - low[0], -low[1] : extent[1] - low[1]]


def wrong_windows(places, kernel, stride, padding) -> Iterator[tuple[str, str, Windows]]:
    """Windows as they come out when stride or padding are misused."""

    def windows(s=stride, p=padding):
        return Windows.of(places, kernel, s, p)

    yield "stride_ignored", "{array} comes out as if the stride were 1", windows((1, 1))
    yield (
        "stride_ignored",
        "{array} comes out as if the stride along rows were 1",
        windows((1, stride[1])),
    )
    yield (
        "stride_ignored",
        "{array} comes out as if the stride along columns were 1",
        windows((stride[0], 1)),
    )
    yield (
        "stride_axes_swapped",
        "{array} has the strides of rows and columns exchanged",
        windows(stride[::-1]),
    )
    yield (
        "stride_ignored",
        "{array} uses the row stride for columns too",
        windows((stride[0],) * 2),
    )
    yield (
        "padding_axes_swapped",
        "{array} has the paddings of rows and columns exchanged",
        windows(p=padding[::-1]),
    )
    yield (
        "padding_axes_swapped",
        "{array} uses the padding of rows for columns too",
        windows(p=(padding[0],) * 2),
    )
    (a, b) = padding
    for words, p in (
        ("after the last row and column only", (0, 0)),
        ("after the last row only", (0, b)),
        ("after the last column only", (a, 0)),
        ("before the first row and column only", (2 * a, 2 * b)),
        ("before the first row only", (2 * a, b)),
        ("before the first column only", (a, 2 * b)),
    ):
        yield (
            "padding_wrong_side",
            f"{{array}} comes out as if the padding stood {words} "
            "(the wrong part of the padded array is used or cut off)",
            windows(p=p),
        )
    for words, p in (
        ("one row and column too far down and right", (a - 1, b - 1)),
        ("one row and column too far up and left", (a + 1, b + 1)),
        ("one row too far down", (a - 1, b)),
        ("one row too far up", (a + 1, b)),
        ("one column too far right", (a, b - 1)),
        ("one column too far left", (a, b + 1)),
    ):
        yield "shifted", f"{{array}} comes out as if every window lay {words}", windows(p=p)


def uncropped(name, padded, padding) -> Iterator[Fault]:
    """The padded array, or cropped at one end or along one axis only."""
    a, b = padding
    h, w = padded.shape[1] - 2 * a, padded.shape[2] - 2 * b
    for words, rows, columns in (
        ("not cropped", slice(None), slice(None)),
        ("cropped before the first row and column only", slice(a, None), slice(b, None)),
        ("cropped after the last row and column only", slice(0, h + a), slice(0, w + b)),
        ("not cropped along rows", slice(None), slice(b, b + w)),
        ("not cropped along columns", slice(a, a + h), slice(None)),
    ):
        yield Fault(
            "padding_not_cropped",
            f"{{array}} still has its padding: {words}",
            {name: padded[:, rows, columns]},
        )

"""What each typical mistake would have answered.

A diagnosis compares a wrong answer with the answers that known mistakes give on the same arguments,
whole arrays at a time. Here are the mistakes: for every operation a generator of ``Fault``s, each
with its cause, a sentence, and the arrays that someone who makes it returns. Everything is plain
NumPy on tiny arrays.

Convolution, transposed convolution and bilinear upsampling are one algebra: windows of an image
that are gathered (im2col) or scattered back (col2im). ``rows[i, ki]`` is the row of the image under
row ki of the kernel at place i, i * stride - padding + ki if all is well. Most mistakes are another
``rows``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minifcn.ops import reference
from minifcn.ops.checks import bilinear_kernel, pair

Answers = dict[str, np.ndarray]


class Fault(NamedTuple):
    """A mistake, and what it answers: arrays by name, computed when asked for.

    ``sentence`` may say ``{array}``, which becomes the name of the wrong array.
    """

    cause: str
    sentence: str
    answers: Answers | Callable[[], Answers]

    def answer(self, name: str) -> np.ndarray | None:
        """The array of that name, or None where this mistake leaves it right."""
        return (self.answers() if callable(self.answers) else self.answers).get(name)


def lazily(function: Callable[..., Answers], **arguments: Any) -> Callable[[], Answers]:
    """``function(**arguments)``, but later, and once."""
    return functools.cache(functools.partial(function, **arguments))


# ---------------------------------------------------------------------------------------------
# The algebra of windows
# ---------------------------------------------------------------------------------------------


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


def _wrong_windows(places, kernel, stride, padding) -> Iterator[tuple[str, str, Windows]]:
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


def _wrong_weights(exchanged: str) -> Iterator[tuple[str, str, Callable]]:
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


# ---------------------------------------------------------------------------------------------
# Parts left out, whatever the operation
# ---------------------------------------------------------------------------------------------

_AXIS_WORDS = {
    "n": ("image", "image"),
    "h": ("row", "row"),
    "w": ("column", "column"),
    "c": ("channel", "channel"),
    "kh": ("row", "kernel row"),
    "kw": ("column", "kernel column"),
    "f": ("channel", "output channel"),
    "classes": ("channel", "class"),
}
_LAYOUTS = {
    "weight": ("kh", "kw", "c", "f"),
    "dweight": ("kh", "kw", "c", "f"),
    "bias": ("f",),
    "dbias": ("f",),
    "scores": ("n", "h", "w", "classes"),
    "dscores": ("n", "h", "w", "classes"),
}


def _layout(name: str, ndim: int) -> tuple[str, ...]:
    if ndim == 2:
        return ("c", "f") if name in ("weight", "dweight") else ("n", "c")
    return _LAYOUTS.get(name, ("n", "h", "w", "c"))


def _left_out(
    name: str, array: np.ndarray, fill: float = 0
) -> Iterator[tuple[str, str, np.ndarray]]:
    """(cause, words, array without its last or first row, column, ...)"""
    layout = _layout(name, array.ndim)
    if array.ndim != len(layout):
        return
    for which, index in (("last", -1), ("first", 0)):
        for axis, letter in enumerate(layout):
            part, words = _AXIS_WORDS[letter]
            without = array.copy()
            without[(slice(None),) * axis + (index,)] = fill
            yield f"{which}_{part}_missing", f"the {which} {words}", without
        if array.ndim == 4:
            a, b = (0, 1) if layout[0] == "kh" else (1, 2)
            without = array.copy()
            without[(slice(None),) * a + (index,)] = without[(slice(None),) * b + (index,)] = fill
            yield (
                f"{which}_row_missing",
                f"the {which} {_AXIS_WORDS[layout[a]][1]} and {_AXIS_WORDS[layout[b]][1]}",
                without,
            )


def missing_parts(
    right: Callable[..., Answers], arguments: dict[str, Any], answers: Answers
) -> Iterator[Fault]:
    """Loops that end too early (or begin too late), over the results or over an argument."""
    for name, array in answers.items():
        if name == "argmax":
            continue
        for cause, words, without in _left_out(name, array):
            yield Fault(
                cause, f"{{array}} is right but for {words}, which is left out", {name: without}
            )
    for name, array in arguments.items():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim:
            for cause, words, without in _left_out(name, array):
                yield Fault(
                    cause,
                    f"{{array}} comes out as if {words} of {name} were left out",
                    lazily(right, **{**arguments, name: without}),
                )


# ---------------------------------------------------------------------------------------------
# Convolution and transposed convolution
# ---------------------------------------------------------------------------------------------


def _bias_mistakes(
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


def _bias_gradients(dy: np.ndarray) -> Iterator[Fault]:
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


def _assigned_weights(name: str, products: np.ndarray) -> Iterator[Fault]:
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


def _gathered(name: str, products: np.ndarray, rest: np.ndarray | float) -> Iterator[Fault]:
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


_ORDERS = (("windows", "of the last window"), ("taps", "of the last cell of the kernel"))


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
    yield from _reordered(right, weight, answers, _wrong_weights("channel_axes_swapped"))
    for cause, sentence, wrong in _wrong_windows(y.shape[1:3], kernel, s, p):
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
        yield from _bias_mistakes(
            y,
            bias,
            {
                "cell of the kernel": kernel[0] * kernel[1],
                "input channel": x.shape[3],
                "product": kernel[0] * kernel[1] * x.shape[3],
            },
        )
        yield from _gathered(
            "y", np.einsum("nijabc,abcf->nijfabc", windows.gather(x), weight), offset
        )
    else:
        yield from _dy_ignored(right, dy)
        yield from _bias_gradients(dy)
        padded = (image[0] + 2 * p[0], image[1] + 2 * p[1])
        unpadded = windows._replace(rows=windows.rows + p[0], columns=windows.columns + p[1])

        def only_dx(**wrong):
            return {"dx": backward(**wrong)["dx"]}

        yield from _uncropped("dx", backward(windows=unpadded, extent=padded)["dx"], p)
        for order, words in _ORDERS:
            for weights, also in (
                (weight, ""),
                (np.where(_last(weight, 3), weight, 0), " and output channel"),
            ):
                yield Fault(
                    "overlap_assigned",
                    f"{{array}} holds the contribution {words}{also} only where several "
                    "overlap: assigned instead of added",
                    lazily(only_dx, weight=weights, order=order),
                )
        products = np.einsum("nijabc,nijf->nijabcf", windows.gather(x), dy)
        yield from _assigned_weights("dweight", products)
    yield from missing_parts(right, given, answers)


def _last(array: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.arange(array.shape[axis]) == array.shape[axis] - 1, 0, -1).reshape(
        [-1 if a == axis else 1 for a in range(array.ndim)]
    )


def _reordered(right, weight, answers, orders) -> Iterator[Fault]:
    def answer(reorder):
        wrong = right(weight=reorder(weight)) if reorder(weight).shape == weight.shape else {}
        return wrong | ({"dweight": reorder(answers["dweight"])} if "dweight" in answers else {})

    for cause, sentence, reorder in orders:
        yield Fault(cause, sentence, lazily(answer, reorder=reorder))


def _dy_ignored(right, dy) -> Iterator[Fault]:
    yield Fault(
        "dy_ignored",
        "{array} does not depend on dy: it is what dy = 1 everywhere gives",
        lazily(right, dy=np.ones_like(dy)),
    )
    yield Fault(
        "dy_ignored",
        "{array} depends on the sum of dy only",
        lazily(right, dy=np.full_like(dy, dy.sum())),
    )
    yield Fault(
        "dy_ignored",
        "{array} depends on the mean of dy only",
        lazily(right, dy=np.full_like(dy, dy.mean())),
    )


def _uncropped(name, padded, padding) -> Iterator[Fault]:
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
    yield from _reordered(right, weight, answers, _wrong_weights("in_out_exchanged"))
    for cause, sentence, wrong in _wrong_windows(x.shape[1:3], kernel, s, p):
        yield Fault(cause, sentence, lazily(right, windows=wrong))
    unpadded = windows._replace(rows=windows.rows + p[0], columns=windows.columns + p[1])
    padded = (extent[0] + 2 * p[0], extent[1] + 2 * p[1])
    if dy is None:
        yield from _uncropped("y", forward(windows=unpadded, extent=padded)["y"], p)
        ones = Windows.of(x.shape[1:3], kernel, (1, 1), p)
        small = tuple(n + k - 1 - 2 * pi for n, k, pi in zip(x.shape[1:3], kernel, p))
        if min(small) > 0:
            yield Fault(
                "stride_ignored",
                "{array} has the size and values of a stride of 1",
                {"y": forward(windows=ones, extent=small)["y"]},
            )
        yield from _bias_mistakes(
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
        for order, words in _ORDERS:
            for weights, also in (
                (weight, ""),
                (np.where(_last(weight, 2), weight, 0), " and input channel"),
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
        yield from _dy_ignored(right, dy)
        yield from _bias_gradients(dy)
        products = np.einsum("nijc,nijabf->nijabcf", x, windows.gather(dy))
        yield from _assigned_weights("dweight", products)
        yield from _gathered("dx", np.einsum("nijabf,abcf->nijcabf", windows.gather(dy), weight), 0)
        inner = tuple((n - k) // si + 1 for n, k, si in zip(dy.shape[1:3], kernel, s))
        if min(inner) > 0:
            ignored = Windows.of(inner, kernel, s, (0, 0))
            yield Fault(
                "padding_ignored",
                "{array} comes out as if dy were not padded",
                {"dx": np.einsum("nijabf,abcf->nijc", ignored.gather(dy), weight)},
            )
    yield from missing_parts(right, given, answers)


def bilinear_upsample(x, factor, size, padding, dy=None) -> Iterator[Fault]:
    """Mistakes of bilinear upsampling: a transposed convolution, channel by channel."""
    kernel, places = bilinear_kernel(size), x.shape[1:3]
    s, p, k = (factor, factor), (padding, padding), (size, size)
    extent = tuple((n - 1) * factor + size - 2 * padding for n in places)
    windows = Windows.of(places, k, s, p)

    def forward(x=x, kernel=kernel, windows=windows, order="add", extent=extent, **_):
        return {"y": windows.scatter(np.einsum("nijc,ab->nijabc", x, kernel), extent, order)}

    def backward(dy=dy, kernel=kernel, windows=windows, **_):
        return {"dx": np.einsum("nijabc,ab->nijc", windows.gather(dy), kernel)}

    right, given = (forward, {"x": x}) if dy is None else (backward, {"dy": dy})
    answers = right()
    for cause, sentence, wrong in _wrong_windows(places, k, s, p):
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
    unpadded = windows._replace(rows=windows.rows + padding, columns=windows.columns + padding)
    padded = tuple(n + 2 * padding for n in extent)
    if dy is None:
        yield from _uncropped("y", forward(windows=unpadded, extent=padded)["y"], p)
        small = tuple(n + size - 1 - 2 * padding for n in places)
        if min(small) > 0:
            yield Fault(
                "stride_ignored",
                "{array} has the size and values of a factor of 1",
                {"y": forward(windows=Windows.of(places, k, (1, 1), p), extent=small)["y"]},
            )
        for order, words in _ORDERS:
            yield Fault(
                "overlap_assigned",
                f"{{array}} holds the contribution {words} only where several overlap: "
                "assigned instead of added",
                forward(order=order),
            )
        mixed = x.sum(axis=3, keepdims=True) * np.ones(x.shape[3])
    else:
        yield from _dy_ignored(right, dy)
        products = np.einsum("nijabc,ab->nijcab", windows.gather(dy), kernel)[..., None]
        yield from _gathered("dx", products, 0)
        mixed = dy.sum(axis=3, keepdims=True) * np.ones(dy.shape[3])
    yield Fault(
        "channels_mixed",
        "{array} adds up all channels: the kernel is dense instead of diagonal",
        right(**{next(iter(given)): mixed}),
    )
    yield from missing_parts(right, given, answers)


# ---------------------------------------------------------------------------------------------
# The other layers
# ---------------------------------------------------------------------------------------------


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
    yield from _reordered(
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
        yield from _bias_mistakes(answers["y"], bias, {"input channel": x.shape[1]})
        products = np.einsum("nc,cf->nfc", x, weight)
        for total in (products[..., -1], products[..., -1] + offset):
            yield Fault(
                "overlap_assigned",
                "{array} holds the contribution of the last input channel only: "
                "assigned instead of added",
                {"y": total},
            )
    else:
        yield from _dy_ignored(right, dy)
        yield from _bias_gradients(dy)
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


_COMPARISONS = {
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
        for comparison, test in _COMPARISONS.items():
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
        yield from _dy_ignored(right, dy)
        for comparison, test in _COMPARISONS.items():
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


class _Pool(NamedTuple):
    """Windows of a pooling, -inf outside the image, and the index of every cell."""

    values: np.ndarray  # (n, i, j, k, c), k = ki * size + kj
    index: np.ndarray  # (i, j, k) row * w + column

    @classmethod
    def of(cls, x, size, stride, places, outside=-np.inf) -> _Pool:
        windows = Windows.of(places, (size, size), (stride, stride), (0, 0))
        n, h, w, c = x.shape
        rows, columns = np.minimum(windows.rows, h - 1), np.minimum(windows.columns, w - 1)
        values = x[:, rows[:, None, :, None], columns[None, :, None, :]]
        inside = (windows.rows < h)[:, None, :, None] & (windows.columns < w)[None, :, None, :]
        values = np.where(inside[None, ..., None], values, outside)
        index = windows.rows[:, None, :, None] * w + windows.columns[None, :, None, :]
        index = np.broadcast_to(index, inside.shape)
        return cls(values.reshape(n, *places, size * size, c), index.reshape(*places, size * size))

    def at(self, choice: np.ndarray) -> np.ndarray:
        """Index in the image of the chosen cell of each window."""
        i, j = np.ogrid[: self.index.shape[0], : self.index.shape[1]]
        return self.index[i[None, ..., None], j[None, ..., None], choice]


def _put(
    index: np.ndarray, dy: np.ndarray, x_shape: tuple[int, ...], assign: bool = False
) -> np.ndarray:
    n, h, w, c = x_shape
    dx = np.zeros((n, h * w, c))
    inside = np.broadcast_to((index >= 0) & (index < h * w), dy.shape)
    images, channels = np.broadcast_arrays(np.arange(n)[:, None, None, None], np.arange(c), dy)[:2]
    images, channels = np.broadcast_to(images, dy.shape), np.broadcast_to(channels, dy.shape)
    where = (images[inside], index[inside], channels[inside])
    if assign:
        dx[where] = dy[inside]
    else:
        np.add.at(dx, where, dy[inside])
    return dx.reshape(x_shape)


def max_pool2d(
    x, size, stride, ceil_mode=True, argmax=None, x_shape=None, dy=None
) -> Iterator[Fault]:
    y, argmax = reference.max_pool2d_forward(x, size, stride, ceil_mode)
    places, (n, h, w, c) = y.shape[1:3], x.shape
    pool = _Pool.of(x, size, stride, places)
    best = pool.values == y[:, :, :, None]
    first, last = best.argmax(axis=3), size * size - 1 - best[:, :, :, ::-1].argmax(axis=3)
    corner = np.broadcast_to(pool.index[None, :, :, :1], y.shape)
    if dy is None:
        yield Fault(
            "pool_last_tie",
            "of equal values the last in a window is taken, not the first",
            {"argmax": pool.at(last)},
        )
        column_major = (
            pool.values.reshape(n, *places, size, size, c).swapaxes(3, 4).reshape(pool.values.shape)
        )
        by_column = (column_major == y[:, :, :, None]).argmax(axis=3)
        yield Fault(
            "pool_last_tie",
            "of equal values the first in column order is taken, not in row order",
            {"argmax": pool.at(by_column % size * size + by_column // size)},
        )
        yield Fault(
            "pool_first_element",
            "{array} is that of the first element of each window",
            {"y": x.reshape(n, h * w, c)[:, corner[0, ..., 0]], "argmax": corner},
        )
        row, column = argmax // w, argmax % w
        i, j = np.arange(places[0])[:, None, None], np.arange(places[1])[:, None]
        for words, index in (
            ("counts within the window", first),
            (
                "counts within the window clipped at the border",
                (row - i * stride) * np.minimum(size, w - j * stride) + column - j * stride,
            ),
            ("is row * output width + column", row * places[1] + column),
            ("is row * h + column", row * h + column),
            ("is column * h + row", column * h + row),
            ("is column * w + row", column * w + row),
            ("counts from 1", argmax + 1),
            ("is a flat index that counts channels too", argmax * c + np.arange(c)),
            (
                "is a flat index into the whole batch",
                ((np.arange(n)[:, None, None, None] * h * w + argmax) * c + np.arange(c)),
            ),
            ("counts images too", np.arange(n)[:, None, None, None] * h * w + argmax),
            ("is the row only", row),
            ("is the column only", column),
            ("is the window's own number", np.broadcast_to((i * places[1] + j), y.shape)),
        ):
            yield Fault(
                "argmax_index",
                f"argmax {words}; it should be row * w + column in the image",
                {"argmax": index},
            )
        filled = np.where(np.isinf(pool.values), 0, pool.values)
        yield Fault(
            "border_not_clipped",
            "{array} comes out as if windows at the border held zeros",
            {"y": filled.max(axis=3)},
        )
        yield Fault(
            "starts_at_zero",
            "{array} is never below 0: the search for the maximum starts at 0",
            {"y": np.maximum(y, 0)},
        )
        counted = np.isfinite(pool.values).sum(axis=3)
        yield Fault(
            "mean_for_max",
            "{array} is the mean of each window",
            {"y": np.where(np.isinf(pool.values), 0, pool.values).sum(axis=3) / counted},
        )
        yield Fault(
            "min_for_max",
            "{array} is the minimum of each window",
            {"y": np.where(np.isinf(pool.values), np.inf, pool.values).min(axis=3)},
        )
        for words, other in (("1", 1), ("the window's size", size)):
            other_pool = _Pool.of(x, size, other, places)
            chosen = other_pool.values.max(axis=3)
            yield Fault(
                "stride_ignored",
                f"{{array}} comes out as if the stride were {words}",
                {"y": chosen, "argmax": other_pool.at(other_pool.values.argmax(axis=3))},
            )
            for mode in (True, False):
                wrong_y, wrong_argmax = reference.max_pool2d_forward(x, size, other, mode)
                yield Fault(
                    "stride_ignored",
                    f"{{array}} has the size and values of a stride of {words}",
                    {"y": wrong_y, "argmax": wrong_argmax},
                )
        wrong_y, wrong_argmax = reference.max_pool2d_forward(x, size, stride, not ceil_mode)
        yield Fault(
            "wrong_shape",
            "{array} has the size of the other rounding: ceil_mode is not obeyed",
            {"y": wrong_y, "argmax": wrong_argmax},
        )
        for mode in (True, False):
            wrong_y, wrong_argmax = reference.max_pool2d_forward(x, size, stride, mode)
            yield Fault(
                "wrong_shape",
                f"{{array}} has the size of ceil_mode={mode}, whatever is asked for",
                {"y": wrong_y, "argmax": wrong_argmax},
            )
        smaller = _Pool.of(x, max(size - 1, 1), stride, places)
        yield Fault(
            "last_row_missing",
            "{array} leaves out the last row and column of each window",
            {
                "y": smaller.values.max(axis=3),
                "argmax": np.where(
                    True,
                    smaller.index[
                        np.arange(places[0])[None, :, None, None],
                        np.arange(places[1])[None, None, :, None],
                        smaller.values.argmax(axis=3) // max(size - 1, 1) * max(size - 1, 1)
                        + smaller.values.argmax(axis=3) % max(size - 1, 1),
                    ],
                    0,
                ),
            },
        )
        for cause, words, without in _left_out("y", y):
            yield Fault(
                cause,
                f"{{array}} is right but for {words}, which is left out",
                {
                    "y": without,
                    "argmax": next(
                        a for k, v, a in _left_out("y", argmax) if (k, v) == (cause, words)
                    ),
                },
            )
        return

    def right(dy=dy, **_):
        return {"dx": _put(argmax, dy, x.shape)}

    every = np.zeros(x.shape)
    shared = np.zeros(x.shape)
    counts = best.sum(axis=3)
    for k in range(size * size):
        index = np.broadcast_to(pool.index[None, :, :, k, None], y.shape)
        every += _put(index, np.where(best[:, :, :, k], dy, 0), x.shape)
        shared += _put(index, np.where(best[:, :, :, k], dy / counts, 0), x.shape)
    yield Fault(
        "pool_ties_all",
        "of equal values in a window all receive dy, not only the first",
        {"dx": every},
    )
    yield Fault(
        "pool_ties_all",
        "equal values in a window share dy; the first should have it all",
        {"dx": shared},
    )
    yield Fault(
        "pool_last_tie",
        "of equal values in a window the last receives dy, not the first",
        {"dx": _put(pool.at(last), dy, x.shape)},
    )
    yield Fault(
        "pool_first_element",
        "the first element of each window receives dy, not the largest",
        {"dx": _put(corner, dy, x.shape)},
    )
    yield Fault(
        "overlap_assigned",
        "where windows share their maximum the last dy overwrites the others: assigned "
        "instead of added",
        {"dx": _put(argmax, dy, x.shape, assign=True)},
    )
    for mask, words in ((best.any(axis=3) & True, "all"),):
        spread = sum(
            _put(np.broadcast_to(pool.index[None, :, :, k, None], y.shape), dy * mask, x.shape)
            for k in range(size * size)
        )
        yield Fault("mean_for_max", f"{words} elements of each window receive dy", {"dx": spread})
        yield Fault(
            "mean_for_max", "all elements of each window share dy", {"dx": spread / (size * size)}
        )
    row, column = argmax // w, argmax % w
    for words, index in (
        ("the output's width", argmax // places[1] * w + argmax % places[1]),
        ("h", argmax // h * w + argmax % h),
        ("column * w + row", column * w + row),
        ("column * h + row", (argmax % h) * w + argmax // h),
    ):
        yield Fault(
            "argmax_index",
            f"argmax is decoded with {words} instead of row * w + column",
            {"dx": _put(index, dy, x.shape)},
        )
    everyone = np.zeros(x.shape)
    everyone[0] = right()["dx"].sum(axis=0)
    yield Fault("image_ignored", "the gradients of all images land in the first", {"dx": everyone})
    yield from _dy_ignored(right, dy)
    yield from missing_parts(right, {"dy": dy}, right())


# ---------------------------------------------------------------------------------------------
# The loss
# ---------------------------------------------------------------------------------------------


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
    for cause, words, without in _left_out("scores", np.ones_like(scores)):
        if "channel" not in cause:
            kept = parts.valid & without[..., 0].astype(bool)
            yield Fault(cause, f"{{array}} leaves out {words}", answer(counted=kept))
            if reduction == "mean":
                yield Fault(
                    cause,
                    f"{{array}} leaves out {words}, which is not counted either",
                    answer(counted=kept, divisor=(parts.weight * kept).sum() or 1.0),
                )
    for cause, words, without in _left_out("dscores", right["dscores"]):
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
    yield from _dy_ignored(right, dy)
    yield Fault("dy_ignored", "{array} does not depend on dy: it is the mask", {"dx": keep * 1.0})
    yield from missing_parts(right, {"dy": dy}, right())


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

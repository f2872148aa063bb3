"""The mistakes that have names: a table that a teacher can read, and add to.

A mistake is a change of the textbook (a file of ``ops/reference``): its cause (one word), a
sentence for the student, and what to replace by what in the file's text. The changed textbook is
run on the same arguments, and a mistake is named only if that gives what the student's code gave.
The sentence may say ``{array}``: the names of the arrays that are wrong. To add a mistake, add a
line. A change may also use

    given                the arguments of the forward function, as a dictionary
    winners(...)         all places that hold a window's maximum, as row * w + column
    cells(...)           all places of a window

and in place of changes a mistake may bring a whole function (``loss_along``).

The more special mistake stands before the more general one; of those that fit equally the first is
named. Mistakes in the order of a weight's axes, or in single rows, images and channels, apply to
every operation alike and stand in ``hypotheses.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minifcn.ops.checks import bilinear_kernel, pair


class Mistake(NamedTuple):
    cause: str
    sentence: str
    changes: tuple[tuple[str, str], ...] = ()
    instead: Callable | None = None  # a whole function in place of the textbook's


def mistake(cause: str, sentence: str, *changes: tuple[str, str]) -> Mistake:
    return Mistake(cause, sentence, changes)


# ---------------------------------------------------------------------------------------------
# Windows: convolution, transposed convolution and bilinear upsampling have the same line for them
# ---------------------------------------------------------------------------------------------


def windows(s: str, t: str, kernel: str) -> list[Mistake]:
    """Mistakes in where a window lies; ``s`` and ``t`` are the strides' names in the file."""
    line = f"a, b = i * {s} - padding[0] + ki, j * {t} - padding[1] + kj"
    rows, columns = f"i * {s} - padding[0]", f"j * {t} - padding[1]"

    def lie(cause: str, words: str, r: str = rows, c: str = columns) -> Mistake:
        return mistake(cause, f"{{array}} comes out {words}", (line, f"a, b = {r} + ki, {c} + kj"))

    size = (f"i * {kernel}.shape[0] - padding[0]", f"j * {kernel}.shape[1] - padding[1]")
    found = [
        lie("stride_ignored", "as if the stride were 1", "i - padding[0]", "j - padding[1]"),
        lie("stride_ignored", "as if the stride along rows were 1", "i - padding[0]"),
        lie("stride_ignored", "as if the stride along columns were 1", c="j - padding[1]"),
        lie("stride_ignored", "as if the stride were the size of the kernel", *size),
        lie("padding_wrong_side", "as if all padding stood at the bottom and the right, none at "
            "the top and the left: look at where the padded array is filled or cropped",
            f"i * {s}", f"j * {t}"),
        lie("padding_wrong_side", "as if all padding of rows stood at the bottom, none at the top",
            f"i * {s}"),
        lie("padding_wrong_side", "as if all padding of columns stood at the right, none at the "
            "left", c=f"j * {t}"),
        lie("padding_wrong_side", "as if all padding stood at the top and the left, none at the "
            "bottom and the right: look at where the padded array is filled or cropped",
            f"i * {s} - 2 * padding[0]", f"j * {t} - 2 * padding[1]"),
        lie("padding_wrong_side", "as if all padding of rows stood at the top, none at the bottom",
            f"i * {s} - 2 * padding[0]"),
        lie("padding_wrong_side", "as if all padding of columns stood at the left, none at the "
            "right", c=f"j * {t} - 2 * padding[1]"),
        lie("padding_wrong_side", "as if the padding were multiplied by the stride: (i - p) s in "
            "place of i s - p", f"(i - padding[0]) * {s}", f"(j - padding[1]) * {t}"),
        lie("padding_axes_swapped", "as if the paddings of rows and columns were exchanged",
            f"i * {s} - padding[1]", f"j * {t} - padding[0]"),
        lie("padding_axes_swapped", "as if the padding of rows were used for columns too",
            c=f"j * {t} - padding[0]"),
        lie("padding_axes_swapped", "as if the padding of columns were used for rows too",
            f"i * {s} - padding[1]"),
    ]  # fmt: skip
    if s != t:
        found += [
            lie("stride_axes_swapped", "as if the strides of rows and columns were exchanged",
                f"i * {t} - padding[0]", f"j * {s} - padding[1]"),
            lie("stride_ignored", "as if the stride of rows were used for columns too",
                c=f"j * {s} - padding[1]"),
            lie("stride_ignored", "as if the stride of columns were used for rows too",
                f"i * {t} - padding[0]"),
        ]  # fmt: skip
    for down, right in ((1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)):
        words = [
            {1: f"one {name} too far {after}", -1: f"one {name} too far {before}"}[by]
            for by, name, after, before in ((down, "row", "down", "up"),
                                            (right, "column", "right", "left"))
            if by
        ]  # fmt: skip
        found.append(lie("shifted", f"as if every window lay {' and '.join(words)}",
                         f"{rows} + {down}", f"{columns} + {right}"))  # fmt: skip
    cell = f"(ki * {kernel}.shape[1] + kj)"
    found.append(mistake("kernel_axes_swapped", "{array} comes out as if the kernel's cells were "
                         "numbered with its rows in place of its columns: k // kh, k % kh",
                         (line, f"a, b = {rows} + {cell} // {kernel}.shape[0], {columns} + {cell} "
                          f"% {kernel}.shape[0]")))  # fmt: skip
    weight = "weight[ki, kj, c, f]" if kernel == "weight" else "kernel[ki, kj]"
    for words, index in (
        ("along both axes", "-1 - ki, -1 - kj"),
        ("along its rows", "-1 - ki, kj"),
        ("along its columns", "ki, -1 - kj"),
    ):
        flipped = weight.replace("ki, kj", index)
        found.append(mistake("kernel_flipped", "{array} comes out as if the kernel were flipped "
                             + words, (weight, flipped)))  # fmt: skip
    return found


def borders(array: str, height: str, width: str) -> list[Mistake]:
    """Mistakes in what is read outside of an array's borders, where zeros should be."""
    line = "a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj"

    def reading(a: str) -> str:
        return f"{line}; a, b = {a.format(a='a', h=height)}, {a.format(a='b', h=width)}"

    return [
        mistake("padding_not_zero", f"{{array}} comes out as if {array} were padded by {words}, "
                "not by zeros", (line, reading(index)))
        for words, index in (
            ("its outermost values (np.pad's 'edge')", "min(max({a}, 0), {h} - 1)"),
            ("its mirror image (np.pad's 'reflect')",
             "abs(({a} + {h} - 1) % max(2 * {h} - 2, 1) - {h} + 1)"),
            ("its mirror image (np.pad's 'symmetric')",
             "min({a} % (2 * {h}), 2 * {h} - 1 - {a} % (2 * {h}))"),
            ("its opposite border (np.pad's 'wrap': a negative index)", "{a} % {h}"),
        )
    ]  # fmt: skip


def assigned(line: str, *last: tuple[str, str]) -> list[Mistake]:
    """A sum of which only the last term survives: = where += is needed."""
    return [
        mistake("overlap_assigned", f"{{array}} holds the contribution of the last {words} only: "
                "assigned (=) where it should be added (+=)",
                (line, f"{line} if {test} else 0"))
        for words, test in last
    ]  # fmt: skip


def scattered(line: str, inner: str) -> list[Mistake]:
    """Stamps that overwrite each other instead of adding up."""
    target, value = line.split(" += ")
    found = []
    for words, keep in (("", f"{inner} > 0"), (", and of the last channel", "False")):
        new = f"{target} = {value} + ({target} if {keep} else 0)"
        sentence = (
            "{array} holds the contribution of the last window only" + words
            + " where several overlap: assigned (=) where it should be added (+=)"
        )  # fmt: skip
        found += [
            mistake("overlap_assigned", sentence, (line, new)),
            mistake("overlap_assigned", sentence.replace("last window", "kernel's last cell"),
                    (line, new), ("for i in range(", "for i in reversed_range("),
                    ("for j in range(", "for j in reversed_range(")),
        ]  # fmt: skip
    return found


def dy_mistakes(*, of: str = "dense(dy)") -> list[Mistake]:
    return [
        mistake("dy_ignored", "{array} does not depend on dy: it is what dy = 1 everywhere gives",
                (of, "np.ones_like(dy)")),
        mistake("dy_ignored", "{array} depends on the sum of dy only",
                (of, "np.full_like(dy, dy.sum())")),
        mistake("dy_ignored", "{array} depends on the mean of dy only",
                (of, "np.full_like(dy, dy.mean())")),
        mistake("abs", "{array} comes out as if the absolute value of dy were taken",
                (of, "np.abs(dy)")),
    ]  # fmt: skip


def bias_gradients(axes: int) -> list[Mistake]:
    """dy summed over other axes than all but the last."""
    right, found = tuple(range(axes - 1)), []
    names = ("images", "rows", "columns") if axes == 4 else ("images",)

    def returned(cause: str, words: str, value: str) -> None:
        change = ("return dx, dweight, dbias", f"return dx, dweight, {value}")
        found.append(mistake(cause, "dbias " + words, change))

    for count in range(axes + 1):
        for over in itertools.combinations(range(axes), count):
            if over != right:
                words = f"is dy summed over the axes {over or 'none'}, not over {right}"
                returned("bias_axes", words, f"dy.sum(axis={over})")
            if set(over) < set(right):
                left = " and ".join(name for k, name in enumerate(names) if k not in over)
                for words, index in (("the first", 0), ("the last", -1)):
                    place = ", ".join(":" if k in over else str(index) for k in right)
                    cause = "overlap_assigned" if index else "bias_axes"
                    returned(cause, f"is the sum over {words} of the {left} of dy only",
                             f"dy[{place}].reshape(-1, dy.shape[-1]).sum(axis=0)")  # fmt: skip
    returned("bias_axes", "is the sum of all of dy at every channel",
             "np.full_like(dbias, dy.sum())")  # fmt: skip
    returned("bias_axes", "has the sum of all of dy at the first channel, 0 at the others",
             "np.r_[dy.sum(), 0 * dbias[1:]]")  # fmt: skip
    returned("bias_axes", "is summed over rows of dy reshaped to (channels, -1), which mixes the "
             "channels: a transpose is needed, not a reshape",
             "dy.reshape(dy.shape[-1], -1).sum(axis=1)")  # fmt: skip
    return found


def bias_in(line: str, axes: dict[str, str], counts: dict[str, str]) -> list[Mistake]:
    """The bias in a forward function; ``line`` sets or adds it."""
    target, bias = line.rsplit(" ", 1)
    start = "0" if "[f]" in bias else "0 * bias"
    found = [
        mistake("bias_missing", "{array} comes out as if there were no bias",
                (line, f"{target} {start}")),
        mistake("sign", "{array} comes out as if the bias were subtracted",
                (line, f"{target} -{bias}")),
    ]  # fmt: skip
    for words, count in counts.items():
        for more, text in (("", f"({count})"), (" and once more", f"({count} + 1)")):
            found.append(mistake("bias_repeated", f"{{array}} has the bias added once per {words}"
                                 + more, (line, f"{target} {bias} * {text}")))  # fmt: skip
    found.append(mistake("bias_axes", "{array} has the bias of the first channel at every channel",
                         (line, f"{target} bias[0]")))  # fmt: skip
    for words, index in axes.items():
        found.append(mistake("bias_axes", f"{{array}} has the bias added along {words}, not along "
                             "the channels", (line, f"{target} bias[{index}]")))  # fmt: skip
    return found


# ---------------------------------------------------------------------------------------------
# Convolution
# ---------------------------------------------------------------------------------------------

PRODUCT = "y[n, i, j, f] += x[n, a, b, c] * weight[ki, kj, c, f]"
DX = "dx[n, a, b, c] += dy[n, i, j, f] * weight[ki, kj, c, f]"
DWEIGHT = "dweight[ki, kj, c, f] += x[n, a, b, c] * dy[n, i, j, f]"
GRADIENTS = "return dx, dweight, dbias"
KERNEL_COUNTS = {
    "cell of the kernel": "weight.shape[0] * weight.shape[1]",
    "row of the kernel": "weight.shape[0]",
    "column of the kernel": "weight.shape[1]",
    "input channel": "weight.shape[2]",
    "product": "weight.size // weight.shape[3]",
}
MAKE_DX = "dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)"
PADDED = (  # the gradient of the padded image, and no padding any more
    MAKE_DX,
    "p, (h, w) = pair(padding), x.shape[1:3]; "
    "x = np.pad(x, ((0, 0), (p.rows,) * 2, (p.columns,) * 2, (0, 0))); padding = 0; " + MAKE_DX,
)


def resized(what: str, old: str, news: dict[str, tuple[str, str]]) -> list[Mistake]:
    return [
        mistake(cause, f"{{array}} {words}", (old, new)) for words, (cause, new) in news.items()
    ]


OPTIONS = "stride, padding = pair(stride), pair(padding)"
SIZES = {
    "has the size and values of a stride of 1":
        ("stride_ignored", "stride, padding = pair(1), pair(padding)"),
    "has the size and values of a row stride of 1":
        ("stride_ignored", "stride, padding = pair((1, pair(stride).columns)), pair(padding)"),
    "has the size and values of a column stride of 1":
        ("stride_ignored", "stride, padding = pair((pair(stride).rows, 1)), pair(padding)"),
    "has the size and values that the row stride for both axes gives":
        ("stride_ignored", "stride, padding = pair(pair(stride).rows), pair(padding)"),
    "has the size and values of the two strides exchanged":
        ("stride_axes_swapped", "stride, padding = pair(pair(stride)[::-1]), pair(padding)"),
    "has the size and values of the two paddings exchanged":
        ("padding_axes_swapped", "stride, padding = pair(stride), pair(pair(padding)[::-1])"),
    "has the size and values that the row padding for both axes gives":
        ("padding_axes_swapped", "stride, padding = pair(stride), pair(pair(padding).rows)"),
}  # fmt: skip

CONV2D = [
    *windows("stride[0]", "stride[1]", "weight"),
    *borders("x", "height", "width"),
    mistake("kernel_axes_swapped", "{array} comes out as if the weight's two kernel axes were "
            "exchanged: weight[kj, ki] in place of weight[ki, kj]",
            ("weight[ki, kj, c, f]", "weight[kj, ki, c, f]")),
    mistake("channel_axes_swapped", "{array} comes out as if the weight's two channel axes were "
            "exchanged: weight[..., f, c] in place of weight[..., c, f]",
            ("weight[ki, kj, c, f]", "weight[ki, kj, f, c]")),
    *resized("y", OPTIONS, SIZES | {
        "has the size and values of no padding":
            ("padding_ignored", "stride, padding = pair(stride), pair(0)"),
        "comes out as if the padding were twice as large":
            ("padding_not_cropped", "stride, padding = pair(stride), pair([2 * p for p in "
             "pair(padding)])")}),
    *[mistake("wrong_shape", f"{{array}} has another size: it comes out as if the output had "
              f"{words}", ("conv2d_size(h, kh, stride.rows, padding.rows)", rows),
              ("conv2d_size(w, kw, stride.columns, padding.columns)", columns))
      for words, rows, columns in (
          ("(h + p - k) // s + 1 rows, the padding counted once",
           "(h + padding.rows - kh) // stride.rows + 1",
           "(w + padding.columns - kw) // stride.columns + 1"),
          ("(h + 2 p - k) // s rows, without the + 1",
           "(h + 2 * padding.rows - kh) // stride.rows",
           "(w + 2 * padding.columns - kw) // stride.columns"),
          ("h // s rows", "h // stride.rows", "w // stride.columns"),
          ("(h + 2 p - k) / s + 1 rows, rounded up", "-((kh - h - 2 * padding.rows) // "
           "stride.rows) + 1", "-((kw - w - 2 * padding.columns) // stride.columns) + 1"))],
    *bias_in("y[n, i, j, f] = bias[f]", {"rows": "i", "columns": "j", "images": "n"},
             KERNEL_COUNTS),
    mistake("mean_for_sum", "{array} holds the mean of each window's products, where their sum is "
            "right (the bias is right)", (PRODUCT, PRODUCT + " / (weight.size / len(bias))")),
    mistake("mean_for_sum", "{array} is averaged over the input channels, where their sum is right "
            "(the bias is right)", (PRODUCT, PRODUCT + " / channels")),
    mistake("mean_for_sum", "{array} is averaged over the kernel's cells, where their sum is right "
            "(the bias is right)",
            (PRODUCT, PRODUCT + " / (weight.shape[0] * weight.shape[1])")),
    *assigned(PRODUCT,
              ("cell of the kernel", "ki == weight.shape[0] - 1 and kj == weight.shape[1] - 1"),
              ("row of the kernel", "ki == weight.shape[0] - 1"),
              ("column of the kernel", "kj == weight.shape[1] - 1"),
              ("input channel", "c == channels - 1"),
              ("cell of the kernel and channel", "ki == weight.shape[0] - 1 and "
               "kj == weight.shape[1] - 1 and c == channels - 1")),
    mistake("overlap_assigned", "{array} holds the last input channel's products without the bias: "
            "assigned (=) where it should be added (+=)",
            (PRODUCT, PRODUCT.replace("+=", "="))),
    *dy_mistakes(),
    mistake("dy_ignored", "{array} is the weights' sum alone: dy is not multiplied in",
            (DX, "dx[n, a, b, c] += weight[ki, kj, c, f]")),
    mistake("input_ignored", "{array} sums dy alone: x is not multiplied in",
            (DWEIGHT, "dweight[ki, kj, c, f] += dy[n, i, j, f]")),
    mistake("padding_not_cropped", "{array} is the gradient of the padded image: its padding is "
            "not cropped", PADDED),
    mistake("padding_not_cropped", "{array} still has the padding after its last row and column",
            PADDED, (GRADIENTS, "return dx[:, p.rows:, p.columns:], dweight, dbias")),
    mistake("padding_not_cropped", "{array} still has the padding before its first row and column",
            PADDED, (GRADIENTS, "return dx[:, :h + p.rows, :w + p.columns], dweight, dbias")),
    mistake("padding_not_cropped", "{array} still has the padding of its rows",
            PADDED, (GRADIENTS, "return dx[:, :, p.columns:p.columns + w], dweight, dbias")),
    mistake("padding_not_cropped", "{array} still has the padding of its columns",
            PADDED, (GRADIENTS, "return dx[:, p.rows:p.rows + h], dweight, dbias")),
    mistake("padding_axes_swapped", "{array} has the padding of columns cut off its rows, and the "
            "other way round", PADDED, (GRADIENTS, "return dx[:, p.columns:p.columns + h, "
            "p.rows:p.rows + w], dweight, dbias")),
    mistake("wrong_shape", "{array} is empty where the padding is 0: p:-p is then 0:0",
            PADDED, (GRADIENTS, "return dx[:, p.rows:-p.rows, p.columns:-p.columns], "
                     "dweight, dbias")),
    mistake("wrong_shape", "{array} ends with the last window: where the stride leaves a rest, the "
            "rows and columns that no window reaches are missing (their gradient is 0)",
            PADDED, (GRADIENTS, "return dx[:, p.rows:(dy.shape[1] - 1) * pair(stride).rows + "
                     "weight.shape[0] - p.rows, p.columns:(dy.shape[2] - 1) * "
                     "pair(stride).columns + weight.shape[1] - p.columns], dweight, dbias")),
    *scattered(DX, "f"),
    *assigned(DWEIGHT, ("image", "n == images - 1"),
              ("row and column", "i == dy.shape[1] - 1 and j == dy.shape[2] - 1"),
              ("row", "i == dy.shape[1] - 1"), ("column", "j == dy.shape[2] - 1"),
              ("image, row and column",
               "n == images - 1 and i == dy.shape[1] - 1 and j == dy.shape[2] - 1")),
    *bias_gradients(4),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------
# Transposed convolution
# ---------------------------------------------------------------------------------------------

STAMP = "y[n, a, b, f] += x[n, i, j, c] * weight[ki, kj, c, f]"
T_DX = "dx[n, i, j, c] += dy[n, a, b, f] * weight[ki, kj, c, f]"
T_DWEIGHT = "dweight[ki, kj, c, f] += x[n, i, j, c] * dy[n, a, b, f]"
LAST_X = (
    ("image", "n == images - 1"),
    ("row and column", "i == height - 1 and j == width - 1"),
    ("row", "i == height - 1"),
    ("column", "j == width - 1"),
    ("image, row and column", "n == images - 1 and i == height - 1 and j == width - 1"),
)


def uncropped(option: str, options: str, rows: str, columns: str) -> list[Mistake]:
    """A stamped output that keeps (some of) what should be cut off. ``options`` reads padding."""
    zero = (option, f"p = pair(padding); {options}")
    words = "{array} still has its padding, which should be cut off"
    return [
        mistake("padding_not_cropped", words, zero),
        mistake("padding_not_cropped", words + ": after the last row and column", zero,
                ("return y", "return y[:, p.rows:, p.columns:]")),
        mistake("padding_not_cropped", words + ": before the first row and column", zero,
                ("return y", "return y[:, :y.shape[1] - p.rows, :y.shape[2] - p.columns]")),
        mistake("padding_not_cropped", words + ": along rows", zero,
                ("return y", "return y[:, :, p.columns:y.shape[2] - p.columns]")),
        mistake("padding_not_cropped", words + ": along columns", zero,
                ("return y", "return y[:, p.rows:y.shape[1] - p.rows]")),
        mistake("wrong_shape", "{array} is empty where the padding is 0: p:-p is then 0:0", zero,
                ("return y", "return y[:, p.rows:-p.rows, p.columns:-p.columns]")),
    ]  # fmt: skip


CONV_TRANSPOSE2D = [
    *windows("stride[0]", "stride[1]", "weight"),
    *borders("dy", "dy.shape[1]", "dy.shape[2]"),
    mistake("kernel_axes_swapped", "{array} comes out as if the weight's two kernel axes were "
            "exchanged: weight[kj, ki] in place of weight[ki, kj]",
            ("weight[ki, kj, c, f]", "weight[kj, ki, c, f]")),
    mistake("in_out_exchanged", "{array} comes out as if the weight's input and output channels "
            "were exchanged: weight[..., f, c] in place of weight[..., c, f]",
            ("weight[ki, kj, c, f]", "weight[ki, kj, f, c]")),
    *resized("y", OPTIONS, SIZES),
    *uncropped(OPTIONS, "stride, padding = pair(stride), pair(0)", "h", "w"),
    *[mistake("wrong_shape", f"{{array}} has another size: it comes out as if the output had "
              f"{words} rows", ("conv_transpose2d_size(h, kh, stride.rows, padding.rows)", rows),
              ("conv_transpose2d_size(w, kw, stride.columns, padding.columns)", columns))
      for words, rows, columns in (
          ("h s", "h * stride.rows", "w * stride.columns"),
          ("h s + k - 2 p", "h * stride.rows + kh - 2 * padding.rows",
           "w * stride.columns + kw - 2 * padding.columns"),
          ("(h - 1) s + k - p", "(h - 1) * stride.rows + kh - padding.rows",
           "(w - 1) * stride.columns + kw - padding.columns"))],
    *bias_in("y += bias", {}, KERNEL_COUNTS),
    *[mistake("bias_axes", f"{{array}} has the bias added along {words}, not along the channels",
              ("y += bias", f"y += np.asarray(bias).reshape({shape})"))
      for words, shape in (("rows", "1, -1, 1, 1"), ("columns", "1, 1, -1, 1"),
                           ("images", "-1, 1, 1, 1"))],
    mistake("bias_repeated", "{array} has the bias added with every stamp, so that it adds up "
            "where stamps overlap", ("y += bias", "pass"),
            (STAMP, STAMP + " + (given['bias'][f] if c == 0 and given['bias'] is not None else "
             "0)")),
    mistake("bias_repeated", "{array} has the bias added with every product",
            ("y += bias", "pass"),
            (STAMP, STAMP + " + (0 if given['bias'] is None else given['bias'][f])")),
    mistake("mean_for_sum", "{array} is averaged over the input channels, where their sum is right "
            "(the bias is right)", (STAMP, STAMP + " / channels")),
    *[each._replace(changes=(*more, *each.changes), sentence=each.sentence + words)
      for each in scattered(STAMP, "c")
      for words, more in (("", ()), (", the bias too", (("y += bias", "late = bias"),
                                                        ("return y", "return y + (0 if bias is "
                                                         "None else bias * covered(given))"))))],
    *dy_mistakes(),
    mistake("dy_ignored", "{array} is the weights' sum alone: dy is not multiplied in",
            (T_DX, "dx[n, i, j, c] += weight[ki, kj, c, f]")),
    mistake("input_ignored", "{array} sums dy alone: x is not multiplied in",
            (T_DWEIGHT, "dweight[ki, kj, c, f] += dy[n, a, b, f]")),
    *assigned(T_DX,
              ("cell of the kernel", "ki == weight.shape[0] - 1 and kj == weight.shape[1] - 1"),
              ("row of the kernel", "ki == weight.shape[0] - 1"),
              ("column of the kernel", "kj == weight.shape[1] - 1"),
              ("output channel", "f == dy.shape[3] - 1")),
    *assigned(T_DWEIGHT, *LAST_X),
    mistake("padding_ignored", "{array} comes out as if dy had not been cropped: windows that "
            "begin at its border, as many as fit",
            ("a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj",
             "a, b = i * stride[0] + ki, j * stride[1] + kj"),
            ("pair(padding), dx, dweight)",
             "pair(0), dx[:, :(dy.shape[1] - weight.shape[0]) // pair(stride).rows + 1, "
             ":(dy.shape[2] - weight.shape[1]) // pair(stride).columns + 1], dweight)"),
            ("images, height, width, channels = x.shape",
             "images, height, width, channels = dx.shape"),
            (GRADIENTS, "return dx[:, :(dy.shape[1] - weight.shape[0]) // pair(stride).rows + 1, "
             ":(dy.shape[2] - weight.shape[1]) // pair(stride).columns + 1], dweight, dbias")),
    *bias_gradients(4),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------
# Bilinear upsampling
# ---------------------------------------------------------------------------------------------

B_STAMP = "y[n, a, b, c] += x[n, i, j, c] * kernel[ki, kj]"
B_DX = "dx[n, i, j, c] += dy[n, a, b, c] * kernel[ki, kj]"


def other_kernel(cause: str, words: str, kernel: str) -> list[Mistake]:
    return [
        mistake(cause, f"{{array}} comes out as if the bilinear kernel were {words}", (old, kernel))
        for old in ("bilinear_kernel(size, x.dtype)", "bilinear_kernel(size, dy.dtype)")
    ]


def line_kernel(size: int, centre: float, factor: float) -> np.ndarray:
    """The outer product of a triangle with itself."""
    line = np.maximum(1 - np.abs(np.arange(size) - centre) / factor, 0)
    return np.outer(line, line)


BILINEAR = [
    *windows("factor", "factor", "kernel"),
    *other_kernel("constant_factor", "normalised to a sum of 1",
                  "bilinear_kernel(size) / bilinear_kernel(size).sum()"),
    *other_kernel("constant_factor", "normalised to a peak of 1",
                  "bilinear_kernel(size) / bilinear_kernel(size).max()"),
    *other_kernel("constant_factor", "normalised to a sum of factor squared",
                  "bilinear_kernel(size) * factor**2 / bilinear_kernel(size).sum()"),
    *other_kernel("wrong_kernel", "1 everywhere (the nearest cell is copied)",
                  "np.ones((size, size))"),
    *other_kernel("wrong_kernel", "centred on a cell for even sizes too",
                  "line_kernel(size, (size + 1) // 2 - 1, (size + 1) // 2)"),
    *other_kernel("wrong_kernel", "centred between cells for odd sizes too",
                  "line_kernel(size, (size + 1) // 2 - 0.5, (size + 1) // 2)"),
    *other_kernel("wrong_kernel", "made with the upsampling factor in place of (size + 1) // 2",
                  "line_kernel(size, (size - 1) / 2, factor)"),
    *other_kernel("wrong_kernel", "made with size / 2 in place of (size + 1) // 2",
                  "line_kernel(size, (size - 1) / 2, size / 2)"),
    *other_kernel("wrong_kernel", "bilinear along rows only, 1 along columns",
                  "bilinear_kernel(size)[:, [size // 2]] / bilinear_kernel(size).max()**0.5 "
                  "* np.ones((size, size))"),
    *other_kernel("wrong_kernel", "bilinear along columns only, 1 along rows",
                  "bilinear_kernel(size)[[size // 2]] / bilinear_kernel(size).max()**0.5 "
                  "* np.ones((size, size))"),
    mistake("channels_mixed", "{array} adds up all channels: the kernel stands in every pair of "
            "channels, not on the diagonal only",
            (B_STAMP, "y[n, a, b, c] += x[n, i, j].sum() * kernel[ki, kj]")),
    mistake("channels_mixed", "{array} adds up all channels: the kernel stands in every pair of "
            "channels, not on the diagonal only",
            (B_DX, "dx[n, i, j, c] += dy[n, a, b].sum() * kernel[ki, kj]")),
    mistake("wrong_kernel", "{array} is divided by the sum of the weights that reach each cell, as "
            "if the border had to be made up for", ("return y",
            "weights = np.zeros_like(y); _forward(np.ones_like(x), bilinear_kernel(size), factor, "
            "padding, weights); return y / np.where(weights > 0, weights, 1)")),
    *uncropped("padding, (n, h, w, c) = pair(padding), x.shape",
               "padding, (n, h, w, c) = pair(0), x.shape", "h", "w"),
    mistake("wrong_shape", "{array} has another size: h factor rows, w factor columns",
            ("(conv_transpose2d_size(extent, size, factor, p) for extent, p in "
             "zip((h, w), padding))", "(h * factor, w * factor)")),
    mistake("stride_ignored", "{array} has the size and values of a factor of 1",
            ("padding, (n, h, w, c) = pair(padding), x.shape",
             "factor, padding, (n, h, w, c) = 1, pair(padding), x.shape")),
    *scattered(B_STAMP, "0"),
    *dy_mistakes(),
    *assigned(B_DX,
              ("cell of the kernel", "ki == kernel.shape[0] - 1 and kj == kernel.shape[1] - 1"),
              ("row of the kernel", "ki == kernel.shape[0] - 1"),
              ("column of the kernel", "kj == kernel.shape[1] - 1")),
    mistake("overlap_assigned", "{array} gets each value of dy in one place only: the last stamp "
            "that covers it, not all of them",
            (B_DX, B_DX + " if (i == dx.shape[1] - 1 or ki < factor) and "
             "(j == dx.shape[2] - 1 or kj < factor) else 0")),
    mistake("nearest", "{array} takes the nearest value of dy only, not the weighted sum",
            (B_DX, "dx[n, i, j, c] += dy[n, a, b, c] * (kernel[ki, kj] == kernel.max())")),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------
# Max pooling
# ---------------------------------------------------------------------------------------------

POOL_VALUE = "y[n, i, j, c] = x[n, best // width, best % width, c]"
POOL_INDEX = "argmax[n, i, j, c] = best"
POOL_CORNER = "a, b = i * stride[0], j * stride[1]"
POOL_DX = "dx[n, best // width, best % width, c] += dy[n, i, j, c]"
POOL_LOOPS = (
    ("for ki in range(min(size[0], height - a)):", "for kj in range(min(size[1], width - b)):"),
    ("for kj in range(min(size[1], width - b)):\n                            "
     "value", "for ki in range(min(size[0], height - a)):\n                            value"),
)  # fmt: skip
WINDOW = "x[n, a:a + size[0], b:b + size[1], c]"
PADDED_WIDTH = "((y.shape[2] - 1) * stride[1] + size[1])"

MAX_POOL2D = [
    mistake("pool_last_tie", "of equal values the last in a window is taken, not the first",
            ("value > largest", "value >= largest")),
    mistake("pool_last_tie", "of equal values the first in column order is taken, not in row order",
            ("for ki in range(min(size[0], height - a)):", "for kk in range("
             "min(size[0], height - a) * min(size[1], width - b)):"),
            ("for kj in range(min(size[1], width - b)):",
             "for ki, kj in [(kk % min(size[0], height - a), kk // min(size[0], height - a))]:")),
    mistake("pool_first_element", "{array} is that of the first element of each window",
            ("best = (a + ki) * width + b + kj", "pass")),
    *[mistake("argmax_index", f"argmax {words}; it should be row * w + column in the image",
              (POOL_INDEX, f"argmax[n, i, j, c] = {index}"))
      for words, index in (
          ("counts within the window", "(best // width - a) * size[1] + best % width - b"),
          ("counts within the window clipped at the border",
           "(best // width - a) * min(size[1], width - b) + best % width - b"),
          ("counts within the window, columns first",
           "(best % width - b) * size[0] + best // width - a"),
          ("is row * output width + column", "best // width * y.shape[2] + best % width"),
          ("is row * output height + column", "best // width * y.shape[1] + best % width"),
          ("is row * h + column", "best // width * height + best % width"),
          ("is column * h + row", "best % width * height + best // width"),
          ("is column * w + row", "best % width * width + best // width"),
          ("is row * (width of the padded image) + column",
           f"best // width * {PADDED_WIDTH} + best % width"),
          ("is row * (w + 1) + column", "best // width * (width + 1) + best % width"),
          ("is row * (w - 1) + column", "best // width * (width - 1) + best % width"),
          ("is row * (w + size) + column", "best // width * (width + size[1]) + best % width"),
          ("takes the window's size for its stride: (i size + ki) w + j size + kj",
           "(best // width - a + i * size[0]) * width + best % width - b + j * size[1]"),
          ("takes the stride to be 1: (i + ki) w + j + kj",
           "(best // width - a + i) * width + best % width - b + j"),
          ("has the window's place, without the place in the window", "a * width + b"),
          ("is the place in the window plus the window's number",
           "(best // width - a) * size[1] + best % width - b + i * y.shape[2] + j"),
          ("has the place in the window exchanged: its row for its column",
           "(a + best % width - b) * width + b + best // width - a"),
          ("decodes the place in the window with its height, not its width",
           "(a + ((best // width - a) * size[1] + best % width - b) // size[0]) * width + b "
           "+ ((best // width - a) * size[1] + best % width - b) % size[0]"),
          ("decodes the place in the window with the stride, not with its size",
           "(a + ((best // width - a) * size[1] + best % width - b) // stride[1]) * width + b "
           "+ ((best // width - a) * size[1] + best % width - b) % stride[1]"),
          ("decodes the place in a clipped window with the whole window's width",
           "(a + ((best // width - a) * min(size[1], width - b) + best % width - b) // size[1]) "
           "* width + b + ((best // width - a) * min(size[1], width - b) + best % width - b) "
           "% size[1]"),
          ("counts from 1", "best + 1"),
          ("is a flat index that counts channels too", "best * channels + c"),
          ("is a flat index into the whole batch",
           "(n * height * width + best) * channels + c"),
          ("counts images too", "n * height * width + best"),
          ("counts channels too, channel by channel", "c * height * width + best"),
          ("is the row only", "best // width"),
          ("is the column only", "best % width"),
          ("is the window's own number", "i * y.shape[2] + j"),
          ("is 0 everywhere", "0"))],
    mistake("starts_at_zero", "{array} is never below 0: the search for the maximum starts at 0",
            (POOL_VALUE, POOL_VALUE.replace("= x", "= max(0, x") + ")")),
    mistake("border_not_clipped", "{array} comes out as if windows that reach beyond the border "
            "held zeros there", (POOL_VALUE, POOL_VALUE.replace("= x", "= max(x")
            + f", 0 if a + size[0] > height or b + size[1] > width else {WINDOW}.max())")),
    mistake("mean_for_max", "{array} is the mean of each window",
            (POOL_VALUE, f"y[n, i, j, c] = {WINDOW}.mean()")),
    mistake("mean_for_max", "{array} is the mean of each window, zeros beyond the border included",
            (POOL_VALUE, f"y[n, i, j, c] = {WINDOW}.sum() / (size[0] * size[1])")),
    mistake("min_for_max", "{array} is the minimum of each window",
            ("value > largest", "value < largest")),
    mistake("abs", "{array} is the value that is largest without its sign",
            ("value > largest", "abs(value) > abs(largest)")),
    *[mistake("stride_ignored", f"{{array}} comes out as if the stride were {words}",
              (POOL_CORNER, corner))
      for words, corner in (
          ("1", "a, b = i, j"), ("the window's size", "a, b = i * size[0], j * size[1]"),
          ("the window's size", "a, b = min(i * size[0], height - 1), "
           "min(j * size[1], width - 1)"),
          ("that of rows for columns too", "a, b = i * stride[0], min(j * stride[0], width - 1)"))],
    mistake("stride_axes_swapped", "{array} comes out as if the strides of rows and columns were "
            "exchanged", (POOL_CORNER, "a, b = min(i * stride[1], height - 1), "
                          "min(j * stride[0], width - 1)")),
    *resized("y", "size, stride, (n, h, w, c) = pair(size), pair(stride), x.shape", {
        "has the size and values of a stride of 1":
            ("stride_ignored", "size, stride, (n, h, w, c) = pair(size), pair(1), x.shape"),
        "has the size and values of the window's size for its stride":
            ("stride_ignored", "size, stride, (n, h, w, c) = pair(size), pair(size), x.shape"),
        "has the size and values of the stride for the window's size":
            ("size_ignored", "size, stride, (n, h, w, c) = pair(stride), pair(stride), x.shape"),
        "has the size and values of a window of 2":
            ("size_ignored", "size, stride, (n, h, w, c) = pair(2), pair(stride), x.shape")}),
    *[mistake("wrong_shape", f"{{array}} has the size of {words}, whatever is asked for",
              ("stride.rows, ceil_mode)", f"stride.rows, {mode})"),
              ("stride.columns, ceil_mode)", f"stride.columns, {mode})"))
      for words, mode in (("ceil_mode=False", "False"), ("ceil_mode=True", "True"),
                          ("the other ceil_mode", "not ceil_mode"))],
    *[mistake("wrong_shape", "{array} has another size: a last window that would start outside is "
              f"kept{words}",
              ("max_pool2d_size(h, size.rows, stride.rows, ceil_mode)",
               "(-(-max(h - size.rows, 0) // stride.rows) if ceil_mode else "
               "max(h - size.rows, 0) // stride.rows) + 1"),
              ("max_pool2d_size(w, size.columns, stride.columns, ceil_mode)",
               "(-(-max(w - size.columns, 0) // stride.columns) if ceil_mode else "
               "max(w - size.columns, 0) // stride.columns) + 1"),
              ("np.empty((n, oh, ow, c), x.dtype), np.empty((n, oh, ow, c), np.int64)",
               "np.zeros((n, oh, ow, c), x.dtype), np.zeros((n, oh, ow, c), np.int64)"), *more)
      for words, more in (("", ()), (", holding zeros",
          (("for i in range(y.shape[1]):",
            "for i in range(min(y.shape[1], -(-height // stride[0]))):"),
           ("for j in range(y.shape[2]):",
            "for j in range(min(y.shape[2], -(-width // stride[1]))):"))))],
    *[mistake(cause, f"{{array}} comes out as if the {words} of each window were not looked at",
              *[(f"range(min(size[{k}], {extent}))", f"range(min(max(size[{k}] - 1, 1), {extent}))")
                for k, extent in enumerate(("height - a", "width - b")) if axes[k]])
      for cause, words, axes in (("last_row_missing", "last row and column", (1, 1)),
                                 ("last_row_missing", "last row", (1, 0)),
                                 ("last_column_missing", "last column", (0, 1)))],
    mistake("argmax_index", "{array} looks for the maximum in all channels together, not in each",
            ("value = x[n, a + ki, b + kj, c]", "value = x[n, a + ki, b + kj].max()"),
            ("largest = x[n, best // width, best % width, c]",
             "largest = x[n, best // width, best % width].max()")),
    mistake("pool_ties_all", "of equal values in a window all receive dy, not only the first",
            (POOL_DX, "for best in winners(given, n, i, j, c): " + POOL_DX)),
    mistake("pool_ties_all", "equal values in a window share dy; the first should have it all",
            (POOL_DX, "for best in winners(given, n, i, j, c): " + POOL_DX
             + " / len(winners(given, n, i, j, c))")),
    mistake("pool_last_tie", "of equal values in a window the last receives dy, not the first",
            (POOL_DX, "best = winners(given, n, i, j, c)[-1]; " + POOL_DX)),
    mistake("pool_first_element", "the first element of each window receives dy, not the largest",
            (POOL_DX, "best = cells(given, i, j)[0]; " + POOL_DX)),
    mistake("mean_for_max", "all elements of each window receive dy, not only the largest",
            (POOL_DX, "for best in cells(given, i, j): " + POOL_DX)),
    mistake("mean_for_max", "all elements of each window share dy; the largest should have it all",
            (POOL_DX, "for best in cells(given, i, j): " + POOL_DX + " / len(cells(given, i, j))")),
    mistake("overlap_assigned", "where windows share their maximum the last dy overwrites the "
            "others: assigned (=) where it should be added (+=)",
            (POOL_DX, POOL_DX.replace("+=", "="))),
    *[mistake("argmax_index", f"argmax is decoded with {words}; it is row * w + column",
              (POOL_DX, POOL_DX.replace("best // width, best % width", index)))
      for words, index in (
          ("the output's width", "best // dy.shape[2], best % dy.shape[2]"),
          ("h in place of w", "best // dx.shape[1], best % dx.shape[1]"),
          ("h in place of w (and wrapped around the image)",
           "best // dx.shape[1] % dx.shape[1], best % dx.shape[1] % width"),
          ("row and column exchanged", "best % width, best // width"),
          ("row and column exchanged (and wrapped around the image)",
           "best % width % dx.shape[1], best // width % width"),
          ("column * h + row", "best % dx.shape[1], best // dx.shape[1]"),
          ("w + 1 in place of w", "best // (width + 1), best % (width + 1)"),
          ("w - 1 in place of w", "best // max(width - 1, 1), best % max(width - 1, 1)"))],
    mistake("channels_mixed", "the gradients of all channels land in the first",
            (POOL_DX, POOL_DX.replace(", c] +=", ", 0] +="))),
    mistake("image_ignored", "the gradients of all images land in the first",
            (POOL_DX, POOL_DX.replace("dx[n,", "dx[0,"))),
    *dy_mistakes(),
]  # fmt: skip


def winners(given: dict[str, Any], n: int, i: int, j: int, c: int) -> list[int]:
    """Flat places in the image of all elements of a window that equal its maximum."""
    values, places = given["x"][n, :, :, c].ravel(), cells(given, i, j)
    best = max(values[place] for place in places)
    return [place for place in places if values[place] == best]


def cells(given: dict[str, Any], i: int, j: int) -> list[int]:
    """Flat places in the image of the elements of a window."""
    (rows, columns), (down, right) = pair(given["size"]), pair(given["stride"])
    height, width = given["x"].shape[1:3]
    return [
        a * width + b
        for a in range(i * down, min(i * down + rows, height))
        for b in range(j * right, min(j * right + columns, width))
    ]


# ---------------------------------------------------------------------------------------------
# ReLU
# ---------------------------------------------------------------------------------------------

RELU_Y = "x.dtype.type(0) if x[i] <= 0 else x[i]"
RELU_DX = "dy[i] if y[i] > 0 else dy.dtype.type(0)"
X = "given['x'].reshape(-1)[i]"

RELU = [
    *[mistake("relu_mask", f"{{array}} is let through where x {sign} {bound}, not where x > 0",
              (RELU_Y, f"x[i] if x[i] {sign} {bound} else 0"))
      for bound in ("0", "1", "1e-3", "1e-6", "1e-8", "1e-12", "1e-16")
      for sign in (">", ">=", "<", "<=", "!=", "==") if bound == "0" or sign == ">"],
    mistake("relu_mask", "{array} is the absolute value of x", (RELU_Y, "abs(x[i])")),
    mistake("relu_mask", "{array} is the mask x > 0 itself", (RELU_Y, "float(x[i] > 0)")),
    mistake("relu_mask", "{array} is max(-x, 0): the sign of x is the wrong way round",
            (RELU_Y, "max(-x[i], 0)")),
    mistake("relu_mask", "{array} is x itself", (RELU_Y, "x[i]")),
    *[mistake("clipped", f"{{array}} is cut off above {top}", (RELU_Y, f"min(max(x[i], 0), {top})"))
      for top in (1, 6, 10, 20, 255)],
    *[mistake("leaky", f"{{array}} lets a share of {slope} through where x < 0",
              (RELU_Y, f"x[i] if x[i] > 0 else {slope} * x[i]"))
      for slope in (0.001, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5)],
    mistake("leaky", "{array} is exp(x) - 1 where x < 0 (ELU)",
            (RELU_Y, "x[i] if x[i] > 0 else np.exp(x[i]) - 1")),
    mistake("leaky", "{array} is log(1 + exp(x)) (softplus)", (RELU_Y, "np.logaddexp(0, x[i])")),
    *[mistake("relu_mask", f"{{array}} is dy where {of} {sign} {bound}, else 0; it should be so "
              "where y > 0", (RELU_DX, f"dy[i] if {name} {sign} {bound} else 0"))
      for of, name in (("y", "y[i]"), ("x", X), ("dy", "dy[i]"))
      for bound in ("0", "1", "1e-3", "1e-6", "1e-8", "1e-12", "1e-16")
      for sign in (">", ">=", "<", "<=", "!=", "==") if bound == "0" or sign == ">"],
    *[mistake("relu_mask", f"{{array}} is {words}", (RELU_DX, new))
      for words, new in (
          ("dy multiplied by y instead of by the mask", "dy[i] * y[i]"),
          ("dy multiplied by x instead of by the mask", f"dy[i] * {X}"),
          ("y itself (which is x where x > 0), not dy", "y[i]"),
          ("dy where both y > 0 and dy > 0", "dy[i] if y[i] > 0 and dy[i] > 0 else 0"),
          ("max(dy, 0) where y > 0, else dy", "max(dy[i], 0) if y[i] > 0 else dy[i]"),
          ("the absolute value of dy where y > 0", "abs(dy[i]) if y[i] > 0 else 0"),
          ("dy multiplied by the sign of x", f"dy[i] * np.sign({X})"))],
    *[mistake("dy_ignored", f"{{array}} does not depend on dy: it is the mask y {sign} 0",
              (RELU_DX, f"float(y[i] {sign} 0)")) for sign in (">", ">=", "<=", "!=", "==")],
    *[mistake("leaky", f"{{array}} lets a share of {slope} through where y is 0",
              (RELU_DX, f"dy[i] if y[i] > 0 else {slope} * dy[i]"))
      for slope in (0.001, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5)],
    mistake("relu_mask", "{array} is half of dy where x is exactly 0; it should be 0 there",
            (RELU_DX, f"dy[i] if y[i] > 0 else dy[i] / 2 if {X} == 0 else 0")),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------
# Linear
# ---------------------------------------------------------------------------------------------

L_PRODUCT = "y[n, f] += x[n, c] * weight[c, f]"
L_DX = "dx[n, c] += dy[n, f] * weight[c, f]"
L_DWEIGHT = "dweight[c, f] += x[n, c] * dy[n, f]"

LINEAR = [
    mistake("channel_axes_swapped", "{array} comes out as if the weight's two axes were exchanged",
            ("weight[c, f]", "weight[f, c]")),
    *bias_in("y[n, f] = bias[f]", {"images": "n"},
             {"input channel": "x.shape[1]", "image": "len(x)"}),
    mistake("mean_for_sum", "{array} is averaged over the inputs, where their sum is right (the "
            "bias is right)", (L_PRODUCT, L_PRODUCT + " / x.shape[1]")),
    mistake("constant_factor", "{array} has its products divided by the square root of the number "
            "of inputs", (L_PRODUCT, L_PRODUCT + " / x.shape[1] ** 0.5")),
    *assigned(L_PRODUCT, ("input channel", "c == x.shape[1] - 1")),
    mistake("overlap_assigned", "{array} holds the last input's product without the bias: assigned "
            "(=) where it should be added (+=)", (L_PRODUCT, L_PRODUCT.replace("+=", "="))),
    *dy_mistakes(),
    mistake("dy_ignored", "{array} is the weights' sum alone: dy is not multiplied in",
            (L_DX, "dx[n, c] += weight[c, f]")),
    mistake("input_ignored", "{array} sums dy alone: x is not multiplied in",
            (L_DWEIGHT, "dweight[c, f] += dy[n, f]")),
    *assigned(L_DX, ("output channel", "f == dy.shape[1] - 1")),
    *assigned(L_DWEIGHT, ("image", "n == len(dy) - 1")),
    *bias_gradients(2),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------
# Dropout, backward; forward is judged by its properties
# ---------------------------------------------------------------------------------------------

SCALE = "1 / (1 - rate)"
MASKED = "np.where(mask, dy * scale, dy.dtype.type(0))"

DROPOUT = [
    *[mistake("constant_factor", f"{{array}} is {words}", (SCALE, new))
      for words, new in (
          ("not divided by 1 - rate", "1"),
          ("multiplied by 1 - rate, not divided by it", "1 - rate"),
          ("divided by rate, not by 1 - rate", "1 / rate"),
          ("multiplied by rate, not divided by 1 - rate", "rate"),
          ("divided by 1 + rate, not by 1 - rate", "1 / (1 + rate)"),
          ("divided by 1 - rate twice", "1 / (1 - rate) ** 2"),
          ("divided by the square root of 1 - rate", "1 / (1 - rate) ** 0.5"),
          ("divided by the share that this mask keeps, not by 1 - rate", "1 / mask.mean()"))],
    mistake("mask_ignored", "{array} is not masked: dropped values get a gradient too",
            (MASKED, "dy * scale")),
    mistake("mask_ignored", "{array} is dy itself: neither masked nor divided by 1 - rate",
            (MASKED, "dy * 1")),
    mistake("mask_inverted", "{array} is 0 where values were kept, and dy where they were dropped",
            (MASKED, "np.where(mask, dy.dtype.type(0), dy * scale)")),
    mistake("mask_inverted", "{array} is 0 where values were kept, and dy where they were dropped; "
            "nor is it divided by 1 - rate", (MASKED, "np.where(mask, 0, dy)")),
    mistake("dy_ignored", "{array} does not depend on dy: it is the mask", (MASKED, "mask * 1.0")),
    mistake("dy_ignored", "{array} does not depend on dy: it is the mask divided by 1 - rate",
            (MASKED, "mask * scale")),
    *dy_mistakes(of="dy * scale"),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------
# Loss
# ---------------------------------------------------------------------------------------------

LABEL = "label = labels[i]"
IGNORE = "if label == ignore:"
LOG = "np.log(np.float64(sum_of_exponentials)) - (scores[i, label] - largest)"
SOFTMAX = "dscores[i, f] = weight * exponentials[f] / sum_of_exponentials"
ONE_HOT = "dscores[i, label] -= weight"
DIVISOR = '{"mean": total, "sum": 1, "sum_per_image": scores.shape[0]}[reduction]'
RESULT = "return float(loss / divisor), dscores"
SCALED = "dscores /= scores.dtype.type(divisor)"
WEIGHTS = "weights = np.ones(classes) if class_weights is None else np.array(class_weights, " \
          "np.float64)"  # fmt: skip
CLASSES = "classes = scores.shape[-1]"
VALID, PIXELS, IMAGES = "(labels != ignore).sum()", "labels.size", "scores.shape[0]"
LABELS = "labels.astype(np.int64)"


def divided(cause: str, words: str, of: str, reduction: str = "") -> list[Mistake]:
    """The sum divided by something else; in the loss, in the gradient, or under one reduction."""
    new = f"({of} if reduction == '{reduction}' else {DIVISOR})" if reduction else of
    return [mistake(cause, "{array} is " + words, (DIVISOR, new))]


def ignored_as(words: str, label: str, counted: str, least: str = "0") -> list[Mistake]:
    """Pixels with the ignore label that take part, as if theirs were another label.

    ``least`` is what is divided by where no pixel is valid.
    """
    skip = (IGNORE, "if False:")
    as_label = (LABEL, f"label, ignored = ({label} if labels[i] == ignore else labels[i]), "
                "labels[i] == ignore")  # fmt: skip
    uncounted = ("total += weight", "total += weight * (not ignored)")
    divisor = (DIVISOR, DIVISOR.replace("total", f"(total or {least})"))
    changes = (skip, as_label) if counted else (skip, as_label, uncounted, divisor)
    words = f"pixels with the ignore label {words}{counted}"
    return [
        Mistake("ignored_not_zero", f"{words}, and their gradient is not 0", changes),
        Mistake("ignored_counted", f"{words}, but their gradient is 0",
                (*changes, (ONE_HOT, f"{ONE_HOT}; dscores[i] *= not ignored"))),
        Mistake("ignored_counted", f"{words} in the mean, though they have neither loss nor "
                "gradient", (*changes, (ONE_HOT, f"{ONE_HOT}; dscores[i] *= not ignored"),
                             ("loss += weight * (", "loss += (not ignored) * weight * ("))),
    ]  # fmt: skip


def clipped_log(eps: str) -> list[Mistake]:
    p = "(exponentials[label] / sum_of_exponentials)"
    return [
        mistake("log_clipped", f"{{array}} uses log(p + {eps}): it is too small for a pixel whose "
                "class is improbable", (LOG, f"-np.log({p} + {eps})")),
        mistake("log_clipped", f"{{array}} uses log(max(p, {eps})): a very improbable class costs "
                "no more than that; take the logarithm of the sum, not of the quotient",
                (LOG, f"-np.log(max({p}, {eps}))")),
        mistake("log_clipped", f"{{array}} uses log of p clipped to {eps} .. 1 - {eps}",
                (LOG, f"-np.log(min(max({p}, {eps}), 1 - {eps}))")),
    ]  # fmt: skip


def loss_along(axes: Any, shift_only: bool = False, sum_only: bool = False) -> Callable:
    """The loss with a softmax over other axes than the classes."""

    def loss(scores, labels, ignore=255, reduction="mean", class_weights=None):
        classes, valid = scores.shape[-1], labels != ignore
        weights = np.ones(classes) if class_weights is None else np.asarray(class_weights)
        label = np.where(valid, labels, 0).astype(int)
        weight = np.where(valid, weights[label], 0)
        largest = scores.max(axis=-1 if sum_only else axes, keepdims=True)
        exponentials = np.exp(scores - largest)
        softmax = exponentials / exponentials.sum(axis=-1 if shift_only else axes, keepdims=True)
        one_hot = np.eye(classes)[label]
        divisor = {"mean": weight.sum(), "sum": 1, "sum_per_image": len(scores)}[reduction]
        if divisor == 0:
            return 0.0, np.zeros_like(scores)
        losses = -np.log((softmax * one_hot).sum(axis=-1)) * weight
        dscores = (softmax - one_hot) * weight[..., None] / divisor
        return float(losses[valid].sum() / divisor), dscores

    return loss


def along(words: str, axes: Any) -> list[Mistake]:
    return [
        Mistake("softmax_axis", f"the softmax runs over {words}, not over the classes of each "
                "pixel", instead=loss_along(axes)),
        Mistake("softmax_axis", f"the exponentials are added up over {words}, not over the classes "
                "of each pixel", instead=loss_along(axes, sum_only=True)),
        Mistake("unstable", f"the largest score of {words} is subtracted, not that of each pixel: "
                "right for small scores, but exponentials can vanish",
                instead=loss_along(axes, shift_only=True)),
    ]  # fmt: skip


SOFTMAX_CROSS_ENTROPY = [
    mistake("onehot_missing", "{array} is the softmax: the 1 of the pixel's label is not taken off",
            (ONE_HOT, "pass")),
    mistake("onehot_missing", "{array} has the 1 of the pixel's label added, not taken off",
            (ONE_HOT, "dscores[i, label] += weight")),
    mistake("onehot_missing", "{array} is minus the one-hot labels, without the softmax",
            (SOFTMAX, "dscores[i, f] = 0")),
    mistake("onehot_wrong", "{array} has the 1 taken off class 0, whatever the pixel's label",
            (ONE_HOT, "dscores[i, 0] -= weight")),
    mistake("onehot_wrong", "{array} has the 1 taken off the next class",
            (ONE_HOT, "dscores[i, (label + 1) % classes] -= weight")),
    mistake("onehot_wrong", "{array} has the 1 taken off the class before",
            (ONE_HOT, "dscores[i, label - 1] -= weight")),
    mistake("onehot_wrong", "{array} has the 1 taken off every class",
            (ONE_HOT, "dscores[i] -= weight")),
    mistake("onehot_wrong", "{array} divides the softmax by the number of pixels, but not the 1 "
            "that is taken off", (ONE_HOT, "dscores[i, label] -= weight * divisor_of(given)")),
    mistake("class_weights_ignored", "{array} has the softmax weighted, but not the 1 that is "
            "taken off", (ONE_HOT, "dscores[i, label] -= 1")),
    mistake("class_weights_ignored", "{array} has the 1 that is taken off weighted, but not the "
            "softmax", (SOFTMAX, SOFTMAX.replace("weight * ", ""))),
    mistake("sign", "{array} is that of the log-likelihood, not of minus the log-likelihood",
            (RESULT, "return -float(loss / divisor), -dscores")),
    mistake("unstable", "right for small scores, but the largest score of a pixel is not "
            "subtracted before the exponential, which overflows",
            ("largest = scores[i].max()", "largest = 0.0")),
    mistake("unstable", "right for small scores, but the loss is the logarithm of a quotient that "
            "becomes 0: take the logarithm of the sum, and subtract the score",
            (LOG, "-np.log(exponentials[label] / sum_of_exponentials)")),
    mistake("unstable", "right for small scores, but the largest score of a pixel is not "
            "subtracted before the exponential, and the loss is the logarithm of a quotient",
            ("largest = scores[i].max()", "largest = 0.0"),
            (LOG, "-np.log(exponentials[label] / sum_of_exponentials)")),
    *along("the rows", 1), *along("the columns", 2), *along("the images", 0),
    *along("the rows and columns", (1, 2)), *along("the whole array", (0, 1, 2, 3)),
    *along("each image", (1, 2, 3)), *along("all pixels", (0, 1, 2)),
    *along("the columns and classes", (2, 3)),
    # pixels with the ignore label
    *[each for counted in ("", " and are counted") for words, label in (
        ("have a loss, as if theirs were class 0", "0"),
        ("have a loss, as if theirs were the last class", "classes - 1"),
        ("have a loss, as if their label were taken modulo the classes", "ignore % classes"),
        ("have a loss, as if their label were cut to the classes",
         "min(max(ignore, 0), classes - 1)"))
      for least in ("0", "1")[:1 if counted else 2]
      for each in ignored_as(words, label, counted, least)],
    *[mistake("ignored_not_zero", "pixels with the ignore label have the softmax as their gradient"
              + words, (f"{IGNORE}\n            continue", f"{IGNORE}\n            "
              "e = np.exp(scores[i] - scores[i].max()); dscores[i] = e / e.sum()" + more
              + "; continue"))
      for words, more in (("", ""), (" and are counted in the mean", "; total += 1"),
                          (", less 1 at the last class", "; dscores[i, -1] -= 1"),
                          (", less 1 at class 0", "; dscores[i, 0] -= 1"))],
    *[mistake("ignored_not_zero", f"pixels labelled {value} are ignored, whatever is asked for",
              (IGNORE, f"if label == {value}:")) for value in (255, 0, -1)],
    mistake("ignored_not_zero", "pixels labelled 255 are ignored as well as those asked for",
            (IGNORE, "if label == ignore or label == 255:")),
    mistake("ignored_not_zero", "pixels of class 0 are ignored as well as those asked for",
            (IGNORE, "if label == ignore or label == 0:")),
    # the divisor
    *divided("ignored_counted", "divided by all pixels, the ignored ones included", PIXELS, "mean"),
    *divided("ignored_counted", "divided by all pixels where there are no class weights, the "
             "ignored ones included", f"({PIXELS} if class_weights is None else total)", "mean"),
    *divided("sum_for_mean", "the sum over the valid pixels where their mean is asked for",
             "1", "mean"),
    *divided("sum_for_mean", "divided by the number of images where the mean over the pixels is "
             "asked for", IMAGES, "mean"),
    *divided("sum_for_mean", "divided by the pixels of one image, not by all valid pixels",
             f"({PIXELS} / {IMAGES})", "mean"),
    *divided("sum_for_mean", "divided by the valid pixels per image, not by all valid pixels",
             f"({VALID} / {IMAGES})", "mean"),
    *divided("mean_for_sum", "divided by the number of images as well as by the valid pixels",
             f"(total * {IMAGES})", "mean"),
    *divided("mean_for_sum", "divided by the number of classes as well as by the valid pixels",
             "(total * classes)", "mean"),
    *divided("ignored_counted", "divided by all pixels times classes", "scores.size", "mean"),
    *divided("class_weights_not_normalised", "divided by the number of valid pixels, not by the "
             "sum of their weights", VALID, "mean"),
    *divided("class_weights_not_normalised", "divided by the sum of the class weights, not by that "
             "of the pixels' weights", "weights.sum()", "mean"),
    *divided("class_weights_not_normalised", "divided by the number of valid pixels times the sum "
             "of the class weights", f"({VALID} * weights.sum())", "mean"),
    *divided("class_weights_not_normalised", "divided by all pixels where there are class weights, "
             "not by the sum of their weights",
             f"(total if class_weights is None else {PIXELS})", "mean"),
    *[each for name in ("sum", "sum_per_image") for words, of in (
        ("a mean over the valid pixels", "total"), ("a mean over the valid pixels, by count",
        VALID), ("a mean over all pixels", PIXELS),
        ("a mean over the pixels of each image", f"({PIXELS} / {IMAGES})"),
        ("a mean over all pixels and images", f"({PIXELS} * {IMAGES})"),
        ("divided by the valid pixels of each image", f"({VALID} / {IMAGES})"))
      for each in divided("mean_for_sum", f"{words} where {name!r} is asked for", of, name)],
    *divided("mean_for_sum", "divided by the number of images where 'sum' is asked for",
             IMAGES, "sum"),
    *divided("sum_for_mean", "not divided by the number of images where 'sum_per_image' is asked "
             "for", "1", "sum_per_image"),
    *divided("sum_for_mean", "the plain sum, whatever reduction is asked for", "1"),
    *divided("mean_for_sum", "the sum divided by the number of images, whatever reduction is asked "
             "for", IMAGES),
    *divided("mean_for_sum", "the mean over the valid pixels, whatever reduction is asked for",
             "total"),
    *divided("ignored_counted", "divided by all pixels, the ignored ones included, whatever "
             "reduction is asked for", PIXELS),
    # class weights
    mistake("class_weights_ignored", "{array} comes out as if there were no class weights",
            (WEIGHTS, "weights = np.ones(classes)")),
    mistake("class_weights_ignored", "{array} has the class weights in its divisor only",
            ("dscores = np.zeros(scores.shape, scores.dtype)",
             "dscores = np.zeros(scores.shape, scores.dtype); weighted = weights; "
             "weights = np.ones(classes)"),
            (DIVISOR, DIVISOR.replace("total", "weighted[labels[labels != ignore]].sum()"))),
    mistake("class_weights_twice", "{array} has the class weights applied twice",
            ("weight = weights[label]", "weight = weights[label] ** 2"),
            ("total += weight", "total += weights[label]")),
    mistake("class_weights_twice", "{array} has the class weights squared, in the divisor too",
            ("weight = weights[label]", "weight = weights[label] ** 2")),
    mistake("class_weights_wrong_axis", "{array} has each class's gradient multiplied by that "
            "class's weight, not by the weight of the pixel's label",
            (SOFTMAX, SOFTMAX.replace("weight *", "weights[f] *"))),
    mistake("class_weights_not_normalised", "{array} has the class weights normalised to a mean of "
            "1", (WEIGHTS, WEIGHTS + "; weights = weights / weights.mean()")),
    mistake("class_weights_not_normalised", "{array} has the class weights normalised to a sum of "
            "1", (WEIGHTS, WEIGHTS + "; weights = weights / weights.sum()")),
    # the logarithm
    *[mistake("wrong_logarithm", f"the loss uses {words}", (LOG, new)) for words, new in (
        ("the logarithm to base 2", f"({LOG}) / np.log(2)"),
        ("the logarithm to base 10", f"({LOG}) / np.log(10)"),
        ("the logarithm to base 2 of the sum", LOG.replace("np.log(", "np.log2(")),
        ("the logarithm to base 10 of the sum", LOG.replace("np.log(", "np.log10(")),
        ("log(1 + p) in place of log(p)",
         "-np.log1p(exponentials[label] / sum_of_exponentials)"),
        ("1 - p: there is no logarithm", "1 - exponentials[label] / sum_of_exponentials"),
        ("-p: there is no logarithm", "-exponentials[label] / sum_of_exponentials"),
        ("p: there is no logarithm", "exponentials[label] / sum_of_exponentials"),
        ("minus the score of the label, without the logarithm of the sum",
         "-scores[i, label]"),
        ("the logarithm of all classes' probabilities, not of the label's",
         "-np.log(exponentials / sum_of_exponentials).sum()"),
        ("the binary cross-entropy of every class",
         "-np.log(exponentials[label] / sum_of_exponentials) - sum(np.log(1 - exponentials[f] / "
         "sum_of_exponentials) for f in range(classes) if f != label)"))],
    *[mistake("wrong_logarithm", f"{{array}} uses the {words}, in place of exp",
              ("exponentials = np.exp(scores[i] - largest)", f"exponentials = {new}"))
      for words, new in (("powers of 2", "2.0 ** (scores[i] - largest)"),
                         ("powers of 10", "10.0 ** (scores[i] - largest)"))],
    *[each for eps in ("1e-5", "1e-6", "1e-7", "1e-8", "1e-9", "1e-10", "1e-12", "1e-15", "1e-16",
                       "1e-20", "1e-30", "1e-45", "1e-100", "1e-300", "1e-308") for each in
      clipped_log(eps)],
    mistake("nan", "where no pixel is valid the sum is divided by 0: the loss is to be 0 there",
            ("if divisor == 0:", "if False:"),
            (RESULT, "return float(loss / divisor) if divisor else np.nan, dscores")),
    mistake("nan", "where no pixel is valid the loss is divided by 0: it is to be 0 there",
            ("return 0.0, dscores", "return np.nan, dscores")),
]  # fmt: skip


def divisor_of(given: dict[str, Any]) -> float:
    """By what the sum over the pixels is divided."""
    labels, weights = given["labels"], given["class_weights"]
    weights = np.ones(given["scores"].shape[-1]) if weights is None else weights
    total = weights[labels[labels != given["ignore"]].astype(int)].sum()
    return {"mean": total, "sum": 1, "sum_per_image": len(labels)}[given["reduction"]]


def covered(given: dict[str, Any]) -> np.ndarray:
    """Which cells of a transposed convolution's output any stamp reaches."""
    stride, padding = pair(given["stride"]), pair(given["padding"])
    reached = []
    for extent, k, s, p in zip(
        given["x"].shape[1:3], given["weight"].shape[:2], stride, padding
    ):
        line = np.zeros((extent - 1) * s + k, bool)
        for i in range(extent):
            line[i * s : i * s + k] = True
        reached.append(line[p : len(line) - p])
    return np.outer(*reached)[None, :, :, None]


def reversed_range(*bounds: int) -> range:
    return range(*bounds)[::-1]


MISTAKES = {
    "conv2d": CONV2D,
    "conv_transpose2d": CONV_TRANSPOSE2D,
    "bilinear": BILINEAR,
    "max_pool2d": MAX_POOL2D,
    "relu": RELU,
    "linear": LINEAR,
    "dropout": DROPOUT,
    "softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY,
}
HELPERS = {
    "winners": winners,
    "cells": cells,
    "covered": covered,
    "divisor_of": divisor_of,
    "reversed_range": reversed_range,
    "line_kernel": line_kernel,
    "bilinear_kernel": bilinear_kernel,
}

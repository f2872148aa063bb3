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
named. Mistakes that apply to every operation alike (the order of a weight's axes, single rows,
images and channels) stand in ``hypotheses.py``.
"""

from __future__ import annotations

import itertools
import re
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


def replacing(line: str, *rows: tuple[str, str, str]) -> list[Mistake]:
    """Rows of (cause, sentence, new): one line of the textbook replaced by another.

    In ``new``, {} stands for the line.
    """
    return [mistake(cause, words, (line, new.replace("{}", line))) for cause, words, new in rows]


# along both axes, or along one of them
ALONG = (("", True, True), (" along rows", True, False), (" along columns", False, True))

# -- windows: convolution, transposed convolution and upsampling share the line that says where ---


SIDE = "look at where the padded array is filled or cropped"
WINDOWS = (  # cause, words, where a window begins: its row and its column
    ("stride_ignored", "the stride{} were 1", "i - p", "j - q"),
    ("stride_ignored", "the stride{} were the size of the kernel", "i * kh - p", "j * kw - q"),
    ("stride_axes_swapped", "the stride{} were that of the other axis", "i * t - p", "j * s - q"),
    ("padding_axes_swapped", "the padding{} were that of the other axis", "i * s - q", "j * t - p"),
    ("padding_wrong_side", "all padding{} stood after the image (at the bottom, at the right), "
     f"none before it: {SIDE}", "i * s", "j * t"),
    ("padding_wrong_side", "all padding{} stood before the image (at the top, at the left), "
     f"none after it: {SIDE}", "i * s - 2 * p", "j * t - 2 * q"),
    ("padding_wrong_side", "the padding{} were multiplied by the stride: (i - p) s in place of "
     "i s - p", "(i - p) * s", "(j - q) * t"),
    ("padding_wrong_side", "half of the padding{} stood before the image, one and a half after it: "
     f"{SIDE}", "i * s - p // 2", "j * t - q // 2"),
    ("shifted", "every window lay one too far on{} (down, to the right)",
     "i * s - p + 1", "j * t - q + 1"),
    ("shifted", "every window lay one too far back{} (up, to the left)",
     "i * s - p - 1", "j * t - q - 1"),
)


def windows(s: str, t: str, kernel: str) -> list[Mistake]:
    """Mistakes in where a window lies; ``s`` and ``t`` are the strides' names in the file."""
    names = {"s": s, "t": t, "p": "padding[0]", "q": "padding[1]",
             "kh": f"{kernel}.shape[0]", "kw": f"{kernel}.shape[1]"}

    def line(row: str, column: str) -> str:
        text = f"a, b = {row} + ki, {column} + kj"
        return re.sub(r"\b(s|t|p|q|kh|kw)\b", lambda name: names[name[0]], text)

    rows, columns = "i * s - p", "j * t - q"
    lies = [
        (cause, f"{{array}} comes out as if {words.format(along)}",
         line(row if down else rows, column if across else columns))
        for cause, words, row, column in WINDOWS
        for along, down, across in ALONG
    ]
    cell = "(ki * kw + kj)"
    numbered = line(f"{rows} - ki + {cell} // kh", f"{columns} - kj + {cell} % kh")
    lies.append(("kernel_axes_swapped", "{array} comes out as if the kernel's cells were numbered "
                 "with its rows in place of its columns: k // kh, k % kh", numbered))
    right = line(rows, columns)
    return replacing(right, *(each for each in lies if each[2] != right))


def axes_of_the_weight(channels: str) -> list[Mistake]:
    """The weight read backwards, or with two axes exchanged."""
    flips = (("both axes", "-1 - ki, -1 - kj"), ("rows", "-1 - ki, kj"), ("columns", "ki, -1 - kj"),
             ("both axes but for the first cell (weight[-ki, -kj])", "-ki, -kj"),
             ("rows but for the first (weight[-ki, kj])", "-ki, kj"),
             ("columns but for the first (weight[ki, -kj])", "ki, -kj"))
    as_if = "{array} comes out as if the"
    return replacing(
        "weight[ki, kj, c, f]",
        *[("kernel_flipped", f"{as_if} kernel were flipped along {words}", f"weight[{index}, c, f]")
          for words, index in flips],
        ("kernel_axes_swapped", f"{as_if} weight's two kernel axes were exchanged: weight[kj, ki] "
         "in place of weight[ki, kj]", "weight[kj, ki, c, f]"),
        (channels, f"{as_if} weight's input and output channels were exchanged: weight[..., f, c] "
         "in place of weight[..., c, f]", "weight[ki, kj, f, c]"),
    )


def borders(array: str, height: str, width: str) -> list[Mistake]:
    """Mistakes in what is read outside of an array's borders, where zeros should be."""
    line = "a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj"
    modes = (
        ("its outermost values (np.pad's 'edge')", "min(max({a}, 0), {h} - 1)"),
        ("its mirror image (np.pad's 'reflect')",
         "abs(({a} + {h} - 1) % max(2 * {h} - 2, 1) - {h} + 1)"),
        ("its mirror image (np.pad's 'symmetric')",
         "min({a} % (2 * {h}), 2 * {h} - 1 - {a} % (2 * {h}))"),
        ("its opposite border (np.pad's 'wrap': a negative index)", "{a} % {h}"),
    )
    return replacing(line, *(
        ("padding_not_zero", f"{{array}} comes out as if {array} were padded by {words}, not by "
         "zeros", f"{{}}; a, b = {index.format(a='a', h=height)}, {index.format(a='b', h=width)}")
        for words, index in modes))


MISREAD = (  # cause, words, what someone may read an option as
    ("stride_ignored", "a stride of 1", "stride = pair(1)"),
    ("stride_ignored", "a row stride of 1", "stride = pair((1, stride.columns))"),
    ("stride_ignored", "a column stride of 1", "stride = pair((stride.rows, 1))"),
    ("stride_ignored", "the window's size for its stride", "stride = size"),
    ("stride_ignored", "a factor of 1", "factor = 1"),
    ("stride_axes_swapped", "the row stride for both axes", "stride = pair(stride.rows)"),
    ("stride_axes_swapped", "the two strides exchanged", "stride = pair(stride[::-1])"),
    ("padding_axes_swapped", "the row padding for both axes", "padding = pair(padding.rows)"),
    ("padding_axes_swapped", "the two paddings exchanged", "padding = pair(padding[::-1])"),
    ("padding_not_cropped", "twice the padding", "padding = pair([2 * p for p in padding])"),
    ("padding_ignored", "no padding", "padding = pair(0)"),
    ("size_ignored", "the stride for the window's size", "size = stride"),
    ("size_ignored", "a window of 2", "size = pair(2)"),
    ("stride_axes_swapped", "the window's rows and columns exchanged", "size = pair(size[::-1])"),
    ("stride_axes_swapped", "rows and columns exchanged, in the window and in its stride",
     "size = pair(size[::-1]); stride = pair(stride[::-1])"),
    ("wrong_shape", "ceil_mode=False, whatever is asked for", "ceil_mode = False"),
    ("wrong_shape", "ceil_mode=True, whatever is asked for", "ceil_mode = True"),
    ("wrong_shape", "the other ceil_mode", "ceil_mode = not ceil_mode"),
)


def misread(line: str, *options: str) -> list[Mistake]:
    """Options taken for others, behind the line that reads them: another size, other values."""
    return replacing(line, *(
        (cause, f"{{array}} has the size and values of {words}", f"{{}}; {reading}")
        for cause, words, reading in MISREAD if reading.split()[0] in options
        and not ("size" in reading and "size" not in options)))


CROPPED = "p:e - p"
CROPS = (  # cause, words, the part of a padded array of extent e that is kept along an axis
    ("padding_not_cropped", "still has its padding{}, which should be cut off", ":"),
    ("padding_not_cropped", "still has the padding{} at its end (bottom, right)", "p:"),
    ("padding_not_cropped", "still has the padding{} at its start (top, left)", ":e - p"),
    ("padding_axes_swapped", "begins{} behind the padding of the other axis", "q:q + e - 2 * p"),
    ("wrong_shape", "is empty{} where the padding is 0: p:-p is then 0:0", "p:-p"),
)


def cropped(array: str, result: str, *padded: tuple[str, str]) -> list[Mistake]:
    """Wrong parts of a padded array; ``padded`` are the changes that leave the padding there."""

    def part(kept: str, axis: int) -> str:
        names = ("rows", "columns") if axis == 1 else ("columns", "rows")
        values = {"p": f"p.{names[0]}", "q": f"p.{names[1]}", "e": f"{array}.shape[{axis}]"}
        return re.sub(r"\b(p|q|e)\b", lambda name: values[name[0]], kept)

    found = []
    for (cause, words, kept), (along, down, across) in itertools.product(CROPS, ALONG):
        rows, columns = part(kept if down else CROPPED, 1), part(kept if across else CROPPED, 2)
        returned = result.replace(array, f"{array}[:, {rows}, {columns}]", 1)
        found.append(mistake(cause, f"{{array}} {words.format(along)}", *padded,
                             (f"return {result}", f"return {returned}")))
    return found


def assigned(line: str, **loops: str) -> list[Mistake]:
    """A sum of which only the last terms survive: = where += is needed, in some of the loops.

    ``loops`` are the variables that are summed over, with the number of their values.
    """
    names = {"n": "image", "i": "row", "j": "column", "ki": "row of the kernel",
             "kj": "column of the kernel", "c": "input channel", "f": "output channel"}
    found = []
    for count in range(1, len(loops) + 1):
        for some in itertools.combinations(loops, count):
            last = " and ".join(f"{each} == {loops[each]} - 1" for each in some)
            words = " and the last ".join(names[each] for each in some)
            found.append(("overlap_assigned", f"{{array}} holds the contribution of the last "
                          f"{words} only: assigned (=) where it should be added (+=)",
                          f"{{}} if {last} else 0"))
    return replacing(line, *found)


def scattered(line: str, inner: str) -> list[Mistake]:
    """Stamps that overwrite each other instead of adding up; ``inner`` is summed within a stamp."""
    target, value = line.split(" += ")
    backwards = tuple((f"for {k} in range(", f"for {k} in reversed_range(") for k in "ij")
    return [
        mistake("overlap_assigned", f"{{array}} holds the contribution of {last} only"
                f"{words} where several overlap: assigned (=) where it should be added "
                "(+=)", (line, f"{target} = {value} + ({target} if {keep} else 0)"), *order)
        for words, keep in (("", f"{inner} > 0"), (", and of the last channel,", "False"))
        for last, order in (("the last window", ()), ("the kernel's last cell", backwards))
    ]


def averaged(line: str, counts: dict[str, str]) -> list[Mistake]:
    return replacing(line, *(
        ("mean_for_sum", f"{{array}} is divided by the number of {words}s: a mean where the sum "
         "is right (the bias is right)", f"{{}} / ({count})")
        for words, count in counts.items()))


def dy_mistakes(of: str = "dense(dy)") -> list[Mistake]:
    return replacing(
        of,
        ("dy_ignored", "{array} depends on the sum of dy only", "np.full_like(dy, dy.sum())"),
        ("dy_ignored", "{array} depends on the mean of dy only", "np.full_like(dy, dy.mean())"),
        ("abs", "{array} comes out as if the absolute value of dy were taken", "np.abs(dy)"),
    )


def bias_gradients(axes: int) -> list[Mistake]:
    """dy summed over other axes than all but the last."""
    right, rows = tuple(range(axes - 1)), []
    names = ("images", "rows", "columns") if axes == 4 else ("images",)
    for count in range(axes + 1):
        for over in itertools.combinations(range(axes), count):
            if over != right:
                rows.append(("bias_axes", f"is dy summed over the axes {over or 'none'}, not over "
                             f"{right}", f"dy.sum(axis={over})"))
            if not set(over) < set(right):
                continue
            left = " and ".join(name for k, name in enumerate(names) if k not in over)
            first = "image_ignored" if left == "images" else "bias_axes"
            for cause, word, index in ((first, "first", 0), ("overlap_assigned", "last", -1)):
                place = ", ".join(":" if k in over else str(index) for k in right)
                rows.append((cause, f"sums dy over the {word} of the {left} only",
                             f"dy[{place}].reshape(-1, dy.shape[-1]).sum(axis=0)"))
    rows += [
        ("bias_axes", "is the sum of all of dy at every channel", "np.full_like(dbias, dy.sum())"),
        ("bias_axes", "has the sum of all of dy at the first channel, 0 at the others",
         "np.r_[dy.sum(), 0 * dbias[1:]]"),
        ("bias_axes", "is summed over rows of dy reshaped to (channels, -1), which mixes the "
         "channels: a transpose is needed, not a reshape",
         "dy.reshape(dy.shape[-1], -1).sum(axis=1)"),
    ]
    return replacing(GRADIENTS, *((cause, f"dbias {words}", f"return dx, dweight, {value}")
                                  for cause, words, value in rows))


def bias_in(line: str, axes: dict[str, str], counts: dict[str, str]) -> list[Mistake]:
    """The bias in a forward function; ``line`` sets or adds it, and ends with it."""
    target, bias = line.rsplit(" ", 1)
    return replacing(
        line,
        ("bias_missing", "{array} comes out as if there were no bias", f"{target} 0 * {bias}"),
        ("sign", "{array} comes out as if the bias were subtracted", f"{target} -{bias}"),
        ("bias_repeated", "{array} has the bias added twice", f"{target} 2 * {bias}"),
        *[("bias_repeated", f"{{array}} has the bias added once per {words}{more}",
           f"{target} {bias} * ({count})") for words, number in counts.items()
          for more, count in (("", number), (" and once more", f"{number} + 1"))],
        ("bias_axes", "{array} has the bias of the first channel at every channel",
         f"{target} bias[0]"),
        *[("bias_axes", f"{{array}} has the bias added along {words}, not along the channels",
           f"{target} {value}") for words, value in axes.items()],
    )


# -- convolution ----------------------------------------------------------------------------------

PRODUCT = "y[n, i, j, f] += x[n, a, b, c] * weight[ki, kj, c, f]"
DX = "dx[n, a, b, c] += dy[n, i, j, f] * weight[ki, kj, c, f]"
DWEIGHT = "dweight[ki, kj, c, f] += x[n, a, b, c] * dy[n, i, j, f]"
GRADIENTS = "return dx, dweight, dbias"
OPTIONS = "stride, padding = pair(stride), pair(padding)"
COUNTS = {
    "cell of the kernel": "weight.shape[0] * weight.shape[1]",
    "row of the kernel": "weight.shape[0]",
    "column of the kernel": "weight.shape[1]",
    "input channel": "weight.shape[2]",
    "product": "weight.size // weight.shape[3]",
}
KERNEL = {"ki": "weight.shape[0]", "kj": "weight.shape[1]"}
MAKE_DX = "dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)"
PADDED = (  # the gradient of the padded image, and no padding any more
    MAKE_DX,
    "p = pair(padding); x = np.pad(x, ((0, 0), (p.rows,) * 2, (p.columns,) * 2, (0, 0))); "
    "padding = 0; " + MAKE_DX,
)

CONV2D = [
    *windows("stride[0]", "stride[1]", "weight"),
    *borders("x", "height", "width"),
    *axes_of_the_weight("channel_axes_swapped"),
    *misread(OPTIONS, "stride", "padding"),
    *bias_in("y[n, i, j, f] = bias[f]",
             {"rows": "bias[i]", "columns": "bias[j]", "images": "bias[n]"}, COUNTS),
    *averaged(PRODUCT, COUNTS),
    *assigned(PRODUCT, **KERNEL, c="channels"),
    mistake("overlap_assigned", "{array} holds the last input channel's products without the bias: "
            "assigned (=) where it should be added (+=)",
            (PRODUCT, PRODUCT.replace("+=", "="))),
    *dy_mistakes(),
    *cropped("dx", "dx, dweight, dbias", PADDED),
    *scattered(DX, "f"),
    *assigned(DWEIGHT, n="images", i="dy.shape[1]", j="dy.shape[2]"),
    *bias_gradients(4),
]

# -- transposed convolution -----------------------------------------------------------------------

STAMP = "y[n, a, b, f] += x[n, i, j, c] * weight[ki, kj, c, f]"
T_DX = "dx[n, i, j, c] += dy[n, a, b, f] * weight[ki, kj, c, f]"
T_DWEIGHT = "dweight[ki, kj, c, f] += x[n, i, j, c] * dy[n, a, b, f]"
WITHOUT_PADDING = "p = pair(padding); stride, padding = pair(stride), pair(0)"
FITTING = (  # windows of a dy that was not cropped, as many as fit
    ":(dy.shape[1] - weight.shape[0]) // pair(stride).rows + 1, "
    ":(dy.shape[2] - weight.shape[1]) // pair(stride).columns + 1"
)
LATE_BIAS = (  # added when all stamps are set
    ("y += bias", "pass"), ("return y", "return y if bias is None else y + bias")
)

CONV_TRANSPOSE2D = [
    *windows("stride[0]", "stride[1]", "weight"),
    *borders("dy", "dy.shape[1]", "dy.shape[2]"),
    *axes_of_the_weight("in_out_exchanged"),
    *misread(OPTIONS, "stride"),
    *misread(OPTIONS, "padding")[:2],
    *cropped("y", "y", (OPTIONS, WITHOUT_PADDING)),
    *bias_in("y += bias", {"rows": "np.reshape(bias, (1, -1, 1, 1))",
                           "columns": "np.reshape(bias, (1, 1, -1, 1))",
                           "images": "np.reshape(bias, (-1, 1, 1, 1))"}, COUNTS),
    mistake("bias_repeated", "{array} has the bias added with every stamp, so that it adds up "
            "where stamps overlap", ("y += bias", "pass"),
            (STAMP, f"{STAMP} + (given['bias'][f] if c == 0 and given['bias'] is not None else 0)"),
            ),
    mistake("bias_repeated", "{array} has the bias added with every product",
            ("y += bias", "pass"),
            (STAMP, f"{STAMP} + (0 if given['bias'] is None else given['bias'][f])")),
    *averaged(STAMP, COUNTS),
    *scattered(STAMP, "c"),
    *[each._replace(changes=(*LATE_BIAS, *each.changes), sentence=each.sentence)
      for each in scattered(STAMP, "c")],
    *dy_mistakes(),
    *assigned(T_DX, **KERNEL, f="dy.shape[3]"),
    *assigned(T_DWEIGHT, n="images", i="height", j="width"),
    mistake("padding_ignored", "{array} comes out as if dy had not been cropped: windows that "
            "begin at its border, as many as fit",
            ("a, b = i * stride[0] - padding[0] + ki, j * stride[1] - padding[1] + kj",
             "a, b = i * stride[0] + ki, j * stride[1] + kj"),
            ("pair(padding), dx, dweight)", f"pair(0), dx[:, {FITTING}], dweight)"),
            ("images, height, width, channels = x.shape",
             "images, height, width, channels = dx.shape"),
            (GRADIENTS, f"return dx[:, {FITTING}], dweight, dbias")),
    *bias_gradients(4),
]

# -- bilinear upsampling --------------------------------------------------------------------------

B_STAMP = "y[n, a, b, c] += x[n, i, j, c] * kernel[ki, kj]"
B_DX = "dx[n, i, j, c] += dy[n, a, b, c] * kernel[ki, kj]"
B_OPTIONS = "padding, (n, h, w, c) = pair(padding), x.shape"
KERNELS = (  # normalised in another way; any other kernel is found by ``diagnosis._fitted_kernel``
    ("a sum of 1", "K / K.sum()"), ("a peak of 1", "K / K.max()"),
    ("a sum of factor squared", "K * factor**2 / K.sum()"),
)

BILINEAR = [
    *windows("factor", "factor", "kernel"),
    *[mistake("constant_factor", f"{{array}} comes out as if the bilinear kernel were normalised "
              f"to {words}", (old, re.sub(r"\bK\b", "bilinear_kernel(size)", kernel)))
      for old in ("bilinear_kernel(size, x.dtype)", "bilinear_kernel(size, dy.dtype)")
      for words, kernel in KERNELS],
    *[mistake("channels_mixed", "{array} adds up all channels: the kernel stands in every pair of "
              "channels, not on the diagonal only", (line, line.replace(one, every)))
      for line, one, every in ((B_STAMP, "x[n, i, j, c]", "x[n, i, j].sum()"),
                               (B_DX, "dy[n, a, b, c]", "dy[n, a, b].sum()"))],
    mistake("wrong_kernel", "{array} is divided by the sum of the weights that reach each cell, as "
            "if the border had to be made up for", ("return y",
            "weights = np.zeros_like(y); _forward(np.ones_like(x), bilinear_kernel(size), factor, "
            "padding, weights); return y / np.where(weights > 0, weights, 1)")),
    *misread(B_OPTIONS, "factor"),
    *cropped("y", "y", (B_OPTIONS, f"p = pair(padding); {B_OPTIONS}; padding = pair(0)")),
    *scattered(B_STAMP, "0"),
    *dy_mistakes(),
    *assigned(B_DX, ki="kernel.shape[0]", kj="kernel.shape[1]"),
    mistake("overlap_assigned", "{array} gets each value of dy in one place only: the last stamp "
            "that covers it, not all of them",
            (B_DX, B_DX + " if (i == dx.shape[1] - 1 or ki < factor) and "
             "(j == dx.shape[2] - 1 or kj < factor) else 0")),
    mistake("nearest", "{array} takes the nearest value of dy only, not the weighted sum",
            (B_DX, "dx[n, i, j, c] += dy[n, a, b, c] * (kernel[ki, kj] == kernel.max())")),
]

# -- max pooling; how argmax may be counted is tried out by ``hypotheses.argmax_formulas`` --------

POOL_VALUE = "y[n, i, j, c] = x[n, best // width, best % width, c]"
POOL_CORNER = "a, b = i * stride[0], j * stride[1]"
POOL_OPTIONS = "size, stride, (n, h, w, c) = pair(size), pair(stride), x.shape"
POOL_DX = "dx[n, best // width, best % width, c] += dy[n, i, j, c]"
WINDOW = "x[n, a:a + size[0], b:b + size[1], c]"
DECODINGS = {
    "the output's width": "best // dy.shape[2], best % dy.shape[2]",
    "h in place of w": "best // dx.shape[1], best % dx.shape[1]",
    "h in place of w (and wrapped around the image)":
        "best // dx.shape[1] % dx.shape[1], best % dx.shape[1] % width",
    "row and column exchanged": "best % width, best // width",
    "row and column exchanged (and wrapped around the image)":
        "best % width % dx.shape[1], best // width % width",
    "column * h + row": "best % dx.shape[1], best // dx.shape[1]",
    "w + 1 in place of w": "best // (width + 1), best % (width + 1)",
    "w - 1 in place of w": "best // max(width - 1, 1), best % max(width - 1, 1)",
}

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
    mistake("pool_first_element", "{array} is that of the last element of each window",
            ("if value > largest or (np.isnan(value) and not np.isnan(largest)):", "if True:")),
    *replacing(
        POOL_VALUE,
        ("starts_at_zero", "{array} is never below 0: the search for the maximum starts at 0",
         POOL_VALUE.replace("= x", "= max(0, x") + ")"),
        ("border_not_clipped", "{array} comes out as if windows that reach beyond the border "
         "held zeros there", POOL_VALUE.replace("= x", "= max(x")
         + f", 0 if a + size[0] > height or b + size[1] > width else {WINDOW}.max())"),
        ("mean_for_max", "{array} is the mean of each window", f"y[n, i, j, c] = {WINDOW}.mean()"),
        ("mean_for_max", "{array} is the mean of each window, zeros beyond the border included",
         f"y[n, i, j, c] = {WINDOW}.sum() / (size[0] * size[1])")),
    *replacing("value > largest",
               ("min_for_max", "{array} is the minimum of each window", "value < largest"),
               ("abs", "{array} is the value that is largest without its sign",
                "abs(value) > abs(largest)")),
    *replacing(
        POOL_CORNER,
        *[("stride_ignored", f"{{array}} comes out as if the stride were {words}", corner)
          for words, corner in (
              ("1", "a, b = i, j"), ("the window's size", "a, b = i * size[0], j * size[1]"),
              ("the window's size", "a, b = min(i * size[0], height - 1), "
               "min(j * size[1], width - 1)"))],
        ("stride_axes_swapped", "{array} comes out as if the stride of rows were used for columns "
         "too", "a, b = i * stride[0], min(j * stride[0], width - 1)"),
        ("stride_axes_swapped", "{array} comes out as if the strides of rows and columns were "
         "exchanged", "a, b = min(i * stride[1], height - 1), min(j * stride[0], width - 1)")),
    *misread(POOL_OPTIONS, "stride", "size", "ceil_mode"),
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
    *replacing(
        POOL_DX,
        ("pool_ties_all", "of equal values in a window all receive dy, not only the first",
         "for best in winners(given, n, i, j, c): {}"),
        ("pool_ties_all", "equal values in a window share dy; the first should have it all",
         "for best in winners(given, n, i, j, c): {} / len(winners(given, n, i, j, c))"),
        ("pool_last_tie", "of equal values in a window the last receives dy, not the first",
         "best = winners(given, n, i, j, c)[-1]; {}"),
        ("pool_first_element", "the first element of each window receives dy, not the largest",
         "best = cells(given, i, j)[0]; {}"),
        ("mean_for_max", "all elements of each window receive dy, not only the largest",
         "for best in cells(given, i, j): {}"),
        ("mean_for_max", "all elements of each window share dy; the largest should have it all",
         "for best in cells(given, i, j): {} / len(cells(given, i, j))"),
        ("overlap_assigned", "where windows share their maximum the last dy overwrites the "
         "others: assigned (=) where it should be added (+=)", POOL_DX.replace("+=", "=")),
        *[("argmax_index", f"argmax is decoded with {words}; it is row * w + column",
           POOL_DX.replace("best // width, best % width", index))
          for words, index in DECODINGS.items()],
        ("channels_mixed", "the gradients of all channels land in the first",
         POOL_DX.replace(", c] +=", ", 0] +=")),
        ("image_ignored", "the gradients of all images land in the first",
         POOL_DX.replace("dx[n,", "dx[0,"))),
    mistake("mean_for_sum", "where windows share their maximum {array} holds the mean of their dy, "
            "not the sum", ("return dx", "count = np.zeros(dx.shape); _backward(np.ones(dy.shape), "
                            "dense(argmax), count); return dx / np.maximum(count, 1)")),
    *dy_mistakes(),
]


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


# -- ReLU -----------------------------------------------------------------------------------------

RELU_Y = "x.dtype.type(0) if x[i] <= 0 else x[i]"
RELU_DX = "dy[i] if y[i] > 0 else dy.dtype.type(0)"
X = "given['x'].reshape(-1)[i]"
SLOPES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5)
MASKS = [f"{sign} 0" for sign in (">", ">=", "<", "<=", "!=", "==")]
MASKS += [f"> {bound}" for bound in ("1", "0.1", "0.01", "1e-3", "1e-6", "1e-8", "1e-12", "1e-16")]

RELU = [
    *replacing(
        RELU_Y,
        *[("relu_mask", f"{{array}} is let through where x {mask}, not where x > 0",
           f"x[i] if x[i] {mask} else 0") for mask in MASKS],
        ("relu_mask", "{array} is the absolute value of x", "abs(x[i])"),
        ("relu_mask", "{array} is the mask x > 0 itself", "float(x[i] > 0)"),
        ("relu_mask", "{array} is max(-x, 0): the sign of x is the wrong way round",
         "max(-x[i], 0)"),
        ("relu_mask", "{array} is x itself", "x[i]"),
        ("relu_mask", "{array} is x multiplied by itself, not by the mask", "max(x[i], 0) ** 2"),
        *[("clipped", f"{{array}} is cut off above {top}", f"min(max(x[i], 0), {top})")
          for top in (1, 6, 10, 20, 255)],
        *[("leaky", f"{{array}} lets a share of {slope} through where x < 0",
           f"x[i] if x[i] > 0 else {slope} * x[i]") for slope in SLOPES],
        ("leaky", "{array} is exp(x) - 1 where x < 0 (ELU)",
         "x[i] if x[i] > 0 else np.exp(x[i]) - 1"),
        ("leaky", "{array} is log(1 + exp(x)) (softplus)", "np.logaddexp(0, x[i])")),
    *replacing(
        RELU_DX,
        *[("relu_mask", f"{{array}} is dy where {of} {mask}, else 0; it should be so where y > 0",
           f"dy[i] if {name} {mask} else 0")
          for of, name in (("y", "y[i]"), ("x", X), ("dy", "dy[i]")) for mask in MASKS],
        *[("relu_mask", f"{{array}} is {words}", new) for words, new in (
            ("dy multiplied by y instead of by the mask", "dy[i] * y[i]"),
            ("dy multiplied by x instead of by the mask", f"dy[i] * {X}"),
            ("y itself (which is x where x > 0), not dy", "y[i]"),
            ("dy where both y > 0 and dy > 0", "dy[i] if y[i] > 0 and dy[i] > 0 else 0"),
            ("max(dy, 0) where y > 0, else dy", "max(dy[i], 0) if y[i] > 0 else dy[i]"),
            ("the absolute value of dy where y > 0", "abs(dy[i]) if y[i] > 0 else 0"),
            ("dy multiplied by the sign of x", f"dy[i] * np.sign({X})"),
            ("half of dy where x is exactly 0; it should be 0 there",
             f"dy[i] if y[i] > 0 else dy[i] / 2 if {X} == 0 else 0"))],
        *[("leaky", f"{{array}} lets a share of {slope} through where y is 0",
           f"dy[i] if y[i] > 0 else {slope} * dy[i]") for slope in SLOPES]),
]

# -- linear ---------------------------------------------------------------------------------------

L_PRODUCT = "y[n, f] += x[n, c] * weight[c, f]"
L_DX = "dx[n, c] += dy[n, f] * weight[c, f]"
L_DWEIGHT = "dweight[c, f] += x[n, c] * dy[n, f]"

LINEAR = [
    mistake("channel_axes_swapped", "{array} comes out as if the weight's two axes were exchanged",
            ("weight[c, f]", "weight[f, c]")),
    *bias_in("y[n, f] = bias[f]", {"images": "bias[n]"},
             {"input channel": "x.shape[1]", "image": "len(x)"}),
    *averaged(L_PRODUCT, {"input": "x.shape[1]"}),
    mistake("constant_factor", "{array} has its products divided by the square root of the number "
            "of inputs", (L_PRODUCT, L_PRODUCT + " / x.shape[1] ** 0.5")),
    *assigned(L_PRODUCT, c="x.shape[1]"),
    mistake("overlap_assigned", "{array} holds the last input's product without the bias: assigned "
            "(=) where it should be added (+=)", (L_PRODUCT, L_PRODUCT.replace("+=", "="))),
    *dy_mistakes(),
    *assigned(L_DX, f="dy.shape[1]"),
    *assigned(L_DWEIGHT, n="len(dy)"),
    *bias_gradients(2),
]

# -- dropout, backward; forward is judged by its properties ---------------------------------------

DROPOUT = [
    *replacing(
        "1 / (1 - rate)",
        *[("constant_factor", f"{{array}} is {words}", new) for words, new in (
            ("not divided by 1 - rate", "1"),
            ("multiplied by 1 - rate, not divided by it", "1 - rate"),
            ("divided by rate, not by 1 - rate", "np.divide(1, rate)"),
            ("multiplied by rate, not divided by 1 - rate", "rate"),
            ("divided by 1 + rate, not by 1 - rate", "1 / (1 + rate)"),
            ("divided by 1 - rate twice", "1 / (1 - rate) ** 2"),
            ("divided by the square root of 1 - rate", "1 / (1 - rate) ** 0.5"),
            ("divided by the share that this mask keeps, not by 1 - rate", "1 / mask.mean()"))]),
    *replacing(
        "np.where(mask, dy * scale, dy.dtype.type(0))",
        ("mask_ignored", "{array} is not masked: dropped values get a gradient too", "dy * scale"),
        ("mask_ignored", "{array} is dy itself: neither masked nor divided by 1 - rate", "dy * 1"),
        ("mask_inverted", "{array} is 0 where values were kept, and dy where they were dropped",
         "np.where(mask, dy.dtype.type(0), dy * scale)"),
        ("mask_inverted", "{array} is 0 where values were kept, and dy where they were dropped; "
         "nor is it divided by 1 - rate", "np.where(mask, 0, dy)")),
    *dy_mistakes("dy * scale"),
]

# -- loss -----------------------------------------------------------------------------------------

IGNORE = "if label == ignore:"
LOG = "np.log(np.float64(sum_of_exponentials)) - (scores[i, label] - largest)"
SHIFT = ("largest = scores[i].max()", "largest = 0.0")
P = "exponentials[label] / sum_of_exponentials"
SOFTMAX = "dscores[i, f] = weight * exponentials[f] / sum_of_exponentials"
ONE_HOT = "dscores[i, label] -= weight"
WEIGHT = "weight = weights[label]"
DIVISOR = '{"mean": total, "sum": 1, "sum_per_image": scores.shape[0]}[reduction]'
RESULT = "return float(loss / divisor), dscores"
WEIGHTS = (
    "weights = np.ones(classes) if class_weights is None else np.array(class_weights, np.float64)"
)
VALID, PIXELS, IMAGES = "(labels != ignore).sum()", "labels.size", "scores.shape[0]"
SUM, MEAN = "mean_for_sum", "sum_for_mean"
DIVISORS = (  # words, what is divided by, and the cause for each reduction ("" for all of them)
    ("divided by all pixels, the ignored ones included", PIXELS,
     {"mean": "ignored_counted", "sum": SUM, "sum_per_image": SUM, "": "ignored_counted"}),
    ("divided by all pixels where there are no class weights, the ignored ones included",
     f"({PIXELS} if class_weights is None else total)", {"mean": "ignored_counted"}),
    ("the plain sum", "1", {"mean": MEAN, "sum_per_image": MEAN, "": MEAN}),
    ("divided by the number of images only", IMAGES, {"mean": MEAN, "sum": SUM, "": SUM}),
    ("divided by the pixels of one image only", f"({PIXELS} / {IMAGES})",
     {"mean": MEAN, "sum": SUM, "sum_per_image": SUM}),
    ("divided by the valid pixels per image", f"({VALID} / {IMAGES})",
     {"mean": MEAN, "sum": SUM, "sum_per_image": SUM}),
    ("divided by the number of images as well as by the valid pixels", f"(total * {IMAGES})",
     {"mean": SUM}),
    ("divided by the number of classes as well as by the valid pixels", "(total * classes)",
     {"mean": SUM}),
    ("divided by all pixels times classes", "scores.size", {"mean": "ignored_counted"}),
    ("divided by the number of valid pixels, not by the sum of their weights", VALID,
     {"mean": "class_weights_not_normalised"}),
    ("divided by the sum of the class weights, not by that of the pixels' weights",
     "weights.sum()", {"mean": "class_weights_not_normalised"}),
    ("divided by the number of valid pixels times the sum of the class weights",
     f"({VALID} * weights.sum())", {"mean": "class_weights_not_normalised"}),
    ("divided by all pixels where there are class weights, not by the sum of their weights",
     f"(total if class_weights is None else {PIXELS})", {"mean": "class_weights_not_normalised"}),
    ("a mean over the valid pixels", "total", {"sum": SUM, "sum_per_image": SUM, "": SUM}),
    ("a mean over the valid pixels, by count", VALID, {"sum": SUM, "sum_per_image": SUM}),
    ("a mean over all pixels and images", f"({PIXELS} * {IMAGES})",
     {"sum": SUM, "sum_per_image": SUM}),
)


def divided() -> list[Mistake]:
    """The sum divided by something else, under one reduction or all."""
    found = []
    for words, of, causes in DIVISORS:
        for reduction, cause in causes.items():
            asked = f", where {reduction!r} is asked for"
            asked = {"": ", whatever reduction is asked for", "mean": ""}.get(reduction, asked)
            new = f"({of} if reduction == {reduction!r} else {{}})" if reduction else of
            found.append((cause, f"{{array}} is {words}{asked}", new))
    return replacing(DIVISOR, *found)


def ignored_as(words: str, label: str, counted: bool, least: str = "0") -> list[Mistake]:
    """Pixels with the ignore label that take part, as if theirs were another label.

    ``least`` is what is divided by where no pixel is valid.
    """
    changes = [
        (IGNORE, "if False:"),
        ("label = labels[i]", f"label, ignored = ({label} if labels[i] == ignore else labels[i]), "
         "labels[i] == ignore"),
    ]
    if not counted:
        changes += [("total += weight", "total += weight * (not ignored)"),
                    (DIVISOR, DIVISOR.replace("total", f"(total or {least})"))]
    words = f"pixels with the ignore label {words}" + counted * " and are counted"
    no_gradient = (ONE_HOT, f"{ONE_HOT}; dscores[i] *= not ignored")
    no_loss = ("loss += weight * (", "loss += (not ignored) * weight * (")
    return [
        mistake("ignored_not_zero", f"{words}, and their gradient is not 0", *changes),
        mistake("ignored_counted", f"{words}, but their gradient is 0", *changes, no_gradient),
        mistake("ignored_counted", f"{words} in the mean, though they have neither loss nor "
                "gradient", *changes, no_gradient, no_loss),
    ]


def clipped_log(eps: str) -> list[tuple[str, str, str]]:
    return [
        ("log_clipped", f"{{array}} uses log(p + {eps}): it is too small for a pixel whose "
         "class is improbable", f"-np.log({P} + {eps})"),
        ("log_clipped", f"{{array}} uses log(max(p, {eps})): a very improbable class costs "
         "no more than that; take the logarithm of the sum, not of the quotient",
         f"-np.log(max({P}, {eps}))"),
        ("log_clipped", f"{{array}} uses log of p clipped to {eps} .. 1 - {eps}",
         f"-np.log(min(max({P}, {eps}), 1 - {eps}))"),
    ]


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
    ]


SOFTMAX_CROSS_ENTROPY = [
    *replacing(
        ONE_HOT,
        ("onehot_missing", "{array} is the softmax: the 1 of the pixel's label is not taken off",
         "pass"),
        ("onehot_missing", "{array} has the 1 of the pixel's label added, not taken off",
         "dscores[i, label] += weight"),
        *[("onehot_wrong", f"{{array}} has the 1 taken off {words}", f"dscores[i{at}] -= weight")
          for words, at in (("class 0, whatever the pixel's label", ", 0"),
                            ("the next class", ", (label + 1) % classes"),
                            ("the class before", ", label - 1"), ("every class", ""))],
        ("onehot_wrong", "{array} divides the softmax by the number of pixels, but not the 1 "
         "that is taken off", "dscores[i, label] -= weight * divisor_of(given)"),
        ("class_weights_ignored", "{array} has the softmax weighted, but not the 1 that is taken "
         "off", "dscores[i, label] -= 1")),
    *replacing(
        SOFTMAX,
        ("onehot_missing", "{array} is minus the one-hot labels, without the softmax",
         "dscores[i, f] = 0"),
        ("class_weights_ignored", "{array} has the 1 that is taken off weighted, but not the "
         "softmax", SOFTMAX.replace("weight * ", "")),
        ("class_weights_wrong_axis", "{array} has each class's gradient multiplied by that "
         "class's weight, not by the weight of the pixel's label",
         SOFTMAX.replace("weight *", "weights[f] *"))),
    mistake("onehot_wrong", "{array} has the 1 taken off at the labels of all pixels, in every "
            "pixel: d[:, labels] in place of d[np.arange(len(d)), labels]", (ONE_HOT, "pass"),
            ("dscores /=", "valid = labels != ignore; dscores[valid] -= weights[labels[valid]][:, "
             "None] * np.isin(np.arange(classes), labels[valid]); dscores /=")),
    mistake("sign", "{array} is that of the log-likelihood, not of minus the log-likelihood",
            (RESULT, "return -float(loss / divisor), -dscores")),
    mistake("unstable", "right for small scores, but the largest score of a pixel is not "
            "subtracted before the exponential, which overflows", SHIFT),
    mistake("unstable", "right for small scores, but the loss is the logarithm of a quotient that "
            "becomes 0: take the logarithm of the sum, and subtract the score",
            (LOG, f"-np.log({P})")),
    mistake("unstable", "right for small scores, but the largest score of a pixel is not "
            "subtracted before the exponential, and the loss is the logarithm of a quotient",
            SHIFT, (LOG, f"-np.log({P})")),
    *along("the rows", 1), *along("the columns", 2), *along("the images", 0),
    *along("the rows and columns", (1, 2)), *along("the whole array", (0, 1, 2, 3)),
    *along("each image", (1, 2, 3)), *along("all pixels", (0, 1, 2)),
    *along("the columns and classes", (2, 3)),
    # pixels with the ignore label
    *[each for counted, least in ((False, "0"), (False, "1"), (True, "0")) for words, label in (
        ("have a loss, as if theirs were class 0", "0"),
        ("have a loss, as if theirs were the last class", "classes - 1"),
        ("have a loss, as if their label were taken modulo the classes", "ignore % classes"),
        ("have a loss, as if their label were cut to the classes",
         "min(max(ignore, 0), classes - 1)"))
      for each in ignored_as(words, label, counted, least)],
    *[mistake("ignored_not_zero", f"pixels with the ignore label have the softmax as their "
              f"gradient{words}", (f"{IGNORE}\n            continue", f"{IGNORE}\n            "
              f"e = np.exp(scores[i] - scores[i].max()); dscores[i] = e / e.sum(){more}; continue"))
      for words, more in (("", ""), (" and are counted in the mean", "; total += 1"),
                          (", less 1 at the last class", "; dscores[i, -1] -= 1"),
                          (", less 1 at class 0", "; dscores[i, 0] -= 1"))],
    mistake("ignored_counted", "pixels with the ignore label are counted in the mean",
            (f"{IGNORE}\n            continue", f"{IGNORE}\n            total += 1; continue")),
    *replacing(
        IGNORE,
        *[("ignored_not_zero", f"pixels labelled {value} are ignored, whatever is asked for",
           f"if label == {value}:") for value in (255, 0, -1)],
        *[("ignored_not_zero", f"pixels labelled {value} are ignored as well as those asked for",
           f"if label == ignore or label == {value}:") for value in (255, 0)]),
    *replacing("labels.astype(np.int64)", *[
        ("ignored_not_zero", f"labels are turned into int8{words}, in which 255 is -1: the last "
         "class, not ignored", f"(labels.astype(np.int8){more}).astype(np.int64)")
        for words, more in (("", ""), (" and taken modulo the classes", " % classes"))]),
    *divided(),
    # class weights
    *replacing(
        WEIGHTS,
        ("class_weights_ignored", "{array} comes out as if there were no class weights",
         "weights = np.ones(classes)"),
        ("class_weights_not_normalised", "{array} has the class weights normalised to a mean of 1",
         "{}; weights = weights / weights.mean()"),
        ("class_weights_not_normalised", "{array} has the class weights normalised to a sum of 1",
         "{}; weights = weights / weights.sum()")),
    mistake("class_weights_ignored", "{array} has the class weights in its divisor only",
            (WEIGHT, "weight = 1"),
            (DIVISOR, DIVISOR.replace("total", "weights[labels[labels != ignore]].sum()"))),
    mistake("class_weights_twice", "{array} has the class weights applied twice",
            (WEIGHT, f"{WEIGHT} ** 2"), ("total += weight", "total += weights[label]")),
    mistake("class_weights_twice", "{array} has the class weights squared, in the divisor too",
            (WEIGHT, f"{WEIGHT} ** 2")),
    # the logarithm
    *replacing(LOG, *[("wrong_logarithm", f"the loss uses {words}", new) for words, new in (
        ("the logarithm to base 2", f"({LOG}) / np.log(2)"),
        ("the logarithm to base 10", f"({LOG}) / np.log(10)"),
        ("the logarithm to base 2 of the sum", LOG.replace("np.log(", "np.log2(")),
        ("the logarithm to base 10 of the sum", LOG.replace("np.log(", "np.log10(")),
        ("log(1 + p) in place of log(p)", f"-np.log1p({P})"),
        ("1 - p: there is no logarithm", f"1 - {P}"),
        ("-p: there is no logarithm", f"-{P}"),
        ("p: there is no logarithm", P),
        ("minus the score of the label, without the logarithm of the sum", "-scores[i, label]"),
        ("the logarithm of all classes' probabilities, not of the label's",
         "-np.log(exponentials / sum_of_exponentials).sum()"),
        ("the binary cross-entropy of every class",
         f"-np.log({P}) - sum(np.log(1 - exponentials[f] / sum_of_exponentials) "
         "for f in range(classes) if f != label)"))]),
    *replacing("exponentials = np.exp(scores[i] - largest)", *[
        ("wrong_logarithm", f"{{array}} uses the powers of {base}, in place of exp",
         f"exponentials = {base}.0 ** (scores[i] - largest)") for base in (2, 10)]),
    *replacing(LOG, *[each for eps in ("1e-5", "1e-6", "1e-7", "1e-8", "1e-9", "1e-10", "1e-12",
                                       "1e-15", "1e-16", "1e-20", "1e-30", "1e-45", "1e-100",
                                       "1e-300", "1e-308") for each in clipped_log(eps)]),
    mistake("nan", "where no pixel is valid the sum is divided by 0: the loss is to be 0 there",
            ("if divisor == 0:", "if False:"),
            (RESULT, "return float(loss / divisor) if divisor else np.nan, dscores")),
    mistake("nan", "where no pixel is valid the loss is divided by 0: it is to be 0 there",
            ("return 0.0, dscores", "return np.nan, dscores")),
]


def divisor_of(given: dict[str, Any]) -> float:
    """By what the sum over the pixels is divided."""
    labels, weights = given["labels"], given["class_weights"]
    weights = np.ones(given["scores"].shape[-1]) if weights is None else weights
    total = weights[labels[labels != given["ignore"]].astype(int)].sum()
    return {"mean": total, "sum": 1, "sum_per_image": len(labels)}[given["reduction"]]


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
HELPERS = {each.__name__: each for each in (winners, cells, divisor_of, reversed_range,
                                            bilinear_kernel)}

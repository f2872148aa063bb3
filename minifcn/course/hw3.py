"""Homework 3: transposed convolution, the bilinear kernel, and where a cell lies in the image."""

from __future__ import annotations

import numpy as np

from minifcn.course.comparing import aspects, compared
from minifcn.course.parts import (
    Assignment,
    Failed,
    Judged,
    Layer,
    Verdict,
    Words,
    attempt,
    close,
)


def draw_conv_transpose(rng):
    n, h, w, c, f, kh, kw, stride = (
        int(v) for v in rng.integers((1, 2, 2, 1, 1, 2, 2, 1), (4, 6, 7, 4, 5, 6, 5, 4))
    )
    padding = int(rng.integers(0, 1 + min(kh, kw) // 2))
    return {
        "x": rng.standard_normal((n, h, w, c)),
        "weight": rng.standard_normal((kh, kw, c, f)),
        "bias": rng.standard_normal(f) if rng.integers(2) else None,
        "stride": stride,
        "padding": padding,
    }


# -- extra rows and columns -----------------------------------------------------------------------


def judge_extra(ask, rng):
    """The right answer: all stamps on a large sheet, of which a part is cut out."""
    from minifcn.ops import reference

    def sheet(size, stamps, padding):
        """(slice of the sheet, slice of the output) where both are."""
        stop = min(size, stamps - padding)
        return slice(padding, padding + stop), slice(0, stop)

    def case(padding, bias):
        given = draw_conv_transpose(rng)
        x, weight = given["x"], given["weight"]
        if min(weight.shape[:2]) < 2 * padding:
            weight = rng.standard_normal((4, 3, *weight.shape[2:]))
        bias = rng.standard_normal(weight.shape[3]) if bias else None
        stride = int(rng.integers(2, 4))
        return x, weight, bias, stride, padding, int(rng.integers(1, stride))

    def sizes(x, weight, stride, padding, extra):
        stamps = [(extent - 1) * stride + k for extent, k in zip(x.shape[1:3], weight.shape)]
        return stamps, [whole - 2 * padding + extra for whole in stamps]

    def forwards(x, weight, bias, stride, padding, extra):
        stamps, (oh, ow) = sizes(x, weight, stride, padding, extra)
        everything = reference.conv_transpose2d_forward(x, weight, None, stride, 0)
        right = np.zeros((len(x), oh, ow, weight.shape[3]))
        rows, columns = sheet(oh, stamps[0], padding), sheet(ow, stamps[1], padding)
        right[:, rows[1], columns[1]] = everything[:, rows[0], columns[0]]
        zeros, without_bias, top = right.copy(), right.copy(), np.zeros_like(right)
        zeros[:, oh - extra:] = zeros[:, :, ow - extra:] = 0
        corner = everything[:, max(padding - extra, 0):, max(padding - extra, 0):][:, :oh, :ow]
        top[:, oh - corner.shape[1]:, ow - corner.shape[2]:] = corner
        if bias is not None:
            right, zeros, top = right + bias, zeros + bias, top + bias
            without_bias[:, :oh - extra, :ow - extra] += bias
        got = ask("conv_transpose2d_forward", x, weight, bias, stride, padding, extra)
        return compared(got, right, f"y with extra {extra}", (
            ("extra_ignored", "has no extra rows and columns", right[:, :-extra, :-extra]),
            ("extra_zeros", "has zeros there: nothing of what was cut off has come back", zeros),
            ("bias_missing", "has no bias there", without_bias),
            ("extra_wrong_side", "has them at the top and at the left", top)))  # fmt: skip

    def backwards(x, weight, bias, stride, padding, extra):
        stamps, (oh, ow) = sizes(x, weight, stride, padding, extra)
        dy = rng.standard_normal((len(x), oh, ow, weight.shape[3]))
        whole = np.zeros((len(x), *stamps, weight.shape[3]))
        rows, columns = sheet(oh, stamps[0], padding), sheet(ow, stamps[1], padding)
        whole[:, rows[0], columns[0]] = dy[:, rows[1], columns[1]]
        dx, dweight, _ = reference.conv_transpose2d_backward(whole, x, weight, stride, 0)
        got = ask("conv_transpose2d_backward", dy, x, weight, stride, padding, extra)
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise Failed("conv_transpose2d_backward does not return dx, dweight, dbias",
                         "wrong_shape")  # fmt: skip
        dbias = dy.sum((0, 1, 2))
        lost = dy[:, :oh - extra, :ow - extra].sum((0, 1, 2))
        cropped = reference.conv_transpose2d_backward(
            dy[:, :oh - extra, :ow - extra], x, weight, stride, padding)
        for name, mine, right, other in zip(("dx", "dweight", "dbias"), got, (dx, dweight, dbias),
                                            (*cropped[:2], lost)):  # fmt: skip
            verdict = compared(mine, right, f"{name} with extra {extra}", (
                ("extra_ignored", "leaves the extra rows and columns out", other),))  # fmt: skip
            if verdict.share < 1:
                break
        return verdict

    cases = case(1, True), case(0, False)
    return [attempt(lambda c=c, f=f: f(*c)) for f in (forwards, backwards) for c in cases]


# -- the kernel -----------------------------------------------------------------------------------


def bilinear_weight(factor, classes, size=None):
    from minifcn.ops import bilinear_kernel

    kernel = bilinear_kernel(size or (2 * factor - 1 if factor % 2 else 2 * factor))
    weight = np.zeros((*kernel.shape, classes, classes))
    for c in range(classes):
        weight[..., c, c] = kernel
    return weight


def _tent(factor, classes, kernel):
    weight = bilinear_weight(factor, classes)
    k = len(weight)
    line = np.asarray([kernel(i, k, factor) for i in range(k)], float)
    return np.outer(line, line)[:, :, None, None] * np.eye(classes)


KERNEL_MISTAKES = (
    ("channels_mixed", "fills all pairs of classes, not each class with itself alone",
     lambda f, c: np.broadcast_to(bilinear_weight(f, 1), (*bilinear_weight(f, 1).shape[:2], c, c))),
    ("constant_factor", "has a kernel that sums to 1, so that constants shrink",
     lambda f, c: bilinear_weight(f, c) / f**2),
    ("constant_factor", "has a kernel whose largest weight is 1", lambda f, c: bilinear_weight(f, c)
     / bilinear_weight(f, c).max()),
    ("wrong_kernel", "has a kernel of ones: the nearest cells are added up",
     lambda f, c: _tent(f, c, lambda i, k, s: 1)),
    ("wrong_kernel", "has a tent that is half a place off its middle",
     lambda f, c: _tent(f, c, lambda i, k, s: 1 - abs(i - k // 2) / s)),
    ("wrong_kernel", "has a tent that is half a place off its middle",
     lambda f, c: _tent(f, c, lambda i, k, s: 1 - abs(i - (s - 1)) / s)),
    ("wrong_kernel", "has tents of rows and columns that are added, not multiplied",
     lambda f, c: _added(f, c)),
    ("wrong_shape", "has 2 * factor places",
     lambda f, c: bilinear_weight(f, c, 2 * f)),
)  # fmt: skip


def _added(factor, classes):
    line = bilinear_weight(factor, 1)[:, :, 0, 0]
    line = line.sum(0) / line.sum() * factor
    return (line[:, None] + line)[:, :, None, None] / 2 * np.eye(classes)


FACTORS = {
    "for one class": lambda rng: (2 * int(rng.integers(1, 9)), 1),
    "for several classes": lambda rng: (2 * int(rng.integers(1, 9)), int(rng.integers(2, 5))),
    "for an odd factor": lambda rng: (2 * int(rng.integers(1, 6)) + 1, int(rng.integers(1, 4))),
}


# -- where a cell lies ----------------------------------------------------------------------------


def place(layers, size, **change):
    """As ``minifcn.models.geometry`` follows a grid; ``change`` makes the mistakes below."""
    from minifcn.models.geometry import Grid
    from minifcn.ops.checks import max_pool2d_size

    grid = Grid(size)
    for kind, *numbers in layers:
        if kind == "conv":
            kernel, stride, padding, dilation = numbers
            dilation = 1 if change.get("no_dilation") else dilation
            grid = grid.convolve(dilation * (kernel - 1) + 1, stride, padding)
            if change.get("no_padding"):
                grid = grid._replace(origin=grid.origin + padding * grid.step / stride)
            if change.get("new_step"):
                window = dilation * (kernel - 1)
                moved = (window / 2 - padding) * grid.step
                grid = grid._replace(origin=grid.origin - moved / stride + moved)
        elif kind == "pool":
            kernel, stride = numbers
            pooled = max_pool2d_size(grid.size, kernel, stride, not change.get("floor"))
            shift = 0 if change.get("pool_stays") else (kernel - 1) / 2 * grid.step
            grid = Grid(pooled, grid.step * stride, grid.origin + shift)
        elif kind == "up":
            before = grid
            grid = grid.upsample(*numbers)
            if change.get("up_sign"):
                grid = grid._replace(origin=2 * before.origin - grid.origin)
            if change.get("old_step"):
                moved = (grid.origin - before.origin) * numbers[1]
                grid = grid._replace(origin=before.origin + moved)
        elif kind == "crop":
            offset, kept = numbers
            step = 1 if change.get("crop_cells") else grid.step
            grid = Grid(kept, grid.step, grid.origin + offset * step)
    return tuple(grid)


def _stage(convolutions, padding=1):
    first, other = ("conv", 3, 1, padding, 1), ("conv", 3, 1, 1, 1)
    return [first, *[other] * (convolutions - 1), ("pool", 2, 2)]


TRUNK = [*_stage(2, 100), *_stage(2), *_stage(3), *_stage(3), *_stage(3), ("conv", 7, 1, 0, 1)]


def _places(*kinds):
    """Two or three layers of these kinds, after a first pooling, on 60 to 120 pixels."""

    def draw(rng):
        kernel, stride, padding = (int(v) for v in rng.integers((3, 2, 1), (6, 4, 3)))
        layers = {
            "conv": ("conv", kernel, stride, padding, 1),
            "dilated": ("conv", kernel, 1, padding, int(rng.integers(2, 4))),
            "pool": ("pool", kernel - 1, stride),
            "up": ("up", 2 * stride, stride, padding),
            "crop": ("crop", padding, 5),
        }
        return [("pool", 2, 2), *(layers[kind] for kind in kinds)], int(rng.integers(60, 121))

    return draw


PLACES = {
    "after two convolutions": _places("conv", "conv"),
    "after a dilated convolution": _places("dilated", "conv"),
    "after poolings": _places("pool", "pool"),
    "after poolings of tiny maps": lambda rng: (
        [("pool", 1, 3), ("pool", 4, 2), ("pool", 2, 2)], int(rng.integers(4, 7))),
    "after an upsampling": _places("up", "conv"),
    "after a crop": _places("crop", "conv"),
    "for all of FCN-16s": lambda rng: (
        [*TRUNK, ("up", 4, 2, 0), ("up", 32, 16, 0), ("crop", 27, 300)],
        int(rng.integers(300, 500))),
}  # fmt: skip
PLACE_MISTAKES = tuple(
    (cause, words, lambda layers, size, key=key: place(layers, size, **{key: True}))
    for cause, words, key in (
        ("dilation_ignored", "is that without dilation",
         "no_dilation"),
        ("padding_ignored", "has an origin that no padding moves", "no_padding"),
        ("stride_order", "has an origin that a convolution moves by its new step",
         "new_step"),
        ("rounded_down", "has a size after pooling that is rounded down", "floor"),
        ("origin", "has an origin that no pooling moves", "pool_stays"),
        ("sign", "has an origin that upsampling moves to the wrong side", "up_sign"),
        ("stride_order", "has an origin that upsampling moves by its old step",
         "old_step"),
        ("origin", "has an origin that a crop moves by cells, not by pixels", "crop_cells"),
    )
)  # fmt: skip


# -- crops ----------------------------------------------------------------------------------------


def judge_crop_offset(ask, rng):
    padding = int(rng.integers(81, 120))
    trunk = [("conv", 3, 1, padding, 1), *TRUNK[1:]]
    h = int(rng.integers(120, 500))
    pools = [k for k, layer in enumerate(trunk) if layer[0] == "pool"]
    pool4, pool3 = (place(trunk[: pools[k] + 1], h) for k in (3, 2))
    up2 = place([*trunk, ("up", 4, 2, 0)], h)
    fused = [*trunk, ("up", 4, 2, 0), ("up", 4, 2, 0)]
    image = (h, 1.0, 0.0)
    pairs = [
        ("the output of FCN-32s and the image", place([*trunk, ("up", 64, 32, 0)], h), image),
        ("pool4 and the scores upsampled by 2", pool4, up2),
        ("pool3 and the scores upsampled by 4", pool3, place(fused, h)),
        ("two maps that lie on one another", (9, 4.0, 1.5), (7, 4.0, 1.5)),
    ]

    def whole(what, fine, coarse):
        right = round((coarse[2] - fine[2]) / fine[1])
        got = ask("crop_offset", fine, coarse)
        if close(got, right) is None and np.asarray(got).dtype.kind not in "iu":
            return Verdict(0, f"{what}: the offset is {got!r}, not a whole number", "wrong_dtype")
        return compared(got, right, f"the offset of {what}", (
            ("sign", "has the wrong sign", -right),
            ("centred", "is that of a crop in the middle", (fine[0] - coarse[0]) // 2),
            ("origin", "is counted in pixels, not in cells", right * fine[1])))  # fmt: skip

    def refused(what, fine, coarse):
        try:
            got = ask("crop_offset", fine, coarse)
        except Failed as error:
            right = "ValueError" in str(error)
            return Verdict(float(right), "" if right else f"{what}: {error}",
                           None if right else "crashed")  # fmt: skip
        return Verdict(0, f"{what}: {got!r} is returned, and no ValueError raised", "not_refused")

    bad = [
        ("steps of 8 and 16 pixels", (20, 8.0, 3.5), (10, 16.0, 3.5)),
        ("origins half a cell apart", (20, 8.0, 3.5), (10, 8.0, 7.5)),
        ("a cell before the first", (20, 8.0, 19.5), (10, 8.0, 3.5)),
        ("a cell behind the last", (20, 8.0, 3.5), (10, 8.0, 163.5)),
    ]
    return [attempt(lambda f=f, p=p: f(*p))
            for f, given in ((whole, pairs), (refused, bad)) for p in given]  # fmt: skip


def judge_crop(ask, rng):
    n, h, w, c, rows, columns = (
        int(v) for v in rng.integers((1, 6, 7, 1, 1, 1), (4, 9, 11, 4, 3, 4))
    )
    x = rng.standard_normal((n, h, w, c))
    height, width = h - rows - int(rng.integers(1, 3)), w - columns - int(rng.integers(1, 3))
    inside = np.s_[:, rows:rows + height, columns:columns + width]

    def forwards():
        got = ask("crop_forward", x, rows, columns, height, width)
        centre = x[:, (h - height) // 2:, (w - width) // 2:][:, :height, :width]
        return compared(got, x[inside], "y", (
            ("centred", "is cropped in the middle, not at the offsets", centre),
            ("shifted", "is cropped at the top left, not at the offsets", x[:, :height, :width]),
            ("results_swapped", "has the offsets of rows and columns exchanged",
             x[:, columns:columns + height, rows:rows + width])))  # fmt: skip

    def backwards():
        dy = rng.standard_normal((n, height, width, c))
        right = np.zeros(x.shape)
        right[inside] = dy
        got = ask("crop_backward", dy, rows, columns, x.shape)
        other = np.zeros(x.shape)
        other[:, :height, :width] = dy
        return compared(got, right, "dx", (
            ("shifted", "has dy at the top left, not at the offsets", other),))  # fmt: skip

    return [attempt(forwards), attempt(backwards)]


UP = ("conv_transpose2d_forward", "conv_transpose2d_backward")
ASSIGNMENT = Assignment(
    name="hw3",
    title="Back to full size",
    parts=(
        Layer("conv-transpose-forward", UP[:1], value=12, purity=2, hidden=4,
              draw=draw_conv_transpose, page="tutorials/05_upsampling"),
        Layer("conv-transpose-backward", UP[1:], gradient=14, purity=2, hidden=6,
              draw=draw_conv_transpose, page="tutorials/05_upsampling"),
        Judged("extra", UP, 5, judge_extra, hidden=3, page="tutorials/05_upsampling"),
        Judged("bilinear-weight", ("bilinear_weight",), 6,
               aspects("bilinear_weight", bilinear_weight, FACTORS, KERNEL_MISTAKES), hidden=4,
               page="tutorials/05_upsampling"),
        Judged("place", ("place",), 8, aspects("place", place, PLACES, PLACE_MISTAKES), hidden=4,
               page="tutorials/07_fcn"),
        Judged("crop-offset", ("crop_offset",), 5, judge_crop_offset, hidden=3,
               page="tutorials/07_fcn"),
        Judged("crop", ("crop_forward", "crop_backward"), 4, judge_crop, hidden=2,
               page="tutorials/07_fcn"),
        Words("not-an-inverse", 8),
        Words("centred-crop", 8),
    ),
    pages={
        "channels_mixed": "docs/why/bilinear-kernel",
        "constant_factor": "docs/why/bilinear-kernel",
        "wrong_kernel": "docs/why/bilinear-kernel",
        "centred": "docs/why/crop-offset",
        "overlap_assigned": "docs/why/col2im-adds",
    },
)  # fmt: skip

"""What every engine shares: argument checks, output sizes, the bilinear kernel.

The engines take these sizes from here; the public operations in ``minifcn.ops`` call the checks
before any engine runs, so that wrong arguments never reach compiled code, a student's engine
included.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Pair(NamedTuple):
    rows: int
    columns: int


def pair(value: int | tuple[int, int]) -> Pair:
    """``3`` -> ``(3, 3)``; ``(1, 2)`` stays: an extent along rows and along columns."""
    return Pair(int(value), int(value)) if np.ndim(value) == 0 else Pair(*(int(v) for v in value))


def dense(array: np.ndarray) -> np.ndarray:
    """The array itself if contiguous, aligned and writable, else a copy: one version serves all."""
    return np.require(array, requirements=["C", "A", "W"])


def conv2d_size(extent: int, kernel: int, stride: int, padding: int) -> int:
    """Output extent of a convolution: the number of places at which the kernel fits."""
    return (extent + 2 * padding - kernel) // stride + 1


def max_pool2d_size(extent: int, size: int, stride: int, ceil_mode: bool) -> int:
    """Output extent of pooling: windows are clipped at the border, none starts outside.

    Caffe's rule: ceil((extent - size) / stride) + 1, less the window that would start outside.
    """
    room = max(extent - size, 0)
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    return out - 1 if (out - 1) * stride >= extent else out


def conv_transpose2d_size(extent: int, kernel: int, stride: int, padding: int) -> int:
    """Output extent of a transposed convolution: the input extent of the convolution it mirrors."""
    return (extent - 1) * stride + kernel - 2 * padding


def bilinear_kernel(size: int, dtype="float64") -> np.ndarray:
    """The kernel that makes a transposed convolution interpolate bilinearly.

    Parameters
    ----------
    size : int
        Extent of the kernel, at least 1; 2 * factor for upsampling by an even factor.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    kernel : (size, size) array
        The outer product of ``1 - |i - centre| / factor`` with itself. Here ``factor`` is
        ``(size + 1) // 2``; ``centre`` is ``factor - 1`` for odd, ``factor - 0.5`` for even sizes.

    Examples
    --------
    >>> bilinear_kernel(4)[0] / bilinear_kernel(4)[0].sum()
    array([0.125, 0.375, 0.375, 0.125])
    """
    if size < 1:
        raise ValueError(f"a bilinear kernel has a size of at least 1, not {size}")
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(line, line).astype(dtype)


# Argument checks. Each names the axis and both numbers.


def arrays(**named: np.ndarray) -> None:
    """All are NumPy arrays of one floating dtype, float32 or float64."""
    first = None
    for name, array in named.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} is a {type(array).__name__}, not a NumPy array")
        if array.dtype not in FLOATS:
            raise ValueError(f"{name} has dtype {array.dtype}; use float32 or float64")
        first = first or (name, array.dtype)
        if array.dtype != first[1]:
            raise ValueError(f"{name} has dtype {array.dtype}, {first[0]} has {first[1]}; "
                             f"convert one of them with .astype")


def axes(name: str, array: np.ndarray, meaning: str) -> None:
    """The array has as many axes as the words in ``meaning``, such as "n h w c"."""
    count = len(meaning.split())
    if array.ndim != count:
        raise ValueError(f"{name} needs {count} axes ({', '.join(meaning.split())}), "
                         f"its shape is {array.shape}")


def same_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != tuple(expected):
        raise ValueError(f"{name} has shape {array.shape}, but {tuple(expected)} is needed")


def channels(weight: np.ndarray, x: np.ndarray) -> None:
    if weight.shape[-2] != x.shape[-1]:
        raise ValueError(f"weight expects {weight.shape[-2]} input channels, x has {x.shape[-1]}")


def bias_of(weight: np.ndarray, bias: np.ndarray) -> None:
    axes("bias", bias, "c_out")
    if len(bias) != weight.shape[-1]:
        raise ValueError(f"bias has {len(bias)} values, "
                         f"weight has {weight.shape[-1]} output channels")


def whole_number(name: str, value, least: int) -> None:
    """An int, or a pair (rows, columns) of ints, none below ``least``."""
    values = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value,)
    if not all(isinstance(v, (int, np.integer)) for v in values):
        raise ValueError(f"{name} is {value!r}; give a whole number or a pair (rows, columns)")
    if min(values) < least:
        raise ValueError(f"{name} is {value!r}, but must be at least {least}")


def conv2d(x, weight, bias=None, stride=1, padding=0) -> tuple[int, int, int, int]:
    """Check the arguments of a convolution and return the shape of its output."""
    arrays(x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    axes("x", x, "n h w c_in")
    axes("weight", weight, "kh kw c_in c_out")
    channels(weight, x)
    if bias is not None:
        bias_of(weight, bias)
    whole_number("stride", stride, 1)
    whole_number("padding", padding, 0)
    for axis, extent, kernel, p in zip(("rows", "columns"), x.shape[1:3], weight.shape[:2],
                                       pair(padding)):
        if kernel < 1 or extent + 2 * p < kernel:
            raise ValueError(f"a kernel of {kernel} {axis} does not fit {extent} {axis} "
                             f"with a padding of {p}")
    (oh, ow) = (conv2d_size(*each) for each in
                zip(x.shape[1:3], weight.shape[:2], pair(stride), pair(padding)))
    return x.shape[0], oh, ow, weight.shape[3]


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0) -> tuple[int, int, int, int]:
    """Check the arguments of a transposed convolution and return the shape of its output."""
    arrays(x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    axes("x", x, "n h w c_in")
    axes("weight", weight, "kh kw c_in c_out")
    channels(weight, x)
    if bias is not None:
        bias_of(weight, bias)
    whole_number("stride", stride, 1)
    whole_number("padding", padding, 0)
    sizes = [upsampled_size(axis, *each) for axis, *each in
             zip(("rows", "columns"), x.shape[1:3], weight.shape[:2], pair(stride), pair(padding))]
    return x.shape[0], *sizes, weight.shape[3]


def upsampled_size(axis: str, extent: int, kernel: int, stride: int, padding: int) -> int:
    size = conv_transpose2d_size(extent, kernel, stride, padding)
    if extent < 1 or kernel < 1 or size < 1:
        raise ValueError(f"{extent} {axis} with a kernel of {kernel}, a stride of {stride} and "
                         f"a padding of {padding} leave {size} {axis} of output")
    return size


def max_pool2d(x, size, stride) -> None:
    arrays(x=x)
    axes("x", x, "n h w c")
    whole_number("size", size, 1)
    whole_number("stride", stride, 1)
    if min(x.shape[1:3]) < 1:
        raise ValueError(f"x has {x.shape[1]} rows and {x.shape[2]} columns; at least 1 is needed")


def max_pool2d_backward(dy, argmax, x_shape) -> None:
    arrays(dy=dy)
    axes("dy", dy, "n oh ow c")
    same_shape("argmax", argmax, dy.shape)
    if argmax.dtype != np.int64:
        raise ValueError(f"argmax has dtype {argmax.dtype}; max_pool2d_forward gives int64")
    if len(x_shape) != 4 or (x_shape[0], x_shape[3]) != (dy.shape[0], dy.shape[3]):
        raise ValueError(f"x_shape is {tuple(x_shape)}, but dy has {dy.shape[0]} images "
                         f"and {dy.shape[3]} channels")
    pixels = x_shape[1] * x_shape[2]
    if argmax.size and not 0 <= argmax.min() <= argmax.max() < pixels:
        raise ValueError(f"argmax holds values from {argmax.min()} to {argmax.max()}, "
                         f"but x_shape {tuple(x_shape)} has the positions 0 to {pixels - 1}")


def bilinear_upsample(x_shape, factor, size, padding) -> tuple[int, int, int, int]:
    """Check the arguments of bilinear upsampling and return the shape of its output."""
    if len(x_shape) != 4:
        raise ValueError(f"x needs 4 axes (n, h, w, c), its shape is {tuple(x_shape)}")
    for name, value in (("factor", factor), ("size", size)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} is {value!r}; give a whole number of at least 1")
    whole_number("padding", padding, 0)
    sizes = [upsampled_size(axis, extent, size, factor, p)
             for axis, extent, p in zip(("rows", "columns"), x_shape[1:3], pair(padding))]
    return x_shape[0], *sizes, x_shape[3]


def linear(x, weight, bias=None) -> tuple[int, int]:
    arrays(x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    axes("x", x, "n c_in")
    axes("weight", weight, "c_in c_out")
    channels(weight, x)
    if bias is not None:
        bias_of(weight, bias)
    return x.shape[0], weight.shape[1]


def dropout_rate(rate) -> None:
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate}; it is the share of values dropped, "
                         "at least 0 and below 1")


def softmax_cross_entropy(scores, labels, ignore, reduction, class_weights) -> None:
    arrays(scores=scores)
    axes("scores", scores, "n h w classes")
    classes = scores.shape[3]
    if classes < 1:
        raise ValueError("scores has 0 classes; at least 1 is needed")
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise ValueError(f"labels must be an array of whole numbers, not {kind}")
    same_shape("labels", labels, scores.shape[:3])
    if reduction not in ("mean", "sum", "sum_per_image"):
        raise ValueError(f'reduction is {reduction!r}; use "mean", "sum" or "sum_per_image"')
    if class_weights is not None:
        weights = np.asarray(class_weights)
        if weights.shape != (classes,):
            raise ValueError(f"class_weights has shape {weights.shape}, "
                             f"scores has {classes} classes")
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError("class_weights must be finite and not negative")
    # two passes without a temporary array in the good case: this runs at every training step
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        wrong = ((labels < 0) | (labels >= classes)) & (labels != ignore)
        if wrong.any():
            n, i, j = np.argwhere(wrong)[0]
            raise ValueError(f"label {labels[n, i, j]} at image {n}, row {i}, column {j} is "
                             f"neither a class (0..{classes - 1}) nor the ignore value {ignore}")

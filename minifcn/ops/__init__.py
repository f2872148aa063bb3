"""The operations: pure functions on NHWC arrays. They check their arguments, then call an engine.

An engine is a module with some of the functions below; what it lacks, ``reference`` supplies. Every
function works in float32 and float64, returns the dtype that it was given, never changes its
inputs, and raises ``ValueError`` for wrong shapes, dtypes or labels before any compiled code runs.
"""
from __future__ import annotations

import importlib

import numpy as np

from minifcn.ops import checks
from minifcn.ops.checks import bilinear_kernel
from minifcn.ops.engines import (
    engine_name,
    engines,
    find,
    implementation,
    register_engine,
    use,
    using,
)
from minifcn.ops.memory import release_memory
from minifcn.ops.threads import get_threads, set_threads

__all__ = [
    "bilinear_kernel", "bilinear_upsample_backward", "bilinear_upsample_forward",
    "conv2d_backward", "conv2d_forward", "conv2d_relu_backward", "conv2d_relu_forward",
    "conv_transpose2d_backward", "conv_transpose2d_forward",
    "dropout_backward", "dropout_forward", "engine_name", "engines", "get_threads",
    "linear_backward", "linear_forward", "max_pool2d_backward", "max_pool2d_forward",
    "register_engine", "release_memory", "relu_backward", "relu_forward", "set_threads",
    "softmax_cross_entropy", "use", "using",
]


def __getattr__(name: str):
    if name in ("reference", "fast"):       # there after ``import minifcn``, imported when used
        return importlib.import_module(f"minifcn.ops.{name}")
    raise AttributeError(f"module 'minifcn.ops' has no attribute {name!r}")


# ---------------------------------------------------------------------------------------------
# Convolution
# ---------------------------------------------------------------------------------------------


def conv2d_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride=1,
                   padding=0) -> np.ndarray:
    """Convolution (a correlation: the kernel is not flipped) of a batch of images.

    Parameters
    ----------
    x : (n, h, w, c_in) array
        float32 or float64.
    weight : (kh, kw, c_in, c_out) array
    bias : (c_out,) array
    stride, padding : int or (rows, columns)
        Step between two places of the kernel, at least 1; zeros added on each side, at least 0.

    Returns
    -------
    y : (n, oh, ow, c_out) array
        ``oh = (h + 2 * padding - kh) // stride + 1``, and ``ow`` alike.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, or the kernel is larger than the padded image.
    """
    checks.conv2d(x, weight, bias, stride, padding)
    return implementation("conv2d_forward")(x, weight, bias, stride, padding)


def conv2d_backward(dy: np.ndarray, x: np.ndarray, weight: np.ndarray, stride=1,
                    padding=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of a convolution, from that of its output.

    Parameters
    ----------
    dy : (n, oh, ow, c_out) array
        Gradient of the loss with respect to the output.
    x, weight, stride, padding
        What the forward pass was given.

    Returns
    -------
    dx : (n, h, w, c_in) array
    dweight : (kh, kw, c_in, c_out) array
    dbias : (c_out,) array
    """
    _check_conv2d_backward(dy, x, weight, stride, padding)
    return implementation("conv2d_backward")(dy, x, weight, stride, padding)


def _check_conv2d_backward(dy, x, weight, stride, padding):
    shape = checks.conv2d(x, weight, None, stride, padding)
    checks.arrays(x=x, dy=dy)
    checks.same_shape("dy", dy, shape)


def conv2d_relu_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride=1,
                        padding=0) -> np.ndarray:
    """``relu_forward(conv2d_forward(...))``, in one pass where the engine has one."""
    checks.conv2d(x, weight, bias, stride, padding)
    fused = find("conv2d_relu_forward")
    if fused is None:
        return relu_forward(conv2d_forward(x, weight, bias, stride, padding))
    return fused(x, weight, bias, stride, padding)


def conv2d_relu_backward(dy: np.ndarray, y: np.ndarray, x: np.ndarray, weight: np.ndarray, stride=1,
                         padding=0, need_dx: bool = True):
    """``conv2d_backward(relu_backward(dy, y), ...)``, in one pass where the engine has one.

    ``need_dx=False`` spares the first layer a gradient that nobody asks for: dx is None then.
    """
    _check_conv2d_backward(dy, x, weight, stride, padding)
    checks.arrays(y=y, dy=dy)
    checks.same_shape("y", y, dy.shape)
    fused = find("conv2d_relu_backward")
    if fused is None:
        dx, dweight, dbias = conv2d_backward(relu_backward(dy, y), x, weight, stride, padding)
        return dx if need_dx else None, dweight, dbias
    return fused(dy, y, x, weight, stride, padding, need_dx=need_dx)


def conv_transpose2d_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None,
                             stride=1, padding=0) -> np.ndarray:
    """Transposed convolution: each input cell stamps the kernel onto the output, ``stride`` apart.

    Parameters
    ----------
    x : (n, h, w, c_in) array
        float32 or float64.
    weight : (kh, kw, c_in, c_out) array
    bias : (c_out,) array, optional
    stride, padding : int or (rows, columns)
        Distance of two stamps; rows and columns cut off on each side of the output.

    Returns
    -------
    y : (n, oh, ow, c_out) array
        ``oh = (h - 1) * stride + kh - 2 * padding``, and ``ow`` alike.
    """
    checks.conv_transpose2d(x, weight, bias, stride, padding)
    return implementation("conv_transpose2d_forward")(x, weight, bias, stride, padding)


def conv_transpose2d_backward(dy: np.ndarray, x: np.ndarray, weight: np.ndarray, stride=1,
                              padding=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients dx, dweight and dbias of a transposed convolution; shapes as in its forward."""
    shape = checks.conv_transpose2d(x, weight, None, stride, padding)
    checks.arrays(x=x, dy=dy)
    checks.same_shape("dy", dy, shape)
    return implementation("conv_transpose2d_backward")(dy, x, weight, stride, padding)


def bilinear_upsample_forward(x: np.ndarray, factor: int, size: int, padding) -> np.ndarray:
    """Bilinear upsampling: the transposed convolution with the frozen bilinear kernel, per channel.

    Parameters
    ----------
    x : (n, h, w, c) array
        float32 or float64.
    factor : int
        The stride of the transposed convolution.
    size : int
        The extent of the kernel (see ``bilinear_kernel``), ``2 * factor`` in FCN.
    padding : int or (rows, columns)
        Rows and columns cut off on each side.

    Returns
    -------
    y : (n, oh, ow, c) array
        ``oh = (h - 1) * factor + size - 2 * padding``. Beyond its border x counts as 0, so
        constants survive in the interior only.
    """
    checks.arrays(x=x)
    checks.bilinear_upsample(x.shape, factor, size, padding)
    return implementation("bilinear_upsample_forward")(x, factor, size, padding)


def bilinear_upsample_backward(dy: np.ndarray, factor: int, size: int, padding,
                               x_shape: tuple[int, int, int, int]) -> np.ndarray:
    """Gradient dx of ``bilinear_upsample_forward`` with an input of shape ``x_shape``."""
    checks.arrays(dy=dy)
    checks.same_shape("dy", dy, checks.bilinear_upsample(x_shape, factor, size, padding))
    return implementation("bilinear_upsample_backward")(dy, factor, size, padding, tuple(x_shape))


# ---------------------------------------------------------------------------------------------
# The other layers
# ---------------------------------------------------------------------------------------------


def max_pool2d_forward(x: np.ndarray, size=2, stride=2,
                       ceil_mode: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Max pooling over windows of ``size`` by ``size``, clipped at the border.

    Parameters
    ----------
    x : (n, h, w, c) array
        float32 or float64.
    size, stride : int or (rows, columns)
    ceil_mode : bool
        Round the number of windows up (Caffe, FCN) or down; none starts outside, there is at least
        one.

    Returns
    -------
    y : (n, oh, ow, c) array
    argmax : (n, oh, ow, c) array of int64
        Where in the image each maximum was found, as row * w + column; the first wins a tie.
    """
    checks.max_pool2d(x, size, stride)
    return implementation("max_pool2d_forward")(x, size, stride, ceil_mode)


def max_pool2d_backward(dy: np.ndarray, argmax: np.ndarray,
                        x_shape: tuple[int, int, int, int]) -> np.ndarray:
    """Gradient dx of max pooling: each dy goes to where its maximum was, and adds up there."""
    checks.max_pool2d_backward(dy, argmax, x_shape)
    return implementation("max_pool2d_backward")(dy, argmax, tuple(x_shape))


def relu_forward(x: np.ndarray) -> np.ndarray:
    """Rectified linear unit max(x, 0) of an array of any shape."""
    checks.arrays(x=x)
    return implementation("relu_forward")(x)


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient dx of the rectified linear unit, from its output: dy where y > 0, else 0."""
    checks.arrays(dy=dy, y=y)
    checks.same_shape("dy", dy, y.shape)
    return implementation("relu_backward")(dy, y)


def linear_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Fully connected layer: ``x @ weight + bias``.

    Parameters
    ----------
    x : (n, c_in) array
    weight : (c_in, c_out) array
    bias : (c_out,) array

    Returns
    -------
    y : (n, c_out) array
    """
    checks.linear(x, weight, bias)
    return implementation("linear_forward")(x, weight, bias)


def linear_backward(dy: np.ndarray, x: np.ndarray,
                    weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients dx, dweight and dbias of a fully connected layer; shapes as in the forward pass."""
    shape = checks.linear(x, weight)
    checks.arrays(x=x, dy=dy)
    checks.same_shape("dy", dy, shape)
    return implementation("linear_backward")(dy, x, weight)


def dropout_forward(x: np.ndarray, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Drop each value with probability ``rate``, divide the others by ``1 - rate``.

    Parameters
    ----------
    x : array of any shape
    rate : float
        At least 0, below 1.
    seed : int
        The mask is a function of it and of the flat index of a value, the same on every engine.

    Returns
    -------
    y : array like x
    mask : bool array like x
        True where a value was kept.
    """
    checks.arrays(x=x)
    checks.dropout_rate(rate)
    return implementation("dropout_forward")(x, rate, seed)


def dropout_backward(dy: np.ndarray, mask: np.ndarray, rate: float) -> np.ndarray:
    """Gradient dx of dropout: ``dy / (1 - rate)`` where a value was kept, else 0."""
    checks.arrays(dy=dy)
    checks.dropout_rate(rate)
    checks.same_shape("mask", mask, dy.shape)
    return implementation("dropout_backward")(dy, mask, rate)


def softmax_cross_entropy(scores: np.ndarray, labels: np.ndarray, ignore: int = 255,
                          reduction: str = "mean",
                          class_weights: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Softmax cross-entropy of every pixel, and its gradient with respect to the scores.

    Parameters
    ----------
    scores : (n, h, w, classes) array
        float32 or float64, before the softmax.
    labels : (n, h, w) array of any integer dtype
        Class ids, or ``ignore``.
    ignore : int
        Pixels with this label have no loss and a gradient of 0.
    reduction : {"mean", "sum", "sum_per_image"}
        Mean over the valid pixels (weighted, if weights are given), their sum, or that sum divided
        by n, as the paper trains.
    class_weights : (classes,) array, optional
        Factor of each class, such as the median-frequency weights.

    Returns
    -------
    loss : float
        0.0 where no pixel is valid.
    dscores : (n, h, w, classes) array

    Raises
    ------
    ValueError
        If a label is neither a class nor ``ignore``, with its position and value.
    """
    checks.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return implementation("softmax_cross_entropy")(scores, labels, ignore, reduction, class_weights)

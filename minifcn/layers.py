"""Layers: an operation with its parameters, and what its backward pass must remember.

Every layer has ``forward(x, training)`` and ``backward(dy) -> dx``, and two dictionaries with the
same keys, ``parameters`` and ``gradients``. Only ``forward(training=True)`` remembers anything, and
``backward`` forgets it again: activations are most of a network's memory.
"""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np

from minifcn import ops


class Layer:
    """What all layers share. ``name`` is the paper's name of the layer, such as conv1_1."""

    def __init__(self, name: str):
        self.name = name
        self.parameters: dict[str, np.ndarray] = {}
        self.gradients: dict[str, np.ndarray] = {}
        self.remembered = None

    def recall(self):
        """What the forward pass remembered, which is forgotten by this."""
        if self.remembered is None:
            raise ValueError(f"{self.name}: backward needs a forward pass with training=True first")
        remembered, self.remembered = self.remembered, None
        return remembered


_hollow = ContextVar("hollow", default=False)


@contextlib.contextmanager
def hollow() -> Iterator[None]:
    """Parameters of layers made in this block have a shape and no memory: a file will bring it."""
    token = _hollow.set(True)
    try:
        yield
    finally:
        _hollow.reset(token)


def zeros(shape: tuple[int, ...], dtype) -> np.ndarray:
    """A parameter to begin with; read-only where it is hollow."""
    return np.broadcast_to(np.zeros((), dtype), shape) if _hollow.get() else np.zeros(shape, dtype)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator, dtype) -> np.ndarray:
    """Normal numbers of variance 2 / fan_in (He et al. 2015): ReLU layers keep their input's scale.

    The last axis is the outputs; all others together are the fan_in.
    """
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(np.sqrt(2 / np.prod(shape[:-1])))
    return values.astype(dtype, copy=False)


class Conv2d(Layer):
    """Convolution, with ``relu=True`` followed by a ReLU.

    Parameters
    ----------
    shape : (kh, kw, c_in, c_out)
    rng : numpy Generator, optional
        Draws the He normal weights; without it they start at zero, as the bias does.
    needs_dx : bool
        False for the first layer of a network: nobody asks for the gradient of the image.
    """

    def __init__(self, name: str, shape: tuple[int, int, int, int], stride: int = 1,
                 padding: int = 0, relu: bool = False, rng: np.random.Generator | None = None,
                 dtype="float32", needs_dx: bool = True):
        super().__init__(name)
        self.stride, self.padding, self.relu, self.needs_dx = stride, padding, relu, needs_dx
        weight = zeros(shape, dtype) if rng is None else he_normal(shape, rng, dtype)
        self.parameters = {"weight": weight, "bias": zeros(shape[-1:], dtype)}

    def forward(self, x, training=False):
        forward = ops.conv2d_relu_forward if self.relu else ops.conv2d_forward
        y = forward(x, self.parameters["weight"], self.parameters["bias"],
                    self.stride, self.padding)
        self.remembered = (x, y if self.relu else None) if training else None
        return y

    def backward(self, dy):
        x, y = self.recall()
        weight = self.parameters["weight"]
        if self.relu:
            dx, dweight, dbias = ops.conv2d_relu_backward(
                dy, y, x, weight, self.stride, self.padding, need_dx=self.needs_dx)
        else:
            dx, dweight, dbias = ops.conv2d_backward(dy, x, weight, self.stride, self.padding)
        self.gradients = {"weight": dweight, "bias": dbias}
        return dx


class Linear(Layer):
    """Fully connected layer, with ``relu=True`` followed by a ReLU."""

    def __init__(self, name: str, c_in: int, c_out: int, relu: bool = False,
                 rng: np.random.Generator | None = None, dtype="float32"):
        super().__init__(name)
        self.relu = relu
        shape = (c_in, c_out)
        weight = zeros(shape, dtype) if rng is None else he_normal(shape, rng, dtype)
        self.parameters = {"weight": weight, "bias": zeros((c_out,), dtype)}

    def forward(self, x, training=False):
        y = ops.linear_forward(x, self.parameters["weight"], self.parameters["bias"])
        y = ops.relu_forward(y) if self.relu else y
        self.remembered = (x, y) if training else None
        return y

    def backward(self, dy):
        x, y = self.recall()
        dy = ops.relu_backward(dy, y) if self.relu else dy
        dx, dweight, dbias = ops.linear_backward(dy, x, self.parameters["weight"])
        self.gradients = {"weight": dweight, "bias": dbias}
        return dx


class MaxPool2d(Layer):
    """Max pooling, windows of 2 by 2, rounded up at the border as in Caffe."""

    def forward(self, x, training=False):
        y, argmax = ops.max_pool2d_forward(x, size=2, stride=2, ceil_mode=True)
        self.remembered = (argmax, x.shape) if training else None
        return y

    def backward(self, dy):
        return ops.max_pool2d_backward(dy, *self.recall())


class Dropout(Layer):
    """Dropout; ``forward`` takes the seed of this step. Without training it does nothing."""

    def __init__(self, name: str, rate: float):
        super().__init__(name)
        self.rate = rate

    def forward(self, x, training=False, seed=0):
        if not training:
            self.remembered = None
            return x
        y, self.remembered = ops.dropout_forward(x, self.rate, seed)
        return y

    def backward(self, dy):
        return ops.dropout_backward(dy, self.recall(), self.rate)


class BilinearUpsample(Layer):
    """Frozen bilinear upsampling by ``factor``, with a kernel of twice that: no parameter."""

    def __init__(self, name: str, factor: int, padding: int):
        super().__init__(name)
        self.factor, self.size, self.padding = factor, 2 * factor, padding

    def forward(self, x, training=False):
        self.remembered = x.shape if training else None
        return ops.bilinear_upsample_forward(x, self.factor, self.size, self.padding)

    def backward(self, dy):
        x_shape = self.recall()
        return ops.bilinear_upsample_backward(dy, self.factor, self.size, self.padding, x_shape)


class ConvTranspose2d(Layer):
    """Learned upsampling: a dense transposed convolution without bias that starts bilinear.

    ``weight[:, :, c, f]`` is the bilinear kernel where c == f, and zero elsewhere.
    """

    def __init__(self, name: str, channels: int, factor: int, padding: int, dtype="float32"):
        super().__init__(name)
        self.factor, self.size, self.padding = factor, 2 * factor, padding
        weight = zeros((self.size, self.size, channels, channels), dtype)
        if weight.flags.writeable:
            diagonal = np.arange(channels)
            weight[:, :, diagonal, diagonal] = ops.bilinear_kernel(self.size)[:, :, None]
        self.parameters = {"weight": weight}

    def forward(self, x, training=False):
        self.remembered = x if training else None
        return ops.conv_transpose2d_forward(x, self.parameters["weight"], None,
                                            self.factor, self.padding)

    def backward(self, dy):
        dx, dweight, _ = ops.conv_transpose2d_backward(
            dy, self.recall(), self.parameters["weight"], self.factor, self.padding)
        self.gradients = {"weight": dweight}
        return dx

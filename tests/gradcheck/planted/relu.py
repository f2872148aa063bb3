"""Planted bugs of the rectified linear unit."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right

# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@planted("relu_forward", "relu_mask")
def keeps_the_negative(x):
    """The comparison is the wrong way round."""
    return np.where(x < 0, x, 0).astype(x.dtype)


@planted("relu_forward", "leaky", "relu_mask")
def leaky(x):
    """A small slope below zero."""
    return np.where(x > 0, x, x * x.dtype.type(0.01))


@planted("relu_forward", "relu_mask", "sign")
def absolute(x):
    """The absolute value."""
    return np.abs(x)


@planted("relu_forward", "clipped", "last_channel_missing")
def up_to_six(x):
    """ReLU6: values above 6 are cut."""
    return np.clip(x, 0, 6)


@planted("relu_forward", "mutates_input")
def in_place(x):
    """x[x < 0] = 0; return x."""
    x[x < 0] = 0
    return x


@planted("relu_forward", "aliases_input", "mutates_input")
def itself_if_positive(x):
    """Where nothing is negative, x itself is returned."""
    return x if (x >= 0).all() else np.maximum(x, 0)


@planted("relu_forward", "wrong_dtype")
def in_float32(x):
    """The output is float32."""
    return np.maximum(x, 0, dtype=np.float32, casting="same_kind")


@planted("relu_forward", "last_channel_missing")
def last_channel(x):
    """The last channel is passed through."""
    y = np.maximum(x, 0)
    y[..., -1] = x[..., -1]
    return y


@planted("relu_forward", "non_contiguous")
def in_memory_order(x):
    """Values are taken as they lie in memory: wrong for a transposed array."""
    return np.maximum(x.ravel(order="K"), 0).reshape(x.shape)


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@planted("relu_backward", "relu_mask")
def greater_or_equal(dy, y):
    """y >= 0 holds everywhere, as y is the output."""
    return dy * (y >= 0)


@planted("relu_backward", "relu_mask")
def mask_inverted(dy, y):
    """dy passes where the unit was off."""
    return dy * (y <= 0)


@planted("relu_backward", "relu_mask")
def mask_of_dy(dy, y):
    """The mask is taken of the upstream gradient, as in "guided" backpropagation gone wrong."""
    return dy * (dy > 0)


@planted("relu_backward", "relu_mask")
def guided(dy, y):
    """Negative upstream gradients are dropped too."""
    return dy * (y > 0) * (dy > 0)


@planted("relu_backward", "leaky", "relu_mask")
def half_at_zero(dy, y):
    """Where the unit is off, half of the gradient passes."""
    return dy * np.where(y > 0, 1, 0.5).astype(dy.dtype)


@planted("relu_backward", "relu_mask")
def times_value(dy, y):
    """dy * y where dy * (y > 0) is meant."""
    return dy * y


@planted("relu_backward", "sign")
def negative(dy, y):
    """dx has the wrong sign."""
    return -dy * (y > 0)


@planted("relu_backward", "constant_factor")
def twice(dy, y):
    """dx is twice too large, as for a squared unit."""
    return 2 * dy * (y > 0)


@planted("relu_backward", "dy_ignored")
def only_the_mask(dy, y):
    """The derivative itself, not multiplied by dy."""
    return (y > 0).astype(dy.dtype)


@planted("relu_backward", "mutates_input")
def dy_in_place(dy, y):
    """dy[y <= 0] = 0; return dy."""
    dy[y <= 0] = 0
    return dy


@planted("relu_backward", "wrong_dtype")
def mask_as_float64(dy, y):
    """The mask is a float64 array, and so is dx then."""
    return dy * (y > 0).astype(float)


@planted("relu_backward", "last_row_missing")
def last_row(dy, y):
    """for i in range(h - 1), where there are rows."""
    dx = dy * (y > 0)
    if dx.ndim == 4:
        dx[:, -1] = 0
    return dx


@planted("relu_backward", "last_image_missing")
def last_image(dy, y):
    """for n in range(len(dy) - 1)."""
    dx = np.zeros_like(dy)
    for n in range(len(dy) - 1):
        dx[n] = dy[n] * (y[n] > 0)
    return dx


@planted("relu_backward", "last_image_missing", "nondeterministic")
def last_image_never_written(dy, y):
    """The last image is left out of an array that np.empty made."""
    dx = np.empty_like(dy)
    for n in range(len(dy) - 1):
        dx[n] = dy[n] * (y[n] > 0)
    return dx


@planted("relu_backward", "stateful")
def first_mask_kept(dy, y):
    """The mask is made once for each shape."""
    return dy * memory.setdefault(y.shape, y > 0)


@planted("relu_backward", "wrong_shape")
def flattened(dy, y):
    """dx is flat."""
    return (dy * (y > 0)).ravel()


@planted("relu_backward", "single_element")
def first_element_passes(dy, y):
    """The first element begins with 1 instead of 0."""
    dx = right.relu_backward(dy, y)
    dx.reshape(-1)[0] += 1
    return dx

"""Planted bugs of bilinear upsampling."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right
from tests.gradcheck.planted.right import bilinear_kernel, crop, pad


def upsampled_with(kernel, x, factor, padding):
    """Upsampling with any kernel (k, k)."""
    n, h, w, c = x.shape
    size, kernel = len(kernel), kernel.astype(x.dtype)
    y = np.zeros((n, (h - 1) * factor + size, (w - 1) * factor + size, c), x.dtype)
    for i in range(h):
        for j in range(w):
            a, b = i * factor, j * factor
            y[:, a:a + size, b:b + size] += x[:, i, j][:, None, None] * kernel[:, :, None]
    return crop(y, padding).copy()


def gathered_with(kernel, dy, factor, padding, x_shape):
    """The gradient of ``upsampled_with``."""
    size, dy, dx = len(kernel), pad(dy, padding), np.zeros(x_shape, dy.dtype)
    for i in range(x_shape[1]):
        for j in range(x_shape[2]):
            window = dy[:, i * factor:i * factor + size, j * factor:j * factor + size]
            dx[:, i, j] = (window * kernel.astype(dy.dtype)[:, :, None]).sum((1, 2))
    return dx


# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@planted("bilinear_upsample_forward", "wrong_kernel", "kernel_flipped")
def kernel_off_centre(x, factor, size, padding):
    """The kernel's centre is factor - 1 for even sizes too."""
    half = (size + 1) // 2
    line = 1 - np.abs(np.arange(size) - (half - 1)) / half
    return upsampled_with(np.outer(line, line), x, factor, padding)


@planted("bilinear_upsample_forward", "constant_factor")
def kernel_of_sum_one(x, factor, size, padding):
    """The kernel is normalised to the sum 1."""
    kernel = bilinear_kernel(size)
    return upsampled_with(kernel / kernel.sum(), x, factor, padding)


@planted("bilinear_upsample_forward", "wrong_kernel")
def nearest_neighbour(x, factor, size, padding):
    """Every cell is repeated: a kernel of ones."""
    return upsampled_with(np.ones((size, size)), x, factor, padding)


@planted("bilinear_upsample_forward", "wrong_kernel")
def border_made_up_for(x, factor, size, padding):
    """Divided by the sum of the weights, so that constants survive at the border too."""
    y = right.bilinear_upsample_forward(x, factor, size, padding)
    weights = right.bilinear_upsample_forward(np.ones_like(x), factor, size, padding)
    return y / np.where(weights > 0, weights, 1)


@planted("bilinear_upsample_forward", "overlap_assigned")
def stamps_assigned(x, factor, size, padding):
    """Stamps cover each other instead of adding up."""
    n, h, w, c = x.shape
    kernel = bilinear_kernel(size).astype(x.dtype)
    y = np.zeros((n, (h - 1) * factor + size, (w - 1) * factor + size, c), x.dtype)
    for i in range(h):
        for j in range(w):
            a, b = i * factor, j * factor
            y[:, a:a + size, b:b + size] = x[:, i, j][:, None, None] * kernel[:, :, None]
    return crop(y, padding).copy()


@planted("bilinear_upsample_forward", "padding_not_cropped")
def padding_left_on(x, factor, size, padding):
    """The padding is not cut off."""
    return right.bilinear_upsample_forward(x, factor, size, 0)


@planted("bilinear_upsample_forward", "padding_wrong_side")
def cropped_at_the_start(x, factor, size, padding):
    """Everything is cut off at the top and the left."""
    return right.bilinear_upsample_forward(x, factor, size, 0)[:, 2 * padding:, 2 * padding:].copy()


@planted("bilinear_upsample_forward", "stride_ignored")
def stamps_one_apart(x, factor, size, padding):
    """Stamps are one cell apart on a canvas of the right size."""
    y = right.bilinear_upsample_forward(x, factor, size, 0)
    near = right.bilinear_upsample_forward(x, 1, size, 0)
    y[:] = 0
    y[:, :near.shape[1], :near.shape[2]] = near
    return crop(y, padding).copy()


@planted("bilinear_upsample_forward", "channels_mixed")
def channels_mixed(x, factor, size, padding):
    """The bilinear kernel stands in all channel pairs, not on the diagonal only."""
    mixed = np.repeat(x.sum(3, keepdims=True), x.shape[3], 3)
    return right.bilinear_upsample_forward(mixed, factor, size, padding)


@planted("bilinear_upsample_forward", "last_channel_missing")
def last_channel(x, factor, size, padding):
    """The last class is never upsampled."""
    y = right.bilinear_upsample_forward(x, factor, size, padding)
    y[..., -1] = 0
    return y


@planted("bilinear_upsample_forward", "last_row_missing")
def last_row(x, factor, size, padding):
    """for i in range(h - 1)."""
    x = x.copy()
    x[:, -1] = 0
    return right.bilinear_upsample_forward(x, factor, size, padding)


@planted("bilinear_upsample_forward", "wrong_shape")
def as_large_as_factor(x, factor, size, padding):
    """The output is cut to h * factor rows, and as many zeros are added as are missing."""
    y = right.bilinear_upsample_forward(x, factor, size, 0)
    n, h, w, c = x.shape
    canvas = np.zeros((n, h * factor, w * factor, c), x.dtype)
    part = y[:, padding:padding + h * factor, padding:padding + w * factor]
    canvas[:, :part.shape[1], :part.shape[2]] = part
    return canvas


@planted("bilinear_upsample_forward", "wrong_dtype")
def kernel_in_float64(x, factor, size, padding):
    """A float64 kernel turns a float32 image into float64."""
    return right.bilinear_upsample_forward(x, factor, size, padding).astype(np.float64)


@planted("bilinear_upsample_forward", "wrong_dtype")
def kernel_in_float32(x, factor, size, padding):
    """The image goes through float32."""
    y = right.bilinear_upsample_forward(x.astype(np.float32), factor, size, padding)
    return y.astype(x.dtype)


@planted("bilinear_upsample_forward", "single_element")
def last_corner(x, factor, size, padding):
    """The last corner is off by a quarter."""
    y = right.bilinear_upsample_forward(x, factor, size, padding)
    y[-1, -1, -1, -1] += 0.25
    return y


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@planted("bilinear_upsample_backward", "sign")
def negative(dy, factor, size, padding, x_shape):
    """dx has the wrong sign."""
    return -right.bilinear_upsample_backward(dy, factor, size, padding, x_shape)


@planted("bilinear_upsample_backward", "constant_factor", "mean_for_sum")
def divided_by_cells(dy, factor, size, padding, x_shape):
    """Divided by factor squared, the number of outputs for each input."""
    return right.bilinear_upsample_backward(dy, factor, size, padding, x_shape) / factor**2


@planted("bilinear_upsample_backward", "mean_for_sum", "constant_factor")
def mean_of_the_window(dy, factor, size, padding, x_shape):
    """mean where sum is meant."""
    return right.bilinear_upsample_backward(dy, factor, size, padding, x_shape) / size**2


@planted("bilinear_upsample_backward", "wrong_kernel")
def sum_of_the_window(dy, factor, size, padding, x_shape):
    """The sum of dy under the stamp, without the kernel."""
    return gathered_with(np.ones((size, size)), dy, factor, padding, x_shape)


@planted("bilinear_upsample_backward", "stride_ignored")
def windows_one_apart(dy, factor, size, padding, x_shape):
    """Windows are one cell apart."""
    return gathered_with(bilinear_kernel(size), dy, 1, padding, x_shape)


@planted("bilinear_upsample_backward", "padding_wrong_side")
def padded_at_the_end(dy, factor, size, padding, x_shape):
    """dy is padded at the bottom and the right."""
    dy = np.pad(dy, ((0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)))
    return right.bilinear_upsample_backward(dy, factor, size, 0, x_shape)


@planted("bilinear_upsample_backward", "last_column_missing")
def last_column(dy, factor, size, padding, x_shape):
    """dx of the last column stays zero."""
    dx = right.bilinear_upsample_backward(dy, factor, size, padding, x_shape)
    dx[:, :, -1] = 0
    return dx


@planted("bilinear_upsample_backward", "last_image_missing")
def last_image(dy, factor, size, padding, x_shape):
    """dx of the last image stays zero."""
    dx = right.bilinear_upsample_backward(dy, factor, size, padding, x_shape)
    dx[-1] = 0
    return dx


@planted("bilinear_upsample_backward", "dy_ignored")
def of_ones(dy, factor, size, padding, x_shape):
    """dx is the sum of the kernel's values that reach the output."""
    return right.bilinear_upsample_backward(np.ones_like(dy), factor, size, padding, x_shape)


@planted("bilinear_upsample_backward", "overlap_assigned")
def nearest_only(dy, factor, size, padding, x_shape):
    """Each output cell is credited to one input cell only, the one whose stamp came last."""
    owner = np.zeros(((x_shape[1] - 1) * factor + size, (x_shape[2] - 1) * factor + size, 2), int)
    for i in range(x_shape[1]):
        for j in range(x_shape[2]):
            owner[i * factor:i * factor + size, j * factor:j * factor + size] = i, j
    kernel = bilinear_kernel(size).astype(dy.dtype)
    dy, dx = pad(dy, padding), np.zeros(x_shape, dy.dtype)
    for a, b in np.ndindex(owner.shape[:2]):
        i, j = owner[a, b]
        if a - i * factor < size and b - j * factor < size:
            dx[:, i, j] += dy[:, a, b] * kernel[a - i * factor, b - j * factor]
    return dx


@planted("bilinear_upsample_backward", "stateful")
def fades(dy, factor, size, padding, x_shape):
    """A decay that grows from call to call."""
    memory["rate"] = 0.99 * memory.get("rate", 1 / 0.99)
    return right.bilinear_upsample_backward(dy, factor, size, padding, x_shape) * memory["rate"]


@planted("bilinear_upsample_backward", "mutates_input")
def dy_scaled(dy, factor, size, padding, x_shape):
    """dy is scaled in place to save the kernel's scale."""
    dx = right.bilinear_upsample_backward(dy, factor, size, padding, x_shape)
    dy *= 1 / factor
    return dx


@planted("bilinear_upsample_backward", "wrong_dtype")
def gathered_in_float32(dy, factor, size, padding, x_shape):
    """dx is float32."""
    return right.bilinear_upsample_backward(dy, factor, size, padding, x_shape).astype(np.float32)


@planted("bilinear_upsample_backward", "wrong_shape", "kernel_axes_swapped")
def rows_and_columns_exchanged(dy, factor, size, padding, x_shape):
    """dx has its row and column axes exchanged."""
    dx = right.bilinear_upsample_backward(dy, factor, size, padding, x_shape)
    return dx.swapaxes(1, 2).copy()

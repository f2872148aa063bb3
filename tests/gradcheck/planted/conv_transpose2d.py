"""Planted bugs of the transposed convolution."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right
from tests.gradcheck.planted.right import crop, pad, pair, stamped, windows

# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@planted("conv_transpose2d_forward", "kernel_flipped")
def flipped(x, weight, bias=None, stride=1, padding=0):
    """"Transposed" read as "turned": every stamp is rotated by 180 degrees."""
    return right.conv_transpose2d_forward(x, weight[::-1, ::-1], bias, stride, padding)


@planted("conv_transpose2d_forward", "kernel_flipped")
def columns_flipped(x, weight, bias=None, stride=1, padding=0):
    """The stamps are mirrored left to right."""
    return right.conv_transpose2d_forward(x, weight[:, ::-1], bias, stride, padding)


@planted("conv_transpose2d_forward", "kernel_axes_swapped")
def kernel_transposed(x, weight, bias=None, stride=1, padding=0):
    """The weight is read as (kw, kh, c_in, c_out)."""
    kh, kw, *channels = weight.shape
    weight = weight.reshape(kw, kh, *channels).swapaxes(0, 1)
    return right.conv_transpose2d_forward(x, weight, bias, stride, padding)


@planted("conv_transpose2d_forward", "in_out_exchanged", "channel_axes_swapped")
def in_and_out_exchanged(x, weight, bias=None, stride=1, padding=0):
    """The weight is read as (kh, kw, c_out, c_in), the layout of other frameworks."""
    kh, kw, c_in, c_out = weight.shape
    weight = weight.reshape(kh, kw, c_out, c_in).swapaxes(2, 3)
    return right.conv_transpose2d_forward(x, weight, bias, stride, padding)


@planted("conv_transpose2d_forward", "in_out_exchanged", "channel_axes_swapped")
def contracts_the_outputs(x, weight, bias=None, stride=1, padding=0):
    """x is contracted with the output channels, which works where c_in == c_out only."""
    y = stamped(x, weight, stride)
    for i, j, rows, columns in windows(x, weight, stride):
        y[:, rows, columns] += np.einsum("nf,abcf->nabc", x[:, i, j], weight)
    y = crop(y, padding)
    return y.copy() if bias is None else y + bias


@planted("conv_transpose2d_forward", "overlap_assigned")
def stamps_assigned(x, weight, bias=None, stride=1, padding=0):
    """A stamp covers what lies beneath instead of being added."""
    y = stamped(x, weight, stride)
    for i, j, rows, columns in windows(x, weight, stride):
        y[:, rows, columns] = np.tensordot(x[:, i, j], weight, (1, 2))
    y = crop(y, padding)
    return y.copy() if bias is None else y + bias


@planted("conv_transpose2d_forward", "stride_ignored")
def stamps_one_apart(x, weight, bias=None, stride=1, padding=0):
    """The stamps are set one cell apart on a canvas of the right size."""
    y = stamped(x, weight, stride)
    for i, j, rows, columns in windows(x, weight, 1):
        y[:, rows, columns] += np.tensordot(x[:, i, j], weight, (1, 2))
    y = crop(y, padding)
    return y.copy() if bias is None else y + bias


@planted("conv_transpose2d_forward", "padding_not_cropped")
def padding_left_on(x, weight, bias=None, stride=1, padding=0):
    """The padding is not cut off."""
    return right.conv_transpose2d_forward(x, weight, bias, stride, 0)


@planted("conv_transpose2d_forward", "padding_wrong_side", "padding_not_cropped")
def cropped_to_size(x, weight, bias=None, stride=1, padding=0):
    """All is cut off at the bottom and the right."""
    (ph, pw), y = pair(padding), right.conv_transpose2d_forward(x, weight, bias, stride, 0)
    return y[:, :y.shape[1] - 2 * ph, :y.shape[2] - 2 * pw].copy()


@planted("conv_transpose2d_forward", "padding_wrong_side")
def cropped_at_the_start(x, weight, bias=None, stride=1, padding=0):
    """All is cut off at the top and the left."""
    (ph, pw), y = pair(padding), right.conv_transpose2d_forward(x, weight, bias, stride, 0)
    return y[:, 2 * ph:, 2 * pw:].copy()


@planted("conv_transpose2d_forward", "last_row_missing")
def last_input_row(x, weight, bias=None, stride=1, padding=0):
    """The last row of x is never stamped."""
    x = x.copy()
    x[:, -1] = 0
    return right.conv_transpose2d_forward(x, weight, bias, stride, padding)


@planted("conv_transpose2d_forward", "last_column_missing")
def last_output_column(x, weight, bias=None, stride=1, padding=0):
    """The last column of y stays zero."""
    y = right.conv_transpose2d_forward(x, weight, bias, stride, padding)
    y[:, :, -1] = 0
    return y


@planted("conv_transpose2d_forward", "last_channel_missing")
def last_input_channel(x, weight, bias=None, stride=1, padding=0):
    """for c in range(c_in - 1)."""
    return right.conv_transpose2d_forward(x[..., :-1], weight[:, :, :-1], bias, stride, padding)


@planted("conv_transpose2d_forward", "last_image_missing")
def last_image(x, weight, bias=None, stride=1, padding=0):
    """for n in range(len(x) - 1): the last image holds the bias alone."""
    x = x.copy()
    x[-1] = 0
    return right.conv_transpose2d_forward(x, weight, bias, stride, padding)


@planted("conv_transpose2d_forward", "wrong_shape")
def full_last_stride(x, weight, bias=None, stride=1, padding=0):
    """Output size from h * stride + kh - 2 * padding: the last cell is given a whole stride."""
    y = right.conv_transpose2d_forward(x, weight, bias, stride, padding)
    (sh, sw), (kh, kw), (ph, pw) = pair(stride), weight.shape[:2], pair(padding)
    oh, ow = x.shape[1] * sh + kh - 2 * ph, x.shape[2] * sw + kw - 2 * pw
    wide = np.zeros((len(y), oh, ow, y.shape[3]), x.dtype)
    wide[:, :y.shape[1], :y.shape[2]] = y
    return wide


@planted("conv_transpose2d_forward", "crashed")
def bias_expected(x, weight, bias=None, stride=1, padding=0):
    """Fails without a bias."""
    y = stamped(x, weight, stride)
    for i, j, rows, columns in windows(x, weight, stride):
        y[:, rows, columns] += np.tensordot(x[:, i, j], weight, (1, 2))
    return crop(y, padding) + bias


@planted("conv_transpose2d_forward", "bias_repeated")
def bias_in_every_stamp(x, weight, bias=None, stride=1, padding=0):
    """The bias is part of the stamp, and adds up where stamps overlap."""
    if bias is None:
        return right.conv_transpose2d_forward(x, weight, None, stride, padding)
    y = stamped(x, weight, stride)
    for i, j, rows, columns in windows(x, weight, stride):
        y[:, rows, columns] += np.tensordot(x[:, i, j], weight, (1, 2)) + bias
    return crop(y, padding).copy()


@planted("conv_transpose2d_forward", "constant_factor", "mean_for_sum")
def mean_over_input_channels(x, weight, bias=None, stride=1, padding=0):
    """Input channels are averaged."""
    return right.conv_transpose2d_forward(x / x.shape[3], weight, bias, stride, padding)


@planted("conv_transpose2d_forward", "wrong_dtype")
def canvas_without_dtype(x, weight, bias=None, stride=1, padding=0):
    """np.zeros(shape): float64 comes out of float32."""
    return right.conv_transpose2d_forward(x, weight, bias, stride, padding).astype(float)


@planted("conv_transpose2d_forward", "single_element")
def one_tap_less(x, weight, bias=None, stride=1, padding=0):
    """The first cell of the last channel is wrong."""
    y = right.conv_transpose2d_forward(x, weight, bias, stride, padding)
    y[0, 0, 0, -1] *= 1.5
    return y


@planted("conv_transpose2d_forward", "stateful")
def canvas_kept(x, weight, bias=None, stride=1, padding=0):
    """The canvas is made once for each shape, and not wiped before the next call."""
    fresh = stamped(x, weight, stride)
    y = memory.setdefault((fresh.shape, fresh.dtype), fresh)
    for i, j, rows, columns in windows(x, weight, stride):
        y[:, rows, columns] += np.tensordot(x[:, i, j], weight, (1, 2))
    y = crop(y, padding)
    return y.copy() if bias is None else y + bias


@planted("conv_transpose2d_forward", "mutates_input")
def centred_in_place(x, weight, bias=None, stride=1, padding=0):
    """The mean of x is taken off in place, for a statistic."""
    y = right.conv_transpose2d_forward(x, weight, bias, stride, padding)
    x -= x.mean()
    return y


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@planted("conv_transpose2d_backward", "sign")
def dweight_negative(dy, x, weight, stride=1, padding=0):
    """dweight alone has the wrong sign."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, -dweight, dbias


@planted("conv_transpose2d_backward", "constant_factor")
def dweight_half(dy, x, weight, stride=1, padding=0):
    """A 1/2 from a squared loss slipped in."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, 0.5 * dweight, dbias


@planted("conv_transpose2d_backward", "mean_for_sum")
def gradients_mean_over_batch(dy, x, weight, stride=1, padding=0):
    """dweight and dbias are means over the images."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, dweight / len(x), dbias / len(x)


@planted("conv_transpose2d_backward", "mean_for_sum")
def dbias_mean_over_pixels(dy, x, weight, stride=1, padding=0):
    """dy.mean((1, 2)).sum(0)."""
    dx, dweight, _ = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.mean((1, 2)).sum(0)


@planted("conv_transpose2d_backward", "kernel_flipped")
def dx_as_true_convolution(dy, x, weight, stride=1, padding=0):
    """dx is a convolution of dy; here the kernel is flipped for it."""
    _, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dy, dx = pad(dy, padding), np.zeros_like(x)
    for i, j, rows, columns in windows(x, weight, stride):
        dx[:, i, j] = np.einsum("nabf,abcf->nc", dy[:, rows, columns], weight[::-1, ::-1])
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "kernel_axes_swapped")
def dweight_transposed(dy, x, weight, stride=1, padding=0):
    """The einsum of dweight ends on bacf where abcf is meant."""
    dx, _, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    kh, kw, *channels = weight.shape
    dy, dweight = pad(dy, padding), np.zeros((kw, kh, *channels), x.dtype)
    for i, j, rows, columns in windows(x, weight, stride):
        dweight += np.einsum("nabf,nc->bacf", dy[:, rows, columns], x[:, i, j])
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "in_out_exchanged", "channel_axes_swapped")
def dweight_exchanged(dy, x, weight, stride=1, padding=0):
    """dweight is (kh, kw, c_out, c_in)."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, dweight.swapaxes(2, 3).copy(), dbias


@planted("conv_transpose2d_backward", "in_out_exchanged", "channel_axes_swapped")
def dx_exchanged(dy, x, weight, stride=1, padding=0):
    """dx reads the weight as (kh, kw, c_out, c_in)."""
    kh, kw, c_in, c_out = weight.shape
    _, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    weight = weight.reshape(kh, kw, c_out, c_in).swapaxes(2, 3)
    return right.conv_transpose2d_backward(dy, x, weight, stride, padding)[0], dweight, dbias


@planted("conv_transpose2d_backward", "stride_ignored")
def dx_ignores_stride(dy, x, weight, stride=1, padding=0):
    """dx gathers from windows one cell apart."""
    _, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dy, dx = pad(dy, padding), np.zeros_like(x)
    for i, j, rows, columns in windows(x, weight, 1):
        dx[:, i, j] = np.einsum("nabf,abcf->nc", dy[:, rows, columns], weight)
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "stride_ignored")
def dweight_ignores_stride(dy, x, weight, stride=1, padding=0):
    """dweight gathers from windows one cell apart."""
    dx, _, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dy, dweight = pad(dy, padding), np.zeros_like(weight)
    for i, j, rows, columns in windows(x, weight, 1):
        dweight += np.einsum("nabf,nc->abcf", dy[:, rows, columns], x[:, i, j])
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "padding_wrong_side")
def dx_padded_at_the_end(dy, x, weight, stride=1, padding=0):
    """For dx, dy is padded at the bottom and the right only."""
    _, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    ph, pw = pair(padding)
    dy = np.pad(dy, ((0, 0), (0, 2 * ph), (0, 2 * pw), (0, 0)))
    return right.conv_transpose2d_backward(dy, x, weight, stride, 0)[0], dweight, dbias


@planted("conv_transpose2d_backward", "padding_wrong_side", "padding_not_cropped")
def dweight_forgets_padding(dy, x, weight, stride=1, padding=0):
    """dweight looks at dy as if nothing had been cut off at the top and the left."""
    dx, _, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    (sh, sw), (kh, kw), dweight = pair(stride), weight.shape[:2], np.zeros_like(weight)
    for n, i, j, ki, kj in np.ndindex(*x.shape[:3], kh, kw):
        a, b = i * sh + ki, j * sw + kj
        if a < dy.shape[1] and b < dy.shape[2]:
            dweight[ki, kj] += np.outer(x[n, i, j], dy[n, a, b])
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "last_row_missing")
def dx_last_row(dy, x, weight, stride=1, padding=0):
    """dx of the last row stays zero."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dx[:, -1] = 0
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "last_column_missing")
def dweight_last_column(dy, x, weight, stride=1, padding=0):
    """dweight leaves out the last column of x."""
    dx, _, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dy, dweight = pad(dy, padding), np.zeros_like(weight)
    for i, j, rows, columns in windows(x[:, :, :-1], weight, stride):
        dweight += np.einsum("nabf,nc->abcf", dy[:, rows, columns], x[:, i, j])
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "last_channel_missing")
def dweight_last_output_channel(dy, x, weight, stride=1, padding=0):
    """dweight of the last output channel stays zero."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dweight[..., -1] = 0
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "last_image_missing")
def dbias_last_image(dy, x, weight, stride=1, padding=0):
    """dbias leaves out the last image."""
    dx, dweight, _ = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy[:-1].sum((0, 1, 2))


@planted("conv_transpose2d_backward", "dy_ignored")
def dx_of_ones(dy, x, weight, stride=1, padding=0):
    """dx is the sum of the weights under each stamp: dy is taken for ones."""
    _, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dx, _, _ = right.conv_transpose2d_backward(np.ones_like(dy), x, weight, stride, padding)
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "bias_axes")
def dbias_per_row(dy, x, weight, stride=1, padding=0):
    """dy.sum((0, 2, 3)): one value per row."""
    dx, dweight, _ = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.sum((0, 2, 3))


@planted("conv_transpose2d_backward", "bias_axes")
def dbias_not_over_columns(dy, x, weight, stride=1, padding=0):
    """dy.sum((0, 1)): (ow, c_out), one axis too few is summed."""
    dx, dweight, _ = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.sum((0, 1))


@planted("conv_transpose2d_backward", "wrong_dtype")
def everything_in_float32(dy, x, weight, stride=1, padding=0):
    """All gradients are float32."""
    gradients = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return tuple(each.astype(np.float32) for each in gradients)


@planted("conv_transpose2d_backward", "overlap_assigned")
def dweight_assigned(dy, x, weight, stride=1, padding=0):
    """dweight = in the loop over the cells of x: only the last cell counts."""
    dx, _, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dy = pad(dy, padding)
    for i, j, rows, columns in windows(x, weight, stride):
        dweight = np.einsum("nabf,nc->abcf", dy[:, rows, columns], x[:, i, j])
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "nondeterministic")
def dbias_races(dy, x, weight, stride=1, padding=0):
    """Threads share dbias: one image is sometimes lost."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    lost = np.random.default_rng().integers(0, 2 * len(dy))
    return dx, dweight, dbias - dy[lost].sum((0, 1)) if lost < len(dy) else dbias


@planted("conv_transpose2d_backward", "single_element")
def dbias_first(dy, x, weight, stride=1, padding=0):
    """dbias[0] leaves out one cell of dy."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    dbias[0] -= dy[0, 0, 0, 0]
    return dx, dweight, dbias


@planted("conv_transpose2d_backward", "unknown")
def dbias_of_the_first_image_twice(dy, x, weight, stride=1, padding=0):
    """dbias starts as the first image's sum, and then adds up all."""
    dx, dweight, dbias = right.conv_transpose2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dbias + dy[0].sum((0, 1))

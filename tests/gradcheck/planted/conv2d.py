"""Planted bugs of the convolution."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right
from tests.gradcheck.planted.right import conv2d_output, crop, pad, pair, windows

# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@planted("conv2d_forward", "kernel_flipped")
def flipped(x, weight, bias, stride=1, padding=0):
    """A convolution as in signal processing: the kernel is turned by 180 degrees."""
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(y, weight, stride):
        y[:, i, j] = np.tensordot(x[:, rows, columns], weight[::-1, ::-1], 3) + bias
    return y


@planted("conv2d_forward", "kernel_axes_swapped")
def kernel_transposed(x, weight, bias, stride=1, padding=0):
    """Loops that read weight[kj, ki]: an IndexError for kernels that are not square."""
    y = conv2d_output(x, weight, stride, padding)
    kh, kw, c_in, _ = weight.shape
    (sh, sw), x = pair(stride), pad(x, padding)
    for n, i, j, f in np.ndindex(y.shape):
        y[n, i, j, f] = bias[f]
        for ki, kj, c in np.ndindex(kh, kw, c_in):
            y[n, i, j, f] += x[n, i * sh + ki, j * sw + kj, c] * weight[kj, ki, c, f]
    return y


@planted("conv2d_forward", "channel_axes_swapped", "in_out_exchanged")
def weight_read_as_out_in(x, weight, bias, stride=1, padding=0):
    """The weight is taken for (kh, kw, c_out, c_in)."""
    kh, kw, c_in, c_out = weight.shape
    weight = weight.reshape(kh, kw, c_out, c_in).swapaxes(2, 3)
    return right.conv2d_forward(x, weight, bias, stride, padding)


@planted("conv2d_forward", "stride_ignored")
def windows_one_apart(x, weight, bias, stride=1, padding=0):
    """The size of the output knows the stride, the windows do not."""
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(y, weight, 1):
        y[:, i, j] = np.tensordot(x[:, rows, columns], weight, 3) + bias
    return y


@planted("conv2d_forward", "stride_axes_swapped", "stride_ignored")
def stride_of_rows_for_both(x, weight, bias, stride=1, padding=0):
    """Columns advance with the stride of the rows: right for every square stride."""
    (sh, sw), x = pair(stride), pad(x, padding)
    (n, h, w, _), (kh, kw, _, c_out) = x.shape, weight.shape
    y = np.zeros((n, (h - kh) // sh + 1, (w - kw) // sw + 1, c_out), x.dtype)
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            b = min(j * sh, w - kw)
            y[:, i, j] = np.tensordot(x[:, i * sh:i * sh + kh, b:b + kw], weight, 3) + bias
    return y


@planted("conv2d_forward", "wrong_shape")
def output_size_without_padding_doubled(x, weight, bias, stride=1, padding=0):
    """Output size from h + p - kh: the padding is counted once."""
    (sh, sw), (ph, pw), x = pair(stride), pair(padding), pad(x, padding)
    y = right.conv2d_forward(x, weight, bias, stride)
    oh = (x.shape[1] - ph - weight.shape[0]) // sh + 1
    ow = (x.shape[2] - pw - weight.shape[1]) // sw + 1
    return y[:, :oh, :ow].copy()


@planted("conv2d_forward", "padding_wrong_side")
def padding_at_the_end(x, weight, bias, stride=1, padding=0):
    """All padding goes to the bottom and the right."""
    ph, pw = pair(padding)
    x = np.pad(x, ((0, 0), (0, 2 * ph), (0, 2 * pw), (0, 0)))
    return right.conv2d_forward(x, weight, bias, stride)


@planted("conv2d_forward", "padding_wrong_side")
def padding_at_the_top(x, weight, bias, stride=1, padding=0):
    """Rows are padded at the top only, with both shares; columns rightly."""
    ph, pw = pair(padding)
    x = np.pad(x, ((0, 0), (2 * ph, 0), (pw, pw), (0, 0)))
    return right.conv2d_forward(x, weight, bias, stride)


@planted("conv2d_forward", "padding_not_zero")
def padded_with_the_edge(x, weight, bias, stride=1, padding=0):
    """The border repeats the outermost pixels instead of zeros."""
    ph, pw = pair(padding)
    x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), mode="edge")
    return right.conv2d_forward(x, weight, bias, stride)


@planted("conv2d_forward", "last_row_missing")
def forward_last_row(x, weight, bias, stride=1, padding=0):
    """for i in range(oh - 1)."""
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(y[:, :-1], weight, stride):
        y[:, i, j] = np.tensordot(x[:, rows, columns], weight, 3) + bias
    return y


@planted("conv2d_forward", "last_column_missing")
def forward_last_column(x, weight, bias, stride=1, padding=0):
    """for j in range(ow - 1)."""
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(y[:, :, :-1], weight, stride):
        y[:, i, j] = np.tensordot(x[:, rows, columns], weight, 3) + bias
    return y


@planted("conv2d_forward", "last_channel_missing")
def forward_last_output_channel(x, weight, bias, stride=1, padding=0):
    """for f in range(c_out - 1)."""
    y = conv2d_output(x, weight, stride, padding)
    (sh, sw), (kh, kw), x = pair(stride), weight.shape[:2], pad(x, padding)
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            for f in range(weight.shape[3] - 1):
                window = x[:, i * sh:i * sh + kh, j * sw:j * sw + kw]
                y[:, i, j, f] = (window * weight[..., f]).sum((1, 2, 3)) + bias[f]
    return y


@planted("conv2d_forward", "last_channel_missing")
def forward_last_input_channel(x, weight, bias, stride=1, padding=0):
    """The sum runs over range(c_in - 1)."""
    return right.conv2d_forward(x[..., :-1], weight[:, :, :-1], bias, stride, padding)


@planted("conv2d_forward", "last_image_missing")
def forward_last_image(x, weight, bias, stride=1, padding=0):
    """for n in range(x.shape[0] - 1)."""
    y = conv2d_output(x, weight, stride, padding)
    for n in range(len(x) - 1):
        y[n] = right.conv2d_forward(x[n:n + 1], weight, bias, stride, padding)[0]
    return y


@planted("conv2d_forward", "constant_factor", "mean_for_sum")
def mean_of_the_window(x, weight, bias, stride=1, padding=0):
    """mean() over the window where sum() is meant."""
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(y, weight, stride):
        for f in range(len(bias)):
            y[:, i, j, f] = (x[:, rows, columns] * weight[..., f]).mean((1, 2, 3)) + bias[f]
    return y


@planted("conv2d_forward", "bias_missing")
def bias_forgotten(x, weight, bias, stride=1, padding=0):
    """No bias is added."""
    return right.conv2d_forward(x, weight, 0 * bias, stride, padding)


@planted("conv2d_forward", "bias_repeated")
def bias_in_every_product(x, weight, bias, stride=1, padding=0):
    """The bias is added inside the loop over the kernel's rows."""
    return right.conv2d_forward(x, weight, weight.shape[0] * bias, stride, padding)


@planted("conv2d_forward", "wrong_dtype")
def forward_in_float32(x, weight, bias, stride=1, padding=0):
    """The output is always float32."""
    return right.conv2d_forward(x, weight, bias, stride, padding).astype(np.float32)


@planted("conv2d_forward", "wrong_dtype")
def columns_in_float32(x, weight, bias, stride=1, padding=0):
    """im2col in a float32 buffer: the output is float64 by name only."""
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    patches = [x[:, a, b].reshape(len(x), -1) for _, _, a, b in windows(y, weight, stride)]
    columns = np.stack(patches, 1).astype(np.float32)
    return (columns @ weight.reshape(-1, weight.shape[3]) + bias).reshape(y.shape).astype(y.dtype)


@planted("conv2d_forward", "wrong_dtype")
def forward_in_float64(x, weight, bias, stride=1, padding=0):
    """np.zeros(shape) without a dtype: float64 comes out of float32."""
    return right.conv2d_forward(x, weight, bias, stride, padding).astype(np.float64)


@planted("conv2d_forward", "wrong_shape")
def channels_first(x, weight, bias, stride=1, padding=0):
    """The output is (n, c_out, oh, ow)."""
    return right.conv2d_forward(x, weight, bias, stride, padding).transpose(0, 3, 1, 2)


@planted("conv2d_forward", "wrong_shape")
def batch_axis_squeezed(x, weight, bias, stride=1, padding=0):
    """np.squeeze takes away every axis of extent 1."""
    return right.conv2d_forward(x, weight, bias, stride, padding).squeeze()


@planted("conv2d_forward", "mutates_input")
def weight_flipped_in_place(x, weight, bias, stride=1, padding=0):
    """Half of a "flip and flip back": the result is right, but the weight stays flipped."""
    y = right.conv2d_forward(x, weight, bias, stride, padding)
    weight[:] = weight[::-1, ::-1].copy()
    return y


@planted("conv2d_forward", "stateful")
def columns_kept(x, weight, bias, stride=1, padding=0):
    """The im2col matrix is kept by shape, and serves the next batch too."""
    y = conv2d_output(x, weight, stride, padding)
    key = x.shape, x.dtype, weight.shape, pair(stride), pair(padding)
    if key not in memory:
        x = pad(x, padding)
        memory[key] = [x[:, a, b].copy() for _, _, a, b in windows(y, weight, stride)]
    for window, (i, j, _, _) in zip(memory[key], windows(y, weight, stride)):
        y[:, i, j] = np.tensordot(window, weight, 3) + bias
    return y


@planted("conv2d_forward", "nondeterministic")
def sometimes_a_lost_update(x, weight, bias, stride=1, padding=0):
    """Threads add to the same cell without a lock: now and then an update is lost."""
    y = right.conv2d_forward(x, weight, bias, stride, padding)
    lost = np.random.default_rng().integers(y.size)
    y.reshape(-1)[lost] -= bias[lost % len(bias)]
    return y


@planted("conv2d_forward", "single_element")
def first_corner(x, weight, bias, stride=1, padding=0):
    """The first cell never gets its bias."""
    y = right.conv2d_forward(x, weight, bias, stride, padding)
    y[0, 0, 0, 0] -= bias[0]
    return y


@planted("conv2d_forward", "unknown", "constant_factor")
def squared_a_little(x, weight, bias, stride=1, padding=0):
    """A small nonlinearity, as a leftover of an experiment."""
    y = right.conv2d_forward(x, weight, bias, stride, padding)
    return y + 1e-3 * y**2


@planted("conv2d_forward", "wrong_shape")
def nothing_returned(x, weight, bias, stride=1, padding=0):
    """The return statement is missing."""
    right.conv2d_forward(x, weight, bias, stride, padding)


@planted("conv2d_forward", "crashed")
def only_square_images(x, weight, bias, stride=1, padding=0):
    """Raises an IndexError, because rows and columns are exchanged at one place."""
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(y, weight, stride):
        y[:, j, i] = np.tensordot(x[:, rows, columns], weight, 3) + bias
    return y


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@planted("conv2d_backward", "sign")
def dbias_negative(dy, x, weight, stride=1, padding=0):
    """dbias alone has the wrong sign."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, -dbias


@planted("conv2d_backward", "sign")
def descends_already(dy, x, weight, stride=1, padding=0):
    """The minus of gradient descent is taken here."""
    return tuple(-each for each in right.conv2d_backward(dy, x, weight, stride, padding))


@planted("conv2d_backward", "constant_factor")
def dx_twice(dy, x, weight, stride=1, padding=0):
    """dx is accumulated in two loops that do the same."""
    x = pad(x, padding)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for i, j, rows, columns in windows(dy, weight, stride):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 3))
        dweight += np.tensordot(x[:, rows, columns], dy[:, i, j], (0, 0))
    for i, j, rows, columns in windows(dy, weight, stride):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 3))
    return crop(dx, padding), dweight, dy.sum((0, 1, 2))


@planted("conv2d_backward", "mean_for_sum")
def dbias_mean_over_batch(dy, x, weight, stride=1, padding=0):
    """dbias is a mean over the images."""
    dx, dweight, _ = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.sum((1, 2)).mean(0)


@planted("conv2d_backward", "mean_for_sum")
def dweight_mean_over_batch(dy, x, weight, stride=1, padding=0):
    """dweight /= n, as in texts where the loss is not yet a mean."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight / len(x), dbias


@planted("conv2d_backward", "mean_for_sum")
def dbias_mean_over_everything(dy, x, weight, stride=1, padding=0):
    """dy.mean over images, rows and columns."""
    dx, dweight, _ = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.mean((0, 1, 2))


@planted("conv2d_backward", "mean_for_sum")
def dweight_mean_over_pixels(dy, x, weight, stride=1, padding=0):
    """dweight is a mean over the output's cells."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight / (dy.shape[1] * dy.shape[2]), dbias


@planted("conv2d_backward", "kernel_flipped")
def dx_with_flipped_kernel(dy, x, weight, stride=1, padding=0):
    """The textbook's "full convolution with the flipped kernel", flipped once too often."""
    x = pad(x, padding)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for i, j, rows, columns in windows(dy, weight, stride):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight[::-1, ::-1], (1, 3))
        dweight += np.tensordot(x[:, rows, columns], dy[:, i, j], (0, 0))
    return crop(dx, padding), dweight, dy.sum((0, 1, 2))


@planted("conv2d_backward", "kernel_flipped")
def dweight_flipped(dy, x, weight, stride=1, padding=0):
    """dweight comes out turned by 180 degrees."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight[::-1, ::-1], dbias


@planted("conv2d_backward", "kernel_flipped")
def dweight_rows_flipped(dy, x, weight, stride=1, padding=0):
    """dweight has its rows in reverse order, its columns not."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight[::-1], dbias


@planted("conv2d_backward", "kernel_axes_swapped")
def dweight_transposed(dy, x, weight, stride=1, padding=0):
    """dweight is (kw, kh, c_in, c_out)."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight.swapaxes(0, 1), dbias


@planted("conv2d_backward", "kernel_axes_swapped")
def dx_with_transposed_kernel(dy, x, weight, stride=1, padding=0):
    """dx reads the weight as (kw, kh, c_in, c_out)."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    weight = weight.reshape(*weight.shape[1::-1], *weight.shape[2:]).swapaxes(0, 1)
    return right.conv2d_backward(dy, x, weight, stride, padding)[0], dweight, dbias


@planted("conv2d_backward", "channel_axes_swapped", "in_out_exchanged")
def dweight_out_in(dy, x, weight, stride=1, padding=0):
    """dweight is (kh, kw, c_out, c_in)."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight.swapaxes(2, 3), dbias


@planted("conv2d_backward", "channel_axes_swapped", "in_out_exchanged")
def dx_forgets_to_transpose(dy, x, weight, stride=1, padding=0):
    """dy @ weight where dy @ weight.T is meant; reshaped to fit where c_in != c_out."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    kh, kw, c_in, c_out = weight.shape
    weight = weight.reshape(kh, kw, c_out, c_in)
    dx = np.zeros_like(pad(x, padding))
    for i, j, rows, columns in windows(dy, weight, stride):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 2))
    return crop(dx, padding), dweight, dbias


@planted("conv2d_backward", "stride_ignored")
def dweight_ignores_stride(dy, x, weight, stride=1, padding=0):
    """dweight correlates dy with x as if the windows were one cell apart."""
    dx, _, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    x, dweight = pad(x, padding), np.zeros_like(weight)
    for i, j, rows, columns in windows(dy, weight, 1):
        dweight += np.tensordot(x[:, rows, columns], dy[:, i, j], (0, 0))
    return dx, dweight, dbias


@planted("conv2d_backward", "stride_ignored")
def dx_ignores_stride(dy, x, weight, stride=1, padding=0):
    """dx is scattered to windows one cell apart."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dx = np.zeros_like(pad(x, padding))
    for i, j, rows, columns in windows(dy, weight, 1):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 3))
    return crop(dx, padding), dweight, dbias


@planted("conv2d_backward", "padding_not_cropped")
def dx_with_its_padding(dy, x, weight, stride=1, padding=0):
    """The gradient of the padded image is returned whole."""
    x = pad(x, padding)
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, 0)
    return dx, dweight, dbias


@planted("conv2d_backward", "padding_not_cropped", "padding_wrong_side")
def dx_cropped_to_size(dy, x, weight, stride=1, padding=0):
    """dx_padded[:, :h, :w]: the right size, shifted by the padding."""
    dx, dweight, dbias = right.conv2d_backward(dy, pad(x, padding), weight, stride, 0)
    return dx[:, :x.shape[1], :x.shape[2]], dweight, dbias


@planted("conv2d_backward", "padding_wrong_side")
def dx_cropped_at_the_start(dy, x, weight, stride=1, padding=0):
    """dx_padded[:, 2 * ph:, 2 * pw:]."""
    (ph, pw) = pair(padding)
    dx, dweight, dbias = right.conv2d_backward(dy, pad(x, padding), weight, stride, 0)
    return dx[:, 2 * ph:, 2 * pw:], dweight, dbias


@planted("conv2d_backward", "wrong_shape")
def dx_empty_without_padding(dy, x, weight, stride=1, padding=0):
    """dx_padded[:, ph:-ph, pw:-pw], which is empty for a padding of 0."""
    (ph, pw) = pair(padding)
    dx, dweight, dbias = right.conv2d_backward(dy, pad(x, padding), weight, stride, 0)
    return dx[:, ph:-ph, pw:-pw], dweight, dbias


@planted("conv2d_backward", "last_row_missing")
def dweight_last_row(dy, x, weight, stride=1, padding=0):
    """dweight's loop leaves out the last row of the output."""
    dx, _, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    x, dweight = pad(x, padding), np.zeros_like(weight)
    for i, j, rows, columns in windows(dy[:, :-1], weight, stride):
        dweight += np.tensordot(x[:, rows, columns], dy[:, i, j], (0, 0))
    return dx, dweight, dbias


@planted("conv2d_backward", "last_row_missing")
def backward_last_row(dy, x, weight, stride=1, padding=0):
    """for i in range(oh - 1), in a loop that makes all three gradients."""
    dy = dy[:, :-1]
    x = pad(x, padding)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for i, j, rows, columns in windows(dy, weight, stride):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 3))
        dweight += np.tensordot(x[:, rows, columns], dy[:, i, j], (0, 0))
    return crop(dx, padding), dweight, dy.sum((0, 1, 2))


@planted("conv2d_backward", "last_column_missing")
def dx_last_column(dy, x, weight, stride=1, padding=0):
    """dx's loop leaves out the last column of the output."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dx = np.zeros_like(pad(x, padding))
    for i, j, rows, columns in windows(dy[:, :, :-1], weight, stride):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 3))
    return crop(dx, padding), dweight, dbias


@planted("conv2d_backward", "last_channel_missing")
def dweight_last_input_channel(dy, x, weight, stride=1, padding=0):
    """dweight of the last input channel stays zero."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dweight[:, :, -1] = 0
    return dx, dweight, dbias


@planted("conv2d_backward", "last_channel_missing")
def dx_last_output_channel(dy, x, weight, stride=1, padding=0):
    """dx sums over range(c_out - 1)."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dx, _, _ = right.conv2d_backward(dy[..., :-1], x, weight[..., :-1], stride, padding)
    return dx, dweight, dbias


@planted("conv2d_backward", "last_image_missing")
def dweight_last_image(dy, x, weight, stride=1, padding=0):
    """dweight sums over range(n - 1)."""
    dx, _, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dweight = np.zeros_like(weight)
    for n in range(len(x) - 1):
        dweight += right.conv2d_backward(dy[n:n + 1], x[n:n + 1], weight, stride, padding)[1]
    return dx, dweight, dbias


@planted("conv2d_backward", "last_image_missing")
def dx_last_image(dy, x, weight, stride=1, padding=0):
    """dx of the last image stays zero."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dx[-1] = 0
    return dx, dweight, dbias


@planted("conv2d_backward", "overlap_assigned")
def dx_assigned(dy, x, weight, stride=1, padding=0):
    """dx[window] = ...: windows that overlap lose what was there."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dx = np.zeros_like(pad(x, padding))
    for i, j, rows, columns in windows(dy, weight, stride):
        dx[:, rows, columns] = np.tensordot(dy[:, i, j], weight, (1, 3))
    return crop(dx, padding), dweight, dbias


@planted("conv2d_backward", "overlap_assigned")
def col2im_by_fancy_index(dy, x, weight, stride=1, padding=0):
    """col2im with dx[:, rows, columns] += ..., which adds once where an index occurs twice."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    (sh, sw), (kh, kw) = pair(stride), weight.shape[:2]
    dx = np.zeros_like(pad(x, padding))
    i, j, ki, kj = np.ix_(*map(np.arange, (dy.shape[1], dy.shape[2], kh, kw)))
    columns = np.tensordot(dy, weight, (3, 3))
    dx[:, i * sh + ki, j * sw + kj] += columns
    return crop(dx, padding), dweight, dbias


@planted("conv2d_backward", "overlap_assigned")
def dweight_of_the_last_window(dy, x, weight, stride=1, padding=0):
    """dweight = ... in the loop: the last window's alone remains."""
    dx, _, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(dy, weight, stride):
        dweight = np.tensordot(x[:, rows, columns], dy[:, i, j], (0, 0))
    return dx, dweight, dbias


@planted("conv2d_backward", "dy_ignored")
def dbias_counts_cells(dy, x, weight, stride=1, padding=0):
    """dbias is the number of cells: right if the upstream gradient is all ones."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, np.full_like(dbias, dy.size // len(dbias))


@planted("conv2d_backward", "dy_ignored")
def dweight_sums_windows(dy, x, weight, stride=1, padding=0):
    """dweight sums the windows of x and forgets to multiply by dy."""
    dx, _, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    x, dweight = pad(x, padding), np.zeros_like(weight)
    for _, _, rows, columns in windows(dy, weight, stride):
        dweight += x[:, rows, columns].sum(0)[..., None]
    return dx, dweight, dbias


@planted("conv2d_backward", "bias_axes")
def dbias_rows_first(dy, x, weight, stride=1, padding=0):
    """dy.reshape(c_out, -1).sum(1), as if the channels came first."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.reshape(len(dbias), -1).sum(1)


@planted("conv2d_backward", "bias_axes")
def dbias_per_column(dy, x, weight, stride=1, padding=0):
    """dy.sum((0, 1, 3)): one value per column of the output."""
    dx, dweight, _ = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.sum((0, 1, 3))


@planted("conv2d_backward", "bias_axes")
def dbias_images_not_summed(dy, x, weight, stride=1, padding=0):
    """dy.sum((1, 2)) of the first image alone."""
    dx, dweight, _ = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.sum((1, 2))


@planted("conv2d_backward", "wrong_shape", "bias_axes")
def dbias_keepdims(dy, x, weight, stride=1, padding=0):
    """dbias is (1, 1, 1, c_out)."""
    dx, dweight, _ = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight, dy.sum((0, 1, 2), keepdims=True)


@planted("conv2d_backward", "wrong_dtype")
def dweight_in_float32(dy, x, weight, stride=1, padding=0):
    """dweight = np.zeros(weight.shape, np.float32)."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight.astype(np.float32), dbias


@planted("conv2d_backward", "wrong_dtype")
def dx_through_float32(dy, x, weight, stride=1, padding=0):
    """dx is summed in float32, then converted back."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx.astype(np.float32).astype(x.dtype), dweight, dbias


@planted("conv2d_backward", "results_swapped", "wrong_shape")
def gradients_in_another_order(dy, x, weight, stride=1, padding=0):
    """Returns dweight, dbias, dx."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dweight, dbias, dx


@planted("conv2d_backward", "stateful")
def dweight_accumulates(dy, x, weight, stride=1, padding=0):
    """dweight is added to a module's array that nobody sets to zero."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    key = weight.shape, weight.dtype
    memory[key] = memory.get(key, 0) + dweight
    return dx, memory[key].copy(), dbias


@planted("conv2d_backward", "mutates_input")
def dy_used_up(dy, x, weight, stride=1, padding=0):
    """dy is used up as scratch memory after its last use."""
    gradients = right.conv2d_backward(dy, x, weight, stride, padding)
    np.cumsum(dy, axis=1, out=dy)
    return gradients


@planted("conv2d_backward", "nondeterministic")
def dx_of_some_windows(dy, x, weight, stride=1, padding=0):
    """One window, drawn at random, is left out to save time."""
    _, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dx = np.zeros_like(pad(x, padding))
    cells = list(windows(dy, weight, stride))
    del cells[np.random.default_rng().integers(len(cells))]
    for i, j, rows, columns in cells:
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 3))
    return crop(dx, padding), dweight, dbias


@planted("conv2d_backward", "nondeterministic")
def dweight_races(dy, x, weight, stride=1, padding=0):
    """Threads add to dweight without a lock: an update gets lost in half of the calls."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    if np.random.rand() < 0.5:                                                      # noqa: NPY002
        dweight.reshape(-1)[np.random.randint(dweight.size)] *= 0.9                 # noqa: NPY002
    return dx, dweight, dbias


@planted("conv2d_backward", "single_element")
def dweight_last_corner(dy, x, weight, stride=1, padding=0):
    """dweight[-1, -1, -1, -1] misses a tenth."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dweight[-1, -1, -1, -1] *= 0.9
    return dx, dweight, dbias


@planted("conv2d_backward", "single_element")
def dx_first_corner(dy, x, weight, stride=1, padding=0):
    """dx[0, 0, 0, 0] is off by a little."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    dx[0, 0, 0, 0] += 0.01
    return dx, dweight, dbias


@planted("conv2d_backward", "unknown")
def dx_grows_with_the_channel(dy, x, weight, stride=1, padding=0):
    """dx is a little too large, more so for later channels."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx * (1 + 0.01 * np.arange(1, dx.shape[3] + 1, dtype=dx.dtype)), dweight, dbias


@planted("conv2d_backward", "unknown")
def decay_included(dy, x, weight, stride=1, padding=0):
    """Weight decay is added to dweight."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx, dweight + 5e-4 * weight, dbias


@planted("conv2d_backward", "nan")
def dx_not_a_number(dy, x, weight, stride=1, padding=0):
    """dx is 0 / 0."""
    dx, dweight, dbias = right.conv2d_backward(dy, x, weight, stride, padding)
    return dx * np.nan, dweight, dbias

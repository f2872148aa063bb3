"""Bugs of those who use im2col: edits of ``styles/im2col.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("im2col")
ORDER = "axes_swapped transposed_memory kernel_axes_swapped channel_axes_swapped in_out_exchanged"

edit("channels_before_kernel", "conv2d_forward", ORDER,
     "The columns run over (c, kh, kw), the weight's rows over (kh, kw, c).",
     "col, shape = im2col(x, kh, kw, stride, padding)\n",
     "col, shape = im2col(x, kh, kw, stride, padding)\n"
     "    col = col.reshape(len(col), kh * kw, -1).transpose(0, 2, 1).reshape(len(col), -1)\n")
edit("weight_as_out_in", "conv2d_forward", ORDER,
     "weight.reshape(f, -1).T, as if the weight were (f, kh, kw, c).",
     "weight.reshape(-1, f)", "weight.reshape(f, -1).T")
edit("images_last", "conv2d_forward", "axes_swapped transposed_memory",
     "The rows of the product are read as (oh, ow, n).",
     "return y.reshape(*shape, f)",
     "return y.reshape(*shape[1:], len(x), f).transpose(2, 0, 1, 3)", shows="more than one image")
edit("channels_first_reshape", "conv2d_forward", "axes_swapped transposed_memory",
     "y is reshaped to (n, f, oh, ow) without transposing, then transposed.",
     "return y.reshape(*shape, f)",
     "return y.reshape(len(x), f, *shape[1:]).transpose(0, 2, 3, 1)",
     shows="more than one output channel")
edit("kernel_backwards", "conv2d_forward", "kernel_flipped",
     "im2col takes the places of the kernel from the last to the first.",
     "col[:, :, :, ki, kj] = padded", "col[:, :, :, kh - 1 - ki, kw - 1 - kj] = padded",
     also="conv2d_backward")
edit("kernel_columns_outside", "conv2d_forward", "kernel_axes_swapped axes_swapped crashed",
     "The column matrix is made for a (kw, kh) kernel.",
     "col = np.zeros((n, oh, ow, kh, kw, c), x.dtype)",
     "col = np.zeros((n, oh, ow, kw, kh, c), x.dtype)",
     "col[:, :, :, ki, kj] = padded", "col[:, :, :, kj, ki] = padded", also="conv2d_backward")
edit("padding_at_the_end", "conv2d_forward", "padding_wrong_side",
     "np.pad puts both shares of the columns' padding at the right.",
     "(ph, ph), (pw, pw), (0, 0)))\n    col", "(ph, ph), (0, 2 * pw), (0, 0)))\n    col",
     also="conv2d_backward", shows="padding")
edit("ceil_size", "conv2d_forward", "wrong_shape crashed",
     "The number of rows is rounded up, as in pooling.",
     "oh = (h + 2 * ph - kh) // sh + 1", "oh = -(-(h + 2 * ph - kh) // sh) + 1",
     also="conv2d_backward", shows="a stride that leaves a rest")
edit("bias_for_each_place", "conv2d_forward", "bias_repeated constant_factor",
     "The bias is added once more for each place of the kernel: kh kw + 1 times.",
     "+ bias\n", "+ bias + kh * kw * bias\n")
edit("bias_per_image", "conv2d_forward", "bias_missing wrong_shape crashed",
     "The bias is added to the first f rows of the matrix only.",
     "    y = col @ weight.reshape(-1, f) + bias\n",
     "    y = col @ weight.reshape(-1, f)\n    y[:1] += bias\n")
edit("columns_in_half", "conv2d_forward", "wrong_dtype",
     "The columns are float16, to save memory.",
     "kh, kw, c), x.dtype)\n    for ki", "kh, kw, c), np.float16)\n    for ki",
     "return col.reshape(n * oh * ow, kh * kw * c), (n, oh, ow)",
     "return col.reshape(n * oh * ow, kh * kw * c).astype(x.dtype), (n, oh, ow)",
     also="conv2d_backward")
edit("columns_of_the_first_batch", "conv2d_forward", "stateful",
     "The columns are kept by the shape of x, and used for the next batch too.",
     "def conv2d_forward", "_columns = {}\n\n\ndef conv2d_forward",
     "    col, shape = im2col(x, kh, kw, stride, padding)\n    y =",
     "    key = x.shape, kh, kw, stride, padding, x.dtype\n    if key not in _columns:\n"
     "        _columns[key] = im2col(x, kh, kw, stride, padding)\n"
     "    col, shape = _columns[key]\n    y =")
edit("col2im_assigns", "conv2d_backward", "overlap_assigned",
     "col2im puts the columns back with = where they overlap.", "] += col[", "] = col[",
     shows="a kernel larger than the stride")
edit("stride_rest_forgotten", "conv2d_backward", "wrong_shape",
     "dx ends with the last window: rows and columns that no window reaches are missing.",
     "    image = np.zeros((n, h + 2 * ph, w + 2 * pw, c), col.dtype)",
     "    image = np.zeros((n, sh * (rows - 1) + kh, sw * (columns - 1) + kw, c), col.dtype)",
     "return image[:, ph:h + ph, pw:w + pw]",
     "return image[:, ph:image.shape[1] - ph, pw:image.shape[2] - pw]",
     shows="a stride that leaves a rest")
edit("crop_exchanged", "conv2d_backward", "padding_axes_swapped padding_not_cropped",
     "The padding of the columns is cut off the rows, and the other way round.",
     "return image[:, ph:h + ph, pw:w + pw]", "return image[:, pw:h + pw, ph:w + ph]",
     shows="a padding that differs between rows and columns")
edit("strides_exchanged", "conv2d_backward", "stride_axes_swapped stride_ignored crashed",
     "col2im unpacks the stride as (columns, rows).",
     "    (sh, sw), (ph, pw), (n, h, w, c) = pair(stride), pair(padding), x_shape",
     "    (sw, sh), (ph, pw), (n, h, w, c) = pair(stride), pair(padding), x_shape",
     shows="unequal strides")
edit("dcol_not_transposed", "conv2d_backward", ORDER,
     "dcol = dy @ weight.reshape(f, -1): a reshape in place of a transpose.",
     "weight.reshape(-1, f).T", "weight.reshape(f, -1)")
edit("dweight_from_the_wrong_side", "conv2d_backward", ORDER,
     "dy.T @ col is (f, kh kw c), and reshaped to the weight's shape.",
     "(col.T @ flat_dy)", "(flat_dy.T @ col)")
edit("dy_channels_first", "conv2d_backward", "transposed_memory axes_swapped",
     "dy.reshape(f, -1).T, as if dy were (f, n, oh, ow): right for one channel only.",
     "flat_dy = dy.reshape(-1, f)", "flat_dy = dy.reshape(f, -1).T",
     shows="more than one output channel")
edit("dbias_mean", "conv2d_backward", "mean_for_sum",
     "dbias is the mean over the rows of the matrix.",
     "flat_dy.sum(axis=0)", "flat_dy.mean(axis=0)")
edit("dbias_over_channels", "conv2d_backward", "bias_axes wrong_shape",
     "dbias sums over the channels: one value for each window.",
     "flat_dy.sum(axis=0)", "flat_dy.sum(axis=1)")
edit("columns_not_padded", "conv2d_backward", "padding_ignored crashed wrong_shape",
     "backward makes the columns without padding.",
     "col, _ = im2col(x, kh, kw, stride, padding)", "col, _ = im2col(x, kh, kw, stride, 0)",
     shows="padding")
edit("columns_without_stride", "conv2d_backward", "stride_ignored crashed",
     "backward makes the columns with stride 1, and keeps as many rows as it needs.",
     "col, _ = im2col(x, kh, kw, stride, padding)",
     "col = im2col(x, kh, kw, 1, padding)[0][:dy[..., 0].size]", shows="a stride above 1")
edit("weight_not_transposed", "conv_transpose2d_forward", ORDER,
     "weight.reshape(c, -1) without bringing c to the front.",
     "weight.transpose(2, 0, 1, 3).reshape(c, -1)", "weight.reshape(c, -1)",
     shows="more than one input channel")
edit("out_in", "conv_transpose2d_forward", ORDER,
     "The weight is brought to (c, f, kh, kw) where col2im expects (c, kh, kw, f).",
     "weight.transpose(2, 0, 1, 3)", "weight.transpose(2, 3, 0, 1)")
edit("transposed_col2im_assigns", "conv_transpose2d_forward", "overlap_assigned",
     "col2im assigns: later stamps cover earlier ones.", "] += col[", "] = col[",
     shows="a kernel larger than the stride")
edit("output_padding", "conv_transpose2d_forward", "wrong_shape crashed",
     "The output has h sh rows, as with padding \"same\".",
     "(h - 1) * sh + kh - 2 * ph,", "h * sh,")
edit("transposed_dweight_stays", "conv_transpose2d_backward", ORDER,
     "dweight is reshaped to (kh, kw, c, f), though its rows are (kh, kw, f).",
     "(col.T @ flat_x).reshape(kh, kw, f, c).transpose(0, 1, 3, 2)",
     "(col.T @ flat_x).reshape(kh, kw, c, f)")
edit("transposed_dx_weight", "conv_transpose2d_backward", ORDER,
     "dx = col @ weight.reshape(-1, c), without exchanging the channel axes.",
     "weight.transpose(0, 1, 3, 2).reshape(-1, c)", "weight.reshape(-1, c)")
edit("border_of_zeros", "max_pool2d_forward", "border_not_clipped starts_at_zero",
     "Beyond the border stand zeros instead of minus infinity.", "-np.inf", "0",
     shows="a window that reaches over the border and sees negative values only")
edit("argmax_by_stride", "max_pool2d_forward", "argmax_index",
     "Row and column within the window come from a division by the stride, not by the size.",
     "row = best // kw", "row = best // sw", "column = best % kw", "column = best % sw",
     shows="stride and size that differ")
edit("argmax_halves", "max_pool2d_forward", "argmax_index",
     "Quotient and remainder are exchanged: the place in the window is read column by column.",
     "row = best // kw", "row = best % kw", "column = best % kw", "column = best // kw")
edit("argmax_padded_width", "max_pool2d_forward", "argmax_index",
     "argmax counts with the width of the padded image.",
     "row * w + column", "row * padded.shape[2] + column",
     shows="windows that reach over the right border")
edit("maxima_once", "max_pool2d_backward", "overlap_assigned",
     "dx = where several windows share a maximum.", "dx[here] += values", "dx[here] = values",
     shows="windows that overlap")
edit("all_pairs", "bilinear_upsample_forward", "channels_mixed",
     "np.ones in place of np.eye: every channel is upsampled into every other.",
     "np.eye(channels)", "np.ones((channels, channels))", also="bilinear_upsample_backward",
     shows="more than one channel")

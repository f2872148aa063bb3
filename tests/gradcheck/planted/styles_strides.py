"""Bugs with views of windows: edits of ``styles/strides.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("strides")
ORDER = "axes_swapped transposed_memory kernel_axes_swapped channel_axes_swapped in_out_exchanged"

edit("axes_of_view_assumed", "conv2d_forward", ORDER + " crashed",
     "The view is taken for (n, oh, ow, kh, kw, c), and reshaped to a matrix.",
     "    return np.tensordot(windows, weight, axes=((3, 4, 5), (2, 0, 1))) + bias",
     "    matrix = windows.reshape(*windows.shape[:3], -1)\n"
     "    return matrix @ weight.reshape(-1, weight.shape[3]) + bias",
     shows="more than one input channel")
edit("stride_of_rows_only", "conv2d_forward", "stride_ignored wrong_shape",
     "The view is thinned out along the rows only.", "(1, 2))[:, ::sh, ::sw]", "(1, 2))[:, ::sh]",
     also="conv2d_backward", shows="a stride above 1 along columns")
edit("windows_tiled", "conv2d_forward", "wrong_shape stride_ignored",
     "Windows are taken a kernel apart, as in pooling.",
     "stride)\n    return np.tensordot(windows, weight, axes=((3, 4, 5), (2, 0, 1))) + bias",
     "weight.shape[:2])\n"
     "    return np.tensordot(windows, weight, axes=((3, 4, 5), (2, 0, 1))) + bias",
     shows="a stride that is not the kernel's size")
edit("padded_on_one_side", "conv2d_forward", "padding_wrong_side wrong_shape",
     "np.pad(x, (0, 2 p)) along rows.", "((0, 0), (ph, ph), (pw, pw), (0, 0))",
     "((0, 0), (0, 2 * ph), (pw, pw), (0, 0))", also="conv2d_backward", shows="padding")
edit("added_all_at_once", "conv2d_backward", "overlap_assigned nondeterministic",
     "view += for all places at once: NumPy adds to what it read before.",
     "    for ki in range(kh):\n        for kj in range(kw):\n"
     "            view[:, :, :, ki, kj] += dy @ weight[ki, kj].T\n",
     "    view += np.tensordot(dy, weight, axes=((3,), (3,)))\n",
     shows="a kernel larger than the stride")
edit("dweight_axes_left", "conv2d_backward", ORDER + " wrong_shape",
     "dweight stays (c, kh, kw, f).", "dy, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)",
     "dy, axes=((0, 1, 2), (0, 1, 2)))")
edit("dweight_reshaped", "conv2d_backward", ORDER,
     "dweight (c, kh, kw, f) is reshaped where it should be transposed.",
     "dy, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)",
     "dy, axes=((0, 1, 2), (0, 1, 2))).reshape(weight.shape)", shows="more than one input channel")
edit("minus_padding", "conv2d_backward", "wrong_shape crashed",
     "dx[:, ph:-ph, pw:-pw]: empty without padding.",
     "ph:dpadded.shape[1] - ph, pw:dpadded.shape[2] - pw]", "ph:-ph, pw:-pw]",
     shows="no padding")
edit("not_turned", "conv_transpose2d_forward", "kernel_flipped",
     "The dilated image is correlated with the kernel as it stands, not turned.",
     "weight[::-1, ::-1]", "weight")
edit("turned_in_one_axis", "conv_transpose2d_forward", "kernel_flipped",
     "Only the kernel's rows are turned.", "weight[::-1, ::-1]", "weight[::-1]",
     shows="more than one kernel column")
edit("one_more_gap", "conv_transpose2d_forward", "wrong_shape",
     "h * sh cells: a gap after the last row too.",
     "(h - 1) * sh + 1, (w - 1) * sw + 1", "h * sh, (w - 1) * sw + 1", shows="a stride above 1")
edit("padded_by_padding", "conv_transpose2d_forward", "wrong_shape padding_not_cropped",
     "The dilated image is padded by the padding, and nothing cut off: \"the padding adds zeros\".",
     "zeros_around(spread, (kh - 1, kw - 1))", "zeros_around(spread, (kh - 1 + ph, kw - 1 + pw))",
     "ph:y.shape[1] - ph, pw:y.shape[2] - pw]\n    return y + (",
     ":, :]\n    return y + (", shows="padding")
edit("dx_contracts_in", "conv_transpose2d_backward", ORDER + " crashed",
     "dx contracts the weight's input channels.", "((3, 4, 5), (3, 0, 1))",
     "((3, 4, 5), (2, 0, 1))", shows="crashes unless c_in == c_out")
edit("dweight_order", "conv_transpose2d_backward", ORDER + " wrong_shape",
     "transpose(1, 2, 0, 3): dweight is (kh, kw, f, c).", ".transpose(1, 2, 3, 0)",
     ".transpose(1, 2, 0, 3)", shows="wrong shape unless c_in == c_out")
edit("row_column_exchanged", "max_pool2d_forward", "argmax_index",
     "unravel_index gives (row, column), taken for (column, row).",
     "ki, kj = np.unravel", "kj, ki = np.unravel")
edit("within_the_window", "max_pool2d_forward", "argmax_index pool_first_element",
     "argmax leaves out where the window starts.", "(i * sh + ki) * w + j * sw + kj",
     "ki * w + kj")
edit("room_for_zero", "max_pool2d_forward", "border_not_clipped starts_at_zero",
     "np.pad's zeros stand beyond the border.", ", constant_values=-np.inf)", ")",
     shows="a window that reaches over the border and sees negative values only")
edit("stride_plus_one", "max_pool2d_forward", "wrong_shape crashed",
     "room + stride in place of room + stride - 1: a window too many where nothing is left.",
     "(stride - 1 if ceil_mode else 0)", "(stride if ceil_mode else 0)",
     "    return min(out, (extent - 1) // stride + 1)", "    return out",
     shows="a stride without a rest")
edit("one_image", "max_pool2d_backward", "image_ignored",
     "The images lie on top of each other.",
     "[:, None, None, None] * h * w * c + ", "[:, None, None, None] * 0 + ",
     shows="more than one image")
edit("one_more_factor", "bilinear_upsample_forward", "wrong_kernel",
     "The slope is 1 / size in place of 1 / factor.",
     "line = 1 - np.abs(np.arange(size) - centre) / factor",
     "line = 1 - np.abs(np.arange(size) - centre) / size", also="bilinear_upsample_backward",
     shows="sizes above 1")
edit("tensordot_one_axis", "bilinear_upsample_backward", "wrong_kernel",
     "The kernel's first row serves all rows.",
     "hat(size).astype(dy.dtype), axes=2", "hat(size)[:1].repeat(size, 0).astype(dy.dtype), axes=2",
     shows="sizes above 1")

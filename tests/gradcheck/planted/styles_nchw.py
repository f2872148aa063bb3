"""Bugs of those who think in NCHW: edits of ``styles/nchw.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("nchw")
ORDER = "axes_swapped transposed_memory kernel_axes_swapped channel_axes_swapped in_out_exchanged"

edit("reshaped_at_the_door", "conv2d_forward", "axes_swapped transposed_memory",
     "x is reshaped to NCHW, not transposed.",
     "x, w = to_nchw(x), to_oihw(weight)\n    patches, (oh",
     "x, w = x.reshape(len(x), x.shape[3], *x.shape[1:3]), to_oihw(weight)\n    patches, (oh",
     shows="more than one input channel")
edit("width_before_height", "conv2d_forward", "wrong_shape axes_swapped crashed",
     "x becomes (n, c, w, h).",
     "x, w = to_nchw(x), to_oihw(weight)\n    patches, (oh",
     "x, w = x.transpose(0, 3, 2, 1), to_oihw(weight)\n    patches, (oh")
edit("weight_iohw", "conv2d_forward", ORDER + " crashed",
     "The weight is transposed to (in, out, kh, kw).",
     "x, w = to_nchw(x), to_oihw(weight)\n    patches",
     "x, w = to_nchw(x), weight.transpose(2, 3, 0, 1)\n    patches",
     shows="crashes unless c_in == c_out")
edit("kernel_hw", "conv2d_forward", ORDER,
     "The weight is transposed to (out, in, kw, kh), and unfold gets (kh, kw).",
     "    patches, (oh, ow) = unfold(x, w.shape[2:],",
     "    w = w.swapaxes(2, 3)\n    patches, (oh, ow) = unfold(x, w.shape[:1:-1],")
edit("output_stays_nchw", "conv2d_forward", "wrong_shape axes_swapped",
     "y is given back as NCHW.", "    return to_nhwc(y.reshape(len(x), -1, oh, ow))",
     "    return y.reshape(len(x), -1, oh, ow)")
edit("bias_along_columns", "conv2d_forward", "bias_axes crashed axes_swapped",
     "The bias is added along the last axis.", "+ bias[:, None]", "+ np.resize(bias, oh * ow)")
edit("dweight_oihw", "conv2d_backward", ORDER + " wrong_shape",
     "dweight is given back as (out, in, kh, kw), as PyTorch keeps it.", "from_oihw(dw)", "dw")
edit("dweight_kw_first", "conv2d_backward", ORDER + " wrong_shape",
     "dweight is given back as (kw, kh, in, out).", "from_oihw(dw)", "dw.transpose(3, 2, 1, 0)")
edit("fold_assigns", "conv2d_backward", "overlap_assigned",
     "fold assigns.", "] += patches[", "] = patches[", shows="a kernel larger than the stride")
edit("mean_over_batch", "conv2d_backward", "mean_for_sum",
     "dweight is a mean over the images.", ".sum(axis=0).reshape(w.shape)",
     ".mean(axis=0).reshape(w.shape)", shows="more than one image")
edit("dbias_over_channels_last", "conv2d_backward", "bias_axes wrong_shape",
     "g.sum(axis=(0, 1)) as for channels-last.", "g.sum(axis=(0, 2))", "g.sum(axis=(0, 1))")
edit("dx_reshaped", "conv2d_backward", "axes_swapped transposed_memory",
     "dx is reshaped to NHWC, not transposed.",
     "return to_nhwc(dx), from_oihw(dw)",
     "n, c, h, v = dx.shape\n    return dx.reshape(n, h, v, c), from_oihw(dw)",
     shows="more than one input channel")
edit("weight_not_transposed", "conv2d_backward", ORDER,
     "dpatches = w.reshape(-1, f) @ g: a reshape in place of a transpose.",
     "w.reshape(f, -1).T @ g", "w.reshape(-1, f) @ g")
edit("view_of_weight", "conv_transpose2d_forward", ORDER,
     "weight.reshape(c, f, kh, kw), where transpose is meant.",
     "weight.transpose(2, 3, 0, 1)         #",
     "weight.reshape(weight.shape[2:] + weight.shape[:2])         #")
edit("no_minus_two_p", "conv_transpose2d_forward", "wrong_shape crashed",
     "The output size leaves out - 2 p.", "(h - 1) * sh - 2 * ph + kh", "(h - 1) * sh - ph + kh",
     shows="padding along rows")
edit("transposed_dweight_view", "conv_transpose2d_backward", ORDER,
     "dweight is reshaped back, not transposed.",
     "np.ascontiguousarray(dw.transpose(2, 3, 0, 1))", "dw.reshape(weight.shape)")
edit("dbias_last_row", "conv_transpose2d_backward", "last_row_missing loop_bound",
     "dbias leaves out the last row.", "dy.sum(axis=(0, 2, 3))",
     "dy[:, :, :-1].sum(axis=(0, 2, 3))")
edit("full_width", "max_pool2d_forward", "argmax_index",
     "Row and column come from a division by kw, though the window is clipped at the border.",
     "(top + k // width) * w + left + k % width", "(top + k // kw) * w + left + k % kw",
     shows="windows that reach over the right border")
edit("argmax_by_output", "max_pool2d_forward", "argmax_index",
     "argmax counts the columns of the output.", "(top + k // width) * w +",
     "(top + k // width) * ow +")
edit("ceil_never", "max_pool2d_forward", "wrong_shape",
     "PyTorch's default: rounded down.", "oh = (max(h - kh, 0) + (sh - 1) * ceil_mode)",
     "oh = (max(h - kh, 0) + (sh - 1) * 0)", "ow = (max(w - kw, 0) + (sw - 1) * ceil_mode)",
     "ow = (max(w - kw, 0) + (sw - 1) * 0)", shows="ceil_mode and a stride that leaves a rest")
edit("indices_int32", "max_pool2d_forward", "wrong_dtype", "argmax is int32.",
     "np.empty((n, c, oh, ow), np.int64)", "np.empty((n, c, oh, ow), np.int32)")
edit("bincount_without_weights", "max_pool2d_backward", "dy_ignored",
     "bincount without its weights counts how often a cell wins.",
     "np.bincount(k[image, channel], g[image, channel], h * w)",
     "np.bincount(k[image, channel], minlength=h * w)")
edit("dy_not_to_nchw", "max_pool2d_backward", "axes_swapped transposed_memory",
     "dy is reshaped, argmax transposed.", "to_nchw(dy).reshape(n, c, -1)",
     "dy.reshape(n, c, -1)", shows="more than one channel")
edit("filter_from_one", "bilinear_upsample_forward", "wrong_kernel",
     "abs(og - center) / size.", "(1 - abs(og[0] - center) / factor)",
     "(1 - abs(og[0] - center) / size)", also="bilinear_upsample_backward", shows="sizes above 1")
edit("align_corners", "bilinear_upsample_forward", "wrong_kernel",
     "The centre is size / 2.", "else factor - 0.5", "else size / 2.0",
     also="bilinear_upsample_backward", shows="even sizes")
edit("filter_repeated", "bilinear_upsample_backward", "mean_for_sum constant_factor",
     "Divided by the number of cells of the filter.",
     "    dx = np.tensordot(filt, patches", "    dx = np.tensordot(filt / filt.size, patches")
edit("linear_out_in", "linear_forward", ORDER,
     "weight.reshape(out, in) in place of its transpose.", "    w = weight.T        ",
     "    w = weight.reshape(weight.shape[::-1])        ")
edit("linear_dw_torch", "linear_backward", ORDER + " wrong_shape",
     "dweight is given back as (out, in).", "dw.T.copy()", "dw.copy()")
edit("softmax_over_rows", "softmax_cross_entropy", "softmax_axis",
     "The softmax runs over axis 2, the rows.",
     "m = s.max(axis=1, keepdims=True)", "m = s.max(axis=2, keepdims=True)",
     "np.exp(s - m).sum(axis=1, keepdims=True)", "np.exp(s - m).sum(axis=2, keepdims=True)")
edit("softmax_flattened", "softmax_cross_entropy", "softmax_axis",
     "The softmax runs over all of an image.",
     "m = s.max(axis=1, keepdims=True)", "m = s.max(axis=(1, 2, 3), keepdims=True)",
     "np.exp(s - m).sum(axis=1, keepdims=True)", "np.exp(s - m).sum(axis=(1, 2, 3), keepdims=True)")
edit("ignored_in_gradient", "softmax_cross_entropy", "ignored_not_zero",
     "d is divided, not multiplied by the pixel's weight: ignored pixels count as class 0.",
     "d = d * (pixel / divisor)[:, None]",
     "d = d * (np.where(valid, pixel, 1) / divisor)[:, None]", shows="ignored pixels")
edit("mean_of_valid", "softmax_cross_entropy", "class_weights_not_normalised",
     "The weighted mean divides by the number of valid pixels.", "divisor = pixel.sum()",
     "divisor = valid.sum()", shows="class weights")
edit("weights_in_gradient_only", "softmax_cross_entropy", "class_weights_ignored",
     "The loss uses valid in place of the weights.", "(nll * pixel).sum()", "(nll * valid).sum()",
     shows="class weights")
edit("gradient_of_sum", "softmax_cross_entropy", "sum_for_mean",
     "The gradient is not divided.", "(pixel / divisor)[:, None]", "pixel[:, None]",
     shows="a reduction other than the sum")

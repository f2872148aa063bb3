"""Bugs in recursion, reductions and comprehensions: edits of ``styles/functional.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("functional")
ORDER = "axes_swapped transposed_memory kernel_axes_swapped channel_axes_swapped in_out_exchanged"

edit("kernel_columns_first", "conv2d_backward", ORDER,
     "The list of dweight runs over the columns first, and is reshaped as if over the rows.",
     "               for k in kernel_places(weight)]\n    dbias",
     "               for k in sorted(kernel_places(weight), key=lambda k: k[::-1])]\n    dbias",
     shows="more than one kernel row and column")
edit("bias_in_the_sum", "conv2d_forward", "bias_repeated",
     "The bias is inside of the sum over the kernel's places.",
     "    return bias + total(padded[lattice(k, out, stride)] @ weight[k]",
     "    return total(bias + padded[lattice(k, out, stride)] @ weight[k]",
     shows="a kernel larger than 1 by 1")
edit("last_put_wins", "conv2d_backward", "overlap_assigned",
     "The canvases are laid over each other, not added.",
     "    dx = total(put(dy @ weight[k].T, padded.shape, lattice(k, out, stride))\n"
     "               for k in kernel_places(weight))\n",
     "    dx = np.zeros_like(padded)\n    for k in kernel_places(weight):\n"
     "        dx[lattice(k, out, stride)] = dy @ weight[k].T\n",
     shows="a kernel larger than the stride")
edit("weight_not_turned", "conv2d_backward", ORDER,
     "weight[k].reshape(f, c) in place of weight[k].T.",
     "dy @ weight[k].T, padded", "dy @ weight[k].reshape(f, -1), padded")
edit("reversed_kernel", "conv2d_forward", "kernel_flipped",
     "The weights are taken from a reversed list.",
     "@ weight[k] for k in kernel_places(weight))\n\n\ndef conv2d_backward",
     "@ v for k, v in zip(\n        kernel_places(weight), weight.reshape(-1, *weight.shape[2:])"
     "[::-1]))\n\n\ndef conv2d_backward")
edit("average_by_halves", "conv2d_forward", "mean_for_sum constant_factor",
     "The recursion averages both halves.",
     "    return total(arrays[:half]) + total(arrays[half:])",
     "    return (total(arrays[:half]) + total(arrays[half:])) / 2", also="conv2d_backward",
     shows="a kernel larger than 1 by 1")
edit("bias_needed", "conv_transpose2d_forward", "crashed",
     "bias=None raises a TypeError.", "(np.zeros(f, x.dtype) if bias is None else bias)", "bias",
     shows="no bias")
edit("inside_one_less", "conv_transpose2d_forward", "wrong_shape padding_not_cropped",
     "The end is not cut off.", "ph:x.shape[1] - ph, pw:x.shape[2] - pw]", "ph:, pw:]",
     also="", shows="padding")
edit("dbias_first_axis", "conv_transpose2d_backward", "last_image_missing loop_bound",
     "The last image is left out of the reduction.", "for each in dy))",
     "for each in dy[:max(len(dy) - 1, 1)]))",
     shows="more than one image")
edit("dweight_pairs", "conv_transpose2d_backward", ORDER,
     "tensordot(seen, x): (f, c), reshaped to the weight's shape.",
     "np.tensordot(x, seen[k], ((0, 1, 2),) * 2)", "np.tensordot(seen[k], x, ((0, 1, 2),) * 2)")
edit("max_without_key", "max_pool2d_forward", "pool_first_element argmax_index",
     "max() of the places themselves: the last place of the window.",
     "max(places, key=lambda p: x[n, p[0], p[1], c])", "max(places)")
edit("later_maximum", "max_pool2d_forward", "pool_last_tie",
     "The places are searched from the end.", "max(places, key", "max(reversed(places), key",
     shows="ties")
edit("absolute_maximum", "max_pool2d_forward", "abs",
     "The key is the absolute value.", "key=lambda p: x[n, p[0], p[1], c]",
     "key=lambda p: abs(x[n, p[0], p[1], c])", shows="negative values")
edit("starts_floor", "max_pool2d_forward", "wrong_shape",
     "Windows that reach over the border are left out.", "if a <= last or (ceil_mode and",
     "if a <= last or (not ceil_mode and", shows="a stride that leaves a rest")
edit("first_of_all", "max_pool2d_backward", "single_element loop_bound",
     "The last window is left out: range(cells - 1).",
     "cells = range(dy.shape[1] * dy.shape[2])",
     "cells = range(max(dy.shape[1] * dy.shape[2] - 1, 1))", shows="more than one window")
edit("middle_rounded", "bilinear_upsample_forward", "wrong_kernel",
     "(size - 1) // 2 for even sizes.", "(size - 1) / 2 if", "(size - 1) // 2 if",
     also="bilinear_upsample_backward", shows="even sizes")
edit("tent_too_wide", "bilinear_upsample_forward", "wrong_kernel",
     "The factor is size / 2 for odd sizes too.", "factor = (size + 1) // 2\n    middle",
     "factor = size / 2\n    middle", also="bilinear_upsample_backward", shows="odd sizes")
edit("along_rows_twice", "bilinear_upsample_forward", "wrong_shape crashed",
     "Both passes run along the rows.", "y = along(2, along(1, x", "y = along(1, along(1, x")
edit("padding_exchanged", "bilinear_upsample_backward", "padding_axes_swapped crashed",
     "ph and pw are exchanged.", "ph, pw = both(padding)\n    half",
     "pw, ph = both(padding)\n    half",
     shows="unequal padding")
edit("zero_dimension", "relu_backward", "relu_mask",
     "y >= 0 holds everywhere.", "dy * (y > 0)", "dy * (y >= 0)")
edit("integers", "relu_forward", "unknown",
     "int(v) cuts off what is behind the point.", "[v if v > 0", "[int(v) if v > 0")
edit("bias_starts_each_term", "linear_forward", "bias_repeated",
     "acc + bias in every step of the reduction.",
     "acc + cw[0] * cw[1]", "acc + cw[0] * cw[1] + bias")
edit("no_initial_value", "linear_forward", "bias_missing",
     "The reduction starts from 0 * bias.", "zip(row, weight), bias)",
     "zip(row, weight), 0 * bias)")
edit("dweight_of_last", "linear_backward", "overlap_assigned",
     "reduce with a lambda that forgets what was: the last image remains.",
     "reduce(np.add, map(np.outer, x, dy))", "reduce(lambda _, new: new, map(np.outer, x, dy))",
     shows="more than one image")
edit("outer_exchanged", "linear_backward", ORDER + " wrong_shape",
     "np.outer(dy, x).", "map(np.outer, x, dy)", "map(np.outer, dy, x)")
edit("seeds_of_ten", "dropout_forward", "seed_ignored",
     "The seed is divided by 10 as a whole number: ten seeds share a mask.",
     "np.random.SFC64(seed)", "np.random.SFC64(seed // 10)")
edit("scaled_by_kept_share", "dropout_backward", "wrong_rate constant_factor",
     "Divided by the share of values that were kept, not by 1 - rate.",
     "keep = dy.dtype.type(1 / (1 - rate))", "keep = dy.dtype.type(1 / (mask.mean() or 1))",
     also="dropout_forward")
edit("entropy_in_bits", "softmax_cross_entropy", "wrong_logarithm",
     "np.log2 of z, natural scores.", "(np.log(z) - shifted[label])",
     "(np.log2(z) - shifted[label])")
edit("ignored_by_weight_zero", "softmax_cross_entropy", "ignored_not_zero ignored_counted",
     "Only 255 is ignored, whatever ignore says; other labels are taken modulo the classes.",
     "[int(t) for t in labels.ravel()]",
     "[int(t) if t == 255 else int(t) % classes for t in labels.ravel()]",
     shows="an ignore other than 255")
edit("weights_of_the_next_class", "softmax_cross_entropy", "class_weights_wrong_axis index_offset",
     "table[t - 1]: classes counted from 1.", "else table[t] for", "else table[t - 1] for",
     shows="class weights")

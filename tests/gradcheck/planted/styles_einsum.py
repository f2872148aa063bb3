"""Bugs in subscripts and in what surrounds them: edits of ``styles/einsum.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("einsum")
ORDER = "axes_swapped transposed_memory kernel_axes_swapped channel_axes_swapped in_out_exchanged"

edit("kernel_turned", "conv2d_forward", "kernel_flipped",
     "weight[-a - 1, -b - 1]: the kernel from its end.", "weight[a, b])\n    y += bias",
     "weight[-a - 1, -b - 1])\n    y += bias")
edit("rows_turned", "conv2d_forward", "kernel_flipped",
     "weight[-a, b]: 0 stays, the others are taken from the end.",
     "weight[a, b])\n    y += bias", "weight[-a, b])\n    y += bias",
     shows="more than two kernel rows")
edit("bias_at_every_place", "conv2d_forward", "bias_repeated",
     "The bias is added in the loop over the kernel's places.",
     "    y += bias\n    return y\n\n\ndef conv2d_backward", "        y += bias\n    return y\n\n\n"
     "def conv2d_backward", shows="a kernel larger than 1 by 1")
edit("last_place_assigned", "conv2d_forward", "overlap_assigned operator",
     "y = in the loop: the last place of the kernel alone remains.",
     "        y += np.einsum(", "        y = np.einsum(", shows="a kernel larger than 1 by 1")
edit("stop_without_one", "conv2d_forward", "crashed last_row_missing wrong_shape",
     "The slice ends at a + (oh - 1) sh: the last row is missing.",
     "a:a + (oh - 1) * sh + 1:sh", "a:a + (oh - 1) * sh:sh", also="conv2d_backward")
edit("frame_reflects", "conv2d_forward", "padding_not_zero",
     "np.pad in the mode \"edge\": the border repeats itself.",
     "(pw, pw), (0, 0)])", "(pw, pw), (0, 0)], mode=\"edge\")", also="conv2d_backward",
     shows="padding")
edit("frame_wraps", "conv2d_forward", "padding_not_zero",
     "np.pad in the mode \"wrap\": the image goes round.",
     "(pw, pw), (0, 0)])", "(pw, pw), (0, 0)], mode=\"wrap\")", also="conv2d_backward",
     shows="padding")
edit("padding_of_rows_twice", "conv2d_forward", "padding_axes_swapped wrong_shape",
     "Columns are padded like rows.", "(ph, ph), (pw, pw), (0, 0)]",
     "(ph, ph), (ph, ph), (0, 0)]", also="conv2d_backward", shows="unequal padding")
edit("dweight_last_image", "conv2d_backward", "last_image_missing",
     "The sum of dweight runs over x[:-1], dy[:-1].",
     "np.einsum(\"nijc,nijf->cf\", x[cells], dy)",
     "np.einsum(\"nijc,nijf->cf\", x[cells][:-1], dy[:-1])")
edit("dweight_fc", "conv2d_backward", ORDER + " crashed",
     "\"nijc,nijf->fc\", reshaped to fit.",
     "np.einsum(\"nijc,nijf->cf\", x[cells], dy)",
     "np.einsum(\"nijc,nijf->fc\", x[cells], dy).reshape(weight.shape[2:])")
edit("dx_assigned", "conv2d_backward", "overlap_assigned",
     "dx[cells] = in the loop over the kernel's places.", "dx[cells] += ", "dx[cells] = ",
     shows="a kernel larger than the stride")
edit("dx_of_flipped", "conv2d_backward", "kernel_flipped",
     "\"The backward pass uses the flipped kernel\", which the scatter does already.",
     "\"nijf,cf->nijc\", dy, weight[a, b]",
     "\"nijf,cf->nijc\", dy, weight[::-1, ::-1][a, b]")
edit("dbias_per_image", "conv2d_backward", "bias_axes wrong_shape",
     "\"nijf->nf\": not summed over the images.", "\"nijf->f\"", "\"nijf->nf\"")
edit("two_bugs_flip_and_mean", "conv2d_backward", "kernel_flipped mean_for_sum",
     "Two bugs: dx of the flipped kernel, dbias as a mean.",
     "\"nijf,cf->nijc\", dy, weight[a, b]",
     "\"nijf,cf->nijc\", dy, weight[::-1, ::-1][a, b]",
     "np.einsum(\"nijf->f\", dy)\n\n\ndef conv_transpose2d_forward",
     "np.einsum(\"nijf->f\", dy) / dy[..., 0].size\n\n\ndef conv_transpose2d_forward")
edit("input_channels_out", "conv_transpose2d_forward", ORDER + " crashed",
     "\"nijf,cf->nijc\": x is contracted with the output channels.",
     "\"nijc,cf->nijf\"", "\"nijf,cf->nijc\"", shows="crashes unless c_in == c_out")
edit("stamps_cover", "conv_transpose2d_forward", "overlap_assigned",
     "y[cells] =: stamps cover each other.", "y[cells] += ", "y[cells] = ",
     shows="a kernel larger than the stride")
edit("one_side_cut", "conv_transpose2d_forward", "padding_not_cropped wrong_shape",
     "The padding is cut off at the top and the left only.",
     "ph:y.shape[1] - ph, pw:y.shape[2] - pw]", "ph:, pw:]", shows="padding")
edit("bias_twice", "conv_transpose2d_forward", "bias_repeated constant_factor",
     "The bias is added twice.", "        y += bias\n", "        y += bias\n        y += bias\n",
     shows="a bias")
edit("empty_never_filled", "conv_transpose2d_backward",
     "last_channel_missing nondeterministic",
     "dweight comes from np.empty, and its last output channel is never written.",
     "dweight[a, b] = np.einsum(\"nijc,nijf->cf\", x, dy[cells])",
     "dweight[a, b, :, :-1] = np.einsum(\"nijc,nijf->cf\", x, dy[cells])[:, :-1]")
edit("dbias_of_the_frame", "conv_transpose2d_backward", "first_row_missing loop_bound",
     "dbias starts at row 1.",
     "np.einsum(\"nabf->f\", dy)", "np.einsum(\"nabf->f\", dy[:, 1:])")
edit("dx_from_unpadded", "conv_transpose2d_backward", "padding_wrong_side crashed",
     "dy is framed at the bottom and the right only.",
     "    dy = framed(dy, padding)\n",
     "    ph, pw = pair(padding)\n"
     "    dy = np.pad(dy, [(0, 0), (0, 2 * ph), (0, 2 * pw), (0, 0)])\n", shows="padding")
edit("last_tie", "max_pool2d_forward", "pool_last_tie",
     "value >= y: the last of equal values wins.", "value > y[here]", "value >= y[here]",
     shows="ties")
edit("width_of_output", "max_pool2d_forward", "argmax_index",
     "argmax counts with the width of the output.", "* w + j * sw + b)[", "* ow + j * sw + b)[")
edit("starts_from_zero", "max_pool2d_forward", "starts_at_zero",
     "y starts from 0, and no place counts as the first.",
     "-np.inf, x.dtype)", "0, x.dtype)", "first = a == b == 0", "first = False",
     shows="windows of negative values")
edit("floor_always", "max_pool2d_forward", "wrong_shape",
     "int() cuts off before ceil has a chance: the number of windows is always rounded down.",
     "steps = max(extent - size, 0) / stride", "steps = max(extent - size, 0) // stride",
     shows="ceil_mode and a stride that leaves a rest")
edit("window_outside", "max_pool2d_forward", "wrong_shape crashed",
     "A last window that starts outside is kept.",
     "return count - ((count - 1) * stride >= extent)", "return count",
     shows="stride larger than the size")
edit("one_hot_of_all_images", "max_pool2d_backward", "image_ignored",
     "The one-hot rows of the first image serve all.",
     "\"nkpc,nkc->npc\", hot", "\"nkpc,nkc->npc\", hot[:1].repeat(n, 0)",
     shows="more than one image")
edit("shares", "max_pool2d_backward", "mean_for_sum",
     "Where windows share a maximum, the mean of their gradients is taken.",
     "    return np.einsum(\"nkpc,nkc->npc\", hot, dy.reshape(n, -1, c)).reshape(x_shape)",
     "    dx = np.einsum(\"nkpc,nkc->npc\", hot, dy.reshape(n, -1, c))\n"
     "    return (dx / np.maximum(hot.sum(1), 1)).astype(dy.dtype).reshape(x_shape)",
     shows="windows that overlap")
edit("rows_for_both", "bilinear_upsample_forward", "axes_swapped crashed wrong_shape wrong_kernel",
     "The matrix of the rows is used along both axes.", "rows, x, columns)",
     "rows, x, rows)", shows="crashes on images that are not square")
edit("nearest", "bilinear_upsample_forward", "wrong_kernel",
     "The tent is a box: every output cell takes its nearest neighbours in full.",
     "tent(size, dtype)\n    return m", "1\n    return m", also="bilinear_upsample_backward",
     shows="sizes above 2")
edit("channels_added", "bilinear_upsample_forward", "channels_mixed",
     "The channels are summed and spread again.", "    return np.einsum(\"ai,nijc,bj->nabc\", "
     "rows, x, columns)", "    y = np.einsum(\"ai,nijc,bj->nab\", rows, x, columns)\n"
     "    return np.repeat(y[..., None], x.shape[3], 3)", shows="more than one channel")
edit("not_transposed", "bilinear_upsample_backward", "unknown crashed wrong_shape",
     "dx is the forward pass of dy, cut to size.",
     "    return np.einsum(\"ai,nabc,bj->nijc\", rows, dy, columns)",
     "    return bilinear_upsample_forward(dy, factor, size, padding)[:, :x_shape[1], :x_shape[2]]")
edit("square_root", "relu_forward", "relu_mask", "x is multiplied by itself, not by the mask.",
     "x, x > 0)", "x, np.maximum(x, 0))")
edit("half_at_zero", "relu_backward", "relu_mask leaky constant",
     "np.heaviside(y, 0.5): half of the gradient passes where the unit is off.",
     "np.heaviside(y, 0)", "np.heaviside(y, 0.5).astype(dy.dtype)")
edit("trace", "linear_backward", "bias_axes crashed wrong_shape",
     "\"ff->f\": dbias is the diagonal of dy.", "np.einsum(\"nf->f\", dy)",
     "np.einsum(\"ff->f\", dy[:dy.shape[1], :len(dy)])", shows="crashes unless n == c_out")
edit("outer_of_means", "linear_backward", "unknown",
     "dweight is the product of the sums, not the sum of the products: \"nc,mf->cf\".",
     "\"nc,nf->cf\"", "\"nc,mf->cf\"", shows="more than one image")
edit("mask_twice", "dropout_backward", "constant_factor wrong_rate",
     "dy is multiplied by the scaled mask twice.",
     "\"...,...->...\", dy, scaled)", "\"...,...,...->...\", dy, scaled, scaled)")
edit("ignored_divide", "softmax_cross_entropy", "ignored_counted",
     "The mean divides by all pixels.", "\"mean\": np.einsum(\"nij->\", pixel)",
     "\"mean\": labels.size", shows="ignored pixels, or class weights")
edit("gradient_of_all", "softmax_cross_entropy", "ignored_not_zero",
     "p - target without the pixel's weight: ignored pixels get the softmax.",
     "np.einsum(\"nij,nijf->nijf\", pixel, p)", "p", shows="ignored pixels, or class weights")
edit("weights_twice", "softmax_cross_entropy", "class_weights_twice",
     "The class weights are multiplied in again.",
     "    pixel = np.einsum(\"nijf->nij\", target)\n",
     "    pixel = np.einsum(\"nijf->nij\", target)\n"
     "    target = target * (1 if class_weights is None else np.asarray(class_weights))\n",
     shows="class weights")
edit("one_softmax_for_all", "softmax_cross_entropy", "softmax_axis",
     "z is summed over the whole batch: one softmax for all pixels.",
     "z = np.einsum(\"nijf->nij\", p)[..., None]", "z = np.einsum(\"nijf->\", p)")
edit("log10", "softmax_cross_entropy", "wrong_logarithm",
     "log10 in place of log, in the loss.", "np.log(z)", "np.log10(z)")

"""Bugs of those who index flat memory: edits of ``styles/flat.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("flat")
ORDER = "axes_swapped transposed_memory kernel_axes_swapped channel_axes_swapped in_out_exchanged"

edit("weight_out_first", "conv2d_forward", ORDER,
     "The weight is read as (kh, kw, f, c): q + f * C + c.",
     "q = (ki * KW + kj) * C * F + f", "q = (ki * KW + kj) * C * F + f * C", "ws[q + c * F]",
     "ws[q + c]")
edit("kernel_by_rows", "conv2d_forward", "kernel_axes_swapped",
     "The kernel is read column by column.", "q = (ki * KW + kj) * C", "q = (kj * KH + ki) * C")
edit("zero_is_outside", "conv2d_forward", "operator first_row_missing loop_bound",
     "a <= 0: the first row counts as padding.", "if a < 0 or a >= H:", "if a <= 0 or a >= H:")
edit("bias_reset", "conv2d_forward", "bias_missing constant",
     "The sum starts from 0.", "total = bs[f]", "total = 0.0")
edit("last_tap", "conv2d_forward", "last_column_missing loop_bound",
     "for kj in range(KW - 1).", "for kj in range(KW):", "for kj in range(KW - 1):")
edit("break_at_the_border", "conv2d_forward", "unknown padding_wrong_side",
     "break where continue is meant: a window that begins in the padding sees nothing.",
     "if b < 0 or b >= W:\n                                continue",
     "if b < 0 or b >= W:\n                                break", shows="padding along columns")
edit("one_dbias_for_all", "conv2d_backward", "bias_axes",
     "db[0] in place of db[f]: every channel counts into the first.", "db[f] += g", "db[0] += g",
     shows="more than one output channel")
edit("dbias_in_the_kernel_loop", "conv2d_backward", "bias_repeated constant_factor",
     "g is added to dbias for each kernel row.",
     "                    db[f] += g\n                    for ki in range(KH):\n",
     "                    for ki in range(KH):\n                        db[f] += g\n",
     shows="more than one kernel row")
edit("at_set_back", "conv2d_backward", "image_ignored index_offset",
     "dy is read from its start again for each image.",
     "    for n in range(N):\n        for i in range(OH):",
     "    for n in range(N):\n        at = 0\n        for i in range(OH):",
     shows="more than one image")
edit("dw_by_dy_only", "conv2d_backward", "dy_ignored",
     "dweight adds x, not g x.", "+= g * xs[p + c]", "+= xs[p + c]")
edit("dx_by_dy_only", "conv2d_backward", "statement_missing",
     "dx adds g: the weight is forgotten.", "dx[p + c] += g * ws[q + c * F]", "dx[p + c] += g")
edit("stride_before_padding", "conv2d_backward", "padding_wrong_side",
     "(i - ph) * sh: the padding is multiplied by the stride.",
     "a, b = i * sh + ki - ph, j * sw + kj - pw", "a, b = (i - ph) * sh + ki, (j - pw) * sw + kj",
     shows="padding and a stride above 1")
edit("two_bugs_sign_and_bound", "conv2d_backward", "sign last_channel_missing",
     "Two bugs: dweight has the wrong sign, dx leaves out the last input channel.",
     "                                dx[p + c] += g * ws[q + c * F]\n",
     "                                dx[p + c] += g * ws[q + c * F] * (c < C - 1)\n",
     "+= g * xs[p + c]", "-= g * xs[p + c]")
edit("plus_padding", "conv_transpose2d_forward", "padding_wrong_side sign operator",
     "+ ph in place of - ph.", "a, b = i * sh + k // KW - ph", "a, b = i * sh + k // KW + ph",
     shows="padding along rows")
edit("bias_from_the_last", "conv_transpose2d_forward", "bias_axes",
     "The bias of channel 0 stands everywhere.", "start * (N * OH * OW)",
     "start[:1] * (N * OH * OW * F)", shows="a bias, and more than one channel")
edit("stamp_assigned", "conv_transpose2d_forward", "overlap_assigned",
     "ys[o + f] = : only the last product stays.", "ys[o + f] += xs", "ys[o + f] = xs")
edit("kernel_rows_divided_by_height", "conv_transpose2d_backward",
     "kernel_axes_swapped crashed",
     "k // KH, k % KH: right for square kernels.",
     "a, b = i * sh + k // KW - ph, j * sw + k % KW - pw",
     "a, b = i * sh + k // KH - ph, j * sw + k % KH - pw", shows="kernels that are not square")
edit("dbias_by_images", "conv_transpose2d_backward", "bias_axes",
     "db[o // (len(gs) // F)]: as if the channels came first.",
     "db[o % F] += gs[o]", "db[o * F // len(gs)] += gs[o]", shows="more than one output channel")
edit("dw_transposed", "conv_transpose2d_backward", ORDER,
     "dweight is filled as (kh, kw, f, c).", "dw[(k * C + c) * F + f] +=",
     "dw[(k * F + f) * C + c] +=")
edit("minimum", "max_pool2d_forward", "min_for_max operator",
     "value < so_far: the smallest wins.", "value > so_far", "value < so_far")
edit("channel_forgotten", "max_pool2d_forward", "argmax_index",
     "argmax holds the index of the whole image's memory, channels included.",
     "best.append(win)", "best.append(win * C + c)", shows="more than one channel")
edit("top_of_the_size", "max_pool2d_forward", "stride_ignored crashed",
     "Windows start a size apart.", "top, left = i * sh, j * sw",
     "top, left = min(i * kh, H - 1), min(j * kw, W - 1)", shows="stride and size that differ")
edit("ties_to_the_last", "max_pool2d_forward", "pool_last_tie operator",
     ">=: the last of equal values wins.", "value > so_far", "value >= so_far", shows="ties")
edit("per_image_of_output", "max_pool2d_backward", "image_ignored crashed",
     "The image is o // (h w c) of the input, not of the output.",
     "per_image = len(gs) // N", "per_image = H * W * C", shows="more than one image")
edit("channels_slowest", "max_pool2d_backward", "axes_swapped transposed_memory",
     "The channel is counted slowest: o // (cells) % C.", "c = o // per_image, o % C",
     "c = o // per_image, o // (per_image // C) % C", shows="more than one channel")
edit("no_second_factor", "bilinear_upsample_forward", "wrong_kernel",
     "The kernel depends on the row only.",
     "k = (1 - abs(ki - middle) / half) * (1 - abs(kj - middle) / half)",
     "k = 1 - abs(ki - middle) / half", shows="sizes above 1")
edit("quadratic", "bilinear_upsample_backward", "wrong_kernel",
     "The kernel is squared.", "dx[p] += k * gs", "dx[p] += k * k * gs", shows="sizes above 1")
edit("negative_kept", "relu_forward", "leaky relu_mask",
     "A tenth of what is negative stays.", "y[k] = 0", "y[k] *= 0.1")
edit("last_element", "relu_forward", "loop_bound single_element last_channel_missing",
     "The last element is never looked at.", "range(y.size)", "range(y.size - 1)")
edit("first_element_skipped", "relu_backward", "single_element loop_bound first_channel_missing",
     "while starts from 1.", "k = 0\n", "k = 1\n", shows="a first element that is off")
edit("every_other", "linear_forward", "loop_bound",
     "c runs in steps of 2.", "for c in range(C):", "for c in range(0, C, 2):",
     shows="more than one input")
edit("transposed_weight", "linear_forward", ORDER,
     "The weight is read as (c_out, c_in).", "ws[c * F + f]", "ws[f * C + c]")
edit("dw_flat_order", "linear_backward", ORDER, "dweight is filled as (c_out, c_in).",
     "dw[c * F + f] += ", "dw[f * C + c] += ")
edit("one_drop_fewer", "dropout_forward", "rate_inverted wrong_rate",
     "Kept where the draw is below the rate.", "draws[k] >= rate", "draws[k] < rate",
     shows="a rate other than 0.5")
edit("keep_forgotten", "dropout_backward", "mask_ignored", "The mask is not looked at.",
     "g / (1 - rate) if keep[k] else 0.0", "g / (1 - rate)")
edit("log2", "softmax_cross_entropy", "wrong_logarithm", "math.log2 in place of math.log.",
     "math.log(z)", "math.log2(z)")
edit("top_not_added", "softmax_cross_entropy", "statement_missing",
     "The largest score is subtracted and not added again in the loss.",
     "(math.log(z) + top - s[o + t[p]])", "(math.log(z) - s[o + t[p]])")
edit("total_counts", "softmax_cross_entropy", "class_weights_not_normalised",
     "total counts pixels, not weights.", "total += weight", "total += 1", shows="class weights")
edit("images_for_sum", "softmax_cross_entropy", "mean_for_sum",
     "Every reduction but the mean divides by the images.",
     "elif reduction == \"sum_per_image\":", "else:", shows="reduction=\"sum\"")

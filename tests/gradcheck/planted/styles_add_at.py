"""Bugs of those who scatter with np.add.at: edits of ``styles/add_at.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("add_at")
SCATTER = "    np.add.at(dpadded, (slice(None), rows, columns), "

edit("plus_equals", "conv2d_backward", "overlap_assigned",
     "dx[:, rows, columns] += adds once where an index occurs twice.",
     SCATTER + "np.tensordot(dy, weight, axes=([3], [3])))",
     "    dpadded[:, rows, columns] += np.tensordot(dy, weight, axes=([3], [3]))",
     shows="a kernel larger than the stride")
edit("dbias_once", "conv2d_backward", "overlap_assigned",
     "dbias[index] += dy keeps the last cell of each channel only.",
     "    np.add.at(dbias, np.broadcast_to(np.arange(len(dbias)), dy.shape), dy)",
     "    dbias[np.broadcast_to(np.arange(len(dbias)), dy.shape)] += dy")
edit("rows_by_columns_stride", "conv2d_backward", "stride_axes_swapped stride_ignored crashed",
     "The columns are spaced by the rows' stride.",
     "columns = np.arange(ow)[:, None] * sw", "columns = np.arange(ow)[:, None] * sh",
     also="conv2d_forward", shows="unequal strides")
edit("kernel_transposed", "conv2d_backward", "kernel_axes_swapped axes_swapped crashed",
     "The patches are scattered with kernel rows and columns exchanged.",
     SCATTER + "np.tensordot(dy, weight, axes=([3], [3])))",
     SCATTER + "\n              np.tensordot(dy, weight.swapaxes(0, 1), axes=([3], [3])))",
     shows="a kernel that is not symmetric; crashes for one that is not square")
edit("input_for_output", "conv2d_backward", "in_out_exchanged channel_axes_swapped crashed",
     "dy is contracted with the input channels.",
     "axes=([3], [3])", "axes=([3], [2])", shows="crashes unless c_in == c_out")
edit("one_window_short", "conv2d_backward", "last_row_missing wrong_shape crashed",
     "Rows of windows are counted to oh - 1, and dy is cut to fit.",
     "rows, columns = places(dy.shape[1:3], weight.shape[:2], stride)",
     "dy = dy[:, :-1]\n    rows, columns = places(dy.shape[1:3], weight.shape[:2], stride)")
edit("kernel_rows_spaced", "conv2d_forward", "crashed",
     "The stride multiplies the kernel's rows too: a dilated kernel.",
     "+ np.arange(kh)[None, :]\n    columns", "+ np.arange(kh)[None, :] * sh\n    columns",
     also="conv2d_backward", shows="a stride above 1")
edit("padding_exchanged", "conv2d_forward", "padding_axes_swapped wrong_shape crashed",
     "Rows are padded by the columns' padding.", "ph, pw = pair(padding)\n    n, h, w, c = x.shape",
     "pw, ph = pair(padding)\n    n, h, w, c = x.shape", also="conv2d_backward",
     shows="unequal padding")
edit("border_uninitialised", "conv2d_forward",
     "nondeterministic padding_not_zero",
     "The padded image comes from np.empty, and its border is never written.",
     "out = np.zeros((n, h + 2 * ph", "out = np.empty((n, h + 2 * ph", also="conv2d_backward",
     shows="padding")
edit("weight_axes_132", "conv2d_forward", "kernel_axes_swapped axes_swapped crashed",
     "The axes of the contraction are [1, 0, 2].", "[0, 1, 2])) + bias", "[1, 0, 2])) + bias",
     shows="a kernel that is not symmetric; crashes for one that is not square")
edit("stamps_once", "conv_transpose2d_forward", "overlap_assigned",
     "full[index] += adds once where stamps overlap.",
     "    np.add.at(full, (slice(None), rows, columns), np.tensordot(x, weight, axes=([3], [2])))",
     "    full[:, rows, columns] += np.tensordot(x, weight, axes=([3], [2]))",
     shows="a kernel larger than the stride")
edit("bias_into_its_argument", "conv_transpose2d_forward", "mutates_input",
     "The bias takes up the mean of y, in place.", "        y += bias\n",
     "        y += bias\n        bias += y.mean((0, 1, 2))\n", shows="a bias")
edit("bias_before_cropping", "conv_transpose2d_forward", "bias_missing statement_missing",
     "The bias is added to the full canvas after the copy was taken.",
     "        y += bias\n", "        full += bias\n", shows="a bias")
edit("dweight_in_out", "conv_transpose2d_backward",
     "in_out_exchanged channel_axes_swapped wrong_shape axes_swapped transposed_memory",
     "dweight stays (kh, kw, f, c).", ".transpose(0, 1, 3, 2)", "",
     shows="wrong shape unless c_in == c_out")
edit("dbias_of_columns", "conv_transpose2d_backward", "bias_axes crashed wrong_shape",
     "dbias gets the cells by their column instead of their channel.",
     "np.indices(dy.shape)[3]", "np.indices(dy.shape)[2] % len(dbias)")
edit("maxima_once", "max_pool2d_backward", "overlap_assigned",
     "dx[index] += dy adds once where windows share a maximum.",
     "    np.add.at(dx, (n, row, column, c), dy)", "    dx[n, row, column, c] += dy",
     shows="windows that overlap")
edit("halves", "max_pool2d_backward", "argmax_index axes_swapped kernel_axes_swapped crashed",
     "divmod gives row and column, they are unpacked as column and row.",
     "row, column = np.divmod", "column, row = np.divmod")
edit("first_image", "max_pool2d_backward", "image_ignored",
     "Every image scatters into the first.", "(n, row, column, c), dy)",
     "(0 * n, row, column, c), dy)", shows="more than one image")
edit("channels_shared", "max_pool2d_backward", "channels_mixed",
     "All channels scatter into channel 0.", "(n, row, column, c), dy)",
     "(n, row, column, 0 * c), dy)", shows="more than one channel")
edit("centre_of_even", "bilinear_upsample_forward", "wrong_kernel",
     "The centre of an even kernel is factor - 1 too.",
     "centre = factor - 1 if size % 2 else factor - 0.5", "centre = factor - 1",
     also="bilinear_upsample_backward", shows="even sizes")
edit("kernel_summed", "bilinear_upsample_forward", "wrong_kernel",
     "np.add.outer: the kernel is the sum of two lines, not their product.",
     "kernel = np.multiply.outer", "kernel = np.add.outer")
edit("max_of_patches", "bilinear_upsample_backward", "unknown",
     "max where sum is meant.", ".sum(axis=(3, 4))", ".max(axis=(3, 4))")
edit("mean_of_patches", "bilinear_upsample_backward", "mean_for_sum constant_factor",
     "mean where sum is meant.", ".sum(axis=(3, 4))", ".mean(axis=(3, 4))")
edit("above_zero_of_dy", "relu_backward", "relu_mask",
     "Values are passed where dy is positive.",
     "np.nonzero(y > 0), dy[y > 0]", "np.nonzero(dy > 0), dy[dy > 0]")
edit("in_x_itself", "relu_forward", "mutates_input aliases_input crashed",
     "y = x[:] is x's memory, and the negative values are set to 0 there.",
     "    y = np.zeros_like(x)\n    on = x > 0\n    y[on] = x[on]\n",
     "    y = x[:]\n    y[x < 0] = 0\n", shows="crashes on read-only memory")
edit("above_a_hundredth", "relu_forward", "relu_mask constant",
     "x > 0.01 in place of x > 0.", "on = x > 0", "on = x > 0.01",
     shows="values between 0 and 0.01")
edit("dweight_once", "linear_backward", "overlap_assigned",
     "dweight[c, f] += keeps the last image only.",
     "    np.add.at(dweight, (c, f), x[n, c] * dy[n, f])",
     "    dweight[c, f] += x[n, c] * dy[n, f]", shows="more than one image")
edit("dbias_of_images", "linear_backward", "bias_axes crashed",
     "The images are counted into dbias instead of the channels.",
     "np.add.at(dbias, np.indices(dy.shape)[1], dy)",
     "np.add.at(dbias, np.indices(dy.shape)[0] % len(dbias), dy)")
edit("dx_ignores_dy", "linear_backward", "dy_ignored",
     "dx adds up the weights alone.", "dy[n, f] * weight[c, f]", "weight[c, f]")
edit("scale_by_rate", "dropout_forward", "wrong_rate rate_inverted constant_factor",
     "Kept values are divided by 1 - rate twice.", "/ (1 - rate)\n", "/ (1 - rate) ** 2\n")
edit("as_many_dropped", "dropout_forward", "seed_ignored mask_shared",
     "Every k-th value is dropped: the seed has no effect.",
     "np.random.default_rng(seed).random(x.size)", "np.arange(x.size) * 0.618 % 1")
edit("negative_labels", "softmax_cross_entropy", "ignored_not_zero ignored_counted",
     "Labels beyond the classes are ignored, and -1 counts as the last class.",
     "np.nonzero(targets != ignore)[0]", "np.nonzero(targets < classes)[0]",
     shows="ignore=-1")
edit("one_hot_all_rows", "softmax_cross_entropy", "onehot_wrong onehot_missing",
     "gradient[:, t] -= 1 at fancy indices takes off one in every pixel's row.",
     "    np.subtract.at(gradient, (np.arange(len(t)), t), 1)\n", "    gradient[:, t] -= 1\n",
     shows="more than one pixel")
edit("weights_in_loss_only", "softmax_cross_entropy", "class_weights_ignored",
     "The gradient is not multiplied by the class weights.",
     "gradient * factors[:, None] / divisor", "gradient / divisor", shows="class weights")
edit("per_image_is_mean", "softmax_cross_entropy", "mean_for_sum ignored_counted",
     "sum_per_image divides by the number of pixels, ignored ones included.",
     "divisor = len(scores)", "divisor = len(targets)", shows="sum_per_image")

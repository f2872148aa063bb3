"""Bugs in loops over windows of a padded image: edits of ``styles/padded.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("padded")

edit("window_clipped", "conv2d_forward", "crashed last_row_missing loop_bound",
     "kh rows from i * sh, but i * sh + kh - 1 is their end.",
     "i * sh:i * sh + kh, j * sw:j * sw + kw, :]\n                for out",
     "i * sh:i * sh + kh - 1, j * sw:j * sw + kw, :]\n                for out")
edit("last_filter", "conv2d_forward", "last_channel_missing nondeterministic loop_bound",
     "range(f - 1) on an array that np.empty made.", "for out in range(f):",
     "for out in range(f - 1):")
edit("more_than_eight_images", "conv2d_forward", "last_image_missing loop_bound",
     "Images are taken in blocks of 8, and the block that is not full is dropped.",
     "for image in range(n):", "for image in range(n // 8 * 8 or n):",
     "y = np.empty(", "y = np.zeros(", shows="more than 8 images, not a multiple of 8")
edit("sixteen_filters", "conv2d_backward", "last_channel_missing loop_bound",
     "Filters are handled 16 at a time, and the rest is forgotten.",
     "for out in range(f):", "for out in range(f // 16 * 16 or f):",
     shows="more than 16 output channels, not a multiple of 16")
edit("pad_half", "conv2d_forward", "padding_wrong_side wrong_shape",
     "Of the rows' padding, 2 p in all, only p // 2 stand at the top.",
     "    x = np.pad(x, ((0, 0), (ph, ph),",
     "    x = np.pad(x, ((0, 0), (ph // 2, 2 * ph - ph // 2),", shows="padding")
edit("kernel_smaller_than_stride", "conv2d_backward", "stride_ignored",
     "Windows are at most a kernel apart: min(stride, kernel).",
     "r, s = i * sh, j * sw", "r, s = i * min(sh, kh), j * min(sw, kw)",
     shows="a stride larger than the kernel")
edit("dbias_for_each_place", "conv2d_backward", "bias_repeated constant_factor",
     "dbias adds g once for each place of the kernel.", "dbias[out] += g\n",
     "dbias[out] += g * kh * kw\n", shows="a kernel larger than 1 by 1")
edit("dbias_outside", "conv2d_backward", "unknown bias_axes",
     "dbias is added outside the loop over the filters: only the last filter's.",
     "                    dbias[out] += g\n", "                dbias[out] += g\n")
edit("dx_of_dy_sum", "conv2d_backward", "unknown",
     "g is the mean over the images, for every image.",
     "g = dy[image, i, j, out]", "g = dy[:, i, j, out].mean()", shows="more than one image")
edit("two_bugs_assigned_and_dbias", "conv2d_backward", "overlap_assigned mean_for_sum",
     "Two bugs: dx is assigned, dbias is divided by the images.",
     "s:s + kw, :] += g *", "s:s + kw, :] = g *", "dbias[out] += g\n", "dbias[out] += g / n\n")
edit("not_for_pairs", "conv2d_forward", "crashed",
     "Only pairs of equal numbers are read as one: another pair raises a TypeError.",
     "sh, sw = (stride, stride) if isinstance(stride, int) else stride",
     "sh = sw = stride if isinstance(stride, int) or len({*stride}) > 1 else stride[0]",
     shows="a pair of unequal strides")
edit("columns_of_first_channel", "conv_transpose2d_forward", "index_fixed index_offset constant",
     "Every input channel uses the kernel of the first.", "weight[:, :, k])\n    y = canvas",
     "weight[:, :, 0])\n    y = canvas", shows="more than one input channel")
edit("canvas_of_the_size", "conv_transpose2d_forward", "overlap_assigned crashed wrong_shape",
     "Stamps are set kernel by kernel, a kernel apart.",
     "canvas[:, i * sh:i * sh + kh, ", "canvas[:, i * kh:i * kh + kh, ",
     "canvas = np.zeros((n, (h - 1) * sh + kh,", "canvas = np.zeros((n, (h - 1) * kh + kh,",
     shows="a stride that is not the kernel's size")
edit("transposed_dweight_last", "conv_transpose2d_backward", "overlap_assigned",
     "dweight = in the loop: the last cell remains.", "dweight[:, :, k] += ",
     "dweight[:, :, k] = ", shows="more than one cell")
edit("transposed_dx_first_rows", "conv_transpose2d_backward", "stride_ignored index_offset",
     "The window starts at i for rows, at j * sw for columns.",
     "window = dy[:, i * sh:i * sh + kh", "window = dy[:, i:i + kh", shows="a stride above 1")
edit("width_of_window", "max_pool2d_forward", "argmax_index crashed",
     "The window's place is divided by its rows, not by its columns.",
     "best // kw) * w + (j * sw + best % kw)", "best // kh) * w + (j * sw + best % kh)",
     shows="windows that are not square")
edit("smallest_number", "max_pool2d_forward", "border_not_clipped starts_at_zero nan",
     "The smallest positive float in place of minus infinity.",
     "constant_values=-np.inf", "constant_values=np.finfo(x.dtype).tiny",
     shows="a window that reaches over the border and sees negative values only")
edit("ceil_without_rest", "max_pool2d_forward", "wrong_shape",
     "ceil_mode adds a row of windows always.",
     "if (oh - 1) * sh + kh < h and oh * sh < h:", "if oh * sh < h:",
     shows="windows that overlap")
edit("more_than_sixteen_channels", "max_pool2d_backward", "last_channel_missing loop_bound",
     "Only 16 channels are handled.", "for k in range(c):", "for k in range(min(c, 16)):",
     shows="more than 16 channels")
edit("rows_by_height", "max_pool2d_backward", "argmax_index kernel_axes_swapped crashed",
     "The place is divided by the height.", "where // w, where % w",
     "where // x_shape[1], where % x_shape[1]",
     shows="images that are not square")
edit("odd_sizes", "bilinear_upsample_forward", "wrong_kernel crashed",
     "Odd kernels rise by half steps too, and miss their peak of 1.",
     "up = np.arange(1, factor + 1) / factor if size % 2",
     "up = (np.arange(factor) + 0.5) / factor if size % 2", also="bilinear_upsample_backward",
     shows="odd sizes")
edit("kernel_of_ones", "bilinear_upsample_forward", "wrong_kernel",
     "The kernel is 1 where the tent is above a half, else 0: nearest neighbour.",
     "    return np.outer(line, line).astype(dtype)",
     "    return (np.outer(line, line) > 0.25).astype(dtype)", also="bilinear_upsample_backward",
     shows="sizes above 1")
edit("rows_of_columns", "bilinear_upsample_backward", "names_swapped axes_swapped crashed",
     "The window is found with i and j exchanged.",
     "dy[:, i * factor:i * factor + size, j * factor:j * factor + size, :]",
     "dy[:, j * factor:j * factor + size, i * factor:i * factor + size, :]",
     shows="crashes or is wrong on images that are not square")
edit("padding_forgotten", "bilinear_upsample_backward", "padding_wrong_side crashed",
     "dy is padded at the end only.",
     "    dy = np.pad(dy, ((0, 0), (ph, ph), (pw, pw), (0, 0)))\n    dx = np.empty",
     "    dy = np.pad(dy, ((0, 0), (0, 2 * ph), (0, 2 * pw), (0, 0)))\n    dx = np.empty",
     shows="padding")
edit("never_filled", "bilinear_upsample_backward", "nondeterministic last_channel_missing",
     "dx comes from np.empty, and its last channel is never written.",
     "dx[:, i, j, :] = np.einsum(\"nabc,ab->nc\", window, kernel)",
     "dx[:, i, j, :-1] = np.einsum(\"nabc,ab->nc\", window, kernel)[:, :-1]")

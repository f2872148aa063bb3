"""Bugs in loops that the student compiled: edits of ``styles/jitted.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("jitted")

edit("dbias_in_the_inner_loop", "conv2d_backward", "bias_repeated constant_factor",
     "dbias adds g for each place of the kernel as well.",
     "                        for kj in range(weight.shape[1]):\n"
     "                            a = i * sh + ki - ph\n"
     "                            b = j * sw + kj - pw\n"
     "                            if a >= 0 and a < x.shape[1] and b >= 0 and b < x.shape[2]:\n"
     "                                for c in range(x.shape[3]):\n"
     "                                    dx[n",
     "                        for kj in range(weight.shape[1]):\n"
     "                            dbias[f] += g\n"
     "                            a = i * sh + ki - ph\n"
     "                            b = j * sw + kj - pw\n"
     "                            if a >= 0 and a < x.shape[1] and b >= 0 and b < x.shape[2]:\n"
     "                                for c in range(x.shape[3]):\n"
     "                                    dx[n")
edit("kernel_indices_exchanged", "conv2d_forward", "kernel_axes_swapped",
     "weight[kj, ki], checked by modulo only: right for symmetric kernels.",
     "weight[ki, kj, c, f]\n                    y[",
     "weight[kj % weight.shape[0], ki % weight.shape[1], c, f]\n                    y[")
edit("row_minus_one", "conv2d_forward", "last_row_missing loop_bound",
     "a < x.shape[1] - 1: the last row of x counts as padding.",
     "if a >= 0 and a < x.shape[1] and b >= 0 and b < x.shape[2]:\n"
     "                                for c in range(x.shape[3]):\n"
     "                                    total",
     "if a >= 0 and a < x.shape[1] - 1 and b >= 0 and b < x.shape[2]:\n"
     "                                for c in range(x.shape[3]):\n"
     "                                    total")
edit("result_never_written", "conv2d_forward", "last_row_missing nondeterministic loop_bound",
     "i runs to oh - 1, and y comes from np.empty.", "for i in range(y.shape[1]):\n"
     "            for j in range(y.shape[2]):\n                for f",
     "for i in range(y.shape[1] - 1):\n            for j in range(y.shape[2]):\n"
     "                for f")
edit("sum_of_float32", "conv2d_forward", "wrong_dtype",
     "The sum is a float32.", "total = bias[f]\n                    for ki",
     "total = np.float32(bias[f])\n                    for ki",
     "total += x[n, a, b, c] * weight[ki, kj, c, f]",
     "total = np.float32(total + x[n, a, b, c] * weight[ki, kj, c, f])")
edit("where_in_window", "max_pool2d_forward", "argmax_index",
     "where counts with the window's width.", "where = a * x.shape[2] + b\n",
     "where = a * kw + b\n")
edit("best_of_zero", "max_pool2d_forward", "starts_at_zero",
     "The search starts from 0.", "best = x[n, i * sh, j * sw, c]", "best = 0.0 * x[0, 0, 0, 0]",
     shows="windows of negative values")
edit("channels_of_image", "max_pool2d_backward", "argmax_index kernel_axes_swapped",
     "The place is divided by the number of rows, and wraps round.",
     "dx[n, k // width, k % width, c]",
     "dx[n, k // dx.shape[1] % dx.shape[1], k % dx.shape[1] % width, c]",
     shows="images that are not square")
edit("y_at_least_zero", "relu_backward", "relu_mask",
     "y >= 0 holds everywhere.", "if y[k] > 0 else", "if y[k] >= 0 else")
edit("weight_row", "linear_forward", "overlap_assigned operator",
     "total = in the loop: the bias and all but the last product are lost.",
     "total += x[n, c] * weight[c, f]", "total = x[n, c] * weight[c, f]")
edit("dx_assigned", "linear_backward", "overlap_assigned",
     "dx[n, c] = : the last output's product remains.", "dx[n, c] += ", "dx[n, c] = ",
     shows="more than one output")
edit("continue_too_late", "softmax_cross_entropy", "ignored_counted",
     "Ignored pixels count 1 in the mean's divisor.",
     "        if t == ignore:\n            continue\n",
     "        if t == ignore:\n            total += 1\n            continue\n",
     shows="ignored pixels and the mean")

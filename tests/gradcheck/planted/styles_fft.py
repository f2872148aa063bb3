"""Bugs of those who convolve by multiplying spectra: edits of ``styles/fft.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("fft")

edit("no_conjugate", "conv2d_forward", "kernel_flipped",
     "Without the conjugate it is a convolution: of it, too, the valid part is taken.",
     "np.conj(kernel_spectrum(weight, shape))", "kernel_spectrum(weight, shape)",
     "y[:, :shape[0] - kh + 1:sh, :shape[1] - kw + 1:sw]", "y[:, kh - 1::sh, kw - 1::sw]")
edit("goes_round", "conv2d_forward", "padding_not_zero",
     "The image is not padded but rolled: what leaves on one side comes back on the other.",
     "    x, (sh, sw), (kh, kw) = bordered(x, padding)",
     "    ph, pw = pair(padding)\n    wide = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), "
     "mode=\"wrap\")\n    x, (sh, sw), (kh, kw) = wide", shows="padding")
edit("whole_circle", "conv2d_forward", "wrong_shape",
     "The last kh - 1 rows, in which the kernel goes round, are not cut off.",
     ":shape[0] - kh + 1:sh", "::sh", shows="a kernel larger than 1")
edit("single_precision", "conv2d_forward", "wrong_dtype",
     "The spectra are complex64.", "return np.fft.fft2(x, s=shape, axes=(1, 2))",
     "return np.fft.fft2(x, s=shape, axes=(1, 2)).astype(np.complex64)", also="conv2d_backward")
edit("stride_from_one", "conv2d_forward", "shifted wrong_shape index_offset",
     "Every sh-th row, counted from the row sh - 1.",
     "y = y[:, :shape[0] - kh + 1:sh", "y = y[:, sh - 1:shape[0] - kh + 1:sh",
     shows="a stride above 1")
edit("dx_of_turned_kernel", "conv2d_backward", "kernel_flipped",
     "dx needs the turned kernel, says the book; the spectrum without conjugate turned it.",
     "fdy, kernel_spectrum(weight, shape))", "fdy, kernel_spectrum(weight[::-1, ::-1], shape))")
edit("dweight_turned", "conv2d_backward", "kernel_flipped",
     "dweight is turned by 180 degrees at the end.",
     ".real[:kh, :kw]", ".real[:kh, :kw][::-1, ::-1]")
edit("dbias_is_the_mean", "conv2d_backward", "mean_for_sum",
     "The frequency 0 is divided by the number of cells of the image.",
     "fdy[:, 0, 0].sum(axis=0).real", "(fdy[:, 0, 0].sum(axis=0).real / dy[0, ..., 0].size)",
     shows="more than one cell")
edit("dbias_first_image", "conv2d_backward", "image_ignored last_image_missing",
     "dbias is the frequency 0 of the first image.",
     "fdy[:, 0, 0].sum(axis=0).real", "fdy[0, 0, 0].real", shows="more than one image")
edit("no_gaps", "conv2d_backward", "stride_ignored crashed",
     "dy stands without gaps in the corner of the canvas.",
     ":(y.shape[1] - 1) * sh + 1:sh, :(y.shape[2] - 1) * sw + 1:sw] = y",
     ":y.shape[1], :y.shape[2]] = y", shows="a stride above 1")
edit("gaps_exchanged", "conv2d_backward", "stride_axes_swapped crashed",
     "The gaps between rows have the columns' stride.",
     "    sh, sw = pair(stride)\n    out =", "    sw, sh = pair(stride)\n    out =",
     shows="unequal strides")
edit("transposed_correlation", "conv_transpose2d_forward", "kernel_flipped",
     "The stamps are turned by 180 degrees, as \"transposed\" might mean.",
     "fx, kernel_spectrum(weight, shape))", "fx, kernel_spectrum(weight[::-1, ::-1], shape))")
edit("canvas_too_small", "conv_transpose2d_forward", "wrong_shape crashed",
     "The circle is a kernel too small in rows: what runs over the bottom comes in at the top.",
     "shape = (h - 1) * sh + weight.shape[0], ", "shape = (h - 1) * sh + 1, ")
edit("dx_without_stride", "conv_transpose2d_backward", "stride_ignored",
     "dx takes the first h rows in place of every sh-th.",
     "[:, :(h - 1) * sh + 1:sh, :(w - 1) * sw + 1:sw]", "[:, :h, :w]", shows="a stride above 1")
edit("not_centred", "bilinear_upsample_backward", "shifted unknown",
     "Forward's product, without the conjugate.",
     "spectrum(dy, shape) * np.conj(kernel_spectrum(stamp(size), shape))",
     "spectrum(dy, shape) * kernel_spectrum(stamp(size), shape)")
edit("kernel_unit_sum", "bilinear_upsample_forward", "constant_factor wrong_kernel",
     "The kernel is divided by its sum.", "    return np.outer(line, line)[:, :, None]",
     "    return (np.outer(line, line) / line.sum() ** 2)[:, :, None]",
     also="bilinear_upsample_backward")

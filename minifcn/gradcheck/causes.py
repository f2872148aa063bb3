"""What each cause means, in a line. ``table()`` is the one of docs/check-your-own-layer.md."""

from __future__ import annotations

from minifcn.gradcheck.mistakes import MISTAKES

CAUSES = {
    "sign": "minus the right answer, or the bias subtracted",
    "constant_factor": "the right answer times a number",
    "mean_for_sum": "divided by a number of images, pixels or products that should only be summed",
    "sum_for_mean": "not divided by a number that it should be divided by",
    "abs": "the absolute value of the right answer, or of dy",
    "zero": "0 everywhere",
    "results_swapped": "the right arrays, in each other's place",
    "flipped": "the right answer, turned round along an axis",
    "shifted": "the right answer, moved by one; or windows that lie one too far",
    "axes_swapped": "axes in another order: a transpose that is missing, or one too many",
    "transposed_memory": "the right values in a wrong order: a reshape where a transpose is needed",
    "kernel_flipped": "the weight read with its kernel flipped",
    "kernel_axes_swapped": "the weight read with its two kernel axes exchanged",
    "channel_axes_swapped": "the weight read with its two channel axes exchanged",
    "in_out_exchanged": "the same, in a transposed convolution",
    "stride_ignored": "windows that lie as if the stride (or factor) were another",
    "stride_axes_swapped": "strides of rows and columns exchanged",
    "size_ignored": "windows of another size",
    "padding_ignored": "as if there were no padding",
    "padding_wrong_side": "all padding on one side, or the wrong part of a padded array",
    "padding_axes_swapped": "paddings of rows and columns exchanged",
    "padding_not_cropped": "the padding is still there",
    "padding_not_zero": "padded with something else than zeros",
    "last_row_missing": "a loop that ends too early: the last row is left out",
    "last_column_missing": "the same, the last column",
    "last_channel_missing": "the same, the last channel or class",
    "last_image_missing": "the same, the last image",
    "first_row_missing": "a loop that begins too late: the first row is left out",
    "first_column_missing": "the same, the first column",
    "first_channel_missing": "the same, the first channel or class",
    "first_image_missing": "the same, the first image",
    "overlap_assigned": "= where += is needed: only the last part of a sum is left",
    "dy_ignored": "the same for every dy",
    "x_ignored": "dropout's y does not depend on x",
    "derivative_missing": "dy itself, not multiplied by the derivative",
    "bias_missing": "without the bias",
    "bias_repeated": "with the bias several times",
    "bias_axes": "the bias added along, or its gradient summed over, other axes",
    "relu_mask": "let through at other places than where x > 0",
    "leaky": "a share let through where nothing should be",
    "clipped": "cut off above",
    "pool_ties_all": "of equal maxima all get the gradient, not the first alone",
    "pool_last_tie": "of equal maxima another than the first",
    "pool_first_element": "the first element of a window, not its largest",
    "argmax_index": "argmax counted, or decoded, in another way than row * w + column",
    "image_ignored": "the first image in place of each, or all gradients in the first image",
    "index_fixed": "one row, column or channel, always the same, in place of each",
    "starts_at_zero": "a search for the maximum that starts at 0",
    "border_not_clipped": "windows that see zeros beyond the border",
    "mean_for_max": "the mean of a window, or the gradient of the mean",
    "min_for_max": "the minimum of a window",
    "wrong_kernel": "bilinear upsampling with another kernel, which is printed",
    "nearest": "the nearest cell alone",
    "channels_mixed": "all channels added up",
    "onehot_missing": "the softmax without the 1 at the label, or the 1 without the softmax",
    "onehot_wrong": "the 1 at another class, or not divided as the softmax is",
    "ignored_not_zero": "pixels with the ignore label have a gradient",
    "ignored_counted": "pixels with the ignore label are counted in the mean",
    "softmax_axis": "a softmax over other axes than the classes",
    "wrong_logarithm": "another logarithm, or none",
    "log_clipped": "the probability is clipped before the logarithm",
    "unstable": "right for small scores only",
    "class_weights_ignored": "class weights are left out, in loss or gradient",
    "class_weights_twice": "class weights are applied twice",
    "class_weights_not_normalised": "divided by another number than the pixels' weights",
    "class_weights_wrong_axis": "the weight of each class, not that of the pixel's label",
    "mask_ignored": "dropout's gradient is not masked",
    "mask_inverted": "the mask the wrong way round",
    "mask_values": "a mask of other numbers than 0 and 1",
    "mask_shared": "one mask for several images, rows, columns or channels",
    "rate_inverted": "kept with probability rate, not 1 - rate",
    "wrong_rate": "another share is kept",
    "seed_ignored": "the same mask for every seed",
    "loop_bound": "the textbook with another bound of a loop",
    "index_offset": "the textbook with an index off by one",
    "operator": "the textbook with another operator",
    "comparison": "the textbook with another comparison",
    "condition": "the textbook with another condition",
    "constant": "the textbook with another number",
    "names_swapped": "the textbook with two names exchanged",
    "statement_missing": "the textbook without a statement, a term or a factor",
    "stateful": "another result after other calls: something is kept, or returned twice",
    "nondeterministic": "now this, now that: random numbers, threads that race, unwritten memory",
    "mutates_input": "an argument is changed",
    "aliases_input": "a result shares memory with an argument",
    "non_contiguous": "wrong for transposed or sliced arguments",
    "wrong_dtype": "another dtype, or the precision of another",
    "wrong_shape": "another number of results, another shape, another kind of thing",
    "nan": "NaN or infinite",
    "crashed": "an exception, with your own line",
    "missing": "a function that was asked for, and is not there",
    "kinks": "not to be judged: too many inputs stand on kinks",
    "not_adjoint": "not the transpose of the forward function (check_adjoint)",
    "single_element": "wrong at one place",
    "unknown": "wrong in a way that nothing above explains; the sentence says where",
}


def table() -> str:
    """The causes as a table, with the operations whose named mistakes have them."""
    lines = ["| cause | the answer is | named mistakes |", "| --- | --- | --- |"]
    for cause, words in CAUSES.items():
        counts = {
            file: sum(each.cause == cause for each in mistakes)
            for file, mistakes in MISTAKES.items()
        }
        where = ", ".join(f"{file} {count}" for file, count in counts.items() if count)
        lines.append(f"| `{cause}` | {words} | {where} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())

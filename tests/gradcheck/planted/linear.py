"""Planted bugs of the linear layer."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right

# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@planted("linear_forward", "channel_axes_swapped", "in_out_exchanged")
def weight_out_in(x, weight, bias):
    """The weight is read as (c_out, c_in)."""
    return x @ weight.reshape(weight.shape[::-1]).T + bias


@planted("linear_forward", "bias_missing")
def bias_forgotten(x, weight, bias):
    """No bias."""
    return x @ weight


@planted("linear_forward", "sign")
def bias_subtracted(x, weight, bias):
    """The bias is a threshold here: subtracted."""
    return x @ weight - bias


@planted("linear_forward", "last_channel_missing")
def last_input(x, weight, bias):
    """for c in range(c_in - 1)."""
    return x[:, :-1] @ weight[:-1] + bias


@planted("linear_forward", "last_image_missing")
def forward_last_image(x, weight, bias):
    """for n in range(len(x) - 1)."""
    y = np.zeros((len(x), len(bias)), x.dtype)
    for n in range(len(x) - 1):
        y[n] = x[n] @ weight + bias
    return y


@planted("linear_forward", "mutates_input")
def bias_accumulates(x, weight, bias):
    """y is summed up in bias."""
    y = x @ weight + bias
    bias += y.mean(0)
    return y


@planted("linear_forward", "constant_factor")
def scaled_by_fan_in(x, weight, bias):
    """Divided by the square root of c_in."""
    return ((x @ weight + bias) / np.sqrt(len(weight))).astype(x.dtype)


@planted("linear_forward", "wrong_shape")
def transposed(x, weight, bias):
    """y is (c_out, n)."""
    return (x @ weight + bias).T.copy()


@planted("linear_forward", "wrong_dtype")
def forward_in_float32(x, weight, bias):
    """The product is made in float32."""
    return (x.astype(np.float32) @ weight.astype(np.float32) + bias).astype(x.dtype)


@planted("linear_forward", "last_channel_missing", "nondeterministic")
def last_output_never_written(x, weight, bias):
    """for f in range(c_out - 1), on an array that np.empty made."""
    y = np.empty((len(x), len(bias)), x.dtype)
    for f in range(len(bias) - 1):
        y[:, f] = x @ weight[:, f] + bias[f]
    return y


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@planted("linear_backward", "sign")
def dx_negative(dy, x, weight):
    """dx alone has the wrong sign."""
    return -dy @ weight.T, x.T @ dy, dy.sum(0)


@planted("linear_backward", "constant_factor")
def dbias_three_times(dy, x, weight):
    """dbias is three times too large."""
    return dy @ weight.T, x.T @ dy, 3 * dy.sum(0)


@planted("linear_backward", "mean_for_sum")
def mean_over_batch(dy, x, weight):
    """dweight and dbias are divided by the batch size, which the loss has done already."""
    return dy @ weight.T, x.T @ dy / len(x), dy.mean(0)


@planted("linear_backward", "sum_for_mean", "constant_factor")
def times_the_batch(dy, x, weight):
    """dweight is multiplied by the batch size, "to undo the mean"."""
    return dy @ weight.T, x.T @ dy * len(x), dy.sum(0)


@planted("linear_backward", "channel_axes_swapped", "in_out_exchanged")
def dweight_out_in(dy, x, weight):
    """dweight = dy.T @ x."""
    return dy @ weight.T, dy.T @ x, dy.sum(0)


@planted("linear_backward", "channel_axes_swapped", "in_out_exchanged")
def dx_without_transposing(dy, x, weight):
    """dx = dy @ weight, reshaped to fit where c_in != c_out."""
    return dy @ weight.reshape(weight.shape[::-1]), x.T @ dy, dy.sum(0)


@planted("linear_backward", "dy_ignored")
def dweight_of_x_alone(dy, x, weight):
    """dweight is the sum of x, in every column."""
    return dy @ weight.T, np.repeat(x.sum(0)[:, None], dy.shape[1], 1), dy.sum(0)


@planted("linear_backward", "bias_axes")
def dbias_over_outputs(dy, x, weight):
    """dy.sum(1): one value per image."""
    return dy @ weight.T, x.T @ dy, dy.sum(1)


@planted("linear_backward", "bias_axes")
def dbias_not_summed(dy, x, weight):
    """dbias = dy."""
    return dy @ weight.T, x.T @ dy, dy.copy()


@planted("linear_backward", "bias_axes")
def dbias_regrouped(dy, x, weight):
    """dy.reshape(c_out, n).sum(1): the right shape, but other values are summed."""
    return dy @ weight.T, x.T @ dy, dy.reshape(dy.shape[1], -1).sum(1)


@planted("linear_backward", "last_image_missing")
def dweight_last_image(dy, x, weight):
    """dweight sums over range(n - 1)."""
    return dy @ weight.T, x[:-1].T @ dy[:-1], dy.sum(0)


@planted("linear_backward", "last_image_missing")
def dbias_last_image(dy, x, weight):
    """dbias sums over range(n - 1)."""
    return dy @ weight.T, x.T @ dy, dy[:-1].sum(0)


@planted("linear_backward", "last_channel_missing")
def dweight_last_output(dy, x, weight):
    """dweight of the last output stays zero."""
    dweight = np.zeros_like(weight)
    for f in range(weight.shape[1] - 1):
        dweight[:, f] = (x * dy[:, f:f + 1]).sum(0)
    return dy @ weight.T, dweight, dy.sum(0)


@planted("linear_backward", "stateful")
def gradients_accumulate(dy, x, weight):
    """dbias is added to what earlier calls left."""
    memory[dy.shape, dy.dtype] = memory.get((dy.shape, dy.dtype), 0) + dy.sum(0)
    return dy @ weight.T, x.T @ dy, memory[dy.shape, dy.dtype].copy()


@planted("linear_backward", "mutates_input")
def step_taken(dy, x, weight):
    """The layer takes its own step of gradient descent."""
    gradients = right.linear_backward(dy, x, weight)
    weight -= 0.01 * gradients[1]
    return gradients


@planted("linear_backward", "wrong_dtype")
def dbias_in_float64(dy, x, weight):
    """dbias is always float64."""
    return dy @ weight.T, x.T @ dy, dy.sum(0, dtype=np.float64)


@planted("linear_backward", "nondeterministic")
def noise_added(dy, x, weight):
    """Gradient noise, a regulariser, stayed in."""
    noise = 1e-3 * np.random.randn(*weight.shape)   # noqa: NPY002
    return dy @ weight.T, x.T @ dy + noise.astype(x.dtype), dy.sum(0)


@planted("linear_backward", "wrong_shape", "bias_axes")
def dbias_as_row(dy, x, weight):
    """dbias is (1, c_out)."""
    return dy @ weight.T, x.T @ dy, dy.sum(0, keepdims=True)


@planted("linear_backward", "single_element")
def dx_first(dy, x, weight):
    """dx[0, 0] misses its last product."""
    dx, dweight, dbias = right.linear_backward(dy, x, weight)
    dx[0, 0] -= dy[0, -1] * weight[0, -1]
    return dx, dweight, dbias


@planted("linear_backward", "unknown")
def clipped(dy, x, weight):
    """Gradients are clipped to -1 .. 1 here."""
    return tuple(np.clip(each, -1, 1) for each in right.linear_backward(dy, x, weight))


@planted("linear_backward", "wrong_shape")
def none_for_dx(dy, x, weight):
    """dx is None, as for a first layer."""
    return None, x.T @ dy, dy.sum(0)

"""Planted bugs of max pooling. Some keep in forward what backward should not need."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right
from tests.gradcheck.planted.right import pool_output


def remember(x, size=2, stride=2, ceil_mode=True):
    """The right forward, which also keeps the image and the windows for backward."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    memory["pool"] = x.copy(), y.copy(), size, stride
    return y, argmax


def remembered_windows():
    """For each cell (n, i, j, c): the window's values, and where they lie."""
    x, y, size, stride = memory["pool"]
    for n, i, j, c in np.ndindex(y.shape):
        place = n, slice(i * stride, i * stride + size), slice(j * stride, j * stride + size), c
        yield (n, i, j, c), x[place], place


def pool_with(choose, x, size, stride, ceil_mode):
    """Pool with another rule for the winner: ``choose(window)`` gives its flat index."""
    y, argmax = pool_output(x, size, stride, ceil_mode)
    for n, i, j, c in np.ndindex(y.shape):
        a, b = i * stride, j * stride
        window = x[n, a:a + size, b:b + size, c]
        ki, kj = divmod(int(choose(window)), window.shape[1])
        y[n, i, j, c] = window[ki, kj]
        argmax[n, i, j, c] = (a + ki) * x.shape[2] + b + kj
    return y, argmax


# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@planted("max_pool2d_forward", "pool_last_tie")
def last_of_ties(x, size=2, stride=2, ceil_mode=True):
    """value >= largest: the last of equal values wins."""
    return pool_with(lambda window: window.size - 1 - window[::-1, ::-1].argmax(),
                     x, size, stride, ceil_mode)


@planted("max_pool2d_forward", "pool_first_element")
def argmax_of_the_first_element(x, size=2, stride=2, ceil_mode=True):
    """argmax is the place where the window starts."""
    y, _ = right.max_pool2d_forward(x, size, stride, ceil_mode)
    _, i, j, _ = np.indices(y.shape)
    return y, i * stride * x.shape[2] + j * stride


@planted("max_pool2d_forward", "pool_last_tie")
def columns_first(x, size=2, stride=2, ceil_mode=True):
    """Columns are searched before rows: of ties the first in column order wins."""
    def choose(window):
        kj, ki = divmod(int(window.T.argmax()), window.shape[0])
        return ki * window.shape[1] + kj
    return pool_with(choose, x, size, stride, ceil_mode)


@planted("max_pool2d_forward", "min_for_max", "sign")
def minimum(x, size=2, stride=2, ceil_mode=True):
    """The smallest value wins."""
    return pool_with(np.argmin, x, size, stride, ceil_mode)


@planted("max_pool2d_forward", "mean_for_max", "mean_for_sum")
def average(x, size=2, stride=2, ceil_mode=True):
    """The window's mean instead of its maximum."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    for n, i, j, c in np.ndindex(y.shape):
        y[n, i, j, c] = x[n, i * stride:i * stride + size, j * stride:j * stride + size, c].mean()
    return y, argmax


@planted("max_pool2d_forward", "starts_at_zero")
def starts_from_zero(x, size=2, stride=2, ceil_mode=True):
    """The search starts from the value 0, so a window of negative values gives 0."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    return np.maximum(y, 0), argmax


@planted("max_pool2d_forward", "border_not_clipped")
def border_of_zeros(x, size=2, stride=2, ceil_mode=True):
    """Windows beyond the border see zeros there, which win over negative values."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    for n, i, j, c in np.ndindex(y.shape):
        if i * stride + size > x.shape[1] or j * stride + size > x.shape[2]:
            y[n, i, j, c] = max(y[n, i, j, c], 0)
    return y, argmax


@planted("max_pool2d_forward", "argmax_index", "pool_first_element")
def argmax_within_the_window(x, size=2, stride=2, ceil_mode=True):
    """argmax counts within the window, not within the image."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    for n, i, j, c in np.ndindex(y.shape):
        a, b = i * stride, j * stride
        argmax[n, i, j, c] = x[n, a:a + size, b:b + size, c].argmax()
    return y, argmax


@planted("max_pool2d_forward", "argmax_index")
def argmax_column_times_height(x, size=2, stride=2, ceil_mode=True):
    """argmax is column * h + row: column-major."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    return y, argmax % x.shape[2] * x.shape[1] + argmax // x.shape[2]


@planted("max_pool2d_forward", "argmax_index")
def argmax_times_height(x, size=2, stride=2, ceil_mode=True):
    """argmax is row * h + column: right for square images."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    return y, argmax // x.shape[2] * x.shape[1] + argmax % x.shape[2]


@planted("max_pool2d_forward", "stride_ignored", "wrong_shape")
def stride_is_size(x, size=2, stride=2, ceil_mode=True):
    """Windows never overlap: the stride is taken to be the size."""
    y, argmax = pool_output(x, size, stride, ceil_mode)
    for n, i, j, c in np.ndindex(y.shape):
        a, b = min(i * size, x.shape[1] - 1), min(j * size, x.shape[2] - 1)
        window = x[n, a:a + size, b:b + size, c]
        ki, kj = np.unravel_index(window.argmax(), window.shape)
        y[n, i, j, c] = window[ki, kj]
        argmax[n, i, j, c] = (a + ki) * x.shape[2] + b + kj
    return y, argmax


@planted("max_pool2d_forward", "stride_ignored")
def windows_one_apart(x, size=2, stride=2, ceil_mode=True):
    """Windows move by one cell, whatever the stride."""
    y, argmax = pool_output(x, size, stride, ceil_mode)
    dense_y, dense_argmax = right.max_pool2d_forward(x, size, 1, ceil_mode)
    part = slice(None), slice(y.shape[1]), slice(y.shape[2])
    rows, columns = dense_y[part].shape[1:3]
    y[:, :rows, :columns], argmax[:, :rows, :columns] = dense_y[part], dense_argmax[part]
    return y, argmax


@planted("max_pool2d_forward", "wrong_shape")
def always_floor(x, size=2, stride=2, ceil_mode=True):
    """Windows beyond the border are dropped, whatever ceil_mode says."""
    return right.max_pool2d_forward(x, size, stride, ceil_mode=False)


@planted("max_pool2d_forward", "wrong_shape")
def always_ceil(x, size=2, stride=2, ceil_mode=True):
    """ceil_mode=False has no effect."""
    return right.max_pool2d_forward(x, size, stride, ceil_mode=True)


@planted("max_pool2d_forward", "wrong_shape")
def window_outside_kept(x, size=2, stride=2, ceil_mode=True):
    """A last window that starts outside is kept, and filled with zeros."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    def missing(extent):
        out = -(-max(extent - size, 0) // stride) + 1
        return int(ceil_mode and (out - 1) * stride >= extent)
    widths = ((0, 0), (0, missing(x.shape[1])), (0, missing(x.shape[2])), (0, 0))
    return np.pad(y, widths), np.pad(argmax, widths)


@planted("max_pool2d_forward", "last_row_missing")
def forward_last_row(x, size=2, stride=2, ceil_mode=True):
    """for i in range(oh - 1)."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    y[:, -1], argmax[:, -1] = 0, 0
    return y, argmax


@planted("max_pool2d_forward", "last_column_missing")
def last_column_of_windows(x, size=2, stride=2, ceil_mode=True):
    """for kj in range(size - 1): the last column of each window is not looked at."""
    def choose(window):
        seen = window[:, :max(size - 1, 1)]
        ki, kj = divmod(int(seen.argmax()), seen.shape[1])
        return ki * window.shape[1] + kj
    return pool_with(choose, x, size, stride, ceil_mode)


@planted("max_pool2d_forward", "last_row_missing", "nondeterministic")
def last_row_never_written(x, size=2, stride=2, ceil_mode=True):
    """for i in range(oh - 1), on arrays that np.empty made."""
    right_y, right_argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    y, argmax = np.empty_like(right_y), np.empty_like(right_argmax)
    y[:, :-1], argmax[:, :-1] = right_y[:, :-1], right_argmax[:, :-1]
    return y, argmax


@planted("max_pool2d_forward", "last_channel_missing")
def forward_last_channel(x, size=2, stride=2, ceil_mode=True):
    """for c in range(channels - 1)."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    y[..., -1], argmax[..., -1] = 0, 0
    return y, argmax


@planted("max_pool2d_forward", "wrong_dtype")
def argmax_int32(x, size=2, stride=2, ceil_mode=True):
    """argmax is int32."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    return y, argmax.astype(np.int32)


@planted("max_pool2d_forward", "wrong_dtype")
def maxima_in_float32(x, size=2, stride=2, ceil_mode=True):
    """The maxima are rounded to float32."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    return y.astype(np.float32).astype(x.dtype), argmax


@planted("max_pool2d_forward", "aliases_input", "mutates_input")
def view_of_the_input(x, size=2, stride=2, ceil_mode=True):
    """Windows of one cell: a view of x is returned, so who changes y changes x."""
    y, argmax = right.max_pool2d_forward(x, size, stride, ceil_mode)
    return (x[:, ::stride, ::stride] if size == 1 else y), argmax


@planted("max_pool2d_forward", "nondeterministic")
def any_of_ties(x, size=2, stride=2, ceil_mode=True):
    """A tie is decided by a toss."""
    def choose(window):
        return np.random.choice(np.flatnonzero(window == window.max()))     # noqa: NPY002
    return pool_with(choose, x, size, stride, ceil_mode)


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@planted("max_pool2d_backward", "overlap_assigned")
def assigned(dy, argmax, x_shape):
    """A maximum of two windows gets the gradient of the later one only."""
    dx = np.zeros(x_shape, dy.dtype)
    for n, i, j, c in np.ndindex(dy.shape):
        dx[n, argmax[n, i, j, c] // x_shape[2], argmax[n, i, j, c] % x_shape[2], c] = dy[n, i, j, c]
    return dx


@planted("max_pool2d_backward", "overlap_assigned")
def added_by_fancy_index(dy, argmax, x_shape):
    """dx[index] += dy adds once where an index occurs twice."""
    dx = np.zeros((x_shape[0], x_shape[1] * x_shape[2], x_shape[3]), dy.dtype)
    n, _, _, c = np.indices(dy.shape, sparse=True)
    dx[n, argmax, c] += dy
    return dx.reshape(x_shape)


@planted("max_pool2d_backward", "sign")
def subtracted(dy, argmax, x_shape):
    """dx -= dy."""
    return -right.max_pool2d_backward(dy, argmax, x_shape)


@planted("max_pool2d_backward", "constant_factor", "mean_for_sum")
def shared_out(dy, argmax, x_shape):
    """Each winner gets a quarter, as if the pooling were a mean over four."""
    return right.max_pool2d_backward(dy, argmax, x_shape) / 4


@planted("max_pool2d_backward", "pool_ties_all", max_pool2d_forward=remember)
def to_all_ties(dy, argmax, x_shape):
    """dy goes to every cell that equals the maximum: (window == maximum) * dy."""
    dx = np.zeros(x_shape, dy.dtype)
    for cell, window, place in remembered_windows():
        dx[place] += (window == window.max()) * dy[cell]
    return dx


@planted("max_pool2d_backward", "pool_ties_all", max_pool2d_forward=remember)
def shared_among_ties(dy, argmax, x_shape):
    """dy is shared equally by all cells that equal the maximum."""
    dx = np.zeros(x_shape, dy.dtype)
    for cell, window, place in remembered_windows():
        ties = window == window.max()
        dx[place] += ties / ties.sum() * dy[cell]
    return dx


@planted("max_pool2d_backward", "pool_last_tie", max_pool2d_forward=remember)
def to_the_last_tie(dy, argmax, x_shape):
    """dy goes to the last of equal maxima."""
    dx = np.zeros(x_shape, dy.dtype)
    for cell, window, place in remembered_windows():
        ki, kj = np.argwhere(window == window.max())[-1]
        dx[place][ki, kj] += dy[cell]
    return dx


@planted("max_pool2d_backward", "pool_first_element", max_pool2d_forward=remember)
def to_the_first_element(dy, argmax, x_shape):
    """dy goes to the window's first cell, as in subsampling."""
    dx = np.zeros(x_shape, dy.dtype)
    for cell, _, place in remembered_windows():
        dx[place][0, 0] += dy[cell]
    return dx


@planted("max_pool2d_backward", "mean_for_max", "pool_first_element", max_pool2d_forward=remember)
def to_every_element(dy, argmax, x_shape):
    """dy goes to all cells of the window, as in average pooling without the average."""
    dx = np.zeros(x_shape, dy.dtype)
    for cell, _, place in remembered_windows():
        dx[place] += dy[cell]
    return dx


@planted("max_pool2d_backward", "dy_ignored")
def marks_the_winners(dy, argmax, x_shape):
    """dx counts how often a cell wins."""
    return right.max_pool2d_backward(np.ones_like(dy), argmax, x_shape)


@planted("max_pool2d_backward", "argmax_index", "kernel_axes_swapped")
def divided_by_height(dy, argmax, x_shape):
    """Row and column from divmod(argmax, h): right for square images."""
    dx = np.zeros(x_shape, dy.dtype)
    for n, i, j, c in np.ndindex(dy.shape):
        row, column = divmod(argmax[n, i, j, c], x_shape[1])
        dx[n, row % x_shape[1], column % x_shape[2], c] += dy[n, i, j, c]
    return dx


@planted("max_pool2d_backward", "last_row_missing")
def backward_last_row(dy, argmax, x_shape):
    """The last row of windows is left out."""
    return right.max_pool2d_backward(dy[:, :-1], argmax[:, :-1], x_shape)


@planted("max_pool2d_backward", "last_column_missing")
def backward_last_column(dy, argmax, x_shape):
    """The last column of windows is left out."""
    return right.max_pool2d_backward(dy[:, :, :-1], argmax[:, :, :-1], x_shape)


@planted("max_pool2d_backward", "last_channel_missing")
def backward_last_channel(dy, argmax, x_shape):
    """The last channel is left out."""
    dx = right.max_pool2d_backward(dy, argmax, x_shape)
    dx[..., -1] = 0
    return dx


@planted("max_pool2d_backward", "last_image_missing")
def backward_last_image(dy, argmax, x_shape):
    """The last image is left out."""
    dx = right.max_pool2d_backward(dy, argmax, x_shape)
    dx[-1] = 0
    return dx


@planted("max_pool2d_backward", "wrong_shape")
def shape_from_dy(dy, argmax, x_shape):
    """dx has twice the rows and columns of dy, whatever the image had."""
    n, h, w, c = dy.shape
    dx = np.zeros((n, max(2 * h, x_shape[1]), max(2 * w, x_shape[2]), c), dy.dtype)
    dx[:, :x_shape[1], :x_shape[2]] = right.max_pool2d_backward(dy, argmax, x_shape)
    return dx[:, :2 * h, :2 * w]


@planted("max_pool2d_backward", "wrong_dtype")
def backward_in_float64(dy, argmax, x_shape):
    """np.zeros(x_shape): float64, also for float32."""
    return right.max_pool2d_backward(dy, argmax, x_shape).astype(np.float64)


@planted("max_pool2d_backward", "stateful")
def buffer_kept(dy, argmax, x_shape):
    """dx is one buffer for each shape, never set to zero again."""
    dx = right.max_pool2d_backward(dy, argmax, x_shape)
    memory[dx.shape, dx.dtype] = memory.get((dx.shape, dx.dtype), 0) + dx
    return memory[dx.shape, dx.dtype].copy()


@planted("max_pool2d_backward", "mutates_input")
def argmax_used_up(dy, argmax, x_shape):
    """argmax is turned into columns in place."""
    dx = right.max_pool2d_backward(dy, argmax, x_shape)
    argmax %= x_shape[2]
    return dx


@planted("max_pool2d_backward", "nondeterministic")
def racing_scatter(dy, argmax, x_shape):
    """A parallel scatter: where two windows share a maximum, one of both additions may be lost."""
    dx = np.zeros((x_shape[0], x_shape[1] * x_shape[2], x_shape[3]), dy.dtype)
    n, _, _, c = np.indices(dy.shape, sparse=True)
    add = np.random.default_rng().random() < 0.5
    if add:
        np.add.at(dx, (n, argmax, c), dy)
    else:
        dx[n, argmax, c] += dy
    return dx.reshape(x_shape)


@planted("max_pool2d_backward", "single_element")
def last_corner(dy, argmax, x_shape):
    """The very last winner gets one and a half of its gradient."""
    dx = right.max_pool2d_backward(dy, argmax, x_shape)
    row, column = divmod(argmax[-1, -1, -1, -1], x_shape[2])
    dx[-1, row, column, -1] += 0.5 * dy[-1, -1, -1, -1]
    return dx

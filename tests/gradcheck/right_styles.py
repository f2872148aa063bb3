"""Right layers in styles far from the reference: none of them may raise an alarm.

Each entry of ``STYLES`` is a module in memory with some of the functions of ``minifcn.ops``.
"""
import importlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.gradcheck import planted
from tests.gradcheck.planted import OPERATIONS, functions_of, module_of, right
from tests.gradcheck.planted.right import bilinear_kernel, crop, pad, pair

# ---------------------------------------------------------------------------------------------
# Convolution: im2col and a matrix product, its columns kept from forward to backward
# ---------------------------------------------------------------------------------------------


def rows_and_columns(y, weight, stride):
    """Index arrays (oh, ow, kh, kw) of the padded input."""
    (sh, sw), (kh, kw) = pair(stride), weight.shape[:2]
    i, j, ki, kj = np.ix_(*map(np.arange, (y.shape[1], y.shape[2], kh, kw)))
    return i * sh + ki, j * sw + kj


def im2col_forward(x, weight, bias, stride=1, padding=0):
    y = right.conv2d_output(x, weight, stride, padding)
    rows, columns = rows_and_columns(y, weight, stride)
    matrix = pad(x, padding)[:, rows, columns].reshape(-1, weight[..., 0].size)
    im2col_forward.matrix = matrix
    return (matrix @ weight.reshape(matrix.shape[1], -1) + bias).reshape(y.shape)


def im2col_backward(dy, x, weight, stride=1, padding=0):
    """Takes the matrix that forward left: legitimate, as backward follows its forward."""
    flat_dy = dy.reshape(-1, dy.shape[3])
    dweight = (im2col_forward.matrix.T @ flat_dy).reshape(weight.shape)
    dx, (rows, columns) = np.zeros_like(pad(x, padding)), rows_and_columns(dy, weight, stride)
    kh, kw, c_in, _ = weight.shape
    patches = flat_dy @ weight.reshape(-1, weight.shape[3]).T
    np.add.at(dx, (slice(None), rows, columns), patches.reshape(*dy.shape[:3], kh, kw, c_in))
    return [crop(dx, padding), dweight, np.ones(len(flat_dy), dy.dtype) @ flat_dy]


# ---------------------------------------------------------------------------------------------
# Convolution: einsum over a view of all windows; transposed convolution by dilating with zeros
# ---------------------------------------------------------------------------------------------


def all_windows(x, kernel, stride=(1, 1)):
    """(n, oh, ow, c, kh, kw), without a copy."""
    return sliding_window_view(x, kernel, axis=(1, 2))[:, ::stride[0], ::stride[1]]


def dilated(y, stride):
    """Zeros between the cells of y."""
    (sh, sw), (n, h, w, c) = pair(stride), y.shape
    out = np.zeros((n, (h - 1) * sh + 1, (w - 1) * sw + 1, c), y.dtype)
    out[:, ::sh, ::sw] = y
    return out


def full(y, weight):
    """y padded by the kernel less one, for a full convolution."""
    return pad(y, (weight.shape[0] - 1, weight.shape[1] - 1))


def einsum_forward(x, weight, bias, stride=1, padding=0):
    windows = all_windows(pad(x, padding), weight.shape[:2], pair(stride))
    return np.einsum("nijcab,abcf->nijf", windows, weight, optimize=True) + bias


def einsum_backward(dy, x, weight, stride=1, padding=0):
    x_padded = pad(x, padding)
    windows = all_windows(x_padded, weight.shape[:2], pair(stride))
    dweight = np.einsum("nijcab,nijf->abcf", windows, dy)
    stamps = all_windows(full(dilated(dy, stride), weight), weight.shape[:2])
    dx = np.zeros_like(x_padded)        # a stride that does not divide leaves the last rows unseen
    reached = np.einsum("nijfab,abcf->nijc", stamps, weight[::-1, ::-1])
    dx[:, :reached.shape[1], :reached.shape[2]] = reached
    return crop(dx, padding), dweight, np.einsum("nijf->f", dy)


def dilating_transpose_forward(x, weight, bias=None, stride=1, padding=0):
    windows = all_windows(full(dilated(x, stride), weight), weight.shape[:2])
    y = crop(np.einsum("nijcab,abcf->nijf", windows, weight[::-1, ::-1]), padding)
    return np.ascontiguousarray(y if bias is None else y + bias)


def dilating_transpose_backward(dy, x, weight, stride=1, padding=0):
    windows = all_windows(pad(dy, padding), weight.shape[:2], pair(stride))
    return (np.einsum("nijfab,abcf->nijc", windows, weight),
            np.einsum("nijfab,nijc->abcf", windows, x), dy.sum(axis=2).sum(axis=1).sum(axis=0))


# ---------------------------------------------------------------------------------------------
# Convolution in the frequency domain
# ---------------------------------------------------------------------------------------------


def transformed(x, shape):
    return np.fft.rfft2(x, shape, axes=(1, 2))


def correlate(x, kernel, subscripts):
    """Valid correlation of x (., h, w, .) with kernel (., kh, kw, .) along ``subscripts``."""
    shape, (kh, kw) = x.shape[1:3], kernel.shape[1:3]
    product = np.einsum(subscripts, transformed(x, shape), transformed(kernel, shape).conj())
    out = np.fft.irfft2(product, shape, axes=(1, 2))
    return out[:, :shape[0] - kh + 1, :shape[1] - kw + 1].astype(x.dtype)


def fft_forward(x, weight, bias, stride=1, padding=0):
    kernel = weight.transpose(2, 0, 1, 3)                                   # (c, kh, kw, f)
    sh, sw = pair(stride)
    return correlate(pad(x, padding), kernel, "nhwc,chwf->nhwf")[:, ::sh, ::sw] + bias


def fft_backward(dy, x, weight, stride=1, padding=0):
    x, spread = pad(x, padding), dilated(dy, stride)
    kh, kw = weight.shape[:2]
    used = x[:, :spread.shape[1] + kh - 1, :spread.shape[2] + kw - 1]
    dweight = correlate(used.transpose(3, 1, 2, 0), spread, "chwn,nhwf->chwf").transpose(1, 2, 0, 3)
    kernel = weight[::-1, ::-1].transpose(3, 0, 1, 2)                       # (f, kh, kw, c)
    dx = np.zeros_like(x)
    reached = correlate(full(spread, weight), kernel, "nhwf,fhwc->nhwc")
    dx[:, :used.shape[1], :used.shape[2]] = reached
    return crop(dx, padding), dweight, dy.sum((0, 1, 2))


# ---------------------------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------------------------


def padded_for_pooling(x, size, stride, ceil_mode):
    """x with as many rows and columns of minus infinity as the windows reach beyond it."""
    shape = right.pool_output(x, size, stride, ceil_mode)[0].shape
    room = [max((out - 1) * stride + size - extent, 0)
            for out, extent in zip(shape[1:3], x.shape[1:3])]
    return np.pad(x, ((0, 0), (0, room[0]), (0, room[1]), (0, 0)), constant_values=-np.inf), shape


def vectorised_pool_forward(x, size=2, stride=2, ceil_mode=True):
    padded, (n, oh, ow, c) = padded_for_pooling(x, size, stride, ceil_mode)
    if size == stride:      # windows side by side: a reshape
        tiles = padded[:, :oh * size, :ow * size].reshape(n, oh, size, ow, size, c)
        tiles = tiles.transpose(0, 1, 3, 5, 2, 4)
    else:
        tiles = all_windows(padded, (size, size), (stride, stride))[:, :oh, :ow]
    tiles = tiles.reshape(n, oh, ow, c, size * size)
    row, column = np.divmod(tiles.argmax(-1), size)
    row = row + np.arange(oh)[:, None, None] * stride
    column = column + np.arange(ow)[:, None] * stride
    return tiles.max(-1), row * x.shape[2] + column


def bincount_pool_backward(dy, argmax, x_shape):
    n, h, w, c = x_shape
    image, _, _, channel = np.indices(dy.shape, sparse=True)
    cell = (image * h * w + argmax) * c + channel
    return np.bincount(cell.ravel(), dy.ravel(), n * h * w * c).reshape(x_shape).astype(dy.dtype)


# ---------------------------------------------------------------------------------------------
# Bilinear upsampling as two matrix products, one along each axis
# ---------------------------------------------------------------------------------------------


def interpolation(extent, factor, size, padding, dtype):
    """The matrix (out, extent) that upsamples one axis."""
    line = bilinear_kernel(size)
    line = line[:, (size - 1) // 2] / np.sqrt(line[(size - 1) // 2, (size - 1) // 2])
    matrix = np.zeros(((extent - 1) * factor + size, extent))
    for i in range(extent):
        matrix[i * factor:i * factor + size, i] = line
    return matrix[padding:len(matrix) - padding].astype(dtype)


def matrix_upsample_forward(x, factor, size, padding):
    rows, columns = (interpolation(extent, factor, size, padding, x.dtype)
                     for extent in x.shape[1:3])
    return np.einsum("ah,bw,nhwc->nabc", rows, columns, x, optimize=True)


def matrix_upsample_backward(dy, factor, size, padding, x_shape):
    rows, columns = (interpolation(extent, factor, size, padding, dy.dtype)
                     for extent in x_shape[1:3])
    return np.einsum("ah,bw,nabc->nhwc", rows, columns, dy, optimize=True)


# ---------------------------------------------------------------------------------------------
# The rest
# ---------------------------------------------------------------------------------------------


def product_relu_forward(x):
    return x * (x > 0)          # gives -0.0 for negative values, which is 0


def where_relu_backward(dy, y):
    return np.where(y > 0, dy, np.zeros_like(dy))


def half_sum_relu_forward(x):
    return (x + np.abs(x)) / 2


def sign_relu_backward(dy, y):
    return dy * np.sign(y)


def einsum_linear_forward(x, weight, bias):
    return np.einsum("nc,cf->nf", x, weight) + bias


def stacked_linear_backward(dy, x, weight):
    outer = np.stack([np.outer(a, b) for a, b in zip(x, dy)])
    return np.einsum("nf,cf->nc", dy, weight), outer.sum(0), np.add.reduce(dy)


def counter_dropout_forward(x, rate, seed):
    """A counter-based generator, one key a seed."""
    mask = np.random.Generator(np.random.Philox(key=seed)).random(x.shape) >= rate
    return x * (mask / (1 - rate)).astype(x.dtype), mask


def where_dropout_backward(dy, mask, rate):
    return np.where(mask, dy / dy.dtype.type(1 - rate), dy.dtype.type(0))


def logsumexp_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """Only the valid pixels are gathered, and the loss is logsumexp minus the label's score."""
    valid = labels != ignore
    s, t = scores[valid], labels[valid].astype(np.intp)
    weights = np.ones(scores.shape[-1]) if class_weights is None else np.array(class_weights, float)
    weight = weights[t]
    normaliser = np.logaddexp.reduce(s, axis=1)
    pixel_losses = weight * (normaliser - s[np.arange(len(t)), t])
    gradient = np.exp(s - normaliser[:, None])
    gradient[np.arange(len(t)), t] -= 1
    divisor = {"mean": weight.sum(), "sum": 1.0, "sum_per_image": len(scores)}[reduction] or 1.0
    dscores = np.zeros_like(scores)
    dscores[valid] = gradient * (weight / divisor)[:, None]
    return float(pixel_losses.sum() / divisor), dscores


# ---------------------------------------------------------------------------------------------
# Loops over images in threads
# ---------------------------------------------------------------------------------------------


def threaded_forward(x, weight, bias, stride=1, padding=0):
    def one(image):
        return right.conv2d_forward(image[None], weight, bias, stride, padding)
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(one, x)))


def threaded_backward(dy, x, weight, stride=1, padding=0):
    """Each thread has gradients of its own, added up in the order of the images."""
    def one(dy, image):
        return right.conv2d_backward(dy[None], image[None], weight, stride, padding)
    with ThreadPoolExecutor(2) as pool:
        dx, dweight, dbias = zip(*pool.map(one, dy, x))
    return np.concatenate(dx), sum(dweight), sum(dbias)


def style(name, **functions):
    return module_of(name, functions)


STYLES = (
    module_of("plain loops", {name: value for name, value in vars(right).items()
                             if name.endswith(("_forward", "_backward", "_entropy"))}),
    style("im2col", conv2d_forward=im2col_forward, conv2d_backward=im2col_backward),
    style("einsum", conv2d_forward=einsum_forward, conv2d_backward=einsum_backward,
          conv_transpose2d_forward=dilating_transpose_forward,
          conv_transpose2d_backward=dilating_transpose_backward,
          linear_forward=einsum_linear_forward, linear_backward=stacked_linear_backward),
    style("fft", conv2d_forward=fft_forward, conv2d_backward=fft_backward),
    style("threads", conv2d_forward=threaded_forward, conv2d_backward=threaded_backward),
    style("vectorised", max_pool2d_forward=vectorised_pool_forward,
          max_pool2d_backward=bincount_pool_backward,
          bilinear_upsample_forward=matrix_upsample_forward,
          bilinear_upsample_backward=matrix_upsample_backward,
          relu_forward=product_relu_forward, relu_backward=where_relu_backward,
          dropout_forward=counter_dropout_forward, dropout_backward=where_dropout_backward,
          softmax_cross_entropy=logsumexp_cross_entropy),
    style("relu from absolute values",
          relu_forward=half_sum_relu_forward, relu_backward=sign_relu_backward),
    # one half of a pair alone: the other half is nobody's business
    style("only a backward", linear_backward=stacked_linear_backward,
          max_pool2d_backward=bincount_pool_backward),
)

# The styles that bugs are edits of, and some that only right code is written in.
MORE_STYLES = tuple(
    module_of(name, {each: function for operation in OPERATIONS for each, function in functions_of(
        importlib.import_module(f"{planted.__name__}.styles.{name}"), operation).items()})
    for name in (*planted.STYLES, "calls", "memory", "context", "wide"))

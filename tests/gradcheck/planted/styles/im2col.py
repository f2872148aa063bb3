"""Windows as rows of a matrix: im2col, a matrix product, col2im."""
import numpy as np


def pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def im2col(x, kh, kw, stride, padding):
    (sh, sw), (ph, pw), (n, h, w, c) = pair(stride), pair(padding), x.shape
    oh = (h + 2 * ph - kh) // sh + 1
    ow = (w + 2 * pw - kw) // sw + 1
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    col = np.zeros((n, oh, ow, kh, kw, c), x.dtype)
    for ki in range(kh):
        for kj in range(kw):
            col[:, :, :, ki, kj] = padded[:, ki:ki + sh * oh:sh, kj:kj + sw * ow:sw]
    return col.reshape(n * oh * ow, kh * kw * c), (n, oh, ow)


def col2im(col, x_shape, kh, kw, stride, padding):
    (sh, sw), (ph, pw), (n, h, w, c) = pair(stride), pair(padding), x_shape
    rows = (h + 2 * ph - kh) // sh + 1
    columns = (w + 2 * pw - kw) // sw + 1
    col = col.reshape(n, rows, columns, kh, kw, c)
    image = np.zeros((n, h + 2 * ph, w + 2 * pw, c), col.dtype)
    for ki in range(kh):
        for kj in range(kw):
            image[:, ki:ki + sh * rows:sh, kj:kj + sw * columns:sw] += col[:, :, :, ki, kj]
    return image[:, ph:h + ph, pw:w + pw]


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    kh, kw, _, f = weight.shape
    col, shape = im2col(x, kh, kw, stride, padding)
    y = col @ weight.reshape(-1, f) + bias
    return y.reshape(*shape, f)


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    kh, kw, _, f = weight.shape
    col, _ = im2col(x, kh, kw, stride, padding)
    flat_dy = dy.reshape(-1, f)
    dbias = flat_dy.sum(axis=0)
    dweight = (col.T @ flat_dy).reshape(weight.shape)
    dcol = flat_dy @ weight.reshape(-1, f).T
    dx = col2im(dcol, x.shape, kh, kw, stride, padding)
    return dx, dweight, dbias


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw), (n, h, w, c) = pair(stride), pair(padding), x.shape
    kh, kw, _, f = weight.shape
    col = x.reshape(-1, c) @ weight.transpose(2, 0, 1, 3).reshape(c, -1)
    shape = n, (h - 1) * sh + kh - 2 * ph, (w - 1) * sw + kw - 2 * pw, f
    y = col2im(col, shape, kh, kw, stride, padding)
    return y.copy() if bias is None else y + bias


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    kh, kw, c, f = weight.shape
    col, shape = im2col(dy, kh, kw, stride, padding)
    dx = (col @ weight.transpose(0, 1, 3, 2).reshape(-1, c)).reshape(*shape, c)
    flat_x = x.reshape(-1, c)
    dweight = (col.T @ flat_x).reshape(kh, kw, f, c).transpose(0, 1, 3, 2)
    return dx, dweight, dy.reshape(-1, f).sum(axis=0)


def pool_size(extent, size, stride, ceil_mode):
    room = max(extent - size, 0)
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    if (out - 1) * stride >= extent:
        out -= 1
    return out


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    (kh, kw), (sh, sw), (n, h, w, c) = pair(size), pair(stride), x.shape
    oh, ow = pool_size(h, kh, sh, ceil_mode), pool_size(w, kw, sw, ceil_mode)
    height, width = (oh - 1) * sh + kh, (ow - 1) * sw + kw
    padded = np.full((n, max(h, height), max(w, width), c), -np.inf, x.dtype)
    padded[:, :h, :w] = x
    col, _ = im2col(padded[:, :height, :width], kh, kw, stride, 0)
    col = col.reshape(n, oh, ow, kh * kw, c)
    best = col.argmax(axis=3)
    row = best // kw + np.arange(oh)[:, None, None] * sh
    column = best % kw + np.arange(ow)[:, None] * sw
    y = np.take_along_axis(col, best[:, :, :, None], axis=3)[:, :, :, 0]
    return y, row * w + column


def max_pool2d_backward(dy, argmax, x_shape):
    n, h, w, c = x_shape
    dx = np.zeros((n, h * w, c), dy.dtype)
    wins = argmax.reshape(n, -1, c)
    values = dy.reshape(n, -1, c)
    for cell in range(wins.shape[1]):
        here = np.arange(n)[:, None], wins[:, cell], np.arange(c)
        dx[here] += values[:, cell]
    return dx.reshape(x_shape)


def bilinear_weight(size, channels, dtype):
    """The kernel on the diagonal of a (size, size, c, c) weight."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    kernel = line[:, None] * line[None, :]
    return (kernel[:, :, None, None] * np.eye(channels)).astype(dtype)


def bilinear_upsample_forward(x, factor, size, padding):
    weight = bilinear_weight(size, x.shape[3], x.dtype)
    return conv_transpose2d_forward(x, weight, None, factor, padding)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    c = x_shape[3]
    weight = bilinear_weight(size, c, dy.dtype)
    col, shape = im2col(dy, size, size, factor, padding)
    return (col @ weight.transpose(0, 1, 3, 2).reshape(-1, c)).reshape(*shape, c)

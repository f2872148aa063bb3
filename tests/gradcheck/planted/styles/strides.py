"""Views of all windows, made by sliding_window_view or by strides of one's own."""
import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view


def pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def zeros_around(x, padding):
    ph, pw = pair(padding)
    return np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))


def windows_of(x, kernel, stride):
    """(n, oh, ow, c, kh, kw)"""
    sh, sw = pair(stride)
    return sliding_window_view(x, kernel, axis=(1, 2))[:, ::sh, ::sw]


def writable_windows(x, kernel, stride):
    """(n, oh, ow, kh, kw, c): a view that can be added to, one place of the kernel at a time."""
    (kh, kw), (sh, sw), (n, h, w, c) = kernel, pair(stride), x.shape
    oh, ow = (h - kh) // sh + 1, (w - kw) // sw + 1
    b0, b1, b2, b3 = x.strides
    return as_strided(x, (n, oh, ow, kh, kw, c), (b0, sh * b1, sw * b2, b1, b2, b3))


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    windows = windows_of(zeros_around(x, padding), weight.shape[:2], stride)
    return np.tensordot(windows, weight, axes=((3, 4, 5), (2, 0, 1))) + bias


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    (ph, pw), (kh, kw) = pair(padding), weight.shape[:2]
    padded = zeros_around(x, padding)
    windows = windows_of(padded, (kh, kw), stride)
    dweight = np.tensordot(windows, dy, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)
    dpadded = np.zeros_like(padded)
    view = writable_windows(dpadded, (kh, kw), stride)
    for ki in range(kh):
        for kj in range(kw):
            view[:, :, :, ki, kj] += dy @ weight[ki, kj].T
    dx = dpadded[:, ph:dpadded.shape[1] - ph, pw:dpadded.shape[2] - pw]
    return dx, dweight, dy.sum((0, 1, 2))


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw), (n, h, w, _) = pair(stride), pair(padding), x.shape
    kh, kw = weight.shape[:2]
    spread = np.zeros((n, (h - 1) * sh + 1, (w - 1) * sw + 1, x.shape[3]), x.dtype)
    spread[:, ::sh, ::sw] = x
    windows = windows_of(zeros_around(spread, (kh - 1, kw - 1)), (kh, kw), 1)
    y = np.tensordot(windows, weight[::-1, ::-1], axes=((3, 4, 5), (2, 0, 1)))
    y = y[:, ph:y.shape[1] - ph, pw:y.shape[2] - pw]
    return y + (0 if bias is None else bias)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    windows = windows_of(zeros_around(dy, padding), weight.shape[:2], stride)
    dx = np.tensordot(windows, weight, axes=((3, 4, 5), (3, 0, 1)))
    dweight = np.tensordot(windows, x, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 3, 0)
    return dx, dweight, dy.sum((0, 1, 2))


def rounded(extent, size, stride, ceil_mode):
    room = max(extent - size, 0) + (stride - 1 if ceil_mode else 0)
    out = room // stride + 1
    return min(out, (extent - 1) // stride + 1)


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    (kh, kw), (sh, sw), (n, h, w, c) = pair(size), pair(stride), x.shape
    oh, ow = rounded(h, kh, sh, ceil_mode), rounded(w, kw, sw, ceil_mode)
    more_rows = max((oh - 1) * sh + kh - h, 0)
    more_columns = max((ow - 1) * sw + kw - w, 0)
    padded = np.pad(x, ((0, 0), (0, more_rows), (0, more_columns), (0, 0)), constant_values=-np.inf)
    windows = windows_of(padded, (kh, kw), stride)[:, :oh, :ow].reshape(n, oh, ow, c, -1)
    ki, kj = np.unravel_index(windows.argmax(-1), (kh, kw))
    i, j = np.arange(oh)[:, None, None], np.arange(ow)[:, None]
    return windows.max(-1), (i * sh + ki) * w + j * sw + kj


def max_pool2d_backward(dy, argmax, x_shape):
    n, h, w, c = x_shape
    cells = np.arange(n)[:, None, None, None] * h * w * c + argmax * c + np.arange(c)
    dx = np.bincount(cells.ravel(), weights=dy.ravel(), minlength=n * h * w * c)
    return dx.reshape(x_shape).astype(dy.dtype)


def hat(size):
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    return line[:, None] * line


def bilinear_upsample_forward(x, factor, size, padding):
    (ph, pw), (n, h, w, c) = pair(padding), x.shape
    y = np.zeros((n, (h - 1) * factor + size, (w - 1) * factor + size, c), x.dtype)
    view, kernel = writable_windows(y, (size, size), factor), hat(size).astype(x.dtype)
    for ki in range(size):
        for kj in range(size):
            view[:, :, :, ki, kj] += x * kernel[ki, kj]
    return y[:, ph:y.shape[1] - ph, pw:y.shape[2] - pw].copy()


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    windows = windows_of(zeros_around(dy, padding), (size, size), factor)
    return np.tensordot(windows, hat(size).astype(dy.dtype), axes=2)

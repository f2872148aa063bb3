"""np.pad, then a loop over the cells of the output with one window each."""
import numpy as np


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    sh, sw = (stride, stride) if isinstance(stride, int) else stride
    ph, pw = (padding, padding) if isinstance(padding, int) else padding
    n, h, w, _ = x.shape
    kh, kw, _, f = weight.shape
    oh = (h + 2 * ph - kh) // sh + 1
    ow = (w + 2 * pw - kw) // sw + 1
    x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), mode="constant")
    y = np.empty((n, oh, ow, f), x.dtype)
    for image in range(n):
        for i in range(oh):
            for j in range(ow):
                window = x[image, i * sh:i * sh + kh, j * sw:j * sw + kw, :]
                for out in range(f):
                    y[image, i, j, out] = np.sum(window * weight[..., out]) + bias[out]
    return y


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    sh, sw = (stride, stride) if isinstance(stride, int) else stride
    ph, pw = (padding, padding) if isinstance(padding, int) else padding
    n, h, w, _ = x.shape
    kh, kw, _, f = weight.shape
    x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), mode="constant")
    dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    dbias = np.zeros(f, weight.dtype)
    for image in range(n):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                r, s = i * sh, j * sw
                for out in range(f):
                    g = dy[image, i, j, out]
                    dx[image, r:r + kh, s:s + kw, :] += g * weight[..., out]
                    dweight[..., out] += g * x[image, r:r + kh, s:s + kw, :]
                    dbias[out] += g
    return dx[:, ph:ph + h, pw:pw + w, :], dweight, dbias


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    sh, sw = (stride, stride) if isinstance(stride, int) else stride
    ph, pw = (padding, padding) if isinstance(padding, int) else padding
    n, h, w, c = x.shape
    kh, kw, _, f = weight.shape
    canvas = np.zeros((n, (h - 1) * sh + kh, (w - 1) * sw + kw, f), x.dtype)
    for i in range(h):
        for j in range(w):
            for k in range(c):
                canvas[:, i * sh:i * sh + kh, j * sw:j * sw + kw] += (
                    x[:, i, j, k][:, None, None, None] * weight[:, :, k])
    y = canvas[:, ph:canvas.shape[1] - ph, pw:canvas.shape[2] - pw, :]
    if bias is None:
        return y.copy()
    return y + bias


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    sh, sw = (stride, stride) if isinstance(stride, int) else stride
    ph, pw = (padding, padding) if isinstance(padding, int) else padding
    _, h, w, c = x.shape
    kh, kw, _, _ = weight.shape
    dbias = dy.sum(axis=(0, 1, 2))
    dy = np.pad(dy, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for i in range(h):
        for j in range(w):
            window = dy[:, i * sh:i * sh + kh, j * sw:j * sw + kw, :]
            for k in range(c):
                dx[:, i, j, k] = np.sum(window * weight[:, :, k], axis=(1, 2, 3))
                dweight[:, :, k] += np.sum(window * x[:, i, j, k][:, None, None, None], axis=0)
    return dx, dweight, dbias


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    kh, kw = (size, size) if isinstance(size, int) else size
    sh, sw = (stride, stride) if isinstance(stride, int) else stride
    n, h, w, c = x.shape
    oh, ow = max(h - kh, 0) // sh + 1, max(w - kw, 0) // sw + 1
    if ceil_mode:
        if (oh - 1) * sh + kh < h and oh * sh < h:
            oh += 1
        if (ow - 1) * sw + kw < w and ow * sw < w:
            ow += 1
    bottom, side = max((oh - 1) * sh + kh - h, 0), max((ow - 1) * sw + kw - w, 0)
    padded = np.pad(x, ((0, 0), (0, bottom), (0, side), (0, 0)), constant_values=-np.inf)
    y, argmax = np.zeros((n, oh, ow, c), x.dtype), np.zeros((n, oh, ow, c), np.int64)
    for i in range(oh):
        for j in range(ow):
            window = padded[:, i * sh:i * sh + kh, j * sw:j * sw + kw].reshape(n, kh * kw, c)
            best = np.argmax(window, axis=1)
            y[:, i, j] = np.max(window, axis=1)
            argmax[:, i, j] = (i * sh + best // kw) * w + (j * sw + best % kw)
    return y, argmax


def max_pool2d_backward(dy, argmax, x_shape):
    n, _, w, c = x_shape
    dx = np.zeros(x_shape, dy.dtype)
    for image in range(n):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for k in range(c):
                    where = argmax[image, i, j, k]
                    dx[image, where // w, where % w, k] += dy[image, i, j, k]
    return dx


def ramp(size, dtype):
    factor = (size + 1) // 2
    up = np.arange(1, factor + 1) / factor if size % 2 else (np.arange(factor) + 0.5) / factor
    line = np.concatenate([up, up[-2::-1] if size % 2 else up[::-1]])
    return np.outer(line, line).astype(dtype)


def bilinear_upsample_forward(x, factor, size, padding):
    ph, pw = (padding, padding) if isinstance(padding, int) else padding
    n, h, w, c = x.shape
    kernel = ramp(size, x.dtype)
    y = np.zeros((n, (h - 1) * factor + size, (w - 1) * factor + size, c), x.dtype)
    for i in range(h):
        for j in range(w):
            for k in range(c):
                y[:, i * factor:i * factor + size, j * factor:j * factor + size, k] += (
                    x[:, i, j, k][:, None, None] * kernel)
    return y[:, ph:y.shape[1] - ph, pw:y.shape[2] - pw, :].copy()


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    ph, pw = (padding, padding) if isinstance(padding, int) else padding
    kernel = ramp(size, dy.dtype)
    dy = np.pad(dy, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    dx = np.empty(x_shape, dy.dtype)
    for i in range(x_shape[1]):
        for j in range(x_shape[2]):
            window = dy[:, i * factor:i * factor + size, j * factor:j * factor + size, :]
            dx[:, i, j, :] = np.einsum("nabc,ab->nc", window, kernel)
    return dx

"""As in PyTorch: NCHW inside, weights (out, in, kh, kw); the layout is changed at the door."""
import numpy as np


def to_nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def to_nhwc(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def to_oihw(weight):
    return np.ascontiguousarray(weight.transpose(3, 2, 0, 1))


def from_oihw(weight):
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def _pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def unfold(x, kernel, stride, padding):
    """(n, c * kh * kw, oh * ow), as F.unfold"""
    (kh, kw), (sh, sw), (ph, pw), (n, c, h, w) = kernel, stride, padding, x.shape
    oh, ow = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    out = np.zeros((n, c, kh, kw, oh, ow), x.dtype)
    for a in range(kh):
        for b in range(kw):
            out[:, :, a, b] = x[:, :, a:a + sh * (oh - 1) + 1:sh, b:b + sw * (ow - 1) + 1:sw]
    return out.reshape(n, c * kh * kw, oh * ow), (oh, ow)


def fold(patches, size, kernel, stride, padding):
    """(n, c, *size), as F.fold"""
    (kh, kw), (sh, sw), (ph, pw), (h, w) = kernel, stride, padding, size
    oh, ow = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    n = len(patches)
    patches = patches.reshape(n, -1, kh, kw, oh, ow)
    out = np.zeros((n, patches.shape[1], h + 2 * ph, w + 2 * pw), patches.dtype)
    for a in range(kh):
        for b in range(kw):
            out[:, :, a:a + sh * (oh - 1) + 1:sh, b:b + sw * (ow - 1) + 1:sw] += patches[:, :, a, b]
    return out[:, :, ph:ph + h, pw:pw + w]


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    x, w = to_nchw(x), to_oihw(weight)
    patches, (oh, ow) = unfold(x, w.shape[2:], _pair(stride), _pair(padding))
    y = w.reshape(w.shape[0], -1) @ patches + bias[:, None]
    return to_nhwc(y.reshape(len(x), -1, oh, ow))


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    dy, x, w = to_nchw(dy), to_nchw(x), to_oihw(weight)
    stride, padding, kernel = _pair(stride), _pair(padding), w.shape[2:]
    patches, _ = unfold(x, kernel, stride, padding)
    n, f = dy.shape[:2]
    g = dy.reshape(n, f, -1)
    dw = np.matmul(g, patches.transpose(0, 2, 1)).sum(axis=0).reshape(w.shape)
    dpatches = w.reshape(f, -1).T @ g
    dx = fold(dpatches, x.shape[2:], kernel, stride, padding)
    return to_nhwc(dx), from_oihw(dw), g.sum(axis=(0, 2))


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    x, w = to_nchw(x), weight.transpose(2, 3, 0, 1)         # (in, out, kh, kw), as in PyTorch
    (sh, sw), (ph, pw), (n, c, h, wd) = _pair(stride), _pair(padding), x.shape
    kh, kw = w.shape[2:]
    patches = w.reshape(c, -1).T @ x.reshape(n, c, -1)
    size = (h - 1) * sh - 2 * ph + kh, (wd - 1) * sw - 2 * pw + kw
    y = fold(patches, size, (kh, kw), (sh, sw), (ph, pw))
    if bias is not None:
        y = y + bias[:, None, None]
    return to_nhwc(y)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    dy, x, w = to_nchw(dy), to_nchw(x), weight.transpose(2, 3, 0, 1)
    n, c = x.shape[:2]
    patches, size = unfold(dy, w.shape[2:], _pair(stride), _pair(padding))
    dx = (w.reshape(c, -1) @ patches).reshape(n, c, *size)
    dw = np.einsum("ncp,nkp->ck", x.reshape(n, c, -1), patches).reshape(w.shape)
    return to_nhwc(dx), np.ascontiguousarray(dw.transpose(2, 3, 0, 1)), dy.sum(axis=(0, 2, 3))


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    x = to_nchw(x)
    (kh, kw), (sh, sw), (n, c, h, w) = _pair(size), _pair(stride), x.shape
    oh = (max(h - kh, 0) + (sh - 1) * ceil_mode) // sh + 1
    ow = (max(w - kw, 0) + (sw - 1) * ceil_mode) // sw + 1
    if (oh - 1) * sh >= h:
        oh -= 1
    if (ow - 1) * sw >= w:
        ow -= 1
    y, indices = np.empty((n, c, oh, ow), x.dtype), np.empty((n, c, oh, ow), np.int64)
    for i in range(oh):
        for j in range(ow):
            top, left = i * sh, j * sw
            window = x[:, :, top:min(top + kh, h), left:min(left + kw, w)]
            width = window.shape[3]
            flat = window.reshape(n, c, -1)
            k = flat.argmax(axis=2)
            y[:, :, i, j] = flat.max(axis=2)
            indices[:, :, i, j] = (top + k // width) * w + left + k % width
    return to_nhwc(y), to_nhwc(indices)


def max_pool2d_backward(dy, argmax, x_shape):
    n, h, w, c = x_shape
    dx = np.zeros((n, c, h * w), dy.dtype)
    g, k = to_nchw(dy).reshape(n, c, -1), to_nchw(argmax).reshape(n, c, -1)
    for image in range(n):
        for channel in range(c):
            dx[image, channel] = np.bincount(k[image, channel], g[image, channel], h * w)
    return to_nhwc(dx.reshape(n, c, h, w))


def upsampling_filter(size):
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 == 1 else factor - 0.5
    og = np.ogrid[:size, :size]
    return (1 - abs(og[0] - center) / factor) * (1 - abs(og[1] - center) / factor)


def bilinear_upsample_forward(x, factor, size, padding):
    x, (ph, pw) = to_nchw(x), _pair(padding)
    n, c, h, w = x.shape
    filt = upsampling_filter(size).astype(x.dtype)
    patches = x.reshape(n, c, 1, 1, h, w) * filt[:, :, None, None]
    out = (h - 1) * factor + size - 2 * ph, (w - 1) * factor + size - 2 * pw
    y = fold(patches.reshape(n, -1, h * w), out, (size, size), (factor, factor), (ph, pw))
    return to_nhwc(y)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    n, h, w, c = x_shape
    filt = upsampling_filter(size).astype(dy.dtype).ravel()
    patches, _ = unfold(to_nchw(dy), (size, size), (factor, factor), _pair(padding))
    dx = np.tensordot(filt, patches.reshape(n, c, size * size, h, w), axes=(0, 2))
    return to_nhwc(dx)


def linear_forward(x, weight, bias):
    w = weight.T                                            # (out_features, in_features)
    return np.matmul(w, x[:, :, None])[:, :, 0] + bias


def linear_backward(dy, x, weight):
    w = weight.T
    dw = dy.T @ x
    return dy @ w, dw.T.copy(), dy.sum(axis=0)


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """log_softmax over axis 1, then nll_loss."""
    s = to_nchw(scores)
    n, classes = s.shape[:2]
    valid = labels != ignore
    target = np.where(valid, labels, 0).astype(np.int64)
    weight = np.ones(classes) if class_weights is None else np.asarray(class_weights)
    pixel = weight[target] * valid
    m = s.max(axis=1, keepdims=True)
    logp = s - m - np.log(np.exp(s - m).sum(axis=1, keepdims=True))
    nll = -np.take_along_axis(logp, target[:, None], axis=1)[:, 0]
    if reduction == "mean":
        divisor = pixel.sum()
    elif reduction == "sum":
        divisor = 1.0
    else:
        divisor = float(n)
    if divisor == 0:
        return 0.0, np.zeros_like(scores)
    d = np.exp(logp)
    np.put_along_axis(d, target[:, None], np.take_along_axis(d, target[:, None], 1) - 1, axis=1)
    d = d * (pixel / divisor)[:, None]
    return float((nll * pixel).sum() / divisor), to_nhwc(d).astype(scores.dtype)

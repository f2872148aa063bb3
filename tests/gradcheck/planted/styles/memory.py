"""Right code that keeps things: buffers whose contents are copied, caches with whole keys."""
from functools import cache, lru_cache

import numpy as np

buffers = {}


def buffer(name, shape, dtype):
    """An array to work in, wiped; what is given back to the caller is a copy."""
    array = buffers.setdefault((name, shape, np.dtype(dtype)), np.empty(shape, dtype))
    array.fill(0)
    return array


def pair(value):
    return (int(value),) * 2 if np.ndim(value) == 0 else tuple(map(int, value))


@cache
def cells(kh, kw, oh, ow, sh, sw):
    """Slices of the padded image, kept by everything that they depend on."""
    return tuple((a, b, np.s_[:, a:a + (oh - 1) * sh + 1:sh, b:b + (ow - 1) * sw + 1:sw])
                 for a in range(kh) for b in range(kw))


def padded(name, x, padding):
    (ph, pw), (n, h, w, c) = pair(padding), x.shape
    out = buffer(name, (n, h + 2 * ph, w + 2 * pw, c), x.dtype)
    out[:, ph:ph + h, pw:pw + w] = x
    return out


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    x, (sh, sw), (kh, kw, _, f) = padded("x", x, padding), pair(stride), weight.shape
    oh, ow = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    y = buffer("y", (len(x), oh, ow, f), x.dtype)
    product = buffer("product", y.shape, x.dtype)
    for a, b, index in cells(kh, kw, oh, ow, sh, sw):
        np.matmul(x[index], weight[a, b], out=product)
        y += product
    return y + bias


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    (ph, pw), (_, h, w, _), x = pair(padding), x.shape, padded("x", x, padding)
    dx, dweight = buffer("dx", x.shape, x.dtype), np.empty(weight.shape, weight.dtype)
    for a, b, index in cells(*weight.shape[:2], *dy.shape[1:3], *pair(stride)):
        dx[index] += dy @ weight[a, b].T
        dweight[a, b] = np.tensordot(x[index], dy, ((0, 1, 2), (0, 1, 2)))
    return dx[:, ph:ph + h, pw:pw + w].copy(), dweight, dy.sum((0, 1, 2))


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw), (n, h, w, _) = pair(stride), pair(padding), x.shape
    kh, kw, _, f = weight.shape
    full = buffer("full", (n, (h - 1) * sh + kh, (w - 1) * sw + kw, f), x.dtype)
    if bias is not None:
        full += bias
    for a, b, index in cells(kh, kw, h, w, sh, sw):
        full[index] += x @ weight[a, b]
    return full[:, ph:full.shape[1] - ph, pw:full.shape[2] - pw].copy()


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    wide = padded("dy", dy, padding)
    dx, dweight = np.zeros_like(x), np.empty_like(weight)
    for a, b, index in cells(*weight.shape[:2], *x.shape[1:3], *pair(stride)):
        dx += wide[index] @ weight[a, b].T
        dweight[a, b] = np.tensordot(x, wide[index], ((0, 1, 2), (0, 1, 2)))
    return dx, dweight, dy.sum((0, 1, 2))


def max_pool2d_backward(dy, argmax, x_shape):
    n, h, w, c = x_shape
    dx = buffer("pool", (n, h * w, c), dy.dtype)
    image, _, _, channel = np.indices(dy.shape, sparse=True)
    np.add.at(dx, (image, argmax, channel), dy)
    return dx.reshape(x_shape).copy()


@lru_cache(maxsize=8)
def matrix(extent, factor, size, cut, dtype):
    half = (size + 1) // 2
    centre = half - 1 if size % 2 else half - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / half
    out = np.zeros(((extent - 1) * factor + size, extent))
    for i in range(extent):
        out[i * factor:i * factor + size, i] = line
    out = out[cut:len(out) - cut].astype(dtype)
    out.flags.writeable = False
    return out


def both(shape, factor, size, padding, dtype):
    return [matrix(extent, factor, size, cut, dtype)
            for extent, cut in zip(shape[1:3], pair(padding))]


def bilinear_upsample_forward(x, factor, size, padding):
    rows, columns = both(x.shape, factor, size, padding, x.dtype)
    return np.einsum("ai,bj,nijc->nabc", rows, columns, x)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    rows, columns = both(x_shape, factor, size, padding, dy.dtype)
    return np.einsum("ai,bj,nabc->nijc", rows, columns, dy)


def relu_forward(x):
    work = buffer("relu", x.shape, x.dtype)
    np.maximum(x, work, out=work)
    return work.copy()


def relu_backward(dy, y):
    dx = dy.copy()
    dx[~(y > 0)] = 0
    return dx


def linear_forward(x, weight, bias):
    y = np.empty((len(x), len(bias)), x.dtype)
    np.matmul(x, weight, out=y)
    y += bias
    return y


def linear_backward(dy, x, weight):
    gradients = np.empty_like(x), np.empty_like(weight), np.empty_like(weight[0])
    np.matmul(dy, weight.T, out=gradients[0])
    np.matmul(x.T, dy, out=gradients[1])
    np.sum(dy, axis=0, out=gradients[2])
    return gradients


@lru_cache(maxsize=2)
def kept_mask(shape, rate, seed):
    mask = np.random.default_rng(seed).random(shape) >= rate
    mask.flags.writeable = False
    return mask


def dropout_forward(x, rate, seed):
    mask = kept_mask(x.shape, float(rate), int(seed)).copy()
    return dropout_backward(x, mask, rate), mask


def dropout_backward(dy, mask, rate):
    scale = buffer("scale", dy.shape, dy.dtype)
    scale[mask] = 1 / (1 - rate)
    return dy * scale


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    p = buffer("p", scores.shape, scores.dtype)
    np.subtract(scores, scores.max(-1, keepdims=True), out=p)
    valid = labels != ignore
    if not valid.any():
        return 0.0, np.zeros_like(scores)
    index = (*np.nonzero(valid), labels[valid].astype(int))
    weight = np.ones(len(index[0]), scores.dtype)
    if class_weights is not None:
        weight *= np.asarray(class_weights)[index[-1]]
    picked = p[index]
    np.exp(p, out=p)
    z = p.sum(-1)
    divisor = {"mean": weight.sum(), "sum": 1, "sum_per_image": len(scores)}[reduction]
    loss = (weight * (np.log(z[valid]) - picked)).sum() / divisor
    p /= z[..., None]
    p[index] -= 1
    p[valid] *= (weight / scores.dtype.type(divisor))[:, None]
    p[~valid] = 0
    return float(loss), p.copy()

"""Every product is an einsum: one for each place of the kernel, or one for all."""
import numpy as np


def pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def framed(x, padding):
    ph, pw = pair(padding)
    return np.pad(x, [(0, 0), (ph, ph), (pw, pw), (0, 0)])


def under(kernel, out, stride):
    """For each place of the kernel: its index, and the cells of the padded image that it meets."""
    (kh, kw), (oh, ow), (sh, sw) = kernel, out, pair(stride)
    for a in range(kh):
        for b in range(kw):
            yield a, b, np.s_[:, a:a + (oh - 1) * sh + 1:sh, b:b + (ow - 1) * sw + 1:sw]


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    x, (sh, sw), (kh, kw) = framed(x, padding), pair(stride), weight.shape[:2]
    oh, ow = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    y = np.zeros((len(x), oh, ow, weight.shape[3]), x.dtype)
    for a, b, cells in under((kh, kw), (oh, ow), stride):
        y += np.einsum("nijc,cf->nijf", x[cells], weight[a, b])
    y += bias
    return y


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    (ph, pw), (_, h, w, _) = pair(padding), x.shape
    x = framed(x, padding)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for a, b, cells in under(weight.shape[:2], dy.shape[1:3], stride):
        dweight[a, b] = np.einsum("nijc,nijf->cf", x[cells], dy)
        dx[cells] += np.einsum("nijf,cf->nijc", dy, weight[a, b])
    return dx[:, ph:ph + h, pw:pw + w].copy(), dweight, np.einsum("nijf->f", dy)


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw), (n, h, w, _) = pair(stride), pair(padding), x.shape
    kh, kw, _, f = weight.shape
    y = np.zeros((n, (h - 1) * sh + kh, (w - 1) * sw + kw, f), x.dtype)
    for a, b, cells in under((kh, kw), (h, w), stride):
        y[cells] += np.einsum("nijc,cf->nijf", x, weight[a, b])
    y = y[:, ph:y.shape[1] - ph, pw:y.shape[2] - pw].copy()
    if bias is not None:
        y += bias
    return y


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    dbias = np.einsum("nabf->f", dy)
    dy = framed(dy, padding)
    dx, dweight = np.zeros_like(x), np.empty_like(weight)
    for a, b, cells in under(weight.shape[:2], x.shape[1:3], stride):
        dx += np.einsum("nijf,cf->nijc", dy[cells], weight[a, b])
        dweight[a, b] = np.einsum("nijc,nijf->cf", x, dy[cells])
    return dx, dweight, dbias


def outputs(extent, size, stride, ceil_mode):
    steps = max(extent - size, 0) / stride
    count = int(np.ceil(steps) if ceil_mode else np.floor(steps)) + 1
    return count - ((count - 1) * stride >= extent)


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    (kh, kw), (sh, sw), (n, h, w, c) = pair(size), pair(stride), x.shape
    oh, ow = outputs(h, kh, sh, ceil_mode), outputs(w, kw, sw, ceil_mode)
    y = np.full((n, oh, ow, c), -np.inf, x.dtype)
    argmax = np.zeros(y.shape, np.int64)
    for a in range(kh):
        for b in range(kw):
            i = np.arange(oh)[np.arange(oh) * sh + a < h]
            j = np.arange(ow)[np.arange(ow) * sw + b < w]
            here = np.ix_(range(n), i, j, range(c))
            value = x[np.ix_(range(n), i * sh + a, j * sw + b, range(c))]
            index = ((i * sh + a)[:, None] * w + j * sw + b)[None, :, :, None]
            first = a == b == 0
            better = np.ones(value.shape, bool) if first else value > y[here]
            better |= np.isnan(value) & ~np.isnan(y[here])
            y[here] = np.where(better, value, y[here])
            argmax[here] = np.where(better, index, argmax[here])
    return y, argmax


def max_pool2d_backward(dy, argmax, x_shape):
    """One-hot rows for each window, and a product with dy."""
    n, h, w, c = x_shape
    cells = np.arange(h * w)
    hot = argmax.reshape(n, -1, 1, c) == cells[:, None]
    return np.einsum("nkpc,nkc->npc", hot, dy.reshape(n, -1, c)).reshape(x_shape)


def tent(size, dtype):
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    return (1 - np.abs(np.arange(size) - centre) / factor).astype(dtype)


def spread(extent, factor, size, cut, dtype):
    """Matrix (out, extent): how much each input cell gives to each output cell."""
    m = np.zeros(((extent - 1) * factor + size, extent), dtype)
    for i in range(extent):
        m[i * factor:i * factor + size, i] = tent(size, dtype)
    return m[cut:len(m) - cut]


def bilinear_upsample_forward(x, factor, size, padding):
    ph, pw = pair(padding)
    rows = spread(x.shape[1], factor, size, ph, x.dtype)
    columns = spread(x.shape[2], factor, size, pw, x.dtype)
    return np.einsum("ai,nijc,bj->nabc", rows, x, columns)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    ph, pw = pair(padding)
    rows = spread(x_shape[1], factor, size, ph, dy.dtype)
    columns = spread(x_shape[2], factor, size, pw, dy.dtype)
    return np.einsum("ai,nabc,bj->nijc", rows, dy, columns)


def relu_forward(x):
    return np.einsum("...,...->...", x, x > 0)


def relu_backward(dy, y):
    return np.einsum("...,...->...", dy, np.heaviside(y, 0))


def linear_forward(x, weight, bias):
    return np.einsum("nc,cf->nf", x, weight) + bias


def linear_backward(dy, x, weight):
    dx = np.einsum("nf,cf->nc", dy, weight)
    dweight = np.einsum("nc,nf->cf", x, dy)
    dbias = np.einsum("nf->f", dy)
    return dx, dweight, dbias


def dropout_forward(x, rate, seed):
    mask = np.random.Generator(np.random.PCG64(seed)).random(x.shape) >= rate
    return np.einsum("...,...->...", x, (mask / (1 - rate)).astype(x.dtype)), mask


def dropout_backward(dy, mask, rate):
    scaled = (mask / (1 - rate)).astype(dy.dtype)
    return np.einsum("...,...->...", dy, scaled)


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    classes = scores.shape[-1]
    target = (labels[..., None] == np.arange(classes)).astype(scores.dtype)
    target[labels == ignore] = 0
    if class_weights is not None:
        target = target * np.asarray(class_weights, scores.dtype)
    pixel = np.einsum("nijf->nij", target)
    shifted = scores - scores.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    z = np.einsum("nijf->nij", p)[..., None]
    p /= z
    divisor = {"mean": np.einsum("nij->", pixel), "sum": 1, "sum_per_image": len(scores)}[reduction]
    divisor = scores.dtype.type(divisor or 1)
    loss = -np.einsum("nijf,nijf->", target, shifted - np.log(z)) / divisor
    dscores = (np.einsum("nij,nijf->nijf", pixel, p) - target) / divisor
    return float(loss), dscores

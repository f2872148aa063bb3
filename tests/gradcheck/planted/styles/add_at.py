"""Index arrays: gather by fancy indexing, scatter by np.add.at."""
import numpy as np


def pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def places(out, kernel, stride):
    """For each output row and kernel row the row of the padded image; columns alike."""
    (oh, ow), (kh, kw), (sh, sw) = out, kernel, pair(stride)
    rows = np.arange(oh)[:, None] * sh + np.arange(kh)[None, :]
    columns = np.arange(ow)[:, None] * sw + np.arange(kw)[None, :]
    return rows[:, None, :, None], columns[None, :, None, :]


def with_border(x, padding):
    ph, pw = pair(padding)
    n, h, w, c = x.shape
    out = np.zeros((n, h + 2 * ph, w + 2 * pw, c), x.dtype)
    out[:, ph:ph + h, pw:pw + w] = x
    return out


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    padded, (sh, sw), (kh, kw) = with_border(x, padding), pair(stride), weight.shape[:2]
    oh = (padded.shape[1] - kh) // sh + 1
    ow = (padded.shape[2] - kw) // sw + 1
    rows, columns = places((oh, ow), (kh, kw), stride)
    patches = padded[:, rows, columns]                      # n oh ow kh kw c
    return np.tensordot(patches, weight, axes=([3, 4, 5], [0, 1, 2])) + bias


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    (ph, pw), (_, h, w, _) = pair(padding), x.shape
    padded = with_border(x, padding)
    rows, columns = places(dy.shape[1:3], weight.shape[:2], stride)
    dweight = np.tensordot(padded[:, rows, columns], dy, axes=([0, 1, 2], [0, 1, 2]))
    dpadded = np.zeros_like(padded)
    np.add.at(dpadded, (slice(None), rows, columns), np.tensordot(dy, weight, axes=([3], [3])))
    dbias = np.zeros(weight.shape[3], dy.dtype)
    np.add.at(dbias, np.broadcast_to(np.arange(len(dbias)), dy.shape), dy)
    return dpadded[:, ph:ph + h, pw:pw + w], dweight, dbias


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw), (n, h, w, _) = pair(stride), pair(padding), x.shape
    kh, kw, _, f = weight.shape
    full = np.zeros((n, (h - 1) * sh + kh, (w - 1) * sw + kw, f), x.dtype)
    rows, columns = places((h, w), (kh, kw), stride)
    np.add.at(full, (slice(None), rows, columns), np.tensordot(x, weight, axes=([3], [2])))
    y = full[:, ph:full.shape[1] - ph, pw:full.shape[2] - pw].copy()
    if bias is not None:
        y += bias
    return y


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    rows, columns = places(x.shape[1:3], weight.shape[:2], stride)
    patches = with_border(dy, padding)[:, rows, columns]    # n h w kh kw f
    dx = np.tensordot(patches, weight, axes=([3, 4, 5], [0, 1, 3]))
    dweight = np.tensordot(patches, x, axes=([0, 1, 2], [0, 1, 2])).transpose(0, 1, 3, 2)
    dbias = np.zeros(weight.shape[3], dy.dtype)
    np.add.at(dbias, np.indices(dy.shape)[3], dy)
    return dx, dweight, dbias


def max_pool2d_backward(dy, argmax, x_shape):
    dx = np.zeros(x_shape, dy.dtype)
    n, _, _, c = np.indices(dy.shape, sparse=True)
    row, column = np.divmod(argmax, x_shape[2])
    np.add.at(dx, (n, row, column, c), dy)
    return dx


def profile(size):
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    return 1 - np.abs(np.arange(size) - centre) / factor


def bilinear_upsample_forward(x, factor, size, padding):
    (ph, pw), (n, h, w, c) = pair(padding), x.shape
    full = np.zeros((n, (h - 1) * factor + size, (w - 1) * factor + size, c), x.dtype)
    rows, columns = places((h, w), (size, size), factor)
    kernel = np.multiply.outer(profile(size), profile(size)).astype(x.dtype)
    np.add.at(full, (slice(None), rows, columns), x[:, :, :, None, None] * kernel[:, :, None])
    return full[:, ph:full.shape[1] - ph, pw:full.shape[2] - pw].copy()


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    rows, columns = places(x_shape[1:3], (size, size), factor)
    kernel = np.multiply.outer(profile(size), profile(size)).astype(dy.dtype)
    patches = with_border(dy, padding)[:, rows, columns]
    return (patches * kernel[:, :, None]).sum(axis=(3, 4))


def relu_forward(x):
    y = np.zeros_like(x)
    on = x > 0
    y[on] = x[on]
    return y


def relu_backward(dy, y):
    dx = np.zeros_like(dy)
    np.add.at(dx, np.nonzero(y > 0), dy[y > 0])
    return dx


def linear_backward(dy, x, weight):
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    dbias = np.zeros(weight.shape[1], weight.dtype)
    n, c, f = np.indices((*x.shape, weight.shape[1]))
    np.add.at(dx, (n, c), dy[n, f] * weight[c, f])
    np.add.at(dweight, (c, f), x[n, c] * dy[n, f])
    np.add.at(dbias, np.indices(dy.shape)[1], dy)
    return dx, dweight, dbias


def dropout_forward(x, rate, seed):
    kept = np.nonzero(np.random.default_rng(seed).random(x.size) >= rate)[0]
    mask = np.zeros(x.size, bool)
    mask[kept] = True
    y = np.zeros(x.size, x.dtype)
    y[kept] = x.ravel()[kept] / (1 - rate)
    return y.reshape(x.shape), mask.reshape(x.shape)


def dropout_backward(dy, mask, rate):
    dx = np.zeros_like(dy)
    kept = np.nonzero(mask)
    dx[kept] = dy[kept] / (1 - rate)
    return dx


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    classes = scores.shape[-1]
    flat, targets = scores.reshape(-1, classes), labels.reshape(-1).astype(int)
    valid = np.nonzero(targets != ignore)[0]
    t = targets[valid]
    factors = np.ones(len(t)) if class_weights is None else np.asarray(class_weights, float)[t]
    shifted = flat[valid] - flat[valid].max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(sums[:, 0]) - shifted[np.arange(len(t)), t]
    divisor = 1
    if reduction == "mean":
        divisor = factors.sum() or 1
    elif reduction == "sum_per_image":
        divisor = len(scores)
    gradient = exponentials / sums
    np.subtract.at(gradient, (np.arange(len(t)), t), 1)
    gradient = gradient * factors[:, None] / divisor
    dscores = np.zeros_like(flat)
    np.add.at(dscores, valid, gradient.astype(flat.dtype))
    return float((losses * factors).sum() / divisor), dscores.reshape(scores.shape)

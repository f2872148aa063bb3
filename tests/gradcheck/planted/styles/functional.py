"""No loop changes anything: map, reduce, recursion, comprehensions."""
from functools import reduce
from itertools import product

import numpy as np


def both(value):
    return (value,) * 2 if np.ndim(value) == 0 else tuple(value)


def put(array, shape, index):
    """The array at an index of a canvas of zeros."""
    canvas = np.zeros(shape, array.dtype)
    canvas[index] = array
    return canvas


def border(x, padding):
    (ph, pw), (n, h, w, c) = both(padding), x.shape
    return put(x, (n, h + 2 * ph, w + 2 * pw, c), np.s_[:, ph:ph + h, pw:pw + w])


def inside(x, padding):
    ph, pw = both(padding)
    return x[:, ph:x.shape[1] - ph, pw:x.shape[2] - pw]


def lattice(k, out, stride):
    """The cells of the padded image that kernel place k meets."""
    return (slice(None), *(slice(a, a + (o - 1) * s + 1, s)
                           for a, o, s in zip(k, out, both(stride))))


def kernel_places(weight):
    return list(product(range(weight.shape[0]), range(weight.shape[1])))


def total(arrays):
    """Sum by halves."""
    arrays = list(arrays)
    if len(arrays) == 1:
        return arrays[0]
    half = len(arrays) // 2
    return total(arrays[:half]) + total(arrays[half:])


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    padded = border(x, padding)
    out = [(e - k) // s + 1
           for e, k, s in zip(padded.shape[1:3], weight.shape[:2], both(stride))]
    return bias + total(padded[lattice(k, out, stride)] @ weight[k] for k in kernel_places(weight))


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    padded, out, f = border(x, padding), dy.shape[1:3], weight.shape[3]
    dx = total(put(dy @ weight[k].T, padded.shape, lattice(k, out, stride))
               for k in kernel_places(weight))
    dweight = [np.tensordot(padded[lattice(k, out, stride)], dy, ((0, 1, 2), (0, 1, 2)))
               for k in kernel_places(weight)]
    dbias = reduce(np.add, dy.reshape(-1, f))
    return inside(dx, padding), np.array(dweight).reshape(weight.shape), np.array(dbias)


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (n, h, w, _), (kh, kw, _, f) = both(stride), x.shape, weight.shape
    shape = n, (h - 1) * sh + kh, (w - 1) * sw + kw, f
    y = total(put(x @ weight[k], shape, lattice(k, (h, w), stride)) for k in kernel_places(weight))
    return inside(y, padding) + (np.zeros(f, x.dtype) if bias is None else bias)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    padded, out = border(dy, padding), x.shape[1:3]
    seen = {k: padded[lattice(k, out, stride)] for k in kernel_places(weight)}
    dx = total(seen[k] @ weight[k].T for k in seen)
    dweight = np.array([np.tensordot(x, seen[k], ((0, 1, 2),) * 2) for k in seen])
    dbias = reduce(np.add, (each.sum((0, 1)) for each in dy))
    return dx, dweight.reshape(weight.shape), dbias


def starts(extent, size, stride, ceil_mode):
    """Where windows start along one axis."""
    last = max(extent - size, 0)
    return [a for a in range(0, extent, stride)
            if a <= last or (ceil_mode and a - stride + size < extent and a < last + stride)]


def winner(x, n, c, rows, columns):
    places = list(product(rows, columns))
    nan = [p for p in places if np.isnan(x[n, p[0], p[1], c])]
    return (nan or [max(places, key=lambda p: x[n, p[0], p[1], c])])[0]


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    (kh, kw), (sh, sw), (n, h, w, c) = both(size), both(stride), x.shape
    tops, lefts = starts(h, kh, sh, ceil_mode), starts(w, kw, sw, ceil_mode)
    wins = [(m, *winner(x, m, f, range(a, min(a + kh, h)), range(b, min(b + kw, w))), f)
            for m, a, b, f in product(range(n), tops, lefts, range(c))]
    shape = n, len(tops), len(lefts), c
    values = np.array([x[each] for each in wins], x.dtype).reshape(shape)
    return values, np.array([a * w + b for _, a, b, _ in wins], np.int64).reshape(shape)


def max_pool2d_backward(dy, argmax, x_shape):
    n, h, w, c = x_shape
    cells = range(dy.shape[1] * dy.shape[2])
    one = [put(dy.reshape(n, -1, c)[:, k], (n, h * w, c),
               (np.arange(n)[:, None], argmax.reshape(n, -1, c)[:, k], np.arange(c)))
           for k in cells]
    return total(one).reshape(x_shape)


def tent(size):
    factor = (size + 1) // 2
    middle = (size - 1) / 2 if size % 2 == 0 else factor - 1
    return np.array([1 - abs(k - middle) / factor for k in range(size)])


def along(axis, x, factor, size, cut):
    """Upsample one axis: each cell puts its tent, and all are added."""
    x = np.moveaxis(x, axis, 0)
    line = tent(size).astype(x.dtype)
    shape = (len(x) - 1) * factor + size, *x.shape[1:]
    y = total(put(np.multiply.outer(line, x[i]), shape, np.s_[i * factor:i * factor + size])
              for i in range(len(x)))
    return np.moveaxis(y[cut:len(y) - cut], 0, axis)


def against(axis, dy, factor, size, cut, extent):
    """The transpose of ``along``."""
    dy = np.moveaxis(dy, axis, 0)
    dy = put(dy, (len(dy) + 2 * cut, *dy.shape[1:]), np.s_[cut:cut + len(dy)])
    line = tent(size).astype(dy.dtype)
    rows = [np.tensordot(line, dy[i * factor:i * factor + size], 1) for i in range(extent)]
    return np.moveaxis(np.array(rows), 0, axis)


def bilinear_upsample_forward(x, factor, size, padding):
    ph, pw = both(padding)
    y = along(2, along(1, x, factor, size, ph), factor, size, pw)
    return np.ascontiguousarray(y)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    ph, pw = both(padding)
    half = against(1, dy, factor, size, ph, x_shape[1])
    return against(2, half, factor, size, pw, x_shape[2])


def relu_forward(x):
    return np.array([v if v > 0 or v != v else 0 for v in x.ravel()], x.dtype).reshape(x.shape)


def relu_backward(dy, y):
    if dy.ndim == 0:
        return dy * (y > 0)
    return np.array([relu_backward(a, b) for a, b in zip(dy, y)], dy.dtype).reshape(dy.shape)


def linear_forward(x, weight, bias):
    return np.array([reduce(lambda acc, cw: acc + cw[0] * cw[1], zip(row, weight), bias)
                     for row in x], x.dtype).reshape(len(x), len(bias))


def linear_backward(dy, x, weight):
    dweight = reduce(np.add, map(np.outer, x, dy))
    dx = np.array(list(map(weight.dot, dy)))
    return dx, dweight, np.array(list(map(sum, dy.T)), dy.dtype)


def dropout_forward(x, rate, seed):
    mask = np.random.Generator(np.random.SFC64(seed)).random(x.shape) >= rate
    return dropout_backward(x, mask, rate), mask


def dropout_backward(dy, mask, rate):
    keep = dy.dtype.type(1 / (1 - rate))
    return np.array([g * keep if m else 0 for g, m in zip(dy.ravel(), mask.ravel())],
                    dy.dtype).reshape(dy.shape)


def pixel_loss(scores, label, weight):
    """Loss and gradient of one pixel."""
    shifted = scores - scores.max()
    z = np.exp(shifted).sum()
    target = np.arange(len(scores)) == label
    return weight * (np.log(z) - shifted[label]), weight * (np.exp(shifted) / z - target)


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    classes = scores.shape[-1]
    table = np.ones(classes) if class_weights is None else np.asarray(class_weights, float)
    flat, targets = scores.reshape(-1, classes).astype(float), [int(t) for t in labels.ravel()]
    weights = [0.0 if t == ignore else table[t] for t in targets]
    pixels = [(0.0, np.zeros(classes)) if t == ignore else pixel_loss(s, t, w)
              for s, t, w in zip(flat, targets, weights)]
    divisor = {"mean": sum(weights), "sum": 1, "sum_per_image": len(scores)}[reduction] or 1
    loss = sum(each for each, _ in pixels) / divisor
    dscores = np.array([d for _, d in pixels]) / divisor
    return float(loss), dscores.reshape(scores.shape).astype(scores.dtype)

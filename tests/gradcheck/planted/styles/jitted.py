"""Loops that the student compiled with Numba."""
import numba
import numpy as np


@numba.njit
def _conv_forward(x, weight, bias, sh, sw, ph, pw, y):
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for f in range(y.shape[3]):
                    total = bias[f]
                    for ki in range(weight.shape[0]):
                        for kj in range(weight.shape[1]):
                            a = i * sh + ki - ph
                            b = j * sw + kj - pw
                            if a >= 0 and a < x.shape[1] and b >= 0 and b < x.shape[2]:
                                for c in range(x.shape[3]):
                                    total += x[n, a, b, c] * weight[ki, kj, c, f]
                    y[n, i, j, f] = total


@numba.njit
def _conv_backward(dy, x, weight, sh, sw, ph, pw, dx, dweight, dbias):
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for f in range(dy.shape[3]):
                    g = dy[n, i, j, f]
                    dbias[f] += g
                    for ki in range(weight.shape[0]):
                        for kj in range(weight.shape[1]):
                            a = i * sh + ki - ph
                            b = j * sw + kj - pw
                            if a >= 0 and a < x.shape[1] and b >= 0 and b < x.shape[2]:
                                for c in range(x.shape[3]):
                                    dx[n, a, b, c] += g * weight[ki, kj, c, f]
                                    dweight[ki, kj, c, f] += g * x[n, a, b, c]


def _two(value):
    return (value, value) if np.ndim(value) == 0 else (value[0], value[1])


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    (sh, sw), (ph, pw) = _two(stride), _two(padding)
    kh, kw, _, f = weight.shape
    oh, ow = (x.shape[1] + 2 * ph - kh) // sh + 1, (x.shape[2] + 2 * pw - kw) // sw + 1
    y = np.empty((len(x), oh, ow, f), x.dtype)
    _conv_forward(x, weight, bias, sh, sw, ph, pw, y)
    return y


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    (sh, sw), (ph, pw) = _two(stride), _two(padding)
    dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    dbias = np.zeros(weight.shape[3], weight.dtype)
    _conv_backward(dy, x, weight, sh, sw, ph, pw, dx, dweight, dbias)
    return dx, dweight, dbias


@numba.njit
def _pool(x, kh, kw, sh, sw, y, argmax):
    for n in range(y.shape[0]):
        for c in range(y.shape[3]):
            for i in range(y.shape[1]):
                for j in range(y.shape[2]):
                    best = x[n, i * sh, j * sw, c]
                    where = i * sh * x.shape[2] + j * sw
                    for a in range(i * sh, min(i * sh + kh, x.shape[1])):
                        for b in range(j * sw, min(j * sw + kw, x.shape[2])):
                            v = x[n, a, b, c]
                            if v > best or (np.isnan(v) and not np.isnan(best)):
                                best = v
                                where = a * x.shape[2] + b
                    y[n, i, j, c] = best
                    argmax[n, i, j, c] = where


def _windows(extent, k, s, ceil_mode):
    out = (max(extent - k, 0) + (s - 1 if ceil_mode else 0)) // s + 1
    return out - 1 if (out - 1) * s >= extent else out


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    (kh, kw), (sh, sw), (n, h, w, c) = _two(size), _two(stride), x.shape
    shape = n, _windows(h, kh, sh, ceil_mode), _windows(w, kw, sw, ceil_mode), c
    y, argmax = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    _pool(x, kh, kw, sh, sw, y, argmax)
    return y, argmax


@numba.njit
def _unpool(dy, argmax, dx):
    width = dx.shape[2]
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for c in range(dy.shape[3]):
                    k = argmax[n, i, j, c]
                    dx[n, k // width, k % width, c] += dy[n, i, j, c]


def max_pool2d_backward(dy, argmax, x_shape):
    dx = np.zeros(x_shape, dy.dtype)
    _unpool(dy, argmax, dx)
    return dx


@numba.njit
def _relu(x, y):
    for k in range(len(x)):
        y[k] = 0.0 if x[k] <= 0 else x[k]


@numba.njit
def _relu_gradient(dy, y, dx):
    for k in range(len(y)):
        dx[k] = dy[k] if y[k] > 0 else 0.0


def relu_forward(x):
    y = np.empty(x.size, x.dtype)
    _relu(x.ravel(), y)
    return y.reshape(x.shape)


def relu_backward(dy, y):
    dx = np.zeros(dy.size, dy.dtype)
    _relu_gradient(dy.ravel(), y.ravel(), dx)
    return dx.reshape(dy.shape)


@numba.njit
def linear_forward(x, weight, bias):
    y = np.zeros((x.shape[0], weight.shape[1]), x.dtype)
    for n in range(x.shape[0]):
        for f in range(weight.shape[1]):
            total = bias[f]
            for c in range(x.shape[1]):
                total += x[n, c] * weight[c, f]
            y[n, f] = total
    return y


@numba.njit
def linear_backward(dy, x, weight):
    dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    dbias = np.zeros(weight.shape[1], weight.dtype)
    for n in range(x.shape[0]):
        for f in range(weight.shape[1]):
            dbias[f] += dy[n, f]
            for c in range(x.shape[1]):
                dx[n, c] += dy[n, f] * weight[c, f]
                dweight[c, f] += x[n, c] * dy[n, f]
    return dx, dweight, dbias


@numba.njit
def _pixels(scores, labels, ignore, weights, gradient):
    loss, total = 0.0, 0.0
    for p in range(len(labels)):
        t = labels[p]
        if t == ignore:
            continue
        largest = scores[p].max()
        z = 0.0
        for f in range(scores.shape[1]):
            z += np.exp(np.float64(scores[p, f] - largest))
        loss += weights[t] * (np.log(z) - (scores[p, t] - largest))
        total += weights[t]
        for f in range(scores.shape[1]):
            gradient[p, f] = weights[t] * np.exp(np.float64(scores[p, f] - largest)) / z
        gradient[p, t] -= weights[t]
    return loss, total


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    classes = scores.shape[-1]
    weights = np.ones(classes) if class_weights is None else np.array(class_weights, np.float64)
    gradient = np.zeros((labels.size, classes))
    loss, total = _pixels(np.ascontiguousarray(scores).reshape(-1, classes),
                          labels.astype(np.int64).ravel(), ignore, weights, gradient)
    divisor = total if reduction == "mean" else 1 if reduction == "sum" else len(scores)
    if divisor == 0:
        divisor = 1
    return float(loss / divisor), (gradient / divisor).astype(scores.dtype).reshape(scores.shape)

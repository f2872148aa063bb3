"""As in C: flat arrays, and every index computed by hand."""
import math

import numpy as np


def two(value):
    return (value, value) if np.ndim(value) == 0 else (value[0], value[1])


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    (sh, sw), (ph, pw) = two(stride), two(padding)
    N, H, W, C = x.shape
    KH, KW, _, F = weight.shape
    OH = (H + 2 * ph - KH) // sh + 1
    OW = (W + 2 * pw - KW) // sw + 1
    xs, ws, bs = x.ravel().tolist(), weight.ravel().tolist(), bias.ravel().tolist()
    ys = [0.0] * (N * OH * OW * F)
    out = 0
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                for f in range(F):
                    total = bs[f]
                    for ki in range(KH):
                        a = i * sh + ki - ph
                        if a < 0 or a >= H:
                            continue
                        for kj in range(KW):
                            b = j * sw + kj - pw
                            if b < 0 or b >= W:
                                continue
                            p = ((n * H + a) * W + b) * C
                            q = (ki * KW + kj) * C * F + f
                            for c in range(C):
                                total += xs[p + c] * ws[q + c * F]
                    ys[out] = total
                    out += 1
    return np.array(ys, x.dtype).reshape(N, OH, OW, F)


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    (sh, sw), (ph, pw) = two(stride), two(padding)
    N, H, W, C = x.shape
    KH, KW, _, F = weight.shape
    _, OH, OW, _ = dy.shape
    xs, ws, gs = x.ravel().tolist(), weight.ravel().tolist(), dy.ravel().tolist()
    dx, dw, db = [0.0] * len(xs), [0.0] * len(ws), [0.0] * F
    at = 0
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                for f in range(F):
                    g = gs[at + f]
                    db[f] += g
                    for ki in range(KH):
                        for kj in range(KW):
                            a, b = i * sh + ki - ph, j * sw + kj - pw
                            if a < 0 or b < 0 or a >= H or b >= W:
                                continue
                            p = ((n * H + a) * W + b) * C
                            q = (ki * KW + kj) * C * F + f
                            for c in range(C):
                                dx[p + c] += g * ws[q + c * F]
                                dw[q + c * F] += g * xs[p + c]
                at += F
    return (np.array(dx, x.dtype).reshape(x.shape), np.array(dw, x.dtype).reshape(weight.shape),
            np.array(db, x.dtype))


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw) = two(stride), two(padding)
    N, H, W, C = x.shape
    KH, KW, _, F = weight.shape
    OH = (H - 1) * sh + KH - 2 * ph
    OW = (W - 1) * sw + KW - 2 * pw
    xs, ws = x.ravel().tolist(), weight.ravel().tolist()
    start = [0.0] * F if bias is None else bias.ravel().tolist()
    ys = start * (N * OH * OW)
    for t in range(N * H * W):
        n, i, j = t // (H * W), t // W % H, t % W
        for k in range(KH * KW):
            a, b = i * sh + k // KW - ph, j * sw + k % KW - pw
            if 0 <= a < OH and 0 <= b < OW:
                o = ((n * OH + a) * OW + b) * F
                for c in range(C):
                    for f in range(F):
                        ys[o + f] += xs[t * C + c] * ws[(k * C + c) * F + f]
    return np.array(ys, x.dtype).reshape(N, OH, OW, F)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    (sh, sw), (ph, pw) = two(stride), two(padding)
    N, H, W, C = x.shape
    KH, KW, _, F = weight.shape
    _, OH, OW, _ = dy.shape
    xs, ws, gs = x.ravel().tolist(), weight.ravel().tolist(), dy.ravel().tolist()
    dx, dw, db = [0.0] * len(xs), [0.0] * len(ws), [0.0] * F
    for t in range(N * H * W):
        n, i, j = t // (H * W), t // W % H, t % W
        for k in range(KH * KW):
            a, b = i * sh + k // KW - ph, j * sw + k % KW - pw
            if 0 <= a < OH and 0 <= b < OW:
                o = ((n * OH + a) * OW + b) * F
                for c in range(C):
                    for f in range(F):
                        dx[t * C + c] += gs[o + f] * ws[(k * C + c) * F + f]
                        dw[(k * C + c) * F + f] += gs[o + f] * xs[t * C + c]
    for o in range(len(gs)):
        db[o % F] += gs[o]
    return (np.array(dx, x.dtype).reshape(x.shape), np.array(dw, x.dtype).reshape(weight.shape),
            np.array(db, x.dtype))


def count(extent, size, stride, ceil_mode):
    if extent <= size:
        return 1
    n = math.ceil((extent - size) / stride) if ceil_mode else (extent - size) // stride
    return n + 1 if n * stride < extent else n


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    (kh, kw), (sh, sw), (N, H, W, C) = two(size), two(stride), x.shape
    OH, OW = count(H, kh, sh, ceil_mode), count(W, kw, sw, ceil_mode)
    xs = x.ravel().tolist()
    ys, best = [], []
    for o in range(N * OH * OW * C):
        c, j, i, n = o % C, o // C % OW, o // (C * OW) % OH, o // (C * OW * OH)
        top, left = i * sh, j * sw
        win = top * W + left
        for a in range(top, min(top + kh, H)):
            for b in range(left, min(left + kw, W)):
                value, so_far = xs[(n * H * W + a * W + b) * C + c], xs[(n * H * W + win) * C + c]
                if value > so_far or (value != value and so_far == so_far):
                    win = a * W + b
        ys.append(xs[(n * H * W + win) * C + c])
        best.append(win)
    shape = N, OH, OW, C
    return np.array(ys, x.dtype).reshape(shape), np.array(best, np.int64).reshape(shape)


def max_pool2d_backward(dy, argmax, x_shape):
    N, H, W, C = x_shape
    gs, wins = dy.ravel().tolist(), argmax.ravel().tolist()
    dx = [0.0] * (N * H * W * C)
    per_image = len(gs) // N
    for o in range(len(gs)):
        n, c = o // per_image, o % C
        dx[(n * H * W + wins[o]) * C + c] += gs[o]
    return np.array(dx, dy.dtype).reshape(x_shape)


def bilinear_upsample_forward(x, factor, size, padding):
    (ph, pw), (N, H, W, C) = two(padding), x.shape
    OH, OW = (H - 1) * factor + size - 2 * ph, (W - 1) * factor + size - 2 * pw
    half = (size + 1) // 2
    middle = half - 1 if size % 2 else half - 0.5
    xs, ys = x.ravel().tolist(), [0.0] * (N * OH * OW * C)
    for o in range(len(ys)):
        c, b, a, n = o % C, o // C % OW, o // (C * OW) % OH, o // (C * OW * OH)
        for i in range(H):
            ki = a + ph - i * factor
            if not 0 <= ki < size:
                continue
            for j in range(W):
                kj = b + pw - j * factor
                if not 0 <= kj < size:
                    continue
                k = (1 - abs(ki - middle) / half) * (1 - abs(kj - middle) / half)
                ys[o] += k * xs[((n * H + i) * W + j) * C + c]
    return np.array(ys, x.dtype).reshape(N, OH, OW, C)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    (ph, pw), (N, H, W, C) = two(padding), x_shape
    _, OH, OW, _ = dy.shape
    half = (size + 1) // 2
    middle = half - 1 if size % 2 else half - 0.5
    gs, dx = dy.ravel().tolist(), [0.0] * (N * H * W * C)
    for p in range(len(dx)):
        c, j, i, n = p % C, p // C % W, p // (C * W) % H, p // (C * W * H)
        for ki in range(size):
            a = i * factor + ki - ph
            for kj in range(size):
                b = j * factor + kj - pw
                if 0 <= a < OH and 0 <= b < OW:
                    k = (1 - abs(ki - middle) / half) * (1 - abs(kj - middle) / half)
                    dx[p] += k * gs[((n * OH + a) * OW + b) * C + c]
    return np.array(dx, dy.dtype).reshape(x_shape)


def relu_forward(x):
    y = x.flatten()
    for k in range(y.size):
        if y[k] < 0:
            y[k] = 0
    return y.reshape(x.shape)


def relu_backward(dy, y):
    dx, out = dy.flatten(), y.ravel()
    k = 0
    while k < dx.size:
        if not out[k] > 0:
            dx[k] = 0
        k += 1
    return dx.reshape(dy.shape)


def linear_forward(x, weight, bias):
    (N, C), F = x.shape, weight.shape[1]
    xs, ws = x.ravel().tolist(), weight.ravel().tolist()
    ys = bias.tolist() * N
    for o in range(N * F):
        n, f = o // F, o % F
        for c in range(C):
            ys[o] += xs[n * C + c] * ws[c * F + f]
    return np.array(ys, x.dtype).reshape(N, F)


def linear_backward(dy, x, weight):
    (N, C), F = x.shape, weight.shape[1]
    xs, ws, gs = x.ravel().tolist(), weight.ravel().tolist(), dy.ravel().tolist()
    dx, dw, db = [0.0] * (N * C), [0.0] * (C * F), [0.0] * F
    for n in range(N):
        for f in range(F):
            g = gs[n * F + f]
            db[f] += g
            for c in range(C):
                dx[n * C + c] += g * ws[c * F + f]
                dw[c * F + f] += g * xs[n * C + c]
    return (np.array(dx, x.dtype).reshape(N, C), np.array(dw, x.dtype).reshape(C, F),
            np.array(db, x.dtype))


def dropout_forward(x, rate, seed):
    draws = np.random.RandomState(seed % 2**32).uniform(size=x.size)
    xs, ys, mask = x.ravel(), np.zeros(x.size, x.dtype), np.zeros(x.size, np.bool_)
    for k in range(x.size):
        if draws[k] >= rate:
            mask[k] = True
            ys[k] = xs[k] / (1 - rate)
    return ys.reshape(x.shape), mask.reshape(x.shape)


def dropout_backward(dy, mask, rate):
    gs, keep = dy.ravel().tolist(), mask.ravel().tolist()
    dx = [g / (1 - rate) if keep[k] else 0.0 for k, g in enumerate(gs)]
    return np.array(dx, dy.dtype).reshape(dy.shape)


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    F = scores.shape[-1]
    s, t = scores.astype(float).ravel().tolist(), labels.ravel().tolist()
    weights = [1.0] * F if class_weights is None else [float(w) for w in class_weights]
    loss = total = 0.0
    ds = [0.0] * len(s)
    for p in range(len(t)):
        if t[p] == ignore:
            continue
        o, weight = p * F, weights[t[p]]
        top = max(s[o:o + F])
        z = 0.0
        for f in range(F):
            z += math.exp(s[o + f] - top)
        loss += weight * (math.log(z) + top - s[o + t[p]])
        total += weight
        for f in range(F):
            ds[o + f] = weight * math.exp(s[o + f] - top) / z
        ds[o + t[p]] -= weight
    divisor = 1.0
    if reduction == "mean":
        divisor = total
    elif reduction == "sum_per_image":
        divisor = float(scores.shape[0])
    if divisor == 0:
        divisor = 1.0
    dscores = np.array(ds).reshape(scores.shape) / divisor
    return loss / divisor, dscores.astype(scores.dtype)

"""As in torch.autograd.Function: static methods, and a context that carries what backward needs."""
from types import SimpleNamespace

import numpy as np

from tests.gradcheck.planted.right import bilinear_kernel, crop, one_hot, pad, pair, softmax


class Conv2d:
    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding):
        ctx.saved, ctx.stride, ctx.padding = (x, weight), pair(stride), padding
        x, (sh, sw), (kh, kw) = pad(x, padding), ctx.stride, weight.shape[:2]
        rows = range(0, x.shape[1] - kh + 1, sh)
        columns = range(0, x.shape[2] - kw + 1, sw)
        return np.stack([np.stack([np.tensordot(x[:, a:a + kh, b:b + kw], weight, 3) + bias
                                   for b in columns], 1) for a in rows], 1)

    @staticmethod
    def backward(ctx, dy):
        (x, weight), (sh, sw) = ctx.saved, ctx.stride
        x, (kh, kw) = pad(x, ctx.padding), weight.shape[:2]
        dx, dweight = np.zeros_like(x), np.zeros_like(weight)
        for (i, j) in np.ndindex(dy.shape[1:3]):
            here = np.s_[:, i * sh:i * sh + kh, j * sw:j * sw + kw]
            dx[here] += np.tensordot(dy[:, i, j], weight, (1, 3))
            dweight += np.tensordot(x[here], dy[:, i, j], (0, 0))
        return crop(dx, ctx.padding), dweight, dy.sum((0, 1, 2))


class Upsample:
    @staticmethod
    def forward(ctx, x, factor, size, padding):
        n, h, w, c = ctx.shape = x.shape
        ctx.settings = factor, size, padding
        y = np.zeros((n, (h - 1) * factor + size, (w - 1) * factor + size, c), x.dtype)
        kernel = bilinear_kernel(size)[None, :, :, None].astype(x.dtype)
        for i, j in np.ndindex(h, w):
            y[:, i * factor:, j * factor:][:, :size, :size] += x[:, i:i + 1, j:j + 1] * kernel
        return crop(y, padding).copy()

    @staticmethod
    def backward(ctx, dy):
        (factor, size, _), dy = ctx.settings, pad(dy, ctx.settings[2])
        kernel = bilinear_kernel(size)[None, :, :, None].astype(dy.dtype)
        dx = np.zeros(ctx.shape, dy.dtype)
        for i, j in np.ndindex(*ctx.shape[1:3]):
            dx[:, i, j] = (dy[:, i * factor:, j * factor:][:, :size, :size] * kernel).sum((1, 2))
        return dx


class CrossEntropy:
    @staticmethod
    def forward(ctx, scores, labels, ignore, reduction, class_weights):
        classes = scores.shape[-1]
        valid = labels != ignore
        ctx.target = one_hot(np.where(valid, labels, 0).astype(int), classes)
        table = np.ones(classes) if class_weights is None else np.asarray(class_weights)
        ctx.weight = ctx.target @ table * valid
        ctx.scores = scores
        divisor = {"mean": ctx.weight.sum, "sum": lambda: 1, "sum_per_image": labels.__len__}
        ctx.divisor = divisor[reduction]() or 1
        top = scores.max(-1)
        lse = top + np.log(np.exp(scores - top[..., None]).sum(-1))
        return float((ctx.weight * (lse - (scores * ctx.target).sum(-1))).sum() / ctx.divisor)

    @staticmethod
    def backward(ctx):
        d = (softmax(ctx.scores) - ctx.target) * (ctx.weight / ctx.divisor)[..., None]
        return d.astype(ctx.scores.dtype)


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    return Conv2d.forward(SimpleNamespace(), x, weight, bias, stride, padding)


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    ctx = SimpleNamespace(saved=(x, weight), stride=pair(stride), padding=padding)
    return Conv2d.backward(ctx, dy)


def bilinear_upsample_forward(x, factor, size, padding):
    return Upsample.forward(SimpleNamespace(), x, factor, size, padding)


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    return Upsample.backward(
        SimpleNamespace(shape=tuple(x_shape), settings=(factor, size, padding)), dy)


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    ctx = SimpleNamespace()
    loss = CrossEntropy.forward(ctx, scores, labels, ignore, reduction, class_weights)
    return loss, CrossEntropy.backward(ctx)

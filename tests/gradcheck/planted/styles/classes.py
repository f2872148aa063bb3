"""Layers as classes that keep what backward needs; the functions make an object for each call."""
import numpy as np


class Layer:
    def __init__(self):
        self.cache = {}


class Window:
    """The geometry that convolution and its transpose share."""

    def __init__(self, stride, padding):
        self.sh, self.sw = (stride, stride) if np.ndim(stride) == 0 else stride
        self.ph, self.pw = (padding, padding) if np.ndim(padding) == 0 else padding

    def pad(self, x):
        return np.pad(x, ((0, 0), (self.ph, self.ph), (self.pw, self.pw), (0, 0)))

    def unpad(self, x):
        return x[:, self.ph:x.shape[1] - self.ph, self.pw:x.shape[2] - self.pw]

    def at(self, i, j, kernel):
        a, b = i * self.sh, j * self.sw
        return np.s_[:, a:a + kernel[0], b:b + kernel[1]]


class Conv2d(Layer):
    def __init__(self, weight, bias, stride, padding):
        super().__init__()
        self.weight, self.bias = weight, bias
        self.window = Window(stride, padding)
        self.grads = {"weight": np.zeros_like(weight), "bias": np.zeros_like(weight[0, 0, 0])}

    def forward(self, x):
        self.cache["x"] = x
        kernel, g = self.weight.shape[:2], self.window
        padded = g.pad(x)
        oh = (padded.shape[1] - kernel[0]) // g.sh + 1
        ow = (padded.shape[2] - kernel[1]) // g.sw + 1
        y = np.zeros((len(x), oh, ow, len(self.bias)), x.dtype)
        for i in range(oh):
            for j in range(ow):
                patch = padded[g.at(i, j, kernel)]
                y[:, i, j] = patch.reshape(len(x), -1) @ self.weight.reshape(-1, len(self.bias))
        return y + self.bias

    def backward(self, dy):
        padded, kernel = self.window.pad(self.cache["x"]), self.weight.shape[:2]
        dpadded = np.zeros_like(padded)
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                here, g = self.window.at(i, j, kernel), dy[:, i, j]
                dpadded[here] += np.einsum("nf,abcf->nabc", g, self.weight)
                self.grads["weight"] += np.einsum("nabc,nf->abcf", padded[here], g)
                self.grads["bias"] += g.sum(0)
        return self.window.unpad(dpadded)


class ConvTranspose2d(Layer):
    def __init__(self, weight, bias, stride, padding):
        super().__init__()
        self.weight, self.bias = weight, bias
        self.window = Window(stride, padding)
        self.grads = {}

    def forward(self, x):
        self.cache["x"], g, (kh, kw, _, f) = x, self.window, self.weight.shape
        n, h, w, _ = x.shape
        y = np.zeros((n, (h - 1) * g.sh + kh, (w - 1) * g.sw + kw, f), x.dtype)
        for i in range(h):
            for j in range(w):
                y[g.at(i, j, (kh, kw))] += np.einsum("nc,abcf->nabf", x[:, i, j], self.weight)
        y = g.unpad(y).copy()
        if self.bias is not None:
            y += self.bias
        return y

    def backward(self, dy):
        x, kernel = self.cache["x"], self.weight.shape[:2]
        self.grads["bias"] = dy.sum((0, 1, 2))
        dy = self.window.pad(dy)
        dx, dweight = np.zeros_like(x), np.zeros_like(self.weight)
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                patch = dy[self.window.at(i, j, kernel)]
                dx[:, i, j] = np.einsum("nabf,abcf->nc", patch, self.weight)
                dweight += np.einsum("nabf,nc->abcf", patch, x[:, i, j])
        self.grads["weight"] = dweight
        return dx


class MaxPool2d(Layer):
    def __init__(self, size, stride, ceil_mode):
        super().__init__()
        self.kh, self.kw = (size, size) if np.ndim(size) == 0 else size
        self.sh, self.sw = (stride, stride) if np.ndim(stride) == 0 else stride
        self.ceil_mode = ceil_mode

    def out(self, extent, k, s):
        room = max(extent - k, 0)
        out = (room + s - 1 if self.ceil_mode else room) // s + 1
        return out - 1 if (out - 1) * s >= extent else out

    def forward(self, x):
        n, h, w, c = x.shape
        shape = n, self.out(h, self.kh, self.sh), self.out(w, self.kw, self.sw), c
        y, argmax = np.zeros(shape, x.dtype), np.zeros(shape, np.int64)
        for i in range(shape[1]):
            for j in range(shape[2]):
                top, left = i * self.sh, j * self.sw
                patch = x[:, top:top + self.kh, left:left + self.kw]
                rows, columns = patch.shape[1:3]
                patch = patch.reshape(n, rows * columns, c)
                k = patch.argmax(1)
                y[:, i, j] = patch.max(1)
                argmax[:, i, j] = (top + k // columns) * w + left + k % columns
        return y, argmax


class Relu(Layer):
    def forward(self, x):
        self.cache["mask"] = x > 0
        return np.where(x <= 0, x.dtype.type(0), x)

    def backward(self, dy):
        return np.where(self.cache["mask"], dy, dy.dtype.type(0))


class Linear(Layer):
    def __init__(self, weight, bias=None):
        super().__init__()
        self.W, self.b = weight, bias

    def forward(self, x):
        self.cache["x"] = x
        return x.dot(self.W) + self.b

    def backward(self, dy):
        x = self.cache["x"]
        self.dW = x.T.dot(dy)
        self.db = dy.sum(axis=0)
        return dy.dot(self.W.T)


class Dropout(Layer):
    def __init__(self, rate, seed=0):
        super().__init__()
        self.rate, self.rng = rate, np.random.default_rng(seed)

    def scale(self, x):
        return (x / (1 - self.rate)).astype(x.dtype)

    def forward(self, x):
        self.mask = self.rng.uniform(size=x.shape) >= self.rate
        return self.scale(x * self.mask)

    def backward(self, dy):
        return self.scale(dy * self.mask)


class SoftmaxCrossEntropy(Layer):
    def __init__(self, ignore, reduction, class_weights):
        super().__init__()
        self.ignore, self.reduction, self.class_weights = ignore, reduction, class_weights

    def softmax(self, scores):
        e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)

    def log_softmax(self, scores):
        shifted = scores - np.max(scores, axis=-1, keepdims=True)
        return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))

    def divisor(self):
        if self.reduction == "mean":
            return max(self.cache["w"].sum(), 1e-300)
        if self.reduction == "sum":
            return 1
        return self.cache["images"]

    def forward(self, scores, labels):
        valid = labels != self.ignore
        target = np.where(valid, labels, 0).astype(int)
        w = valid.astype(float)
        if self.class_weights is not None:
            w = w * np.asarray(self.class_weights)[target]
        self.cache.update(p=self.softmax(scores), target=target, w=w, images=len(scores))
        logp = np.take_along_axis(self.log_softmax(scores), target[..., None], -1)[..., 0]
        return float(-(w * logp).sum() / self.divisor())

    def backward(self):
        p, target, w = self.cache["p"], self.cache["target"], self.cache["w"]
        d = p - np.eye(p.shape[-1])[target]
        return (d * w[..., None] / self.divisor()).astype(p.dtype)


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    return Conv2d(weight, bias, stride, padding).forward(x)


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    layer = Conv2d(weight, np.zeros_like(weight[0, 0, 0]), stride, padding)
    layer.forward(x)
    return layer.backward(dy), layer.grads["weight"], layer.grads["bias"]


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    return ConvTranspose2d(weight, bias, stride, padding).forward(x)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    layer = ConvTranspose2d(weight, None, stride, padding)
    layer.forward(x)
    dx = layer.backward(dy)
    return dx, layer.grads["weight"], layer.grads["bias"]


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    return MaxPool2d(size, stride, ceil_mode).forward(x)


def relu_forward(x):
    return Relu().forward(x)


def relu_backward(dy, y):
    layer = Relu()
    layer.forward(y)
    return layer.backward(dy)


def linear_forward(x, weight, bias):
    return Linear(weight, bias).forward(x)


def linear_backward(dy, x, weight):
    layer = Linear(weight, np.zeros_like(weight[0]))
    layer.forward(x)
    dx = layer.backward(dy)
    return dx, layer.dW, layer.db


def dropout_forward(x, rate, seed):
    layer = Dropout(rate, seed)
    y = layer.forward(x)
    return y, layer.mask


def dropout_backward(dy, mask, rate):
    layer = Dropout(rate)
    layer.mask = mask
    return layer.backward(dy)


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    layer = SoftmaxCrossEntropy(ignore, reduction, class_weights)
    loss = layer.forward(scores, labels)
    return loss, layer.backward()

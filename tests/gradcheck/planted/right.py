"""Every operation, right, in plain NumPy as careful students write it. Bugs are versions of it."""
import numpy as np


def pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def pad(x, padding):
    ph, pw = pair(padding)
    return np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))


def crop(x, padding):
    """Undo ``pad``."""
    ph, pw = pair(padding)
    return x[:, ph:x.shape[1] - ph, pw:x.shape[2] - pw]


def windows(y, weight, stride):
    """For each cell (i, j) of y, the rows and columns of the padded input under the kernel."""
    (sh, sw), (kh, kw) = pair(stride), weight.shape[:2]
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            yield i, j, slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw)


def conv2d_output(x, weight, stride, padding):
    """Zeros in the shape of a convolution's output."""
    (sh, sw), (ph, pw), (kh, kw) = pair(stride), pair(padding), weight.shape[:2]
    n, h, w, _ = x.shape
    oh, ow = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    return np.zeros((n, oh, ow, weight.shape[3]), x.dtype)


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    y = conv2d_output(x, weight, stride, padding)
    x = pad(x, padding)
    for i, j, rows, columns in windows(y, weight, stride):
        y[:, i, j] = np.tensordot(x[:, rows, columns], weight, 3) + bias
    return y


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    x = pad(x, padding)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for i, j, rows, columns in windows(dy, weight, stride):
        dx[:, rows, columns] += np.tensordot(dy[:, i, j], weight, (1, 3))
        dweight += np.tensordot(x[:, rows, columns], dy[:, i, j], (0, 0))
    return crop(dx, padding), dweight, dy.sum((0, 1, 2))


def stamped(x, weight, stride):
    """Zeros in the shape of a transposed convolution's output, its padding not yet cut off."""
    (sh, sw), (kh, kw) = pair(stride), weight.shape[:2]
    n, h, w, _ = x.shape
    return np.zeros((n, (h - 1) * sh + kh, (w - 1) * sw + kw, weight.shape[3]), x.dtype)


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    y = stamped(x, weight, stride)
    for i, j, rows, columns in windows(x, weight, stride):
        y[:, rows, columns] += np.tensordot(x[:, i, j], weight, (1, 2))
    y = crop(y, padding)
    return y.copy() if bias is None else y + bias


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    dbias, dy = dy.sum((0, 1, 2)), pad(dy, padding)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for i, j, rows, columns in windows(x, weight, stride):
        dx[:, i, j] = np.tensordot(dy[:, rows, columns], weight, ((1, 2, 3), (0, 1, 3)))
        dweight += np.tensordot(x[:, i, j], dy[:, rows, columns], (0, 0)).transpose(1, 2, 0, 3)
    return dx, dweight, dbias


def pool_extent(extent, size, stride, ceil_mode):
    room = max(extent - size, 0)
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    return out - 1 if (out - 1) * stride >= extent else out


def pool_output(x, size, stride, ceil_mode):
    n, h, w, c = x.shape
    shape = n, pool_extent(h, size, stride, ceil_mode), pool_extent(w, size, stride, ceil_mode), c
    return np.zeros(shape, x.dtype), np.zeros(shape, np.int64)


def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    y, argmax = pool_output(x, size, stride, ceil_mode)
    for n, i, j, c in np.ndindex(y.shape):
        a, b = i * stride, j * stride
        window = x[n, a:a + size, b:b + size, c]
        ki, kj = np.unravel_index(window.argmax(), window.shape)
        y[n, i, j, c] = window[ki, kj]
        argmax[n, i, j, c] = (a + ki) * x.shape[2] + b + kj
    return y, argmax


def max_pool2d_backward(dy, argmax, x_shape):
    dx = np.zeros(x_shape, dy.dtype)
    for n, i, j, c in np.ndindex(dy.shape):
        row, column = divmod(argmax[n, i, j, c], x_shape[2])
        dx[n, row, column, c] += dy[n, i, j, c]
    return dx


def bilinear_kernel(size):
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(line, line)


def bilinear_upsample_forward(x, factor, size, padding):
    n, h, w, c = x.shape
    kernel = bilinear_kernel(size).astype(x.dtype)
    y = np.zeros((n, (h - 1) * factor + size, (w - 1) * factor + size, c), x.dtype)
    for i in range(h):
        for j in range(w):
            a, b = i * factor, j * factor
            y[:, a:a + size, b:b + size] += x[:, i, j][:, None, None] * kernel[:, :, None]
    return crop(y, padding).copy()


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    kernel = bilinear_kernel(size).astype(dy.dtype)
    dy, dx = pad(dy, padding), np.zeros(x_shape, dy.dtype)
    for i in range(x_shape[1]):
        for j in range(x_shape[2]):
            a, b = i * factor, j * factor
            dx[:, i, j] = (dy[:, a:a + size, b:b + size] * kernel[:, :, None]).sum((1, 2))
    return dx


def relu_forward(x):
    return np.maximum(x, 0)


def relu_backward(dy, y):
    return dy * (y > 0)


def linear_forward(x, weight, bias):
    return x @ weight + bias


def linear_backward(dy, x, weight):
    return dy @ weight.T, x.T @ dy, dy.sum(0)


def dropout_forward(x, rate, seed):
    mask = np.random.default_rng(seed).random(x.shape) >= rate
    return dropout_backward(x, mask, rate), mask


def dropout_backward(dy, mask, rate):
    return (dy * mask / (1 - rate)).astype(dy.dtype)


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def log_softmax(scores):
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def one_hot(labels, classes):
    """Ones at the labels; an ignored pixel gets class 0, and its weight of 0 hides it."""
    return np.eye(classes)[np.where(labels < classes, labels, 0)]


def pixel_weights(labels, ignore, class_weights, classes):
    """The weight of each pixel's class, 0 where it is ignored."""
    weights = np.ones(classes) if class_weights is None else np.asarray(class_weights)
    valid = labels != ignore
    return np.where(valid, weights[np.where(valid, labels, 0)], 0.0)


def divisor_of(weights, reduction):
    divisor = {"mean": weights.sum(), "sum": 1, "sum_per_image": len(weights)}[reduction]
    return divisor if divisor else 1


def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    classes = scores.shape[-1]
    labels = labels.astype(int)
    weights = pixel_weights(labels, ignore, class_weights, classes)
    target = one_hot(np.where(labels == ignore, 0, labels), classes)
    divisor = divisor_of(weights, reduction)
    loss = -(weights[..., None] * target * log_softmax(scores)).sum() / divisor
    dscores = weights[..., None] * (softmax(scores) - target) / divisor
    return float(loss), dscores.astype(scores.dtype)

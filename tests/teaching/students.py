"""Convolutions in other styles than the textbook's, as students write them."""
import numpy as np


def im2col_forward(x, weight, bias, stride, padding):
    """Windows copied into the rows of a matrix, in loops; one matrix product."""
    n, h, w, c = x.shape
    kh, kw, _, c_out = weight.shape
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    oh, ow = (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1
    columns = np.empty((n * oh * ow, kh * kw * c), x.dtype)
    row = 0
    for image in range(n):
        for i in range(oh):
            for j in range(ow):
                window = padded[image, i * stride:i * stride + kh, j * stride:j * stride + kw]
                columns[row] = window.reshape(-1)
                row += 1
    product = columns @ weight.reshape(-1, c_out)
    product += bias
    return product.reshape(n, oh, ow, c_out)


def running_sum_forward(x, weight, bias, stride, padding):
    """Gathers every output into a local number; what lies in the padding is skipped."""
    n, h, w, channels = x.shape
    kh, kw, _, filters = weight.shape
    y = np.zeros((n, (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1,
                  filters), dtype=x.dtype)
    for index in np.ndindex(*y.shape):
        image, i, j, f = index
        total = bias[f]
        for ki in range(kh):
            for kj in range(kw):
                a, b = i * stride - padding + ki, j * stride - padding + kj
                if a < 0 or b < 0 or a >= h or b >= w:
                    continue
                total = total + sum(x[image, a, b, c] * weight[ki, kj, c, f]
                                    for c in range(channels))
        y[index] = total
    return y


def add_at_backward(dy, x, weight, stride, padding):
    """Collects rows, columns and products; adds them up at the end, repeated places too."""
    n, h, w, c = x.shape
    kh, kw = weight.shape[:2]
    dx = np.zeros((n, h + 2 * padding, w + 2 * padding, c), dtype=dy.dtype)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            rows = i * stride + np.arange(kh)
            columns = j * stride + np.arange(kw)
            share = np.einsum("nf,abcf->nabc", dy[:, i, j], weight)
            np.add.at(dx, (slice(None), rows[:, None], columns), share)
    return dx[:, padding:padding + h, padding:padding + w]


def scatter_backward(dy, x, weight, stride, padding):
    """Every gradient is sent back along its products, in rows of channels."""
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)

    def inside(a, b):
        return 0 <= a < x.shape[1] and 0 <= b < x.shape[2]

    for n, plane in enumerate(dy):
        for i, row in enumerate(plane):
            for j in range(len(row)):
                for ki, kj in np.ndindex(*weight.shape[:2]):
                    a, b = i * stride - padding + ki, j * stride - padding + kj
                    if not inside(a, b):
                        continue
                    pixel = dx[n, a, b]
                    for f, value in enumerate(row[j]):
                        pixel += value * weight[ki, kj, :, f]
                        dweight[ki, kj, :, f] += x[n, a, b] * value
    return dx, dweight

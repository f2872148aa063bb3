"""Convolution by multiplying spectra."""
import numpy as np


def pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def spectrum(x, shape):
    return np.fft.fft2(x, s=shape, axes=(1, 2))


def signal(f, dtype):
    return np.fft.ifft2(f, axes=(1, 2)).real.astype(dtype)


def bordered(x, padding):
    ph, pw = pair(padding)
    return np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))


def with_gaps(y, stride, shape):
    """y spread out by the stride on a canvas of zeros."""
    sh, sw = pair(stride)
    out = np.zeros((len(y), *shape, y.shape[3]), y.dtype)
    out[:, :(y.shape[1] - 1) * sh + 1:sh, :(y.shape[2] - 1) * sw + 1:sw] = y
    return out


def kernel_spectrum(weight, shape):
    return np.fft.fft2(weight, s=shape, axes=(0, 1))


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    x, (sh, sw), (kh, kw) = bordered(x, padding), pair(stride), weight.shape[:2]
    shape = x.shape[1:3]
    product = np.einsum("nhwc,hwcf->nhwf", spectrum(x, shape),
                        np.conj(kernel_spectrum(weight, shape)))
    y = signal(product, x.dtype)
    y = y[:, :shape[0] - kh + 1:sh, :shape[1] - kw + 1:sw]
    return y + bias


def conv2d_backward(dy, x, weight, stride=1, padding=0):
    (ph, pw), (_, h, w, _), (kh, kw) = pair(padding), x.shape, weight.shape[:2]
    x = bordered(x, padding)
    shape = x.shape[1:3]
    fdy = spectrum(with_gaps(dy, stride, shape), shape)
    dx = signal(np.einsum("nhwf,hwcf->nhwc", fdy, kernel_spectrum(weight, shape)), x.dtype)
    fw = np.einsum("nhwc,nhwf->hwcf", spectrum(x, shape), np.conj(fdy))
    dweight = np.fft.ifft2(fw, axes=(0, 1)).real[:kh, :kw].astype(weight.dtype)
    dbias = fdy[:, 0, 0].sum(axis=0).real.astype(dy.dtype)      # the frequency 0 is the sum
    return dx[:, ph:ph + h, pw:pw + w], dweight, dbias


def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw), (_, h, w, _) = pair(stride), pair(padding), x.shape
    shape = (h - 1) * sh + weight.shape[0], (w - 1) * sw + weight.shape[1]
    fx = spectrum(with_gaps(x, stride, shape), shape)
    y = signal(np.einsum("nhwc,hwcf->nhwf", fx, kernel_spectrum(weight, shape)), x.dtype)
    y = y[:, ph:shape[0] - ph, pw:shape[1] - pw]
    return y.copy() if bias is None else y + bias


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0):
    (sh, sw), (_, h, w, _), (kh, kw) = pair(stride), x.shape, weight.shape[:2]
    dy = bordered(dy, padding)
    shape = dy.shape[1:3]
    fdy = spectrum(dy, shape)
    product = np.einsum("nhwf,hwcf->nhwc", fdy, np.conj(kernel_spectrum(weight, shape)))
    dx = signal(product, x.dtype)[:, :(h - 1) * sh + 1:sh, :(w - 1) * sw + 1:sw]
    fx = spectrum(with_gaps(x, stride, shape), shape)
    fw = np.einsum("nhwc,nhwf->hwcf", np.conj(fx), fdy)
    dweight = np.fft.ifft2(fw, axes=(0, 1)).real[:kh, :kw].astype(weight.dtype)
    ph, pw = pair(padding)
    inner = dy[:, ph:shape[0] - ph, pw:shape[1] - pw]
    return dx, dweight, inner.sum(axis=(0, 1, 2))


def stamp(size):
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(line, line)[:, :, None]


def bilinear_upsample_forward(x, factor, size, padding):
    (ph, pw), (_, h, w, _) = pair(padding), x.shape
    shape = (h - 1) * factor + size, (w - 1) * factor + size
    y = signal(spectrum(with_gaps(x, factor, shape), shape) * kernel_spectrum(stamp(size), shape),
               x.dtype)
    return y[:, ph:shape[0] - ph, pw:shape[1] - pw].copy()


def bilinear_upsample_backward(dy, factor, size, padding, x_shape):
    dy = bordered(dy, padding)
    shape = dy.shape[1:3]
    product = spectrum(dy, shape) * np.conj(kernel_spectrum(stamp(size), shape))
    return signal(product, dy.dtype)[:, :(x_shape[1] - 1) * factor + 1:factor,
                                     :(x_shape[2] - 1) * factor + 1:factor]

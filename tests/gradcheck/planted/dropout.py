"""Planted bugs of dropout, which is judged by its properties."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right


def mask_of(shape, rate, seed):
    return np.random.default_rng(seed).random(shape) >= rate


# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@planted("dropout_forward", "constant_factor")
def not_inverted(x, rate, seed):
    """Kept values are not divided by 1 - rate."""
    mask = mask_of(x.shape, rate, seed)
    return x * mask, mask


@planted("dropout_forward", "constant_factor")
def divided_by_rate(x, rate, seed):
    """Kept values are divided by the rate."""
    mask = mask_of(x.shape, rate, seed)
    return (x * mask / (rate or 1)).astype(x.dtype), mask


@planted("dropout_forward", "constant_factor")
def multiplied(x, rate, seed):
    """Kept values are multiplied by 1 - rate, as at prediction in the first paper."""
    mask = mask_of(x.shape, rate, seed)
    return (x * mask * (1 - rate)).astype(x.dtype), mask


@planted("dropout_forward", "rate_inverted")
def rate_is_kept(x, rate, seed):
    """The rate is read as the probability to keep."""
    mask = ~mask_of(x.shape, rate, seed)
    return (x * mask / (1 - rate)).astype(x.dtype), mask


@planted("dropout_forward", "mask_inverted")
def mask_of_the_dropped(x, rate, seed):
    """The mask returned is True where a value was dropped."""
    mask = mask_of(x.shape, rate, seed)
    return right.dropout_backward(x, mask, rate), ~mask


@planted("dropout_forward", "seed_ignored")
def seed_ignored(x, rate, seed):
    """The same mask for every seed."""
    mask = mask_of(x.shape, rate, 0)
    return right.dropout_backward(x, mask, rate), mask


@planted("dropout_forward", "nondeterministic")
def global_generator(x, rate, seed):
    """np.random.rand without the seed."""
    mask = np.random.rand(*x.shape) >= rate         # noqa: NPY002
    return right.dropout_backward(x, mask, rate), mask


@planted("dropout_forward", "stateful", "nondeterministic")
def generator_kept(x, rate, seed):
    """One generator for each seed lives on between calls."""
    generator = memory.setdefault(seed, np.random.default_rng(seed))
    mask = generator.random(x.shape) >= rate
    return right.dropout_backward(x, mask, rate), mask


@planted("dropout_forward", "mask_shared")
def whole_channels(x, rate, seed):
    """Whole channels are dropped: one draw for each image and channel."""
    shape = len(x), *[1] * (x.ndim - 2), x.shape[-1]
    mask = np.broadcast_to(mask_of(shape, rate, seed), x.shape).copy()
    return right.dropout_backward(x, mask, rate), mask


@planted("dropout_forward", "mutates_input")
def in_place(x, rate, seed):
    """x *= mask; x /= 1 - rate."""
    mask = mask_of(x.shape, rate, seed)
    x *= mask
    x /= 1 - rate
    return x, mask


@planted("dropout_forward", "aliases_input", "mutates_input")
def nothing_to_drop(x, rate, seed):
    """At a rate of 0, x itself is returned."""
    mask = mask_of(x.shape, rate, seed)
    return (x if rate == 0 else right.dropout_backward(x, mask, rate)), mask


@planted("dropout_forward", "wrong_dtype")
def float64_out(x, rate, seed):
    """A float64 scale makes float64 of float32."""
    mask = mask_of(x.shape, rate, seed)
    return x * mask * np.float64(1 / (1 - rate)) + np.zeros(1), mask


@planted("dropout_forward", "last_image_missing")
def last_image_undropped(x, rate, seed):
    """Nothing is dropped in the last image, and nothing scaled."""
    mask = mask_of(x.shape, rate, seed)
    y = right.dropout_backward(x, mask, rate)
    y[-1] = x[-1]
    return y, mask


@planted("dropout_forward", "unknown")
def noise_instead(x, rate, seed):
    """Values are dropped by a draw of their own, other than the mask's."""
    mask = mask_of(x.shape, rate, seed)
    return right.dropout_backward(x, mask_of(x.shape, rate, seed + 1), rate), mask


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@planted("dropout_backward", "constant_factor")
def backward_not_scaled(dy, mask, rate):
    """dx is not divided by 1 - rate."""
    return dy * mask


@planted("dropout_backward", "constant_factor")
def scaled_twice(dy, mask, rate):
    """dx is divided by 1 - rate twice."""
    return (dy * mask / (1 - rate)**2).astype(dy.dtype)


@planted("dropout_backward", "mask_ignored")
def mask_forgotten(dy, mask, rate):
    """All of dy passes."""
    return (dy / (1 - rate)).astype(dy.dtype)


@planted("dropout_backward", "mask_inverted")
def mask_inverted(dy, mask, rate):
    """dy passes where the value was dropped."""
    return (dy * ~mask / (1 - rate)).astype(dy.dtype)


@planted("dropout_backward", "sign")
def negative(dy, mask, rate):
    """dx has the wrong sign."""
    return -right.dropout_backward(dy, mask, rate)


@planted("dropout_backward", "dy_ignored")
def scaled_mask(dy, mask, rate):
    """The scaled mask itself."""
    return (mask / (1 - rate)).astype(dy.dtype)


@planted("dropout_backward", "nondeterministic")
def another_mask(dy, mask, rate):
    """The mask is drawn anew."""
    mask = np.random.rand(*dy.shape) >= rate        # noqa: NPY002
    return right.dropout_backward(dy, mask, rate)


@planted("dropout_backward", "mutates_input")
def dy_in_place(dy, mask, rate):
    """dy *= mask."""
    dy *= mask
    return (dy / (1 - rate)).astype(dy.dtype)


@planted("dropout_backward", "wrong_dtype")
def in_float32(dy, mask, rate):
    """dx is float32."""
    return right.dropout_backward(dy, mask, rate).astype(np.float32)


@planted("dropout_backward", "last_channel_missing")
def last_channel(dy, mask, rate):
    """dx of the last channel stays zero."""
    dx = right.dropout_backward(dy, mask, rate)
    dx[..., -1] = 0
    return dx

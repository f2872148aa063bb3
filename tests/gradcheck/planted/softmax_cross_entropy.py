"""Planted bugs of softmax and cross-entropy."""
import numpy as np

from tests.gradcheck.planted import memory, planted, right
from tests.gradcheck.planted.right import divisor_of, one_hot, pixel_weights, softmax


def parts(scores, labels, ignore, reduction, class_weights):
    """What every version starts from: probabilities, one-hot labels, weights and the divisor."""
    classes, labels = scores.shape[-1], labels.astype(int)
    weights = pixel_weights(labels, ignore, class_weights, classes)
    target = one_hot(np.where(labels == ignore, 0, labels), classes)
    return softmax(scores), target, weights[..., None], divisor_of(weights, reduction)


@planted("softmax_cross_entropy", "onehot_missing")
def probabilities_only(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """dscores is the softmax: the 1 of the right class is not taken off."""
    loss, _ = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    p, _, weights, divisor = parts(scores, labels, ignore, reduction, class_weights)
    return loss, (weights * p / divisor).astype(scores.dtype)


@planted("softmax_cross_entropy", "onehot_missing")
def one_hot_lost_in_a_copy(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """p[valid][label] -= 1 changes a copy that nobody keeps."""
    loss, _ = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    p, _, weights, divisor = parts(scores, labels, ignore, reduction, class_weights)
    valid = labels != ignore
    p[valid][np.arange(valid.sum()), labels[valid].astype(int)] -= 1
    return loss, (weights * p / divisor).astype(scores.dtype)


@planted("softmax_cross_entropy", "onehot_wrong", "onehot_missing")
def one_hot_always_first(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The 1 is taken off class 0."""
    loss, _ = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    p, _, weights, divisor = parts(scores, labels, ignore, reduction, class_weights)
    p[..., 0] -= 1
    return loss, (weights * p / divisor).astype(scores.dtype)


@planted("softmax_cross_entropy", "onehot_wrong")
def one_hot_not_divided(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The probabilities are divided by the number of pixels, the 1 of the label is not."""
    loss, _ = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    p, target, weights, divisor = parts(scores, labels, ignore, reduction, class_weights)
    return loss, (weights * (p / divisor - target)).astype(scores.dtype)


@planted("softmax_cross_entropy", "sign")
def target_minus_probability(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """dscores is one-hot minus softmax."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return loss, -dscores


@planted("softmax_cross_entropy", "sign")
def log_likelihood(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The log-likelihood, to be maximised: loss and gradient have the other sign."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return -loss, -dscores


@planted("softmax_cross_entropy", "sum_for_mean")
def gradient_of_the_sum(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The loss is a mean, the gradient that of the sum."""
    loss, _ = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    other = "sum" if reduction == "mean" else reduction
    return loss, right.softmax_cross_entropy(scores, labels, ignore, other, class_weights)[1]


@planted("softmax_cross_entropy", "sum_for_mean")
def always_the_sum(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The reduction has no effect: loss and gradient are sums."""
    return right.softmax_cross_entropy(scores, labels, ignore, "sum", class_weights)


@planted("softmax_cross_entropy", "mean_for_sum")
def always_the_mean(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The reduction has no effect: loss and gradient are means over the valid pixels."""
    return right.softmax_cross_entropy(scores, labels, ignore, "mean", class_weights)


@planted("softmax_cross_entropy", "sum_for_mean", "constant_factor", "mean_for_sum")
def mean_over_images_only(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The mean divides by the number of images, not of pixels."""
    reduction = "sum_per_image" if reduction == "mean" else reduction
    return right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)


@planted("softmax_cross_entropy", "mean_for_sum")
def per_image_over_pixels(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """"sum_per_image" divides by all pixels."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    pixels = labels[0].size if reduction == "sum_per_image" else 1
    return loss / pixels, dscores / scores.dtype.type(pixels)


@planted("softmax_cross_entropy", "ignored_counted")
def mean_over_all_pixels(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The mean divides by all pixels, ignored ones included; a weighted mean is right."""
    if reduction != "mean" or class_weights is not None:
        return right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, "sum", class_weights)
    return loss / labels.size, (dscores / labels.size).astype(scores.dtype)


@planted("softmax_cross_entropy", "ignored_counted")
def mean_of_the_map(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """losses.mean() over a map of losses that is 0 where a pixel is ignored, weighted or not."""
    if reduction != "mean":
        return right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, "sum", class_weights)
    return loss / labels.size, (dscores / labels.size).astype(scores.dtype)


@planted("softmax_cross_entropy", "ignored_counted")
def gradient_over_all_pixels(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The loss divides by the valid pixels, the gradient by all."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    if reduction == "mean":
        _, dscores = right.softmax_cross_entropy(scores, labels, ignore, "sum", class_weights)
        dscores = (dscores / labels.size).astype(scores.dtype)
    return loss, dscores


@planted("softmax_cross_entropy", "ignored_not_zero")
def gradient_of_ignored(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """Ignored pixels get the softmax as gradient."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    p, _, _, divisor = parts(scores, labels, ignore, reduction, class_weights)
    dscores[labels == ignore] = p[labels == ignore] / divisor
    return loss, dscores


@planted("softmax_cross_entropy", "ignored_not_zero")
def ignored_is_the_last_class(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """Ignored pixels are clipped to the last class in the gradient."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    p, _, _, divisor = parts(scores, labels, ignore, reduction, class_weights)
    p[..., -1] -= 1
    dscores[labels == ignore] = p[labels == ignore] / divisor
    return loss, dscores


@planted("softmax_cross_entropy", "ignored_not_zero", "ignored_counted")
def ignored_is_class_zero(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """Ignored pixels count as background, in loss and gradient."""
    labels = np.where(labels == ignore, 0, labels)
    return right.softmax_cross_entropy(scores, labels, -1, reduction, class_weights)


@planted("softmax_cross_entropy", "ignored_not_zero", "ignored_counted")
def ignores_255_only(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The argument ignore has no effect."""
    return right.softmax_cross_entropy(scores, labels, 255, reduction, class_weights)


@planted("softmax_cross_entropy", "unstable")
def overflows(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The largest score is not subtracted: exp overflows for large scores."""
    _, target, weights, divisor = parts(scores, labels, ignore, reduction, class_weights)
    with np.errstate(all="ignore"):
        exponentials = np.exp(scores)
        p = exponentials / exponentials.sum(-1, keepdims=True)
        loss = -np.where(target * weights > 0, weights * np.log(p), 0).sum() / divisor
    return float(loss), (weights * (p - target) / divisor).astype(scores.dtype)


@planted("softmax_cross_entropy", "log_clipped")
def log_with_epsilon(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """log(p + 1e-5) caps the loss of what is very wrong."""
    _, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    p, target, weights, divisor = parts(scores, labels, ignore, reduction, class_weights)
    return float(-(weights * target * np.log(p + 1e-5)).sum() / divisor), dscores


@planted("softmax_cross_entropy", "nan")
def empty_mean(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """A batch without a valid pixel divides 0 by 0."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    if reduction == "mean" and (labels == ignore).all():
        return float("nan"), dscores * np.nan
    return loss, dscores


@planted("softmax_cross_entropy", "class_weights_ignored")
def class_weights_ignored(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """class_weights has no effect."""
    return right.softmax_cross_entropy(scores, labels, ignore, reduction)


@planted("softmax_cross_entropy", "class_weights_ignored")
def class_weights_in_loss_only(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The gradient knows nothing of class_weights."""
    loss, _ = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return loss, right.softmax_cross_entropy(scores, labels, ignore, reduction)[1]


@planted("softmax_cross_entropy", "class_weights_not_normalised")
def weighted_mean_by_count(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """With class_weights the mean divides by the number of valid pixels, not by their weights."""
    if reduction != "mean":
        return right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, "sum", class_weights)
    valid = max((labels != ignore).sum(), 1)
    return loss / valid, (dscores / valid).astype(scores.dtype)


@planted("softmax_cross_entropy", "wrong_dtype")
def gradient_in_float64(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """np.eye(classes) makes the gradient float64."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return loss, dscores.astype(np.float64)


@planted("softmax_cross_entropy", "wrong_dtype")
def softmax_in_float32(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """Loss and gradient are computed in float32."""
    loss, dscores = right.softmax_cross_entropy(
        scores.astype(np.float32), labels, ignore, reduction, class_weights)
    return float(np.float32(loss)), dscores.astype(scores.dtype)


@planted("softmax_cross_entropy", "constant_factor")
def loss_in_bits(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The loss uses log2."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return loss / float(np.log(2)), dscores


@planted("softmax_cross_entropy", "constant_factor")
def gradient_twice(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The gradient is twice too large."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return loss, 2 * dscores


@planted("softmax_cross_entropy", "softmax_axis")
def softmax_over_pixels(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The softmax runs over the columns of the image."""
    _, target, weights, divisor = parts(scores, labels, ignore, reduction, class_weights)
    p = softmax(scores.swapaxes(2, 3)).swapaxes(2, 3)
    return (float(-(weights * target * np.log(p)).sum() / divisor),
            (weights * (p - target) / divisor).astype(scores.dtype))


@planted("softmax_cross_entropy", "last_image_missing")
def last_image(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """dscores of the last image stays zero."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    dscores[-1] = 0
    return loss, dscores


@planted("softmax_cross_entropy", "last_channel_missing")
def last_class(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """dscores of the last class stays zero."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    dscores[..., -1] = 0
    return loss, dscores


@planted("softmax_cross_entropy", "last_row_missing")
def last_row(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """dscores of the last row stays zero."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    dscores[:, -1] = 0
    return loss, dscores


@planted("softmax_cross_entropy", "mutates_input")
def shifted_in_place(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """scores -= scores.max(): everything is right, but the scores have changed."""
    scores -= scores.max(-1, keepdims=True)
    return right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)


@planted("softmax_cross_entropy", "mutates_input")
def labels_overwritten(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """labels[labels == ignore] = 0, to be able to index."""
    result = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    labels[labels == ignore] = 0
    return result


@planted("softmax_cross_entropy", "stateful")
def running_mean(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The loss is a running mean over calls."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    memory["loss"] = 0.9 * memory.get("loss", loss) + 0.1 * loss
    return memory["loss"], dscores


@planted("softmax_cross_entropy", "wrong_shape")
def flat_gradient(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """dscores is (pixels, classes)."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return loss, dscores.reshape(-1, scores.shape[-1])


@planted("softmax_cross_entropy", "wrong_shape")
def loss_of_each_image(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """The loss is an array: one number an image."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    return np.full(len(scores), loss), dscores


@planted("softmax_cross_entropy", "single_element")
def first_pixel(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """One element of dscores is wrong."""
    loss, dscores = right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)
    dscores[0, 0, 0, 0] += 0.01
    return loss, dscores


@planted("softmax_cross_entropy", "ignored_not_zero", "ignored_counted")
def labels_as_int8(scores, labels, ignore=255, reduction="mean", class_weights=None):
    """Labels are turned into int8, where 255 is -1: the last class, no longer ignored."""
    labels = labels.astype(np.int8) % scores.shape[-1]
    return right.softmax_cross_entropy(scores, labels, ignore, reduction, class_weights)

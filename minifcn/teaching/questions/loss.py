"""Questions about the loss and the first steps of training."""
import numpy as np

from minifcn.models.fcn import FCN
from minifcn.ops import softmax_cross_entropy
from minifcn.teaching.questions.asking import Question, Wrong, asks, shown
from minifcn.teaching.questions.convolution import plain


def zeros(h, w, classes, label=0):
    """Scores of zero, and one label everywhere."""
    return np.zeros((1, h, w, classes)), np.full((1, h, w), label)


@asks("ln-classes", exposes=[23])
def _():
    classes = 21
    loss, _ = softmax_cross_entropy(*zeros(4, 4, classes))
    return Question(
        f"A network with {classes} classes whose scores are all zero, as before the first step. "
        "What is its mean loss?",
        answer=loss,
        wrong=[Wrong(0.0, "A loss of 0 would mean certainty about the right class. Zero scores "
                     f"mean: all {classes} classes are equally likely."),
               Wrong(1 / classes, "That is the probability of the right class. The loss is minus "
                     "its logarithm."),
               Wrong(float(np.log10(classes)), "The logarithm is the natural one."),
               Wrong(float(np.log2(classes)), "The logarithm is the natural one, not that of bits.")
               ],
        hint="Equal scores: which probability has the right class?",
        larger_hint=f"-log(1 / {classes})",
        derivation=f"-ln(1/{classes}) = ln {classes} = {loss:.4f}. So a first loss of ln(classes) "
                   "is a good sign. If it stays there, the scores stay at 0: look at rate, "
                   "initial values and trunk, not at the loss.",
        look="why/ln-classes; minifcn/ops/reference/softmax_cross_entropy.py; notebooks 8 and 9")


@asks("first-loss-sum", exposes=[14])
def _():
    scores, labels = np.zeros((1, 375, 500, 21), np.float32), np.zeros((1, 375, 500), int)
    loss, _ = softmax_cross_entropy(scores, labels, reduction="sum")
    return Question(
        "The paper sums the loss over the pixels. What is it for an image of 375 x 500, 21 "
        "classes, zero scores, no pixel ignored?",
        answer=loss,
        wrong=[Wrong(float(np.log(21)), "That is the mean. The sum counts every pixel."),
               Wrong(375 * 500.0, "Each pixel's loss is ln 21, not 1.")],
        hint="Each pixel's loss is ln 21.",
        larger_hint="375 · 500 pixels.",
        derivation=f"187,500 · ln 21 = {loss:,.2f}. Gradients are as many times larger, which is "
                   "why the paper's learning rate is so small.",
        look="why/rate-1e-10; minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("rate-1e-10", exposes=[14])
def _():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(1, 50, 50, 3)), rng.integers(0, 3, (1, 50, 50))
    _, of_sum = softmax_cross_entropy(scores, labels, reduction="sum")
    _, of_mean = softmax_cross_entropy(scores, labels, reduction="mean")
    factor = float(np.abs(of_sum).sum() / np.abs(of_mean).sum())
    pixels = factor * 100       # 500 x 500 has a hundred times the pixels of 50 x 50
    rate = 1e-10 * pixels
    return Question(
        "The paper trains with a rate of 1e-10 on the summed loss. Which rate gives the same steps "
        "on the mean loss, for an image of 500 x 500 (no pixel ignored)?",
        answer=rate,
        wrong=[Wrong(1e-10, "The mean's gradient is smaller by the number of pixels. With the same "
                     "rate nothing would move."),
               Wrong(1e-10 / pixels, "The other way round: the mean's gradient is the smaller "
                     "one, so its rate must be larger."),
               Wrong(1e-10 * 500, "500 x 500 pixels, not 500.")],
        hint="How do the gradients of sum and mean differ?",
        larger_hint="The mean's is smaller by 250,000.",
        derivation=f"1e-10 · {pixels:,.0f} = {rate:g}: quite an ordinary rate, beside a momentum "
                   "of 0.99. (Weight decay must be divided by the same number.)",
        look="why/rate-1e-10; minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("ignore-mean", exposes=[15])
def _():
    scores, labels = zeros(2, 5, 2)
    labels[0, 0, :4] = 255
    loss, _ = softmax_cross_entropy(scores, labels)
    share = float((labels != 255).mean())
    return Question(
        "Ten pixels, two classes, zero scores; four of the pixels are labelled 255, ignored. What "
        "is the mean loss?",
        answer=loss,
        wrong=[Wrong(loss * share, "You divided by all ten pixels. Ignored ones count neither "
                     "above nor below the line, or a border of ignored pixels would make the loss "
                     "look better."),
               Wrong(loss * 6, "That is the sum.")],
        hint="By how many pixels is divided?",
        larger_hint="Six pixels, each with a loss of ln 2, divided by six.",
        derivation=f"6 · ln 2 / 6 = {loss:.4f}.",
        look="why/ignore-255; minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("ignore-all", exposes=[15])
def _():
    loss, _ = softmax_cross_entropy(*zeros(3, 3, 2, label=255))
    return Question(
        "Every pixel of an image is ignored. What is the mean loss?",
        answer=loss,
        wrong=[Wrong(float("nan"), "0 / 0 by the letter, and one such crop would turn all weights "
                     "to NaN. It is no error: nothing is to be learned here, so loss and gradient "
                     "are 0."),
               Wrong(float(np.log(2)), "No pixel counts, so none contributes ln 2.")],
        hint="What should such an image do to the weights?",
        larger_hint="Nothing.",
        derivation=f"{loss:g}, and a gradient of 0. Random crops of VOC's borders do come out like "
                   "this.",
        look="why/ignore-255; minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("ignore-classes")
def _():
    scores, labels = np.zeros((1, 1, 22, 21)), np.arange(22).reshape(1, 1, 22)
    labels[labels == 21] = 255
    softmax_cross_entropy(scores, labels)       # accepted: 0..20 and 255
    return Question(
        "Labels are 0 to 20 and 255 for pixels to ignore. How many score channels does the network "
        "need?",
        answer=scores.shape[-1],
        wrong=[Wrong(22, "Ignored is no class: nothing should ever be predicted as it."),
               Wrong(256, "255 is a mark, not an index into the scores."),
               Wrong(20, "Background, 0, is a class like the others.")],
        hint="Which labels should be predicted?",
        larger_hint="0, 1, ..., 20.",
        derivation=f"{scores.shape[-1]}. The loss skips 255 before it looks at the scores.",
        look="why/ignore-255; minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("dscores", exposes=[20])
def _():
    scores = np.log([[[[7.0, 2.0, 1.0]]]])
    _, dscores = softmax_cross_entropy(scores, np.array([[[0]]]))
    p = np.array([0.7, 0.2, 0.1])
    return Question(
        "One pixel, softmax probabilities (0.7, 0.2, 0.1), the label is class 0. What is the "
        "gradient of the loss by the three scores?",
        answer=plain(dscores),
        wrong=[Wrong([-1 / 0.7, 0.0, 0.0], "That is the gradient by the probabilities. Going on "
                     "through softmax with its Jacobian, almost everything cancels."),
               Wrong(plain(-dscores), "The sign: a higher score of the right class lowers the "
                     "loss."),
               Wrong(plain(p), "The label is missing: subtract 1 at the right class."),
               Wrong(plain(p * (1 - p)), "That is the diagonal of softmax's Jacobian. You do not "
                     "need the Jacobian: for loss and softmax together it is p minus one-hot.")],
        hint="log p[t] = score[t] - log(sum of exp(scores)). Differentiate that.",
        larger_hint="p[f] - (1 if f is the label else 0)",
        derivation=f"(0.7 - 1, 0.2, 0.1) = {shown(plain(dscores))}. No Jacobian, no "
                   "division by small probabilities.",
        look="minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("dscores-sum")
def _():
    rng = np.random.default_rng(0)
    _, dscores = softmax_cross_entropy(rng.normal(size=(1, 1, 1, 21)), np.array([[[3]]]))
    total = round(dscores.sum())
    return Question(
        "What do the gradients of the 21 scores of one pixel sum to?",
        answer=total,
        wrong=[Wrong(1.0, "The probabilities sum to 1; then 1 is subtracted at the label."),
               Wrong(-1.0, "Both parts count: the probabilities, and the 1 that is subtracted.")],
        hint="p minus one-hot: sum both.",
        larger_hint="1 - 1",
        derivation=f"1 - 1 = {total}. What lifts one class lowers the others; adding the same to "
                   "all scores changes nothing.",
        look="minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("softmax-shift")
def _():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(1, 4, 4, 5)), rng.integers(0, 5, (1, 4, 4))
    before, _ = softmax_cross_entropy(scores, labels)
    after, _ = softmax_cross_entropy(scores + 100, labels)
    change = round(after - before)
    return Question(
        "You add 100 to all scores of all classes. By how much does the loss change?",
        answer=change,
        wrong=[Wrong(100.0, "The right class gained 100, and so did all others: softmax sees "
                     "differences only."),
               Wrong(-100.0, "The right class gained 100, and so did all others.")],
        hint="exp(s + 100) = exp(s) · exp(100), above and below the line.",
        larger_hint="The factor cancels.",
        derivation=f"{change}. That is why the largest score may be subtracted first, and no "
                   "exponential overflows.",
        look="minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("softmax-overflow")
def _():
    loss, _ = softmax_cross_entropy(np.array([[[[1000.0, 0.0]]]]), np.array([[[1]]]))
    return Question(
        "Scores 1000 and 0, and the label is the second class. What is the loss of this pixel?",
        answer=round(loss),
        wrong=[Wrong(float("inf"), "So says -log(exp(0) / (exp(1000) + exp(0))) in floating point. "
                     "The true value is finite."),
               Wrong(float("nan"), "exp(1000) overflows if one lets it. Subtract the largest score "
                     "first."),
               Wrong(0.0, "The network is very sure, and wrong.")],
        hint="log p = score - log(sum of exp(scores)).",
        larger_hint="log(exp(1000) + 1) is 1000, to all digits.",
        derivation=f"-(0 - 1000) = {loss:g}: large, finite, and with a gradient.",
        look="minifcn/ops/reference/softmax_cross_entropy.py; notebook 8")


@asks("zero-scores-gradient", exposes=[23])
def _():
    model = FCN(stride=32, classes=3, width=0.02, fc_channels=6, dropout=0.0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 32, 32, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (1, 32, 32))
    _, dscores = softmax_cross_entropy(model.forward(x, training=True), labels)
    model.backward(dscores)
    layers = ("fc6", "fc7", "score_fr")
    alive = sum(bool(np.any(model.gradients[f"{name}.weight"])) for name in layers)
    return Question(
        "An FCN before its first step: He initialisation, score layers at zero. Of fc6, fc7 and "
        "score_fr, how many get a weight gradient that is not zero?",
        answer=alive,
        wrong=[Wrong(3, "The gradient reaches fc7 through score_fr's weights, and these are 0: "
                     "nothing passes in the first step."),
               Wrong(0, "score_fr's own gradient is dy times the features, which are not 0. Zero "
                     "weights do learn; only what lies before them has to wait."),
               Wrong(2, "fc7's gradient comes through score_fr's weights, which are 0.")],
        hint="Through which weights does the gradient reach fc7?",
        larger_hint="dx of score_fr is dy times its weights: zero.",
        derivation=f"{alive}: score_fr alone, in the first step. From the second on all of them. "
                   "If the features were dead (all zero), score_fr would not learn either, and the "
                   "loss would stand at ln(classes).",
        look="why/ln-classes; minifcn/models/fcn.py; notebook 9")

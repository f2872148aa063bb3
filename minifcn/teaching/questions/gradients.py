"""Questions about checking gradients by differences."""
import numpy as np

from minifcn.ops import reference
from minifcn.teaching.questions.asking import YES_OR_NO, Question, Wrong, asks


def central(function, x, h):
    return (function(x + h) - function(x - h)) / (2 * h)


@asks("difference-order")
def _():
    def error(h):
        return abs(central(np.sin, 1.0, h) - np.cos(1.0))

    ratio = float(error(1e-2) / error(1e-3))
    one_sided = abs((np.sin(1.01) - np.sin(1.0)) / 0.01 - np.cos(1)) \
        / abs((np.sin(1.001) - np.sin(1.0)) / 0.001 - np.cos(1))
    return Question(
        "The central difference (f(x + h) - f(x - h)) / 2h of sin at 1. You make h ten times "
        "smaller, from 0.01 to 0.001. By which factor does the error fall?",
        answer=ratio,
        wrong=[Wrong(float(one_sided), "That is the one-sided difference (f(x + h) - f(x)) / h. In "
                     "the central one the term with h cancels."),
               Wrong(1000.0, "In f(x + h) - f(x - h) the first term that stays has h³, but it is "
                     "divided by h.")],
        hint="Write down Taylor's series for f(x + h) and for f(x - h), and subtract.",
        larger_hint="The even terms cancel; the error is h² f'''(x) / 6.",
        derivation=f"The error is h² f'''/6, so a tenth of h leaves a hundredth: measured, "
                   f"{ratio:.2f}.",
        look="minifcn/gradcheck/differences.py; notebook 3")


@asks("difference-best-step")
def _():
    eps = np.finfo(float).eps
    steps = 10.0 ** np.arange(-14, 0)
    x = np.linspace(0.5, 1.5, 101)
    errors = [np.abs(central(np.exp, x, h) - np.exp(x)).mean() for h in steps]
    best = round(float(np.log10(steps[int(np.argmin(errors))])))
    return Question(
        "In float64 a central difference works best with a step h of about 10 to which power?",
        answer=best,
        wrong=[Wrong(round(np.log10(eps)), "A step so small drowns in rounding: f(x + h) and "
                     "f(x - h) have no digits left that differ."),
               Wrong(-14, "Smaller is not better. Rounding of about 1e-16 is divided by 2h."),
               Wrong(-8, "The square root of the rounding error is best for the one-sided "
                     "difference. The central one is better and wants a larger step.")],
        hint="Two errors: h² from Taylor's series, and 1e-16 / h from rounding.",
        larger_hint="They are equal where h³ = 1e-16.",
        derivation=f"h³ = 1e-16 gives h of about 5e-6. Measured over 101 places of exp, among "
                   f"powers of ten: 1e{best}.",
        look="minifcn/gradcheck/differences.py; notebook 3")


@asks("difference-kink")
def _():
    value = float(central(lambda x: np.maximum(x, 0), 0.0, 1e-5))
    return Question(
        "What does the central difference of ReLU say at x = 0?",
        answer=value,
        wrong=[Wrong(0.0, "That is what ReLU's backward pass says there. The difference looks to "
                     "both sides."),
               Wrong(1.0, "That is the slope on the right. On the left it is 0.")],
        hint="Compute (f(h) - f(-h)) / 2h.",
        larger_hint="f(h) = h, f(-h) = 0.",
        derivation=f"(h - 0) / 2h = {value:g}, for every h. The code says 0, and neither is wrong: "
                   "there is no derivative at a kink. A checker must notice kinks, or it cries "
                   "wolf.",
        look="minifcn/gradcheck/differences.py; notebook 3")


@asks("difference-count")
def _():
    sizes = [5 * 5 * 2, 3 * 3 * 2 * 3, 3]
    total = 2 * sum(sizes)
    return Question(
        "`x` is (1, 5, 5, 2), `weight` (3, 3, 2, 3), `bias` (3,). Central differences, one number "
        "at a time: how often does the forward pass run to check all three gradients?",
        answer=total,
        wrong=[Wrong(sum(sizes), "Each number is moved up and down: two runs."),
               Wrong(6, "One run up and one down for each array would give one slope along one "
                     "direction. It finds many bugs, but not which number is wrong.")],
        hint="How many numbers are there in all?",
        larger_hint=f"{' + '.join(map(str, sizes))} numbers, each moved up and down.",
        derivation=f"2 · ({' + '.join(map(str, sizes))}) = {total}. Hence small arrays in checks, "
                   "and backward passes at all: one backward pass gives all of them.",
        look="minifcn/gradcheck/differences.py; notebook 3")


@asks("check-with-ones")
def _():
    scores = np.random.default_rng(0).normal(size=5)

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    slopes = [central(lambda t, k=k: softmax(scores + t * np.eye(5)[k]).sum(), 0.0, 1e-5)
              for k in range(5)]
    value = round(slopes[0])
    return Question(
        "y = softmax(x), and you check a backward pass with `dy` all ones. What is the true `dx` "
        "in every place?",
        answer=value,
        wrong=[Wrong(1, "The outputs of softmax sum to 1, whatever x is. With dy all ones you "
                     "differentiate that sum."),
               Wrong(0.2, "That would be a share of the sum. But the sum does not move at all.")],
        hint="With `dy` all ones, the number that is differentiated is y.sum().",
        larger_hint="y.sum() is 1 for every x.",
        derivation=f"The sum is always 1, so dx = {value}: a backward pass that returns zeros "
                   "passes this check. Hence a random dy.",
        look="minifcn/gradcheck/checking.py; notebook 3")


@asks("check-transpose-blind")
def _():
    rng = np.random.default_rng(0)
    dy, weight = rng.normal(size=(2, 3)), rng.normal(size=(3, 3))
    weight = weight + weight.T
    right = dy @ weight.T
    caught = "no" if np.allclose(dy @ weight, right) else "yes"
    return Question(
        "A backward pass says `dx = dy @ weight` where it should say `dy @ weight.T`. Does a check "
        "with a symmetric weight catch that?",
        answer=caught,
        wrong=[Wrong("yes", "With a symmetric weight the two are the same matrix. A check sees "
                     "only what its inputs can tell apart: take random numbers and sizes that all "
                     "differ.")],
        hint="What is the transpose of a symmetric matrix?",
        larger_hint="It is the matrix itself.",
        derivation="`weight.T` equals `weight`, so the mistake changes nothing there. With a "
                   "weight of 3 x 4 it would not even run.",
        look="minifcn/gradcheck/cases.py; notebook 3", words=YES_OR_NO)


@asks("check-float32")
def _():
    eps = float(np.finfo(np.float32).eps)
    x = np.linspace(0.5, 1.5, 101)

    def errors(h):
        a, b = np.exp((x + h).astype(np.float32)), np.exp((x - h).astype(np.float32))
        return float(np.abs((a.astype(float) - b) / (2 * h) - np.exp(x)).mean() / np.exp(x).mean())

    digits = round(-np.log10(min(errors(h) for h in 10.0 ** np.arange(-7, 0))))
    return Question(
        "The best central difference in float64 is right to about ten digits. To about how many "
        "in float32?",
        answer=digits,
        wrong=[Wrong(7, f"That is the precision of a float32 itself (rounding {eps:.1e}). A "
                     "difference of two of them loses more than half of it."),
               Wrong(10, "float32 has only seven digits to begin with.")],
        hint="Rounding is 1e-7 now, divided by 2h; Taylor's h² stays.",
        larger_hint="h³ = 1e-7 gives h of about 5e-3; the error is about h².",
        derivation=f"h² is about 2e-5, and with rounding on top the measured error leaves about "
                   f"{digits} digits. A small mistake hides there: check in float64.",
        look="minifcn/gradcheck/differences.py; notebook 3")


@asks("adjoint")
def _():
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(1, 6, 6, 2)), rng.normal(size=(3, 3, 2, 4))
    y = reference.conv2d_forward(x, weight, np.zeros(4))
    dy = rng.normal(size=y.shape)
    dx, _, _ = reference.conv2d_backward(dy, x, weight)
    ratio = float((dx * x).sum() / (dy * y).sum())
    return Question(
        "A convolution without bias, y = conv(x), any random `dy`, and `dx` from the backward "
        "pass. What is sum(dx · x) divided by sum(dy · y)?",
        answer=ratio,
        wrong=[Wrong(0.0, "dx and x are not at right angles: dx was made from the same weights "
                     "that made y."),
               Wrong(float(weight.size), "Each weight is used in both sums alike.")],
        hint="Write both as sums over the products that the convolution makes.",
        larger_hint="Both are the sum over all products x · weight · dy.",
        derivation=f"Both sums run over the same products x[a] · w[k] · dy[i], so the ratio is "
                   f"{ratio:g}, exactly, for every linear layer: a test of a backward pass "
                   "without any differences.",
        look="`check_adjoint` in minifcn/gradcheck; notebooks 2 and 3")

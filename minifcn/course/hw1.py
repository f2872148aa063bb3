"""Homework 1: a convolution, forwards and backwards, and a gradient check of one's own."""

from __future__ import annotations

import numpy as np

from minifcn.course.comparing import compared
from minifcn.course.parts import (
    Assignment,
    Code,
    Failed,
    Function,
    Judged,
    Layer,
    Verdict,
    Words,
    attempt,
)


def output_size(extent, kernel, stride=1, padding=0, dilation=1):
    """The first rows of all windows, counted."""
    return len(range(0, extent + 2 * padding - dilation * (kernel - 1), stride))


SIZES = (
    (5, 3), (8, 3, 2, 1), (7, 3, 1, 0, 2), (224, 3, 1, 1), (9, 1, 4), (10, 7, 3, 3),
    (11, 4, 2, 0, 3), (6, 5, 1, 4, 2), (1, 3, 1, 1), (20, 2, 5, 1, 6),
)  # fmt: skip


def draw_size(rng):
    kernel, stride, padding, dilation = (int(v) for v in rng.integers((1, 1, 0, 1), (6, 5, 4, 4)))
    touched = range(0, dilation * kernel, dilation)
    return int(touched[-1] + rng.integers(1, 31)), kernel, stride, padding, dilation


SIZE_MISTAKES = (
    ("off_by_one", "one window too few", lambda *a: output_size(*a) - 1),
    ("off_by_one", "the window is taken one pixel too short",
     lambda e, k, s=1, p=0, d=1: (e + 2 * p - d * (k - 1)) // s + 1),
    ("off_by_one", "the window is taken one pixel too long",
     lambda e, k, s=1, p=0, d=1: (e + 2 * p - d * (k - 1) - 2) // s + 1),
    ("off_by_one", "one window too many", lambda *a: output_size(*a) + 1),
    ("dilation_ignored", "the same for every dilation", lambda *a: output_size(*a[:4])),
    ("padding_ignored", "as if there were no padding",
     lambda e, k, s=1, p=0, d=1: output_size(e, k, s, 0, d)),
    ("padding_wrong_side", "as if there were padding on one side only",
     lambda e, k, s=1, p=0, d=1: output_size(e + p, k, s, 0, d)),
    ("wrong_window", "the window is taken as dilation times kernel pixels long",
     lambda e, k, s=1, p=0, d=1: (e + 2 * p - d * k) // s + 1),
    ("rounded_up", "rounded up: the last window would hang over the border",
     lambda e, k, s=1, p=0, d=1: -(-(e + 2 * p - d * (k - 1) - 1) // s) + 1),
    ("stride_ignored", "the same for every stride",
     lambda e, k, s=1, p=0, d=1: output_size(e, k, 1, p, d)),
)  # fmt: skip


def draw_conv2d(rng):
    """Two odd extents out of three, a kernel that is not square, a stride that may leave a rest."""
    n, c, f, kh, kw, stride, padding = (
        int(v) for v in rng.integers((1, 1, 1, 1, 1, 1, 0), (4, 5, 5, 5, 4, 4, 3))
    )
    h, w = int(kh + rng.integers(1, 7)), int(kw + rng.integers(2, 8))
    return {
        "x": rng.standard_normal((n, h, w, c)),
        "weight": rng.standard_normal((kh, kw, c, f)),
        "bias": rng.standard_normal(f),
        "stride": stride,
        "padding": padding,
    }


# -- dilation -------------------------------------------------------------------------------------


def spread(weight, dilation):
    """The same convolution as an ordinary one: zeros between the weights."""
    kh, kw, c, f = weight.shape
    wide = np.zeros((dilation * (kh - 1) + 1, dilation * (kw - 1) + 1, c, f), weight.dtype)
    wide[::dilation, ::dilation] = weight
    return wide


def judge_dilation(ask, rng):
    from minifcn.ops import reference

    def case(stride, padding, dilation):
        n, c, f, kh, kw = (int(v) for v in rng.integers((1, 1, 1, 2, 2), (3, 4, 4, 4, 5)))
        h, w = dilation * kh + int(rng.integers(0, 4)), dilation * kw + int(rng.integers(0, 4))
        x, weight = rng.standard_normal((n, h, w, c)), rng.standard_normal((kh, kw, c, f))
        return x, weight, rng.standard_normal(f), stride, padding, dilation

    def forwards(x, weight, bias, stride, padding, dilation):
        got = ask("conv2d_forward", x, weight, bias, stride, padding, dilation)
        right = reference.conv2d_forward(x, spread(weight, dilation), bias, stride, padding)
        return compared(got, right, f"y with dilation {dilation}", mistakes(lambda d: (
            reference.conv2d_forward(x, spread(weight, d), bias, stride, padding)), dilation))

    def backwards(x, weight, bias, stride, padding, dilation):
        wide = spread(weight, dilation)
        y = reference.conv2d_forward(x, wide, bias, stride, padding)
        dy = rng.standard_normal(y.shape)
        dx, dwide, dbias = reference.conv2d_backward(dy, x, wide, stride, padding)
        rights, wide_rights = (dx, dwide[::dilation, ::dilation], dbias), (dx, dwide, dbias)
        got = None

        def one(index, name):
            nonlocal got
            if got is None:
                got = ask("conv2d_backward", dy, x, weight, stride, padding, dilation)
            if not isinstance(got, (tuple, list)) or len(got) != 3:
                raise Failed("conv2d_backward does not return dx, dweight, dbias", "wrong_shape")
            return compared(got[index], rights[index], f"{name} with dilation {dilation}", (
                ("wrong_shape", "has the shape of the kernel with its gaps", wide_rights[index]),
            ))  # fmt: skip

        names = "dx", "dweight", "dbias"
        return [attempt(lambda k=k, name=name: one(k, name)) for k, name in enumerate(names)]

    def mistakes(answer, dilation):
        return (("dilation_ignored", "is that of dilation 1", lambda: answer(1)),
                ("off_by_one", "is that of a dilation larger by one", lambda: answer(dilation + 1)))

    first, second, third = case(1, 0, 2), case(2, 1, 3), case(2, 2, 2)
    return [
        attempt(lambda: forwards(*first)), attempt(lambda: forwards(*second)), *backwards(*third)
    ]  # fmt: skip


# -- gradients, measured --------------------------------------------------------------------------


def judge_numerical_gradient(ask, rng):
    def same(what, got, right, mistakes=()):
        return compared(got, right, f"the slope {what}", mistakes)

    def vector():
        x, dy = rng.standard_normal(4), rng.standard_normal(4)
        right = dy * np.exp(x)
        got = ask("numerical_gradient", Code("np.exp"), x, dy)
        return same("of exp at 4 places", got, right, (
            ("dy_ignored", "is the same for every dy", np.exp(x)),
            ("constant_factor", "is twice the right one", 2 * right),
            ("constant_factor", "is half the right one", right / 2),
            ("sign", "has the wrong sign", -right)))  # fmt: skip

    def many_axes():
        x, m = rng.standard_normal((2, 3, 2)), rng.standard_normal((2, 4)).round(3)
        dy = rng.standard_normal((2, 3, 4))
        got = ask("numerical_gradient", Code(f"lambda x: x @ np.array({m.tolist()})"), x, dy)
        return same("of x @ m, three axes", got, dy @ m.T)

    def no_axis():
        x = np.array(rng.uniform(0.5, 2))
        got = ask("numerical_gradient", Code("np.sin"), x, np.array(3.0))
        return same("of a number without axes", got, 3 * np.cos(x))

    def central():
        x, h = rng.uniform(1, 2, 3), float(rng.choice([0.25, 0.5]))
        got = ask("numerical_gradient", Code("lambda x: x ** 3"), x, np.ones(3), h)
        return same(f"of x**3 with a step of {h}", got, 3 * x**2 + h**2, (
            ("one_sided", "is one-sided, to the right", 3 * x**2 + 3 * x * h + h**2),
            ("one_sided", "is one-sided, to the left", 3 * x**2 - 3 * x * h + h**2),
            ("step_ignored", "does not use the step that is given", 3 * x**2)))  # fmt: skip

    def put_back():
        x, h = rng.uniform(1, 2, 3), 0.25
        others = x.prod() / x

        def left_at(shift):
            earlier = np.cumprod(np.append(1, (x + shift)[:-1]))
            later = np.cumprod(np.append(1, x[:0:-1]))[::-1]
            return 2 * earlier * later

        got = ask("numerical_gradient", Code("lambda x: np.array(x.prod())"), x, np.array(2.0), h)
        return same("of the product of three numbers", got, 2 * others, (
            ("mutates_input", "is computed with elements that were not put back", left_at(-h)),
            ("mutates_input", "is computed with elements that were not put back", left_at(h)),
            ("all_moved", "is computed with all elements moved at once",
             np.full(3, ((x + h).prod() - (x - h).prod()) / h))))  # fmt: skip

    return [attempt(each) for each in (vector, many_axes, no_axis, central, put_back)]


# A layer to be checked: words, forward, backward, and which inputs it has: x (n, c), w (c, f),
# s (c, c), b (f,), or (c,) beside s.
LINEAR = "lambda x, w, b: x @ w + b"
SOFTMAX = ("lambda x: (lambda e: e / e.sum(-1, keepdims=True))"
           "(np.exp(x - x.max(-1, keepdims=True)))")  # fmt: skip
SOFTMAX_BACK = ("lambda dy, x: ((lambda p: (p * (dy - (p * dy).sum(-1, keepdims=True)),))"
                "((lambda e: e / e.sum(-1, keepdims=True))"
                "(np.exp(x - x.max(-1, keepdims=True)))))")  # fmt: skip
RIGHT = (
    ("a linear layer", LINEAR, "lambda dy, x, w, b: (dy @ w.T, x.T @ dy, dy.sum(0))", "xwb"),
    ("tanh", "np.tanh", "lambda dy, x: (dy * (1 - np.tanh(x) ** 2),)", "x"),
    ("a softmax", SOFTMAX, SOFTMAX_BACK, "x"),
    ("a million times a square", "lambda x: 1e6 * x * x", "lambda dy, x: (2e6 * x * dy,)", "x"),
    ("a millionth of a sine", "lambda x: 1e-6 * np.sin(x)",
     "lambda dy, x: (1e-6 * np.cos(x) * dy,)", "x"),
    ("the sum of all elements, one number", "lambda x: np.array(x.sum())",
     "lambda dy, x: (np.full(x.shape, float(dy)),)", "x"),
)  # fmt: skip
WRONG = (
    ("a linear layer with a wrong sign in the first gradient", LINEAR,
     "lambda dy, x, w, b: (-(dy @ w.T), x.T @ dy, dy.sum(0))", "xwb"),
    ("a linear layer with the mean in place of the sum in the third gradient", LINEAR,
     "lambda dy, x, w, b: (dy @ w.T, x.T @ dy, dy.mean(0))", "xwb"),
    ("a linear layer with a square weight that is not transposed", LINEAR,
     "lambda dy, x, w, b: (dy @ w, x.T @ dy, dy.sum(0))", "xsb"),
    ("tanh whose gradient does not depend on dy", "np.tanh",
     "lambda dy, x: (1 - np.tanh(x) ** 2,)", "x"),
    ("a softmax with a gradient of zeros", SOFTMAX, "lambda dy, x: (np.zeros(x.shape),)", "x"),
    ("a product with one single element wrong, by a tenth", "lambda x: 3 * x",
     "lambda dy, x: (3 * dy * np.where(abs(dy) == abs(dy).max(), 1.1, 1),)", "x"),
    ("a sine with one NaN in its gradient", "np.sin",
     "lambda dy, x: (np.where(x == x.max(), np.nan, np.cos(x) * dy),)", "x"),
    ("a linear layer whose third gradient has an axis too many", LINEAR,
     "lambda dy, x, w, b: (dy @ w.T, x.T @ dy, dy.sum(0, keepdims=True))", "xwb"),
    ("a millionth of a sine, with a gradient half as large again", "lambda x: 1e-6 * np.sin(x)",
     "lambda dy, x: (1.5e-6 * np.cos(x) * dy,)", "x"),
    ("a million times a square, a thousandth off", "lambda x: 1e6 * x * x",
     "lambda dy, x: (2.002e6 * x * dy,)", "x"),
)  # fmt: skip


def judge_gradient_check(ask, rng):
    """Right layers must pass, and only then do wrong ones count that are caught."""

    def answer(planted):
        _, forward, backward, kinds = planted
        n, c, f = (int(v) for v in rng.permutation((2, 3, 4)))
        shapes = {"x": (n, c), "w": (c, f), "s": (c, c), "b": (c if "s" in kinds else f,)}
        inputs = [rng.standard_normal(shapes[kind]) for kind in kinds]
        slopes = Code("lambda f, x, dy, step=1e-5: np.array([(np.sum(dy * f(x + d)) - "
                      "np.sum(dy * f(x - d))) / (2 * step) for k in range(x.size) for d in "
                      "[step * np.eye(x.size)[k].reshape(x.shape)]]).reshape(x.shape)")  # fmt: skip
        got = ask("gradient_check", Code(forward), Code(backward), inputs, slopes)
        if np.shape(got) != () or np.asarray(got).dtype != bool:
            raise Failed("gradient_check does not return True or False", "wrong_shape")
        return bool(got)

    def tried(planted):
        try:
            return answer(planted), None
        except Failed as error:
            return None, error

    right, wrong = [tried(each) for each in RIGHT], [tried(each) for each in WRONG]
    alarms = [each[0] for each, (passed, _) in zip(RIGHT, right) if not passed]
    caught = sum(passed is False for passed, _ in wrong)
    verdicts = []
    for planted, (passed, error) in zip((*RIGHT, *WRONG), (*right, *wrong)):
        expected = planted in RIGHT
        if error is not None:
            verdicts.append(Verdict(0, f"{planted[0]}: {error}", error.cause))
        elif passed is not expected:
            words = "is right, and does not pass" if expected else "is wrong, and passes"
            verdicts.append(Verdict(0, f"{planted[0]} {words}",
                                    "false_alarm" if expected else "not_caught"))  # fmt: skip
        elif expected and 2 * caught < len(WRONG):
            verdicts.append(Verdict(0, "so few wrong layers are caught that passing the right ones "
                                       "counts nothing", "not_caught"))  # fmt: skip
        elif not expected and len(alarms) > 1:
            verdicts.append(Verdict(0, f"does not count while right layers fail: {alarms[0]}",
                                    "false_alarm"))  # fmt: skip
        else:
            verdicts.append(Verdict(1))
    return verdicts


CONV2D = ("conv2d_forward", "conv2d_backward")
ASSIGNMENT = Assignment(
    name="hw1",
    title="A convolution of your own, and a check that you can trust",
    parts=(
        Function("output-size", "output_size", 4, output_size, SIZES, hidden=2, draw=draw_size,
                 mistakes=SIZE_MISTAKES, page="tutorials/01_convolution"),
        Layer("conv2d-forward", CONV2D[:1], value=13, purity=2, hidden=5, draw=draw_conv2d,
              page="tutorials/01_convolution"),
        Layer("conv2d-backward", CONV2D[1:], gradient=18, purity=2, hidden=8, draw=draw_conv2d,
              page="tutorials/02_backwards"),
        Judged("dilation", CONV2D, 6, judge_dilation, hidden=4, page="tutorials/01_convolution"),
        Judged("numerical-gradient", ("numerical_gradient",), 5, judge_numerical_gradient, hidden=3,
               page="tutorials/03_gradient_checks"),
        Judged("gradient-check", ("gradient_check",), 8, judge_gradient_check, hidden=4,
               page="tutorials/03_gradient_checks"),
        Words("overlap-missed", 8),
        Words("four-changes", 8),
    ),
    pages={"overlap_assigned": "docs/why/col2im-adds"},
)  # fmt: skip

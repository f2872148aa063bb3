"""A small assignment, with a part of every kind, on which the machinery is tested."""

import numpy as np

from minifcn.course.parts import Assignment, Code, Function, Judged, Layer, Verdict, Words, attempt


def draw_relu(rng):
    return {"x": rng.standard_normal(rng.integers(7, 11, 4))}


def draw_size(rng):
    return tuple(
        int(each)
        for each in (
            rng.integers(11, 40),
            rng.integers(2, 6),
            rng.integers(1, 4),
            rng.integers(0, 4),
        )
    )


def judge_slope(ask, rng):
    x = rng.standard_normal(5)

    def check(text, right):
        got = np.asarray(ask("slope", Code(text), x))
        good = got.shape == x.shape and np.allclose(got, right, rtol=1e-6, atol=1e-6)
        return Verdict(good, f"the slope of {text[10:]} is wrong", None if good else "wrong_slope")

    return [
        attempt(lambda: check("lambda x: x ** 2", 2 * x)),
        attempt(lambda: check("lambda x: np.sin(x)", np.cos(x))),
    ]


ASSIGNMENT = Assignment(
    name="tiny",
    title="Rectified, and measured",
    parts=(
        Layer(
            "relu",
            ("relu_forward", "relu_backward"),
            value=20,
            gradient=20,
            purity=10,
            hidden=10,
            draw=draw_relu,
            page="tutorials/04_pooling",
        ),
        Function(
            "size",
            "output_size",
            points=10,
            right=lambda n, k, s, p: (n + 2 * p - k) // s + 1,
            cases=((7, 3, 2, 0), (8, 3, 1, 1), (9, 2, 3, 1)),
            hidden=10,
            draw=draw_size,
            mistakes=(
                ("one_missing", "one place too few", lambda n, k, s, p: (n + 2 * p - k) // s),
            ),
            page="tutorials/01_convolution",
        ),
        Judged(
            "slope", ("slope",), points=10, judge=judge_slope, page="tutorials/03_gradient_checks"
        ),
        Words("why", points=10),
    ),
    pages={"relu_mask": "docs/why/relu"},
)

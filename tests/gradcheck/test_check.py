"""``check`` on functions that have never heard of minifcn: what it accepts, finds and says."""

import itertools

import numpy as np
import pytest

from minifcn import gradcheck, ops
from minifcn.gradcheck import GradientError, edits

rng = np.random.default_rng(0)
X, W, B = rng.standard_normal((4, 5)), rng.standard_normal((5, 3)), rng.standard_normal(3)


def affine(x, w, b):
    return np.tanh(x @ w + b)


def affine_backward(dy, x, w, b):
    d = dy * (1 - np.tanh(x @ w + b) ** 2)
    return d @ w.T, x.T @ d, d.sum(axis=0)


def cause(backward, forward=affine, inputs=(X, W, B)):
    return gradcheck.check(forward, backward, inputs, strict=False).cause


def test_a_right_pair_passes():
    report = gradcheck.check(affine, affine_backward, [X, W, B])
    assert report.ok
    assert report.cause is None
    assert report.worst is None
    assert [c.array for c in report.comparisons] == ["dx", "dw", "db"]


def test_a_failure_raises_with_the_report():
    def wrong(dy, x, w, b):
        dx, dw, db = affine_backward(dy, x, w, b)
        dw[3, 1] += 1
        return dx, dw, db

    with pytest.raises(GradientError) as error:
        gradcheck.check(affine, wrong, [X, W, B])
    report = error.value.report
    assert report.cause == "single_element"
    assert report.worst.array == "dw"
    assert report.worst.index == (3, 1)
    assert report.worst.got - report.worst.right == pytest.approx(1, abs=1e-6)
    assert "dw[c=3, f=1]" in str(error.value)
    assert "single_element" in str(error.value)


@pytest.mark.parametrize("expected, change", [
    ("sign", lambda dx, dw, db: (dx, -dw, db)),
    ("constant_factor", lambda dx, dw, db: (dx, dw, 2 * db)),
    ("mean_for_sum", lambda dx, dw, db: (dx, dw / 4, db / 4)),
    ("last_image_missing", lambda dx, dw, db: (np.r_[dx[:-1], 0 * dx[:1]], dw, db)),
    ("last_channel_missing", lambda dx, dw, db: (np.c_[dx[:, :-1], 0 * dx[:, :1]], dw, db)),
    ("zero", lambda dx, dw, db: (dx, dw, 0 * db)),
    ("wrong_dtype", lambda dx, dw, db: (dx, dw.astype(np.float32), db)),
    ("wrong_dtype", lambda dx, dw, db: (dx, dw.astype(np.float32).astype(float), db)),
    ("wrong_shape", lambda dx, dw, db: (dx, dw[:-1], db)),
    ("wrong_shape", lambda dx, dw, db: (dx, dw)),
    ("wrong_shape", lambda dx, dw, db: None),
    ("unknown", lambda dx, dw, db: (dx, dw + 0.1 * np.arange(15).reshape(5, 3), db)),
])
def test_causes(expected, change):
    assert cause(lambda dy, x, w, b: change(*affine_backward(dy, x, w, b))) == expected


def test_nan_is_a_failure():
    assert cause(lambda dy, x, w, b: (x * np.nan, *affine_backward(dy, x, w, b)[1:])) == "nan"


def test_an_ignored_dy_is_named():
    assert cause(lambda dy, x, w, b: affine_backward(np.ones_like(dy), x, w, b)) == "dy_ignored"


def test_a_crash_is_a_report():
    report = gradcheck.check(affine, lambda dy, x, w, b: 1 / 0, [X, W, B], strict=False)
    assert report.cause == "crashed"
    assert "ZeroDivisionError" in report.diagnosis


def test_changed_arguments_are_named():
    def wrong(dy, x, w, b):
        dy *= 1 - np.tanh(x @ w + b) ** 2
        return dy @ w.T, x.T @ dy, dy.sum(axis=0)

    assert cause(wrong) == "mutates_input"


def test_a_result_that_shares_memory_is_named():
    assert cause(lambda dy, x: dy, lambda x: x + 1, [X]) == "aliases_input"


def test_state_is_named():
    kept = []

    def wrong(dy, x, w, b):
        kept.append(0)
        return tuple(len(kept) * each for each in affine_backward(dy, x, w, b))

    assert cause(wrong) == "stateful"


def test_a_stale_cache_is_named():
    cache = {}

    def wrong(dy, x, w, b):
        x = cache.setdefault(x.shape, x.copy())
        return affine_backward(dy, x, w, b)

    assert cause(wrong) == "stateful"


@pytest.mark.parametrize("noise", [
    np.random.standard_normal,
    np.random.default_rng().standard_normal,
    lambda n: np.random.default_rng().standard_normal(n),
])
def test_randomness_is_named(noise):
    def wrong(dy, x, w, b):
        dx, dw, db = affine_backward(dy, x, w, b)
        return dx, dw, db + 1e-9 * noise(3)

    assert cause(wrong) in ("nondeterministic", "stateful")


def test_inputs_without_a_gradient_pass_through():
    def forward(x, power, name):
        assert name == "cube"
        return x**power

    def backward(dy, x, power, name):
        return dy * power * x ** (power - 1), None, None

    report = gradcheck.check(forward, backward, [X, 3, "cube"])
    assert [c.array for c in report.comparisons] == ["dx"]


def test_a_bare_gradient_of_a_single_input_and_a_number_as_y_are_accepted():
    assert gradcheck.check(lambda x: float((x**2).sum()), lambda dy, x: 2 * x * dy, [X]).ok


@pytest.mark.parametrize("inputs, words", [
    ([X.astype(np.float32)], "float32"), ([3], "none of the inputs")])
def test_only_float64_can_be_checked(inputs, words):
    with pytest.raises(ValueError, match=words):
        gradcheck.check(np.square, lambda dy, x: 2 * x * dy, inputs)


def test_large_arrays_are_checked_at_a_choice_of_elements_and_along_directions():
    x = rng.standard_normal((50, 80))
    report = gradcheck.check(np.sin, lambda dy, x: dy * np.cos(x), [x], limit=200)
    assert 150 <= report.comparisons[0].tested < 400

    def wrong_at_one(dy, x):
        dx = dy * np.cos(x)
        dx[17, 33] += 1
        return dx

    assert not gradcheck.check(np.sin, wrong_at_one, [x], strict=False, limit=200).ok


def test_fast_mode_notices_a_wrong_element():
    x = rng.standard_normal((50, 80))
    assert gradcheck.check(np.sin, lambda dy, x: dy * np.cos(x), [x], fast=True).ok

    def wrong(dy, x):
        dx = dy * np.cos(x)
        dx[17, 33] *= 1.5
        return dx

    assert not gradcheck.check(np.sin, wrong, [x], strict=False, fast=True).ok


def test_the_choice_of_elements_holds_corners_borders_and_outer_channels():
    from minifcn.gradcheck.differences import choose_elements

    shape = (3, 20, 30, 16)
    chosen = np.array(choose_elements(shape, 2000, rng))
    assert len(chosen) <= 3000
    for axis, extent in enumerate(shape):
        for edge in (0, extent - 1):
            assert (chosen[:, axis] == edge).sum() > 100
    corners = set(itertools.product(*((0, extent - 1) for extent in shape)))
    assert corners <= set(map(tuple, chosen.tolist()))


# What the pair is meant to be


def convolution(x, w, b):
    return ops.conv2d_forward(x, w, b, 2)


def convolution_backward(dy, x, w, b, flip=False, assign=False):
    kh, kw = w.shape[:2]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            where = np.s_[:, 2 * i : 2 * i + kh, 2 * j : 2 * j + kw]
            stamp = np.einsum("nf,abcf->nabc", dy[:, i, j], w[::-1, ::-1] if flip else w)
            dx[where] = stamp if assign else dx[where] + stamp
            dw += np.einsum("nf,nabc->abcf", dy[:, i, j], x[where])
    return dx, dw, dy.sum(axis=(0, 1, 2))


CONVOLVED = [rng.standard_normal(shape) for shape in ((2, 7, 9, 3), (3, 2, 3, 4), (4,))]


def meant_to_be_convolution(forward, **wrong):
    return gradcheck.check(forward, lambda *a: convolution_backward(*a, **wrong), CONVOLVED,
                           strict=False, like="conv2d", stride=2)


@pytest.mark.parametrize("wrong, expected", [
    ({}, None), ({"flip": True}, "kernel_flipped"), ({"assign": True}, "overlap_assigned")])
def test_a_pair_that_is_meant_to_be_an_operation_gets_its_mistakes_named(wrong, expected):
    report = meant_to_be_convolution(convolution, **wrong)
    assert report.cause == expected
    if expected:
        (before, after), *_ = report.edit
        assert before != after
        assert before in edits.textbook("conv2d")
        assert before not in str(report)
        words = [each.get_text() for each in report.figure(edit=True).texts]
        words.append(report.figure(edit=True)._supxlabel.get_text())
        assert any(before in each for each in words)


def test_a_forward_that_is_not_what_it_is_meant_to_be_is_named():
    report = meant_to_be_convolution(lambda x, w, b: ops.conv2d_forward(x, w[::-1, ::-1], b, 2))
    assert report.cause == "kernel_flipped"
    assert report.forward == "wrong"


@pytest.mark.parametrize("like, options, words", [
    ("conv3d", {}, "is no operation"),
    ("conv2d", {"factor": 2}, "no option factor"),
    ("relu", {}, "takes the inputs x"),
    (None, {"stride": 2}, "need like="),
    ("bilinear_upsample", {"size": 4}, "not those of bilinear_upsample"),
])
def test_what_like_cannot_be_is_said(like, options, words):
    with pytest.raises(ValueError, match=words):
        gradcheck.check(convolution, convolution_backward, CONVOLVED, like=like, **options)


def test_the_loss_with_labels_as_input_or_option():
    scores, labels = rng.standard_normal((2, 3, 2, 4)), rng.integers(0, 4, (2, 3, 2))

    def loss(scores, labels=labels, **options):
        return ops.softmax_cross_entropy(scores, labels, **options)[0]

    def gradient(dy, scores, labels=labels, **options):
        return dy * ops.softmax_cross_entropy(scores, labels, **options)[1], None

    def summed(dy, scores, labels):
        return 6 * gradient(dy, scores, labels)[0], None

    like = {"like": "softmax_cross_entropy", "strict": False}
    assert gradcheck.check(loss, gradient, [scores, labels], **like).ok
    wrong = gradcheck.check(loss, summed, [scores, labels], **like).cause
    assert wrong in ("sum_for_mean", "constant_factor")
    assert gradcheck.check(
        lambda scores: loss(scores, reduction="sum"),
        lambda dy, scores: gradient(dy, scores, reduction="sum")[0],
        [scores], labels=labels, reduction="sum", **like).ok


# Scale


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_tolerance_is_relative_to_the_size_of_the_gradient(scale):
    def forward(x):
        return scale * np.sin(x)

    assert gradcheck.check(forward, lambda dy, x: scale * np.cos(x) * dy, [X]).ok
    for factor in (3, 1.001):
        backward = lambda dy, x, f=factor: f * scale * np.cos(x) * dy  # noqa: E731
        wrong = gradcheck.check(forward, backward, [X], strict=False)
        assert wrong.cause == "constant_factor"


def test_a_mean_of_very_many_values():
    x = rng.standard_normal(100_000)
    right = np.full_like(x, 1 / x.size)
    assert gradcheck.check(np.mean, lambda dy, x: dy * right, [x]).ok
    assert not gradcheck.check(np.mean, lambda dy, x: 1.003 * dy * right, [x], strict=False).ok


def test_steps_are_relative_to_the_size_of_x():
    x = 1e-6 * rng.standard_normal((3, 4))

    def backward(dy, x):
        return 1e6 * np.cos(1e6 * x) * dy

    assert gradcheck.check(lambda x: np.sin(1e6 * x), backward, [x]).ok


# Nothing of the caller's is touched


def test_globals_and_closures_are_left_alone():
    weights = {"w": W}
    kept = [W]

    def forward(x):
        return x @ weights["w"]

    gradcheck.check(forward, lambda dy, x: dy @ kept[0].T, [X])
    assert weights["w"] is W
    assert kept[0] is W


# The adjoint test, the sweep, the complex step


def test_the_adjoint_test_is_sharp():
    def forward(x, w):
        return x @ w

    assert gradcheck.check_adjoint(forward, lambda dy, x, w: (dy @ w.T, x.T @ dy), [X, W]).ok
    wrong = lambda dy, x, w: (dy @ w.T * (1 + 1e-9), x.T @ dy)  # noqa: E731
    report = gradcheck.check_adjoint(forward, wrong, [X, W], strict=False)
    assert report.cause == "not_adjoint"
    with pytest.raises(GradientError):
        gradcheck.check_adjoint(forward, lambda dy, x, w: (dy @ w.T, x.T @ dy * 2), [X, W])


def test_the_sweep_is_a_v_for_a_right_gradient_and_flat_for_a_wrong_one():
    right = gradcheck.sweep(np.sin, lambda dy, x: dy * np.cos(x), [X])
    assert right.errors.min() < 1e-9
    assert right.errors[0] > 1e-4 and right.errors[-1] > 1e-6
    assert 1e-7 < right.steps[right.errors.argmin()] < 1e-3
    wrong = gradcheck.sweep(np.sin, lambda dy, x: 1.01 * dy * np.cos(x), [X])
    assert wrong.errors.min() > 5e-3
    assert len(right.figure().axes) == 1


def test_the_complex_step_is_exact_where_differences_are_not():
    from minifcn.gradcheck import complex_step_gradient, numerical_gradient

    x, dy = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(axis=-1, keepdims=True)

    p = softmax(x)
    exact = p * (dy - (dy * p).sum(axis=-1, keepdims=True))
    assert np.abs(complex_step_gradient(softmax, x, dy) - exact).max() < 1e-15
    assert 1e-13 < np.abs(numerical_gradient(softmax, x, dy) - exact).max() < 1e-9


# The report


def test_a_report_shows_table_and_heat_map():
    def wrong(dy, x, w, b):
        dx, dw, db = affine_backward(dy, x, w, b)
        return dx, dw[:, ::-1], db

    report = gradcheck.check(affine, wrong, [X, W, B], strict=False)
    assert [line.split()[0] for line in report.table.splitlines()] == ["array", "dx", "dw", "db"]
    figure = report.figure()
    assert any("dw" in axes.get_title() for axes in figure.axes)
    assert gradcheck.check(affine, affine_backward, [X, W, B]).figure().axes


def test_a_picture_with_many_values_on_the_kink_is_no_false_alarm():
    """Of 8-bit values minus 0.4, one in 256 is 0 but for rounding."""
    x = np.random.default_rng(0).integers(0, 256, (64, 64, 3)) / 255 - 0.4
    forward = lambda x: np.maximum(x, 0)  # noqa: E731
    assert gradcheck.check(forward, lambda dy, x: (dy * (x > 0),), [x], strict=False).ok
    wrong = gradcheck.check(forward, lambda dy, x: (dy * (x > 0) * 1.001,), [x], strict=False)
    assert not wrong.ok

"""At kinks there is no derivative to compare with: the value there is a rule, tested exactly."""

import numpy as np
import pytest

from minifcn import gradcheck, ops


def test_the_derivative_of_relu_at_zero_is_zero(engine):
    x = np.array([-1.0, -0.0, 0.0, np.finfo(float).tiny, 1.0])
    y = ops.relu_forward(x)
    assert ops.relu_backward(np.full(5, 3.0), y).tolist() == [0, 0, 0, 3, 3]


@pytest.mark.parametrize("size, stride", [(2, 2), (3, 1), (3, 2), (2, 3)])
def test_of_equal_maxima_the_first_in_reading_order_wins(engine, size, stride):
    x = np.random.default_rng(0).integers(0, 2, (2, 7, 6, 3)).astype(float)
    y, argmax = ops.max_pool2d_forward(x, size, stride)
    for n, i, j, c in np.ndindex(y.shape):
        window = x[n, i * stride : i * stride + size, j * stride : j * stride + size, c]
        row, column = divmod(int(window.argmax()), window.shape[1])
        assert y[n, i, j, c] == window.max()
        assert argmax[n, i, j, c] == (i * stride + row) * 6 + j * stride + column


def test_a_tie_sends_the_whole_gradient_to_the_first(engine):
    x = np.ones((1, 2, 2, 1))
    _, argmax = ops.max_pool2d_forward(x)
    dx = ops.max_pool2d_backward(np.full((1, 1, 1, 1), 5.0), argmax, x.shape)
    assert dx.ravel().tolist() == [5, 0, 0, 0]


def test_elements_on_a_kink_are_counted_and_not_failed():
    x = np.r_[0.0, np.linspace(1, 2, 40)]
    report = gradcheck.check(np.abs, lambda dy, x: dy * np.where(x < 0, -1, 1), [x])
    assert report.comparisons[0].crossings == 1


def test_a_step_across_a_kink_is_counted_and_not_failed():
    x = np.r_[4e-6, np.linspace(1, 2, 40)]  # the first step, 1e-5, reaches beyond the kink
    report = gradcheck.check(np.abs, lambda dy, x: dy * np.sign(x), [x])
    assert report.comparisons[0].crossings == 1


def test_too_many_kinks_fail_the_check():
    backward = lambda dy, x: dy * np.where(x < 0, -1, 1)  # noqa: E731
    report = gradcheck.check(np.abs, backward, [np.zeros(10)], strict=False)
    assert report.cause == "kinks"


def test_a_wrong_slope_beside_a_kink_is_no_kink():
    x = np.r_[0.0, np.linspace(1, 2, 40)]
    backward = lambda dy, x: dy * np.where(x == 0, 3, np.sign(x))  # noqa: E731
    report = gradcheck.check(np.abs, backward, [x], strict=False)
    assert report.cause == "single_element"
    assert report.worst.index == (0,)


def test_a_tie_that_overlapping_windows_share_is_no_false_alarm():
    """Of tied values one window may choose this, another that: each has a range of its own."""
    x = np.random.default_rng(0).permutation(2 * 9 * 10 * 2).reshape(2, 9, 10, 2) / 7
    x[0, 3, 3, 0] = x[0, 4, 4, 0] = x[0, 3, 5, 0] = 100

    def forward(x):
        return ops.max_pool2d_forward(x, 3, 1)[0]

    def backward(dy, x, factor=1.0):
        return factor * ops.max_pool2d_backward(dy, ops.max_pool2d_forward(x, 3, 1)[1], x.shape)

    for seed in range(5):
        assert gradcheck.check(forward, backward, [x], seed=seed).comparisons[0].crossings == 3
    assert not gradcheck.check(forward, lambda dy, x: backward(dy, x, 1.001), [x], strict=False).ok


def test_exact_ties_that_stay_tied_are_no_kinks():
    """max(a, b) with a far below two equal b: moving a changes nothing."""
    x = np.array([0.0, 1.0, 1.0])

    def forward(x):
        return np.maximum(x[0], x[1:]) * 2

    def backward(dy, x):
        return np.array([0.0, *(2 * dy)])

    report = gradcheck.check(forward, backward, [x])
    assert report.comparisons[0].crossings == 0


def test_what_is_said_to_be_relu_is_judged_by_its_rule_at_kinks():
    """The differences would accept any slope between two sides."""
    x = np.array([0.0, *np.linspace(1, 2, 40)])

    def relu(x):
        return np.maximum(x, 0)

    wrong = gradcheck.check(relu, lambda dy, x: dy * (x >= 0), [x], strict=False, like="relu")
    assert wrong.cause == "relu_mask"
    assert gradcheck.check(relu, lambda dy, x: dy * (x > 0), [x], like="relu").ok
    assert gradcheck.check(relu, lambda dy, x: dy * (x >= 0), [x]).ok


def test_a_strong_bend_is_no_kink():
    x = np.array([1e-6, 1e-4, 1.0, 2.0])
    report = gradcheck.check(np.sqrt, lambda dy, x: dy / (2 * np.sqrt(x)), [x])
    assert report.comparisons[0].crossings == 0

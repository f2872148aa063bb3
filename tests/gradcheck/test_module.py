"""``check_module``: what it promises. How well it names bugs is tested by the bank of bugs."""

import re
import types

import numpy as np
import pytest

from minifcn.gradcheck import check_module
from minifcn.gradcheck.cases import FUNCTIONS, OPERATIONS, as_tuple
from minifcn.ops import reference


def module(**functions):
    return types.SimpleNamespace(**functions)


def test_absent_functions_get_no_entry():
    absent = {"helper": print, "relu_backward": None}
    reports = check_module(module(relu_forward=reference.relu_forward, **absent))
    assert list(reports) == ["relu_forward"]
    assert reports["relu_forward"].ok


def test_a_dictionary_and_a_class_are_modules_too():
    class Layers:
        relu_forward = staticmethod(reference.relu_forward)

    assert check_module({"relu_forward": reference.relu_forward})["relu_forward"].ok
    assert check_module(Layers)["relu_forward"].ok


def test_an_empty_module_is_an_error_that_points_out_near_misses():
    with pytest.raises(ValueError, match=r"conv2d_forward by conv2dforward"):
        check_module({"conv2dforward": reference.conv2d_forward})
    with pytest.raises(ValueError, match="softmax_cross_entropy"):
        check_module(module())


def crash(*arguments, **options):
    raise RuntimeError("no")


@pytest.mark.parametrize("function, cause", [
    (crash, "crashed"),
    (lambda *a, **k: None, "wrong_shape"),
    (lambda *a, **k: "text", "wrong_shape"),
    (lambda *a, **k: (1, 2, 3, 4, 5), "wrong_shape"),
    (lambda *a, **k: np.zeros(3), "wrong_shape"),
    (lambda *a, **k: exit(1), "crashed"),
    (lambda *a, **k: ([1], [2], [3]), "wrong_shape"),
    (lambda *a, **k: np.array(["a"]), "wrong_shape"),
    (lambda: None, "crashed"),
])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_that_a_function_does_raises(name, function, cause):
    report = check_module(module(**{name: function}))[name]
    assert report.cause == cause
    assert report.diagnosis
    assert str(report)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "dropout_forward"])
def test_nan_is_named(name):
    def spoiled(*arguments, **options):
        results = as_tuple(getattr(reference, name)(*arguments, **options))
        spoilt = [each if np.asarray(each).dtype.kind == "i" else each * np.nan for each in results]
        return tuple(spoilt) if len(spoilt) > 1 else spoilt[0]

    report = check_module(module(**{name: spoiled}))[name]
    assert report.cause == "nan"


def test_a_wrong_forward_does_not_make_its_backward_look_guilty():
    def flipped(x, weight, *rest, **options):
        return reference.conv2d_forward(x, weight[::-1, ::-1], *rest, **options)

    right = reference.conv2d_backward
    reports = check_module(module(conv2d_forward=flipped, conv2d_backward=right))
    assert reports["conv2d_forward"].cause == "kernel_flipped"
    assert reports["conv2d_backward"].ok


def test_backward_may_use_what_its_forward_kept():
    kept = {}

    def forward(x):
        kept["mask"] = x > 0
        return reference.relu_forward(x)

    backward = lambda dy, y: dy * kept["mask"]  # noqa: E731
    reports = check_module(module(relu_forward=forward, relu_backward=backward))
    assert all(report.ok for report in reports.values())


def test_functions_that_take_whole_numbers_only_pass_with_a_note():
    def forward(x, weight, bias, stride=1, padding=0):
        return reference.conv2d_forward(x, weight, bias, int(stride), int(padding))

    report = check_module(module(conv2d_forward=forward))["conv2d_forward"]
    assert report.ok
    assert "pairs" in report.notes[0]


def test_pairs_that_work_only_when_equal_are_a_failure():
    def forward(x, weight, bias, stride=1, padding=0):
        if isinstance(stride, tuple) and stride[0] != stride[1]:
            raise IndexError("no")
        return reference.conv2d_forward(x, weight, bias, stride, padding)

    report = check_module(module(conv2d_forward=forward))["conv2d_forward"]
    assert report.cause == "crashed"
    assert "stride and padding as pairs" in report.diagnosis


def smaller_where_a_rest_is_left(dy, x, weight, stride=1, padding=0):
    dx, dweight, dbias = reference.conv2d_backward(dy, x, weight, stride, padding)
    (s, t), (p, q) = np.broadcast_to(stride, 2), np.broadcast_to(padding, 2)
    rows = (dy.shape[1] - 1) * s + weight.shape[0] - 2 * p
    columns = (dy.shape[2] - 1) * t + weight.shape[1] - 2 * q
    return dx[:, :rows, :columns].copy(), dweight, dbias


def only_for_many(dy, y):
    dx = reference.relu_backward(dy, y)
    return dx * 2 if len(dx) > 8 else dx


def only_for_a_sum(scores, labels, ignore=255, reduction="mean", class_weights=None):
    options = ignore, reduction, class_weights
    loss, dscores = reference.softmax_cross_entropy(scores, labels, *options)
    return loss, -dscores if reduction == "sum" else dscores


@pytest.mark.parametrize("name, wrong, cause, words", [
    ("conv2d_backward", smaller_where_a_rest_is_left, "wrong_shape", "rest"),
    ("relu_backward", only_for_many, "constant_factor", "more than 8 images"),
    ("softmax_cross_entropy", only_for_a_sum, "sign", "only with reduction='sum'"),
    ("relu_forward", lambda x: x * (x > 1e-6), "relu_mask", "1e-06|1e-6"),
    ("relu_backward", lambda dy, y: y.copy(), "relu_mask", "y itself"),
])
def test_a_mistake_that_shows_in_some_cases_only_is_named_with_its_condition(name, wrong, cause,
                                                                             words):
    report = check_module(module(**{name: wrong}))[name]
    assert report.cause == cause
    assert re.search(words, report.diagnosis), report.diagnosis


def test_a_crash_in_one_case_is_not_explained_by_a_mistake_that_would_not_crash():
    def forward(x, weight, bias, stride=1, padding=0):
        if weight.shape[0] == 1:
            raise KeyError("no")
        return reference.conv2d_forward(x, weight[::-1, ::-1], bias, stride, padding)

    report = check_module(module(conv2d_forward=forward))["conv2d_forward"]
    assert report.cause == "crashed"
    assert "line" in report.diagnosis


def pooled(change):
    """max_pool2d_forward with another argmax."""
    def forward(x, size=2, stride=2, ceil_mode=True):
        y, argmax = reference.max_pool2d_forward(x, size, stride, ceil_mode)
        return y, change(argmax, x.shape[2], y.shape[2])

    return forward


@pytest.mark.parametrize("change, words", [
    (lambda argmax, w, ow: argmax // w * ow + argmax % w, "row * (the output's width) + column;"),
    (lambda argmax, w, ow: argmax + 1, "row * w + column + 1;"),
    (lambda argmax, w, ow: argmax ** 2 + w, "argmax is not the place of the maximum"),
])
def test_an_argmax_counted_in_another_way_is_named_and_its_formula_given(change, words):
    report = check_module({"max_pool2d_forward": pooled(change)})["max_pool2d_forward"]
    assert report.cause == "argmax_index"
    assert words in report.diagnosis


def test_what_is_kept_from_the_very_first_call_is_state():
    kept = []

    def forward(x, weight, bias):
        kept.append(x.mean())
        return reference.linear_forward(x, weight, bias) + x.mean() - kept[0]

    report = check_module({"linear_forward": forward})["linear_forward"]
    assert report.cause == "stateful"
    assert "first" in report.diagnosis


def wrong_view(x, weight, bias):
    return np.ndarray(x.shape, x.dtype, x.base if x.base is not None else x) @ weight + bias


@pytest.mark.parametrize("name, wrong, cause", [
    ("linear_forward", lambda x, w, b: np.ascontiguousarray(x).ravel().reshape(x.shape) @ w + b,
     None),
    ("linear_forward", wrong_view, "non_contiguous"),
    ("relu_forward", lambda x: np.maximum(x, 0, out=x), "mutates_input"),
    ("relu_backward", lambda dy, y: np.multiply(dy, y > 0, dtype=np.float64), "wrong_dtype"),
    ("relu_forward", lambda x: x if (x > 0).all() else np.maximum(x, 0), "aliases_input"),
])
def test_purity(name, wrong, cause):
    assert check_module(module(**{name: wrong}))[name].cause == cause


def test_dropout_is_judged_by_its_properties():
    def forward(x, rate, seed):
        mask = np.random.default_rng([seed, 5]).random(x.shape) >= rate
        return (x * mask / (1 - rate)).astype(x.dtype), mask.astype(np.float32)

    assert check_module(module(dropout_forward=forward))["dropout_forward"].ok


def test_the_table_of_cases_holds_what_bugs_need():
    drawn = [case.draw(np.random.default_rng(0)) for case in OPERATIONS[0].cases]
    shapes = [(given["x"].shape, given["weight"].shape) for given in drawn]
    assert {1, 2, 3} <= {given["stride"] for given in drawn}
    assert any(x[0] == 1 for x, _ in shapes)
    assert any(x[1:3] == (1, 1) for x, _ in shapes)
    assert any(weight[2] == weight[3] and weight[0] == weight[1] for _, weight in shapes)
    assert any(np.max(given["padding"]) > given["weight"].shape[0] / 2 for given in drawn)
    assert any(len(set(x + weight)) == 7 for x, weight in shapes)

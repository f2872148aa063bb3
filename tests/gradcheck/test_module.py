"""``check_module``: what it promises. How well it names bugs is tested by the bank of bugs."""

import types

import numpy as np
import pytest

from minifcn.gradcheck import check_module
from minifcn.gradcheck.cases import FUNCTIONS
from minifcn.ops import reference


def module(**functions):
    return types.SimpleNamespace(**functions)


def test_absent_functions_get_no_entry():
    reports = check_module(
        module(relu_forward=reference.relu_forward, helper=print, relu_backward=None)
    )
    assert list(reports) == ["relu_forward"]
    assert reports["relu_forward"].ok


def crash(*arguments, **options):
    raise RuntimeError("no")


@pytest.mark.parametrize(
    "function, cause",
    [
        (crash, "crashed"),
        (lambda *a, **k: None, "wrong_shape"),
        (lambda *a, **k: "text", "wrong_shape"),
        (lambda *a, **k: (1, 2, 3, 4, 5), "wrong_shape"),
        (lambda *a, **k: np.zeros(3), "wrong_shape"),
        (lambda *a, **k: exit(1), "crashed"),
        (lambda *a, **k: ([1], [2], [3]), "wrong_shape"),
        (lambda *a, **k: np.array(["a"]), "wrong_shape"),
        (lambda: None, "crashed"),
    ],
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_that_a_function_does_raises(name, function, cause):
    report = check_module(module(**{name: function}))[name]
    assert report.cause == cause
    assert report.diagnosis
    assert str(report)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "dropout_forward"])
def test_nan_is_named(name):
    def spoiled(*arguments, **options):
        results = getattr(reference, name)(*arguments, **options)
        if isinstance(results, tuple):
            return tuple(
                each * np.nan if isinstance(each, float) or each.dtype.kind == "f" else each
                for each in results
            )
        return results * np.nan

    report = check_module(module(**{name: spoiled}))[name]
    assert report.cause == "nan"


def test_a_wrong_forward_does_not_make_its_backward_look_guilty():
    def flipped(x, weight, *rest, **options):
        return reference.conv2d_forward(x, weight[::-1, ::-1], *rest, **options)

    reports = check_module(
        module(conv2d_forward=flipped, conv2d_backward=reference.conv2d_backward)
    )
    assert reports["conv2d_forward"].cause == "kernel_flipped"
    assert reports["conv2d_backward"].ok


def test_backward_may_use_what_its_forward_kept():
    kept = {}

    def forward(x):
        kept["mask"] = x > 0
        return reference.relu_forward(x)

    reports = check_module(
        module(relu_forward=forward, relu_backward=lambda dy, y: dy * kept["mask"])
    )
    assert all(report.ok for report in reports.values())


def test_functions_that_take_whole_numbers_only_pass_with_a_note():
    def forward(x, weight, bias, stride=1, padding=0):
        return reference.conv2d_forward(x, weight, bias, int(stride), int(padding))

    report = check_module(module(conv2d_forward=forward))["conv2d_forward"]
    assert report.ok
    assert "pairs" in report.notes[0]


@pytest.mark.parametrize(
    "name, wrong, cause",
    [
        (
            "linear_forward",
            lambda x, weight, bias: (
                np.ascontiguousarray(x).ravel().reshape(x.shape) @ weight + bias
            ),
            None,
        ),
        (
            "linear_forward",
            lambda x, weight, bias: (
                np.ndarray(x.shape, x.dtype, x.base if x.base is not None else x) @ weight + bias
            ),
            "non_contiguous",
        ),
        ("relu_forward", lambda x: np.maximum(x, 0, out=x), "mutates_input"),
        ("relu_backward", lambda dy, y: np.multiply(dy, y > 0, dtype=np.float64), "wrong_dtype"),
        ("relu_forward", lambda x: x if (x > 0).all() else np.maximum(x, 0), "aliases_input"),
    ],
)
def test_purity(name, wrong, cause):
    assert check_module(module(**{name: wrong}))[name].cause == cause


def test_dropout_is_judged_by_its_properties():
    def forward(x, rate, seed):
        mask = np.random.default_rng([seed, 5]).random(x.shape) >= rate
        return (x * mask / (1 - rate)).astype(x.dtype), mask.astype(np.float32)

    assert check_module(module(dropout_forward=forward))["dropout_forward"].ok


def test_the_table_of_cases_holds_what_bugs_need():
    from minifcn.gradcheck.cases import OPERATIONS

    conv2d = OPERATIONS[0]
    drawn = [case.draw(np.random.default_rng(0)) for case in conv2d.cases]
    assert {1, 2, 3} <= {given["stride"] for given in drawn}
    assert any(given["x"].shape[0] == 1 for given in drawn)
    assert any(given["x"].shape[1:3] == (1, 1) for given in drawn)
    assert any(
        given["weight"].shape[2] == given["weight"].shape[3]
        and len(set(given["weight"].shape[:2])) == 1
        for given in drawn
    )
    assert any(
        np.ndim(given["padding"]) == 0 and given["padding"] > given["weight"].shape[0] / 2
        for given in drawn
    )
    assert any(len(set(given["x"].shape + given["weight"].shape)) == 7 for given in drawn)

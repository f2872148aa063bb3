"""A trace tells the truth: replayed, its writes give what the function returned."""
import base64
import configparser
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minifcn
from minifcn.cli import main
from minifcn.gradcheck.cases import FUNCTIONS
from minifcn.ops import reference
from minifcn.teaching import page
from tests.teaching import students

SMALL = settings(max_examples=8, deadline=None)

# ---------------------------------------------------------------------------------------------
# Replay and arithmetic
# ---------------------------------------------------------------------------------------------


def replayed(trace):
    """Arrays made of nothing but the recorded writes."""
    arrays = {}
    for step in trace.steps:
        for name, index, value in step.writes:
            if name in trace.arrays:
                start = np.full_like(trace.arrays[name], 7)
                arrays.setdefault(name, start)[index] = value
            else:
                arrays[name] = value
    return arrays


def numbers_in(text):
    namespace = {**vars(np), **vars(math), "np": np, "float": float, "abs": abs, "sum": sum}
    with np.errstate(all="ignore"):
        return eval(text.replace("·", "*"), namespace)      # our own text


def flat(value):
    if isinstance(value, (tuple, list)):
        return np.concatenate([flat(each) for each in value] or [np.zeros(0)])
    return np.asarray(value, float).reshape(-1)


def check(trace, result):
    """All that a trace promises of a function that returned ``result``."""
    results = result if isinstance(result, tuple) else (result,)
    arrays = replayed(trace)
    for name, expected in zip(trace.returned, results, strict=True):
        if name in arrays:
            np.testing.assert_array_equal(np.reshape(arrays[name], np.shape(expected)), expected)
        else:
            assert isinstance(expected, (int, float)) or name in trace.arrays
    state = {name: array.initial.reshape(array.shape).copy() if array.initial is not None
             else np.full(array.shape, np.nan) for name, array in trace.recorder.arrays.items()}
    for step in trace.steps:
        for name, index, value in step.reads:
            if name in state:
                np.testing.assert_array_equal(state[name][index], value, str(step))
        for (name, index, value), (_, _, before) in zip(step.writes, step.before, strict=True):
            if name in state and before is not None:
                np.testing.assert_array_equal(state[name][index], before, str(step))
            if name in state:
                state[name][index] = value
        _, _, arithmetic = step.arithmetic.partition("  ->  ")
        right, _, written = arithmetic.rpartition(" = ")
        got, shown = flat(numbers_in(right)), flat(numbers_in(written.replace("_", "1e99")))
        got = np.full_like(shown, got[0]) if got.size == 1 else got     # y[1:] = 0
        got, shown = got[shown != 1e99], shown[shown != 1e99]       # what ``_`` throws away
        values = flat([value for _, _, value in step.writes])
        np.testing.assert_array_equal(shown.astype(np.float32), values.astype(np.float32),
                                      str(step))
        parts = flat([value for _, _, value in step.reads if not isinstance(value, tuple)])
        size = np.abs(parts[np.isfinite(parts)]).max(initial=1) ** 2
        np.testing.assert_allclose(got, values, rtol=1e-6, atol=1e-6 * size, err_msg=str(step))
    return trace


@st.composite
def convolutions(draw):
    """Arguments of a convolution, any shapes that fit."""
    number = lambda low, high: draw(st.integers(low, high))     # noqa: E731
    kh, kw, stride, padding = number(1, 3), number(1, 3), number(1, 3), number(0, 2)
    h, w = number(max(1, kh - 2 * padding), 4), number(max(1, kw - 2 * padding), 4)
    n, c_in, c_out = number(1, 2), number(1, 2), number(1, 2)
    rng = np.random.default_rng(number(0, 99))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in
                       ((n, h, w, c_in), (kh, kw, c_in, c_out), (c_out,)))
    return x, weight, bias, stride, padding


def like(array, seed=1):
    return np.random.default_rng(seed).standard_normal(array.shape).astype(array.dtype)


@SMALL
@given(convolutions())
def test_convolution(case):
    x, weight, bias, stride, padding = case
    y = reference.conv2d_forward(x, weight, bias, stride, padding)
    check(minifcn.trace(reference.conv2d_forward, *case), y)
    arguments = like(y), x, weight, stride, padding
    check(minifcn.trace(reference.conv2d_backward, *arguments),
          reference.conv2d_backward(*arguments))


@SMALL
@given(convolutions())
def test_transposed_convolution(case):
    x, weight, bias, stride, padding = case
    padding = min(padding, (weight.shape[0] - 1) // 2, (weight.shape[1] - 1) // 2)
    y = reference.conv_transpose2d_forward(x, weight, bias, stride, padding)
    check(minifcn.trace(minifcn.ops.conv_transpose2d_forward, x, weight, bias, stride, padding), y)
    arguments = like(y), x, weight, stride, padding
    check(minifcn.trace(reference.conv_transpose2d_backward, *arguments),
          reference.conv_transpose2d_backward(*arguments))


@SMALL
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_bilinear_upsampling(factor, size, h, w):
    x = np.random.default_rng(h).standard_normal((1, h, w, 2))
    y = reference.bilinear_upsample_forward(x, factor, size, (size - 1) // 2)
    check(minifcn.trace(reference.bilinear_upsample_forward, x, factor, size, (size - 1) // 2), y)
    arguments = like(y), factor, size, (size - 1) // 2, x.shape
    check(minifcn.trace(reference.bilinear_upsample_backward, *arguments),
          reference.bilinear_upsample_backward(*arguments))


@SMALL
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_pooling(h, w, size, stride, ceil_mode):
    x = np.random.default_rng(h).integers(-2, 3, (2, h, w, 2)).astype(np.float32)
    arguments = x, size, stride, ceil_mode
    y, argmax = reference.max_pool2d_forward(*arguments)
    check(minifcn.trace(reference.max_pool2d_forward, *arguments), (y, argmax))
    dy = like(y)
    check(minifcn.trace(reference.max_pool2d_backward, dy, argmax, x.shape),
          reference.max_pool2d_backward(dy, argmax, x.shape))


@SMALL
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_linear_relu_and_dropout(n, c_in, c_out):
    rng = np.random.default_rng(n)
    x, weight, bias = (rng.standard_normal(s) for s in ((n, c_in), (c_in, c_out), (c_out,)))
    y = reference.linear_forward(x, weight, bias)
    check(minifcn.trace(reference.linear_forward, x, weight, bias), y)
    check(minifcn.trace(reference.linear_backward, like(y), x, weight),
          reference.linear_backward(like(y), x, weight))
    check(minifcn.trace(reference.relu_forward, x), reference.relu_forward(x))
    check(minifcn.trace(reference.relu_backward, like(x), x), reference.relu_backward(like(x), x))
    dropped, mask = reference.dropout_forward(x, 0.25, 3)
    check(minifcn.trace(reference.dropout_forward, x, 0.25, 3), (dropped, mask))
    check(minifcn.trace(reference.dropout_backward, x, mask, 0.25), dropped)


@SMALL
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4),
       st.sampled_from(("mean", "sum", "sum_per_image")), st.booleans())
def test_softmax_cross_entropy(n, w, classes, reduction, weighted):
    rng = np.random.default_rng(w)
    scores = rng.standard_normal((n, 2, w, classes))
    labels = rng.integers(0, classes, (n, 2, w)).astype(np.uint8)
    labels[0, 0, 0] = 255
    arguments = scores, labels, 255, reduction, rng.random(classes) if weighted else None
    check(minifcn.trace(reference.softmax_cross_entropy, *arguments),
          reference.softmax_cross_entropy(*arguments))


@SMALL
@given(convolutions())
def test_students_own_convolutions(case):
    x, weight, _, stride, padding = case
    for forward in (students.im2col_forward, students.running_sum_forward):
        trace = check(minifcn.trace(forward, *case), forward(*case))
        np.testing.assert_allclose(trace.result, reference.conv2d_forward(*case), atol=1e-5)
    dy = like(trace.result)
    arguments = dy, x, weight, stride, padding
    dx, dweight, _ = reference.conv2d_backward(*arguments)
    trace = check(minifcn.trace(students.add_at_backward, *arguments),
                  students.add_at_backward(*arguments))
    np.testing.assert_allclose(trace.result, dx, atol=1e-5)
    trace = check(minifcn.trace(students.scatter_backward, *arguments),
                  students.scatter_backward(*arguments))
    np.testing.assert_allclose(trace.result[1], dweight, atol=1e-5)


# ---------------------------------------------------------------------------------------------
# What a step says
# ---------------------------------------------------------------------------------------------


def ones_convolution():
    x, weight = np.ones((1, 3, 3, 1)), np.full((2, 2, 1, 1), 0.5)
    return minifcn.trace(minifcn.ops.conv2d_forward, x, weight, np.array([3.5]))


def test_a_public_operation_shows_the_textbook_and_not_its_checks():
    x, weight = np.ones((1, 3, 3, 2)), np.ones((2, 2, 2, 1))
    labels = np.zeros((1, 3, 3), int)
    for name, arguments in (("conv2d_backward", (np.ones((1, 2, 2, 1)), x, weight)),
                            ("softmax_cross_entropy", (x, labels))):
        public = minifcn.trace(getattr(minifcn.ops, name), *arguments)
        plain = minifcn.trace(getattr(reference, name), *arguments)
        assert [(step.line, step.arithmetic) for step in public.steps] == \
            [(step.line, step.arithmetic) for step in plain.steps]
        assert public.returned[-1] == plain.returned[-1]


def test_a_step_has_its_line_reads_writes_and_arithmetic():
    trace = ones_convolution()
    step = next(step for step in trace.steps if len(step.reads) == 3)
    assert step.code == "y[n, i, j, f] += x[n, a, b, c] * weight[ki, kj, c, f]"
    assert step.reads == (("y", (0, 0, 0, 0), 3.5), ("x", (0, 0, 0, 0), 1.0),
                          ("weight", (0, 0, 0, 0), 0.5))
    assert step.writes == (("y", (0, 0, 0, 0), 4.0),)
    assert step.before == (("y", (0, 0, 0, 0), 3.5),)
    assert step.arithmetic == \
        "y[0,0,0,0] += x[0,0,0,0] * weight[0,0,0,0]  ->  3.5 + 1 · 0.5 = 4"
    assert step.locals["i"] == 0 and step.locals["c"] == 0
    assert step.tests == ("0 <= 0 < 3 and 0 <= 0 < 3 is true",)
    lines = Path(reference.conv2d.__file__).read_text(encoding="utf-8").split("\n")
    assert all(step.code == lines[step.line - 1].strip() for step in trace.steps)


def test_local_numbers_and_tests_are_part_of_it():
    trace = minifcn.trace(reference.conv2d_forward, np.ones((1, 2, 2, 1)), np.ones((1, 1, 1, 1)),
                          np.zeros(1), 1, 1)
    corner = next(step for step in trace.steps if step.code.startswith("a, b ="))
    assert corner.writes == (("a", (), -1), ("b", (), -1))
    assert corner.arithmetic.endswith("(0 · 1 - 1 + 0, 0 · 1 - 1 + 0) = (-1, -1)")
    following = trace.steps[trace.steps.index(corner) + 1]
    assert following.tests == ("0 <= -1 < 2 is false",) or "y[" in following.code
    assert any("0 <= 0 < 2 and 0 <= 0 < 2 is true" in step.tests for step in trace.steps)


def test_the_function_its_globals_and_arguments_stay_as_they_are():
    code, names = writes_everywhere.__code__, dict(writes_everywhere.__globals__)
    x = np.arange(3.0)
    trace = minifcn.trace(writes_everywhere, x)
    assert trace.result == 12 and x.tolist() == [0, 1, 2] and WEIGHTS.tolist() == [1, 2, 3]
    assert writes_everywhere.__code__ is code
    assert all(writes_everywhere.__globals__[name] is value for name, value in names.items())
    assert np.zeros is names["np"].zeros


WEIGHTS = np.array([1.0, 2.0, 3.0])


def writes_everywhere(x):
    total = 0
    for k in range(3):
        x[k] += 1
        WEIGHTS[k] *= 2
        total += WEIGHTS[k] * x[k] / 2
    return total - 2


def test_functions_inside_functions_share_their_arrays():
    def outer(x):
        y = np.empty(len(x))

        def put(k, value):
            y[k] = value

        for k in range(len(x)):
            put(k, 2 * x[k])
        return y

    trace = check(minifcn.trace(outer, np.arange(3.0)), np.array([0.0, 2.0, 4.0]))
    assert list(trace.arrays) == ["x", "y"]


def test_whole_array_statements_are_one_step():
    def scaled(x):
        y = x * 2 + x[0]
        y[1:] = 0
        np.add(y, x, out=y)
        return y

    x = np.arange(6.0).reshape(3, 2)
    trace = check(minifcn.trace(scaled, x), scaled(x))
    assert [step.code for step in trace.steps] == ["y = x * 2 + x[0]", "y[1:] = 0",
                                                   "np.add(y, x, out=y)"]


def test_each_array_of_a_loop_is_the_next_value_of_one():
    def windows(x):
        largest = np.empty(len(x) - 1)
        for k in range(len(x) - 1):
            window = x[k:k + 2] * 1
            largest[k] = window.max()
        return largest

    x = np.array([1.0, 5.0, 2.0, 3.0])
    trace = check(minifcn.trace(windows, x), np.array([5.0, 5.0, 3.0]))
    assert list(trace.arrays) == ["x", "largest", "window"]


def test_a_compiled_function_runs_as_plain_python():
    trace = minifcn.trace(reference.linear._forward, np.ones((1, 2)), np.ones((2, 1)), np.ones(1),
                          np.zeros((1, 1)))
    assert trace.arrays["y"] == 3
    assert trace.steps[-1].arithmetic == "y[0,0] += x[0,1] * weight[1,0]  ->  2 + 1 · 1 = 3"


def test_a_function_that_raises_is_shown_up_to_there():
    def beyond(x):
        y = np.zeros(2)
        for i in range(3):
            y[i] = x[i]
        return y

    trace = minifcn.trace(beyond, np.arange(3.0))
    assert isinstance(trace.error, IndexError) and trace.result is None
    assert trace.line == trace.steps[-1].line and trace.steps[-1].writes == (("y", (1,), 1.0),)
    assert f"line {trace.line} raised IndexError" in repr(trace)


def test_nan_is_shown_as_such():
    trace = minifcn.trace(reference.relu_forward, np.array([np.nan, -1.0]))
    assert trace.steps[0].arithmetic.endswith("nan = nan")


# ---------------------------------------------------------------------------------------------
# What cannot be traced is said in a sentence
# ---------------------------------------------------------------------------------------------


def endless(x):
    while True:
        x[0] += 1


def no_arrays(a, b):
    return a + b


def yields(x):
    yield x[0]


@pytest.mark.parametrize(("function", "arguments", "message"), [
    (np.sin, (np.ones(3),), "not written in Python"),
    (lambda x: x[0], (np.ones(3),), "write the function with def"),
    (no_arrays, (1, 2), "nothing to step through"),
    (yields, (np.ones(3),), "one by one"),
    (endless, (np.ones(3),), r"20,000 steps at line \d+"),
    (reference.relu_forward, (np.ones((80, 80)),), r"x has shape \(80, 80\).*at most 5,000"),
    (minifcn.ops.relu_forward, (3,), "x"),
])
def test_what_cannot_be_shown_is_said(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        minifcn.trace(function, *arguments)


def test_wrong_arguments_are_a_type_error_of_the_function():
    with pytest.raises(TypeError, match="no_arrays: missing a required argument: 'b'"):
        minifcn.trace(no_arrays, 1)


# ---------------------------------------------------------------------------------------------
# The page
# ---------------------------------------------------------------------------------------------


def test_it_shows_itself_to_every_front_end(tmp_path):
    trace = ones_convolution()
    bundle = trace._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "y[0,0,0,0] = bias[0]  ->  3.5\n" in bundle["text/plain"]
    html = bundle["text/html"]
    assert bundle["image/png"] in html and 'alt="Stepper of conv2d_forward' in html
    assert html == trace._repr_html_() == ones_convolution()._repr_html_(), "the same bits again"
    assert " id=" not in html and "http" not in html and "url(" not in html
    path = trace.save(tmp_path / "step.html")
    assert html in path.read_text(encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        trace.save(tmp_path / "nowhere" / "step.html")


def test_the_page_is_small():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((1, 6, 7, 2)), rng.standard_normal((3, 3, 2, 3))
    trace = minifcn.trace(reference.conv2d_forward, x, weight, np.zeros(3), 1, 1)
    assert len(trace._repr_html_().encode()) < 300_000


def test_text_of_the_source_cannot_end_the_script():
    def hostile(x):
        y = np.zeros(1)
        y["</script><!--" == ""] = x[0]
        return y

    html = minifcn.trace(hostile, np.ones(1))._repr_html_()
    assert html.count("</script>") == 2 and "<!--" not in html


def test_viewer_files_are_in_the_package():
    declared = configparser.ConfigParser()
    declared.read(Path(minifcn.__file__).parent.parent / "setup.cfg")
    patterns = declared["options.package_data"]["minifcn.teaching"].split()
    files = [path for path in (Path(page.__file__).parent / "viewer").iterdir() if path.is_file()]
    assert {"stepper.js", "stepper.html", "stepper.css", "style.css"} <= {f.name for f in files}
    assert all(any(path.match(f"teaching/{pattern}") for pattern in patterns) for path in files)
    scripts = sum(len(path.read_text(encoding="utf-8").splitlines())
                  for path in files if path.suffix == ".js")
    assert scripts <= 600


def test_the_command_makes_a_page(tmp_path, capsys):
    out = tmp_path / "step.html"
    for name in FUNCTIONS:
        assert main(["step", name, "--out", str(out)]) == 0
        assert name in out.read_text(encoding="utf-8")
    assert main(["step", "conv2d_backward", "--shape", "1x4x5x2", "--stride", "2", "--quiet",
                 "--out", str(out)]) == 0
    mine = tmp_path / "mine.py"
    mine.write_text("def relu_forward(x):\n    x[0, 9] = 1\n")
    capsys.readouterr()
    assert main(["step", f"{mine}:relu_forward", "--out", str(out)]) == 2
    assert "out of bounds" in capsys.readouterr().err
    for wrong, message in (("conv2d", "there is no operation 'conv2d'"),
                           ("relu_forward --shape 4x5", "2 axes"),
                           ("relu_forward --shape 4xx5", "like 1x4x5x2"),
                           ("relu_forward --stride 2", "takes no --stride"),
                           ("conv2d_forward --kernel 9", "does not fit"),
                           ("conv2d_forward --stride 0", "at least 1"),
                           ("missing.py:relu_forward", "no such file"),
                           (f"{mine}:relu_backward", "has no function")):
        assert main(["step", *wrong.split(), "--out", str(out)]) == 2
        assert message in capsys.readouterr().err

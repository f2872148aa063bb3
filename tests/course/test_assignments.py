"""The four assignments: the solution earns every point, a stub none, a mistake is named."""
from pathlib import Path

import numpy as np
import pytest

from minifcn.course import athome, building
from minifcn.course.parts import NAMES, Words, assignment

jupytext = pytest.importorskip("jupytext")
FOLDER = Path(__file__).parents[2] / "tutorials/assignments"
SEED = 20261124


def cells(name, *kinds, stubs=False):
    """The code of an assignment, cell by cell."""
    book = building.instructors(FOLDER / f"{name}.py", assignment(name))
    for cell in (building.students(book) if stubs else book)["cells"]:
        if cell["metadata"].get("minifcn") in kinds:
            yield cell["source"]


def namespace_of(name, stubs=False):
    namespace = {}
    for source in cells(name, "given", "solution", stubs=stubs):
        exec(source, namespace)
    return namespace


def results(name, namespace, only=None, seed=None):
    """The results of an assignment's parts, judged in this process."""
    homework = assignment(name)
    for part in homework.parts:
        if isinstance(part, Words) or (only and part.name != only):
            continue
        yield from athome._judged(part, namespace, None)[0]
        if seed is not None and part.hidden:
            yield from athome._judged(part, namespace, seed)[0]


@pytest.mark.parametrize("name", NAMES)
def test_points_add_up_to_a_hundred_and_a_fifth_or_less_is_marked_by_hand(name):
    homework = assignment(name)
    by_hand = [part for part in homework.parts if isinstance(part, Words)]
    assert homework.points == 100
    assert len(by_hand) == 2 and sum(part.points for part in by_hand) <= 20


@pytest.mark.parametrize("name", NAMES)
def test_points_in_the_text_are_those_of_the_declaration(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    table = [line.split("|")[3].strip() for line in text.splitlines() if line.startswith("# | ")]
    points = [int(each.strip("*")) for each in table if each.strip("*").isdigit()]
    assert points[-1] == sum(points[:-1]) == assignment(name).points


@pytest.mark.parametrize("name", NAMES)
def test_mark_scheme_names_every_question_and_its_points(name):
    text = (FOLDER / f"{name}_marks.md").read_text(encoding="utf-8")
    for part in assignment(name).parts:
        if isinstance(part, Words):
            assert f"`{part.name}` ({part.points:g} points)" in text


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_earns_every_point(name):
    lost = [each for each in results(name, namespace_of(name), seed=SEED)
            if each.score != each.out_of]
    assert not lost


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_earns_nothing(name):
    won = [each for each in results(name, namespace_of(name, stubs=True), seed=SEED) if each.score]
    assert not won


@pytest.mark.parametrize("name", NAMES)
def test_each_solution_works_without_the_others(name):
    """What is judged with all other answers still to be written keeps its points."""
    whole = namespace_of(name)
    answered = [source for source in cells(name, "solution")]
    for source in answered:
        alone = namespace_of(name, stubs=True)
        exec(source, alone)
        mine = {key for key in alone if callable(alone[key]) and key in whole
                and f"def {key}(" in source}
        for part in assignment(name).parts:
            if part.functions and set(part.functions) <= mine:
                judged = results(name, alone, part.name)
                assert all(each.score == each.out_of for each in judged), part.name


# -- mistakes that the judges of this course name --------------------------------------------------

MISTAKES = {
    ("hw1", "output-size", "off_by_one"):
        "def output_size(e, k, stride=1, padding=0, dilation=1):\n"
        "    return (e + 2 * padding - dilation * (k - 1)) // stride + 1",
    ("hw1", "output-size", "wrong_window"):
        "def output_size(e, k, stride=1, padding=0, dilation=1):\n"
        "    return (e + 2 * padding - dilation * k) // stride + 1",
    ("hw1", "dilation", "dilation_ignored"):
        "right = conv2d_forward\n"
        "def conv2d_forward(x, weight, bias, stride=1, padding=0, dilation=1):\n"
        "    return right(x, weight, bias, stride, padding)",
    ("hw1", "numerical-gradient", "one_sided"):
        "def numerical_gradient(forward, x, dy, step=1e-5):\n"
        "    g = np.zeros(x.shape)\n"
        "    for i in np.ndindex(x.shape):\n"
        "        z = x.copy(); z[i] += step\n"
        "        g[i] = (dy * (forward(z) - forward(x))).sum() / step\n"
        "    return g",
    ("hw1", "numerical-gradient", "dy_ignored"):
        "right = numerical_gradient\n"
        "def numerical_gradient(forward, x, dy, step=1e-5):\n"
        "    return right(forward, x, np.ones_like(dy), step)",
    ("hw1", "numerical-gradient", "mutates_input"):
        "def numerical_gradient(forward, x, dy, step=1e-5):\n"
        "    g = np.zeros(x.shape)\n"
        "    for i in np.ndindex(x.shape):\n"
        "        x[i] += step; up = (dy * forward(x)).sum()\n"
        "        x[i] -= 2 * step; down = (dy * forward(x)).sum()\n"
        "        g[i] = (up - down) / (2 * step)\n"
        "    return g",
    ("hw1", "gradient-check", "not_caught"):
        "def gradient_check(forward, backward, inputs, slopes):\n"
        "    return True",
    ("hw1", "gradient-check", "false_alarm"):
        "def gradient_check(forward, backward, inputs, slopes):\n"
        "    dy = np.random.default_rng(0).normal(size=np.shape(forward(*inputs)))\n"
        "    for k, g in enumerate(backward(dy, *inputs)):\n"
        "        one = lambda z: forward(*inputs[:k], z, *inputs[k + 1:])\n"
        "        if not np.shape(g) == inputs[k].shape: return False\n"
        "        if not np.abs(g - slopes(one, inputs[k], dy)).max() < 1e-7: return False\n"
        "    return True",
    ("hw2", "leaky-relu", "leaky"):
        "def leaky_relu_forward(x, slope):\n    return np.maximum(x, 0)",
    ("hw2", "leaky-relu", "relu_mask"):
        "def leaky_relu_backward(dy, y, slope):\n    return np.where(y >= 0, dy, slope * dy)",
    ("hw2", "log-softmax", "unstable"):
        "def log_softmax(s):\n"
        "    with np.errstate(all='ignore'):\n"
        "        return np.log(np.exp(s) / np.exp(s).sum(-1, keepdims=True))",
    ("hw2", "log-softmax", "softmax_axis"):
        "def log_softmax(s):\n"
        "    s = s - s.max()\n"
        "    return s - np.log(np.exp(s).sum())",
    ("hw2", "class-weights", "class_weights_not_normalised"):
        "right = softmax_cross_entropy\n"
        "def softmax_cross_entropy(s, t, ignore=255, reduction='mean', class_weights=None, "
        "smoothing=0.0):\n"
        "    loss, d = right(s, t, ignore, 'sum', class_weights, smoothing)\n"
        "    by = {'mean': (t != ignore).sum(), 'sum': 1, 'sum_per_image': len(s)}[reduction]\n"
        "    return loss / by, d / by",
    ("hw2", "class-weights", "class_weights_ignored"):
        "right = softmax_cross_entropy\n"
        "def softmax_cross_entropy(s, t, ignore=255, reduction='mean', class_weights=None, "
        "smoothing=0.0):\n"
        "    return right(s, t, ignore, reduction, None, smoothing)",
    ("hw2", "smoothing", "smoothing_ignored"):
        "right = softmax_cross_entropy\n"
        "def softmax_cross_entropy(s, t, ignore=255, reduction='mean', class_weights=None, "
        "smoothing=0.0):\n"
        "    return right(s, t, ignore, reduction, class_weights)",
    ("hw2", "smoothing", "smoothing_shared"):
        "right = softmax_cross_entropy\n"
        "def softmax_cross_entropy(s, t, ignore=255, reduction='mean', class_weights=None, "
        "smoothing=0.0):\n"
        "    f = s.shape[-1]\n"
        "    return right(s, t, ignore, reduction, class_weights, smoothing * f / (f - 1))",
    ("hw3", "extra", "extra_zeros"):
        "right = conv_transpose2d_forward\n"
        "def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0, extra=0):\n"
        "    y = right(x, weight, None, stride, padding)\n"
        "    y = np.pad(y, ((0, 0), (0, extra), (0, extra), (0, 0)))\n"
        "    return y if bias is None else y + bias",
    ("hw3", "extra", "extra_ignored"):
        "right = conv_transpose2d_forward\n"
        "def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0, extra=0):\n"
        "    return right(x, weight, bias, stride, padding)",
    ("hw3", "bilinear-weight", "channels_mixed"):
        "right = bilinear_weight\n"
        "def bilinear_weight(factor, classes):\n"
        "    k = right(factor, 1)\n"
        "    return np.broadcast_to(k, (*k.shape[:2], classes, classes)).copy()",
    ("hw3", "bilinear-weight", "wrong_kernel"):
        "def bilinear_weight(factor, classes):\n"
        "    k = 2 * factor - factor % 2\n"
        "    t = 1 - abs(np.arange(k) - (factor - 1)) / factor\n"
        "    return np.outer(t, t)[:, :, None, None] * np.eye(classes)",
    ("hw3", "place", "dilation_ignored"):
        "right = place\n"
        "def place(layers, size):\n"
        "    return right([(*e[:4], 1) if e[0] == 'conv' else e for e in layers], size)",
    ("hw3", "crop-offset", "sign"):
        "right = crop_offset\n"
        "def crop_offset(fine, coarse):\n    return -right(fine, coarse)",
    ("hw3", "crop-offset", "not_refused"):
        "def crop_offset(fine, coarse):\n    return int((coarse[2] - fine[2]) / fine[1])",
    ("hw3", "crop", "centred"):
        "def crop_forward(x, rows, columns, height, width):\n"
        "    a, b = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2\n"
        "    return x[:, a:a + height, b:b + width]",
    ("hw4", "fc-to-conv", "axes_swapped"):
        "def fc_to_conv(weight, rows, columns, order='hwc'):\n"
        "    return weight.reshape(rows, columns, -1, weight.shape[1])",
    ("hw4", "fcn-forward", "centred"):
        "def cut(x, size):\n"
        "    a, b = (x.shape[1] - size[0]) // 2, (x.shape[2] - size[1]) // 2\n"
        "    return x[:, a:a + size[0], b:b + size[1]]\n"
        "def fcn_forward(maps, parameters, stride, size):\n"
        "    names, y = ['fc7', 'pool4', 'pool3', 'pool2'], None\n"
        "    for at, name in zip((32, 16, 8, 4), names):\n"
        "        layer = 'score_fr' if name == 'fc7' else 'score_' + name\n"
        "        own = maps[name] @ parameters[layer + '.weight'][0, 0]\n"
        "        own = own + parameters[layer + '.bias']\n"
        "        y = own if y is None else own + cut(upsample_forward(y, 2), own.shape[1:3])\n"
        "        if at == stride:\n"
        "            return cut(upsample_forward(y, at), size)",
    ("hw4", "fcn-backward", "skip_only"):
        "right = fcn_backward\n"
        "def fcn_backward(dscores, maps, parameters, stride):\n"
        "    dmaps, gradients = right(dscores, maps, parameters, stride)\n"
        "    last = {32: 'fc7', 16: 'pool4', 8: 'pool3', 4: 'pool2'}[stride]\n"
        "    ours = 'score_fr' if last == 'fc7' else 'score_' + last\n"
        "    return ({k: v * (k == last) for k, v in dmaps.items()},\n"
        "            {k: v * k.startswith(ours) for k, v in gradients.items()})",
    ("hw4", "sgd-step", "bias_rate"):
        "def sgd_step(p, g, v, rate, momentum, decay):\n"
        "    p, v = dict(p), dict(v)\n"
        "    for k in g:\n"
        "        d = 0 if k.endswith('.bias') else decay\n"
        "        v[k] = momentum * v.get(k, 0) + rate * (g[k] + d * p[k])\n"
        "        p[k] = p[k] - v[k]\n"
        "    return p, v",
    ("hw4", "twenty-steps", "training"):
        "right = sgd_step\n"
        "def sgd_step(p, g, v, rate, momentum, decay):\n"
        "    return right(p, g, {}, rate, momentum, decay)",
    ("hw4", "mean-iu", "absent_class"):
        "right = mean_iu\n"
        "def mean_iu(labels, predictions, classes, ignore=255):\n"
        "    here = set(labels[labels != ignore]) | set(predictions[labels != ignore])\n"
        "    return right(labels, predictions, classes, ignore) * len(here) / classes",
    ("hw4", "mean-iu", "mean_over_images"):
        "right = mean_iu\n"
        "def mean_iu(labels, predictions, classes, ignore=255):\n"
        "    return np.mean([right(a[None], b[None], classes, ignore)\n"
        "                    for a, b in zip(labels, predictions)])",
}


@pytest.mark.parametrize(("name", "part", "cause"), MISTAKES)
def test_a_mistake_loses_points_and_is_named(name, part, cause):
    namespace = namespace_of(name)
    exec(MISTAKES[name, part, cause], namespace)
    (result,) = results(name, namespace, part)
    assert result.score < result.out_of
    assert result.cause == cause, result.message


def test_the_same_answer_to_every_layer_earns_nothing_in_the_gradient_check():
    for answer in (True, False):
        namespace = {"gradient_check": lambda *arguments, answer=answer: answer}
        (result,) = results("hw1", namespace, "gradient-check")
        assert result.score == 0


def test_a_mistake_in_one_function_leaves_the_others_their_share_of_twenty_steps():
    namespace = namespace_of("hw4")
    namespace["fcn_forward"] = lambda *arguments: np.zeros((2, 3))
    (result,) = results("hw4", namespace, "twenty-steps")
    assert result.score == pytest.approx(4)


@pytest.mark.slow
@pytest.mark.parametrize("stubs", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_things_to_try_run_before_and_after_the_work(name, stubs, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace = {}
    for source in cells(name, "given", "solution", "try", stubs=stubs):
        exec(source.replace("STEPS, RATE = 150", "STEPS, RATE = 3"), namespace)

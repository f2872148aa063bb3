"""Homework 4: an FCN put together from a trunk's maps, its gradients, a step, the mean IU."""

from __future__ import annotations

import numpy as np

from minifcn.course.comparing import compared
from minifcn.course.parts import Assignment, Failed, Judged, Verdict, Words, attempt

# how far the cells of a map lie apart -> its score layer, and its name
LEVELS = {
    32: ("score_fr", "fc7"),
    16: ("score_pool4", "pool4"),
    8: ("score_pool3", "pool3"),
    4: ("score_pool2", "pool2"),
}


def start_of_crop(larger, smaller, at):
    return {"first": 0, "centre": (larger - smaller) // 2, "last": larger - smaller}[at]


def cut(x, size, at="first"):
    rows, columns = (start_of_crop(*pair, at) for pair in zip(x.shape[1:3], size))
    return x[:, rows : rows + size[0], columns : columns + size[1]]


def paste(dy, size, at="first"):
    dx = np.zeros((len(dy), *size, dy.shape[3]), dy.dtype)
    cut(dx, dy.shape[1:3], at)[...] = dy
    return dx


def fcn_forward(maps, parameters, stride, size, crop="first", skip=1.0, bias=1.0):
    """From the finest level to the coarsest and back; the last three make mistakes."""
    from minifcn import ops

    def up(x, factor):
        return ops.bilinear_upsample_forward(x, factor, 2 * factor, factor // 2)

    def scores_of(level):
        layer, name = LEVELS[level]
        own = ops.conv2d_forward(maps[name], parameters[f"{layer}.weight"],
                                 bias * parameters[f"{layer}.bias"])  # fmt: skip
        if level == 32:
            return own
        return skip * own + cut(up(scores_of(2 * level), 2), own.shape[1:3], crop)

    return cut(up(scores_of(stride), stride), size, crop).copy()


def fcn_backward(dscores, maps, parameters, stride, crop="first", share=1.0, mean=False):
    from minifcn import ops

    dmaps, gradients = {}, {}

    def back(dy, level, factor):
        layer, name = LEVELS[level]
        x, weight = maps[name], parameters[f"{layer}.weight"]
        shape = x.shape[:3] + dy.shape[3:]
        dy = paste(dy, [factor * extent for extent in shape[1:3]], crop)
        dy = ops.bilinear_upsample_backward(dy, factor, 2 * factor, factor // 2, shape)
        dmaps[name], dweight, dbias = ops.conv2d_backward(dy, x, weight)
        pixels = np.prod(shape[:3]) if mean else 1
        gradients.update({f"{layer}.weight": dweight / pixels, f"{layer}.bias": dbias / pixels})
        if level < 32:
            back(share * dy, 2 * level, 2)

    back(dscores, stride, stride)
    return dmaps, gradients


def sgd_step(parameters, gradients, velocities, rate, momentum, decay, **options):
    """With the package's own optimizer."""
    from minifcn.training.optimizers import SGD

    moving = {name: parameters[name].copy() for name in gradients}
    optimizer = SGD(moving, rate, momentum, decay, **options)
    for name in gradients:
        optimizer.velocity[name][...] = velocities.get(name, 0)
    optimizer.step(gradients)
    return {**parameters, **moving}, {**velocities, **optimizer.velocity}


def mean_iu(labels, predictions, classes, ignore=255):
    from minifcn.training.metrics import Metrics, confusion_matrix

    predictions = np.where(labels == ignore, 0, predictions)
    return Metrics.from_confusion(confusion_matrix(labels, predictions, classes, ignore)).mean_iu


# -- judges ---------------------------------------------------------------------------------------


def tiny(rng, size=None, classes=None):
    """Maps and parameters of a tiny network, for an image of odd size unless one is given."""
    size = size or tuple(int(v) for v in rng.integers((33, 65), (64, 96)))
    classes = classes or int(rng.integers(2, 5))
    maps, parameters = {}, {}
    for (level, (layer, name)), c in zip(LEVELS.items(), rng.permutation((2, 3, 4, 5))):
        maps[name] = rng.standard_normal((2, *(-(-extent // level) for extent in size), c))
        parameters[f"{layer}.weight"] = rng.standard_normal((1, 1, c, classes))
        parameters[f"{layer}.bias"] = rng.standard_normal(classes)
    return maps, parameters, size


def judge_fc_to_conv(ask, rng):
    rows, columns, c, f = (int(v) for v in rng.permutation((2, 3, 4, 5)))
    kernel = rng.standard_normal((rows, columns, c, f))
    flat = {"hwc": kernel.reshape(-1, f), "chw": np.moveaxis(kernel, 2, 0).reshape(-1, f)}

    def one(order):
        got = ask("fc_to_conv", flat[order], rows, columns, order)
        other = {"hwc": "chw", "chw": "hwc"}[order]
        as_chw = np.moveaxis(flat[order].reshape(c, rows, columns, f), 0, 2)
        as_hwc = flat[order].reshape(rows, columns, c, f)
        return compared(got, kernel, f'the kernel of order "{order}"', (
            ("axes_swapped", f'is read in the order "{other}"',
             as_chw if order == "hwc" else as_hwc),
            ("axes_swapped", "has its rows and columns exchanged",
             flat[order].reshape(columns, rows, c, f).swapaxes(0, 1)),
            ("axes_swapped", "is read as channels, columns, rows",
             np.moveaxis(flat[order].reshape(c, columns, rows, f), 0, 2).swapaxes(0, 1)),
            ("transposed_memory", "has the right shape, and the numbers in the order of memory",
             as_hwc)))  # fmt: skip

    return [attempt(lambda o=o: one(o)) for o in ("hwc", "chw")]


def _judge_forward(strides):
    def judge(ask, rng):
        def one(stride, size):
            maps, parameters, size = tiny(rng, size)
            got = ask("fcn_forward", maps, parameters, stride, size)

            def changed(**change):
                return lambda: fcn_forward(maps, parameters, stride, size, **change)

            return compared(got, fcn_forward(maps, parameters, stride, size),
                            f"scores of FCN-{stride}s for {size[0]} x {size[1]} pixels", (
                ("centred", "are cropped in the middle", changed(crop="centre")),
                ("wrong_crop", "lack their first rows and columns, not the last",
                 changed(crop="last")),
                ("skip_missing", "are without the skips", changed(skip=0.0)),
                ("bias_missing", "are without the biases", changed(bias=0.0)),
                ("mean_for_sum", "are half the sum where one is added",
                 lambda: fcn_forward(maps, parameters, stride, size) / 2),
                ("wrong_stride", "are those of FCN-32s",
                 lambda: fcn_forward(maps, parameters, 32, size))))  # fmt: skip

        return [attempt(lambda s=s, size=size: one(s, size))
                for s in strides for size in ((64, 96), None)]  # fmt: skip

    return judge


def _judge_backward(strides):
    def judge(ask, rng):
        def both(stride):
            """Two verdicts: dmaps, gradients."""
            maps, parameters, size = tiny(rng)
            dscores = rng.standard_normal((2, *size, len(parameters["score_fr.bias"])))
            right = fcn_backward(dscores, maps, parameters, stride)
            try:
                got = ask("fcn_backward", dscores, maps, parameters, stride)
                if not isinstance(got, (tuple, list)) or len(got) != 2:
                    raise Failed("fcn_backward does not return dmaps, gradients", "wrong_shape")
            except Failed as error:
                return [Verdict(0, str(error), error.cause)] * 2

            def changed(which, **change):
                return lambda: fcn_backward(dscores, maps, parameters, stride, **change)[which]

            def one(which, name):
                name = f"{name} of FCN-{stride}s"
                if isinstance(got[which], dict) and (extra := set(got[which]) - set(right[which])):
                    words = f"{name} has {sorted(extra)[0]!r}, which this network does not use"
                    return Verdict(0, words, "too_much")
                return compared(got[which], right[which], name, (
                    ("centred", "go through a crop in the middle", changed(which, crop="centre")),
                    ("wrong_crop", "go to the last rows and columns, not to the first",
                     changed(which, crop="last")),
                    ("mean_for_sum", "are halved at each sum", changed(which, share=0.5)),
                    ("skip_only", "end at the first sum: nothing goes on to the coarser map",
                     changed(which, share=0.0)),
                    ("mean_for_sum", "are means over the pixels, not sums",
                     changed(which, mean=True)),
                    ("sign", "have the wrong sign", {k: -v for k, v in right[which].items()}),
                ))  # fmt: skip

            return [one(0, "dmaps"), one(1, "gradients")]

        return [verdict for stride in strides for verdict in both(stride)]

    return judge


def judge_4s(ask, rng):
    return _judge_forward((4,))(ask, rng) + _judge_backward((4,))(ask, rng)


def judge_sgd_step(ask, rng):
    shapes = {"a.weight": (2, 3), "a.bias": (3,), "b.weight": (1, 1, 2, 2), "b.bias": (2,)}
    parameters, gradients, velocities = (
        {name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(3)
    )
    rate, momentum, decay = (float(v) for v in rng.uniform((0.01, 0.5, 0.05), (0.1, 0.9, 0.2)))
    given = parameters, gradients, velocities
    numbers = rate, momentum, decay

    def one(what, given, names, which):
        got = ask("sgd_step", *given, *numbers)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Failed("sgd_step does not return parameters, velocities", "wrong_shape")

        def among(answer):
            return {name: answer[which][name] for name in names}

        def other(rate=rate, momentum=momentum, decay=decay, **options):
            return lambda: among(sgd_step(*given, rate, momentum, decay, **options))

        right, velocity = sgd_step(*given, *numbers)
        mine = dict(got[which]) if isinstance(got[which], dict) else got[which]
        before = {name: given[2].get(name, np.zeros(shapes[name])) for name in shapes}
        return compared(mine, among((right, velocity)), what, (
            ("momentum_ignored", "are those without momentum", other(momentum=0.0)),
            ("decay_ignored", "are those without decay", other(decay=0.0)),
            ("bias_rate", "are those of a bias that learns at the rate of a weight",
             other(bias_rate=1.0)),
            ("bias_decay", "are those of a bias that decays", other(bias_decay=1.0)),
            ("rate_outside", "are not multiplied by the rate yet",
             lambda: {n: momentum * before[n] + (velocity[n] - momentum * before[n]) / rate
                      for n in names}),
            ("sign", "go up the slope, not down",
             lambda: {n: 2 * parameters[n] - right[n] for n in names}),
            ("input_ignored", "are what they were before", lambda: among((given[0], before))),
        ))  # fmt: skip

    only = {name: gradients[name] for name in ("a.weight", "a.bias")}
    return [
        attempt(lambda: one("the weights", given, ("a.weight", "b.weight"), 0)),
        attempt(lambda: one("the biases", given, ("a.bias", "b.bias"), 0)),
        attempt(lambda: one("the velocities", given, tuple(shapes), 1)),
        attempt(lambda: one("parameters at a first step, without velocities",
                            (parameters, gradients, {}), tuple(shapes), 0)),
        attempt(lambda: one("parameters without a gradient", (parameters, only, velocities),
                            ("b.weight", "b.bias"), 0)),
    ]  # fmt: skip


def losses_of(steps, forward, backward, step, rng):
    """Twenty losses of a tiny FCN-8s, whose maps stay as they are."""
    import minifcn

    maps, parameters, size = tiny(rng, (37, 70), 3)
    parameters = {name: 0.1 * array for name, array in parameters.items()}
    labels = rng.integers(0, 3, (2, *size))
    labels[:, :5] = 255
    velocities, losses = {}, []
    for _ in range(steps):
        scores = np.asarray(forward(maps, parameters, 8, size))
        if scores.shape != (2, *size, 3):
            raise Failed(f"scores have the shape {scores.shape}", "wrong_shape")
        loss, dscores = minifcn.softmax_cross_entropy(scores.astype(float), labels)
        losses.append(loss)
        _, gradients = backward(dscores, maps, parameters, 8)
        parameters, velocities = step(parameters, gradients, velocities, 0.2, 0.9, 1e-3)
    return np.array(losses)


def judge_twenty_steps(ask, rng):
    seed = int(rng.integers(2**31))
    ours = {"fcn_forward": fcn_forward, "fcn_backward": fcn_backward, "sgd_step": sgd_step}
    right = losses_of(20, *ours.values(), np.random.default_rng(seed))

    def one(name):
        def theirs(*arguments):
            return ask(name, *arguments)

        try:
            got = losses_of(20, *{**ours, name: theirs}.values(), np.random.default_rng(seed))
        except (KeyError, TypeError, ValueError) as error:
            raise Failed(f"{name} returns what a training cannot go on with: {error}",
                         "wrong_shape") from None  # fmt: skip
        off = np.flatnonzero(abs(got - right) > 1e-6 * abs(right))
        if not len(off):
            return Verdict(1)
        k = int(off[0])
        return Verdict(0, f"with your {name}, the loss of step {k} is {got[k]:.6g}, right is "
                          f"{right[k]:.6g}", "training")  # fmt: skip

    return [attempt(lambda n=n: one(n)) for n in ours]


def judge_mean_iu(ask, rng):
    def case(ignored, absent, shape=(3, 4, 5)):
        classes = int(rng.integers(3, 5))
        labels = rng.integers(0, classes, shape)
        wrong = rng.random(labels.shape) < 0.4
        predictions = np.where(wrong, rng.integers(0, classes, labels.shape), labels)
        if ignored:
            labels[rng.random(labels.shape) < 0.3] = labels[0, 0, 0] = 255
        return labels, predictions, classes + absent

    def one(what, labels, predictions, classes, ignore=255):
        got = ask("mean_iu", labels, predictions, classes, ignore)
        seen = labels != ignore
        pairs = [(((labels == c) & (predictions == c) & seen).sum(),
                  ((labels == c) & seen).sum(), ((predictions == c) & seen).sum(),
                  (predictions == c).sum()) for c in range(classes)]  # fmt: skip
        right = mean_iu(labels, predictions, classes, ignore)
        ious = np.array([a / (t + p - a) if t + p else np.nan for a, t, p, _ in pairs])

        def by_image():
            return np.mean([mean_iu(labels[k : k + 1], predictions[k : k + 1], classes, ignore)
                            for k in range(len(labels))])  # fmt: skip

        return compared(got, right, f"mean IU {what}", (
            ("absent_class", "counts an absent class as 0", np.nan_to_num(ious).mean()),
            ("absent_class", "counts an absent class as 1", np.nan_to_num(ious, nan=1).mean()),
            ("absent_class", "is nan where a class is absent", np.nan),
            ("ignored_counted", "counts what ignored pixels are called",
             lambda: np.nanmean([a / (t + q - a) if t + q else np.nan for a, t, _, q in pairs])),
            ("mean_over_images", "is the mean of the images, not that of all pixels together",
             by_image),
            ("wrong_union", "divides by both counts added, without taking what they share away",
             lambda: np.nanmean([a / (t + p) if t + p else np.nan for a, t, p, _ in pairs])),
            ("wrong_union", "is the Dice coefficient",
             lambda: np.nanmean([2 * a / (t + p) if t + p else np.nan for a, t, p, _ in pairs])),
            ("wrong_union", "is the mean accuracy: it divides by the labels alone",
             lambda: np.nanmean([a / t if t else np.nan for a, t, _, _ in pairs])),
        ))  # fmt: skip

    def nothing_left():
        got = ask("mean_iu", np.full((1, 2, 2), 255), np.zeros((1, 2, 2), int), 3)
        right = isinstance(got, (float, np.floating, np.ndarray)) and np.isnan(got).all()
        words = "" if right else f"mean IU of no pixel is {got!r}, right is nan"
        return Verdict(float(right), words, None if right else "absent_class")

    def another_ignore():
        labels, predictions, classes = case(True, 0)
        return one("with another ignore value", np.where(labels == 255, -1, labels), predictions,
                   classes, -1)  # fmt: skip

    return [
        attempt(lambda: one("of three images", *case(False, 0))),
        attempt(lambda: one("with ignored pixels", *case(True, 0))),
        attempt(lambda: one("with a class that does not occur", *case(True, 1))),
        attempt(another_ignore),
        attempt(nothing_left),
    ]


def stand_ins(namespace):
    """For training: the functions of a notebook where they are right, else those above."""

    def ask(name, *arguments):
        try:
            return namespace[name](*arguments)
        except Exception as error:
            raise Failed(f"{type(error).__name__}: {error}") from error

    judges = {
        "fcn_forward": (_judge_forward((32, 16, 8)), fcn_forward),
        "fcn_backward": (_judge_backward((32, 16, 8)), fcn_backward),
        "sgd_step": (judge_sgd_step, sgd_step),
        "mean_iu": (judge_mean_iu, mean_iu),
    }
    chosen = {}
    for name, (judge, ours) in judges.items():
        right = all(verdict.share == 1 for verdict in judge(ask, np.random.default_rng(0)))
        chosen[name] = namespace[name] if right else ours
        print(f"{name}: {'yours' if right else 'not right yet, a reference version stands in'}")
    return chosen


FORWARD, BACKWARD = ("fcn_forward",), ("fcn_backward",)
ASSIGNMENT = Assignment(
    name="hw4",
    title="An FCN, put together",
    parts=(
        Judged("fc-to-conv", ("fc_to_conv",), 5, judge_fc_to_conv, hidden=3,
               page="tutorials/06_heat_map"),
        Judged("fcn-forward", FORWARD, 12, _judge_forward((32, 16, 8)), hidden=8,
               page="tutorials/07_fcn"),
        Judged("fcn-backward", BACKWARD, 14, _judge_backward((32, 16, 8)), hidden=10,
               page="tutorials/07_fcn"),
        Judged("fcn-4s", (*FORWARD, *BACKWARD), 4, judge_4s, hidden=2, page="tutorials/07_fcn"),
        Judged("sgd-step", ("sgd_step",), 5, judge_sgd_step, hidden=3,
               page="tutorials/09_training"),
        Judged("twenty-steps", (*FORWARD, *BACKWARD, "sgd_step"), 6, judge_twenty_steps,
               page="tutorials/09_training"),
        Judged("mean-iu", ("mean_iu",), 5, judge_mean_iu, hidden=3, page="tutorials/09_training"),
        Words("report", 10),
        Words("fc6-order", 10),
    ),
    pages={
        "axes_swapped": "docs/why/fc6-is-7x7",
        "centred": "docs/why/crop-offset",
        "wrong_crop": "docs/why/crop-offset",
        "absent_class": "docs/why/absent-classes",
        "ignored_counted": "docs/why/ignore-255",
    },
)  # fmt: skip

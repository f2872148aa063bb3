"""General causes: mistakes that any function can have, seen in the arrays alone.

Three kinds: the right answer, changed (its sign, a factor, its axes, a row left out); the right
answer to changed arguments (a weight read in another order, a row of x left out); and, for
functions that are no operation of the textbook, a few answers that do not need the right one. What
a mistake predicts is compared with what came back, as for the named mistakes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minifcn.gradcheck.cases import Operation, as_tuple, call, fresh
from minifcn.gradcheck.mistakes import divisor_of
from minifcn.gradcheck.report import axis_names
from minifcn.gradcheck.trials import Trial
from minifcn.ops import reference
from minifcn.ops.checks import pair

Prediction = np.ndarray | str | None  # an array, the name of an exception, or nothing to say


class Candidate(NamedTuple):
    """A mistake that may explain what came back. ``predict(trial, array's name)``."""

    cause: str
    sentence: str
    predict: Callable[[Trial, str], Prediction]
    edit: Callable[[], list[tuple[str, str]]] = list


PARTS = {"n": "image", "i": "row", "j": "column", "ki": "row", "kj": "column"}  # else channel
WORDS = {"ki": "kernel row", "kj": "kernel column", "f": "output channel", "class": "class"}


# -- the right answer, changed --------------------------------------------------------------------


def changed_answers(trial: Trial, name: str) -> list[Candidate]:
    """Candidates for one array; ``trial`` gives its number of axes, and what else there is."""
    right = trial.right[name]
    letters = axis_names(name, right.ndim)
    found: list[Candidate] = []

    def add(cause: str, sentence: str, change: Callable[[np.ndarray, Trial], Prediction]) -> None:
        def predict(trial, name):
            array = np.asarray(trial.right[name])
            return change(array, trial) if array.ndim == right.ndim else None

        found.append(Candidate(cause, sentence, predict))

    add("zero", "{array} is 0 everywhere", lambda a, t: np.zeros(a.shape))
    for other in trial.right:
        if other != name:
            add("results_swapped", f"{{array}} holds what belongs into {other}",
                lambda a, t, other=other: t.right[other])
    along = [((axis,), letter) for axis, letter in enumerate(letters)]
    if right.ndim == 4:
        both = (0, 1) if letters[0] == "ki" else (1, 2)
        along.append((both, " and ".join(letters[axis] for axis in both)))
    for axes, words in along:
        cause = "kernel_flipped" if letters[axes[0]] in ("ki", "kj") else "flipped"
        add(cause, f"{{array}} is flipped along {words}", lambda a, t, k=axes: np.flip(a, k))
    for order in _orders(right.ndim):
        cause = order_cause(trial.function, name, order)
        words = ", ".join(letters[k] for k in order)
        image = not name.startswith(("dw", "w")) and right.transpose(order).shape != right.shape
        add("wrong_shape" if image else cause,
            f"{{array}} has its axes in the order ({words}), not ({', '.join(letters)})",
            lambda a, t, order=order: a.transpose(order))
        if letters[0] == "ki":
            add(cause, f"{{array}} has its axes in the order ({words}), and the kernel flipped",
                lambda a, t, order=order: a[::-1, ::-1].transpose(order))
    for cause, words, change in misreadings(trial.function, name, letters):
        add(cause, f"{{array}} is {words}", lambda a, t, change=change: change(a))
    for axis, letter in enumerate(letters):
        for step, words in ((1, "up"), (-1, "down")):
            add("shifted", f"{{array}} is shifted {words} by one along {letter}, around the edge",
                lambda a, t, step=step, k=axis: np.roll(a, step, k))
    if right.ndim > 1:
        add("last_image_missing", "every image of {array} is that of the first",
            lambda a, t: np.broadcast_to(a[:1], a.shape))
    add("abs", "{array} is the absolute value of the right answer", lambda a, t: np.abs(a))
    add("wrong_shape", "{array} has the right values, but all in one axis: its shape is lost",
        lambda a, t: a.ravel() if a.ndim > 1 else None)
    add("wrong_shape", "{array} has the right values, but lost its axes of extent 1 (np.squeeze)",
        lambda a, t: a.squeeze() if 1 in a.shape else None)
    found += left_out(name, letters)
    add("transposed_memory", "{array} holds the right values in a wrong order: look at each "
        "reshape and transpose (a reshape never exchanges axes)",
        lambda a, t: t.got[name] if _same_values(a, t, name) else None)
    return found


def _same_values(right: np.ndarray, trial: Trial, name: str) -> bool:
    got = trial.got.get(name) if trial.answered else None
    if got is None or got.size != right.size or np.unique(right).size < 3:
        return False
    if right.dtype.kind != "f" or got.dtype.kind != "f" or not np.isfinite(got).all():
        return False
    a, b = np.sort(right, axis=None), np.sort(got, axis=None)
    return bool((np.abs(a - b) <= 1e-6 * np.abs(a).max()).all())


def _orders(axes: int) -> list[tuple[int, ...]]:
    """All orders of so many axes but the right one."""
    return list(itertools.permutations(range(axes)))[1:]


def misreadings(function: str, name: str, letters: tuple[str, ...]) -> Iterator[tuple]:
    """(cause, words, change): an array in one order of its axes, reshaped as if in another."""
    same = tuple(range(len(letters)))
    for written, read in itertools.product([same, *_orders(len(letters))], repeat=2):
        if written == read:
            continue
        orders = [", ".join(letters[k] for k in order) for order in (written, read)]
        moved = read if written == same else written
        yield (
            order_cause(function, name, moved) if same in (written, read) else "axes_swapped",
            f"laid out as ({orders[0]}) and reshaped as if it were ({orders[1]}), where a "
            "transpose is needed",
            lambda a, written=written, read=read: _reread(a, written, read),
        )


def _reread(array: np.ndarray, written: tuple[int, ...], read: tuple[int, ...]) -> np.ndarray:
    memory = array.transpose(written).reshape([array.shape[k] for k in read])
    return memory.transpose(np.argsort(read))


def order_cause(function: str, name: str, order: tuple[int, ...]) -> str:
    """The cause for axes in a wrong order."""
    if name.removeprefix("d") in ("weight", "w"):
        moved = {k for k, place in enumerate(order) if k != place}
        if len(order) == 2 or moved == {2, 3}:
            transposed = function.startswith("conv_transpose2d")
            return "in_out_exchanged" if transposed else "channel_axes_swapped"
        if moved <= {0, 1} or order == (1, 0, 3, 2):
            return "kernel_axes_swapped"
    return "axes_swapped"


def left_out(name: str, letters: tuple[str, ...]) -> list[Candidate]:
    """The last or first row, column, ... left at 0, or let through as it came in."""
    found = []
    if letters[1:3] == ("i", "j"):

        def without_corner(trial, name):
            result = np.array(trial.right[name], float)
            if result.ndim != 4 or result.shape[1:3] == (1, 1):
                return None
            result[:, -1, -1] = 0
            return result

        found.append(Candidate("loop_bound", "{array} is right but for the last row's last column, "
                               "which is left out: a loop over all places that ends one too early",
                               without_corner))
    for which, index in (("last", -1), ("first", 0)):
        places = [(letter,) for letter in letters]
        places += [both for both in (("i", "j"), ("ki", "kj")) if set(both) <= set(letters)]
        for place in places:
            part = PARTS.get(place[0], "channel")
            words = " and ".join(map(word, place))

            def predict(trial, name, place=place, index=index, source=None):
                result = np.array(trial.right[name], float)
                axes = axis_names(name, result.ndim)
                if not set(place) <= set(axes):
                    return None
                for axis in map(axes.index, place):
                    place = (slice(None),) * axis + (index,)
                    result[place] = 0 if source is None else source(trial)[place]
                return result

            def through(trial, name, predict=predict):
                source = trial.arguments.get("dy", trial.arguments.get("x"))
                if source is None or source.shape != trial.right[name].shape:
                    return None
                return predict(trial, name, source=lambda t: source)

            cause = f"{which}_{part}_missing"
            found.append(Candidate(cause, f"{{array}} is right but for the {which} {words}, which "
                                   "is left out", predict))
            found.append(Candidate(cause, f"{{array}} is right but for the {which} {words}, which "
                                   "is passed through unchanged", through))
    return found


def word(letter: str) -> str:
    """What an index counts."""
    return WORDS.get(letter, PARTS.get(letter, "channel"))


def multiplied(
    first: Trial, factor: float, powers: tuple[float, ...] = (-1, 1, -0.5, 0.5, -2, 2)
) -> Iterator[Candidate]:
    """A mean where a sum is right, the reverse, and other numbers that one multiplies by.

    ``factor`` is what the first trial is off by; an extent, or a product of some, may be that.
    """
    known = extents(first)
    for count, power in itertools.product(range(1, 5), powers):
        for some in itertools.combinations(known, count):
            product = math.prod(known[each] for each in some)
            if not product or not math.isclose(product**power, factor, rel_tol=1e-6):
                continue

            def predict(trial, name, some=some, power=power):
                numbers = extents(trial)
                if not set(some) <= set(numbers):
                    return None
                return trial.right[name] * float(math.prod(numbers[s] for s in some)) ** power

            is_count = abs(power) == 1 and not set(some) & set(OPTIONS)
            is_count = is_count and not any("kernel" in each for each in some)
            mean = ("mean_for_sum", ": a mean where a sum is right")
            total = ("sum_for_mean", ": a sum where a mean is right")
            cause, rest = (mean if power < 0 else total) if is_count else ("constant_factor", "")
            words = " x ".join(f"the {each}" for each in some)
            if abs(power) != 1:
                words = f"the square {'root ' if abs(power) < 1 else ''}of {words}"
            verb = "divided by" if power < 0 else "times"
            yield Candidate(cause, f"{{array}} is the right answer {verb} {words}{rest}", predict)


OPTIONS = ("stride", "factor", "size")


def extents(trial: Trial) -> dict[str, int]:
    """Numbers that one divides by, or forgets to: extents of the arguments, and options."""
    found: dict[str, int] = {}
    for name in ("dy", "x", "scores", "weight"):
        array = trial.arguments.get(name, trial.given.get(name))
        if isinstance(array, np.ndarray) and array.ndim > 1:
            for letter, extent in zip(axis_names(name, array.ndim), array.shape):
                alone = letter in ("n", "ki", "kj")
                found[f"{word(letter)}s" if alone else f"{word(letter)}s of {name}"] = extent
    return found | {name: trial.given[name] for name in OPTIONS
                    if isinstance(trial.given.get(name), int)}


def sign() -> Candidate:
    return Candidate("sign", "{array} is minus the right answer", lambda t, n: -1.0 * t.right[n])


def constant(factor: float) -> list[Candidate]:
    """A factor that is the same in all trials."""
    if not factor:
        return []
    return [
        Candidate("constant_factor", f"{{array}} is {factor:.6g} times the right answer",
                  lambda t, n: factor * t.right[n])
    ]


# -- the right answer to changed arguments --------------------------------------------------------


def changed_arguments(operation: Operation, trial: Trial) -> Iterator[Candidate]:
    """A function of the textbook called with arguments that someone misread."""
    function, outputs = getattr(reference, trial.function), tuple(trial.right)

    def candidate(cause: str, sentence: str, change: Callable[[Trial], Any]) -> Candidate:
        def predict(trial, name):
            arguments = change(trial)
            if arguments is None:
                return None
            return dict(zip(outputs, as_tuple(call(function, fresh(arguments)))))[name]

        return Candidate(cause, sentence, predict)

    if operation.name == "softmax_cross_entropy":
        yield from _pixels_left_out(candidate)
        return
    for array, value in trial.arguments.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fi" or array == "y":
            continue
        letters = axis_names(array, value.ndim)
        for cause, words, change in misreadings(trial.function, array, letters):
            yield candidate(cause, f"{{array}} comes out as if {array} were {words}",
                            _with(array, value.ndim, change))
        if array == "weight" and value.ndim == 4:
            for order in _orders(4):
                words = ", ".join(letters[k] for k in order)
                yield candidate(order_cause(trial.function, array, order), "{array} comes out as "
                                f"if the weight were flipped and transposed to ({words})",
                                _with(array, 4, lambda w, order=order:
                                      w[::-1, ::-1].transpose(order)))
        for axis, letter in enumerate(letters):
            yield candidate("image_ignored" if letter == "n" else "index_fixed", "{array} comes "
                            f"out as if every {word(letter)} of {array} were the first",
                            _with(array, value.ndim, lambda a, k=axis:
                                  np.take(a, np.zeros(a.shape[k], int), k)))
        for kind in ("float16", "float32"):
            yield candidate("wrong_dtype", f"{{array}} comes out as if {array} were rounded to "
                            f"{kind}", _with(array, value.ndim, lambda a, kind=kind:
                                             a.astype(kind).astype(a.dtype)))
        for part in left_out(array, letters):
            if "passed" in part.sentence:
                continue
            sentence = part.sentence.replace("right but for", "what comes out without")
            sentence = sentence.replace(", which is left out", f" of {array}: it is left out")

            def change(trial, part=part, array=array):
                if trial.arguments[array] is None:
                    return None
                fake = trial._replace(right={array: trial.arguments[array]})
                changed = part.predict(fake, array)
                dtype = trial.arguments[array].dtype
                return None if changed is None else trial.arguments | {array: changed.astype(dtype)}

            yield candidate(part.cause, sentence, change)


def _with(array: str, axes: int, change: Callable[[np.ndarray], np.ndarray | None]) -> Callable:
    """The trial's arguments with one array of so many axes changed, its shape kept."""

    def changed(trial: Trial) -> dict[str, Any] | None:
        value = trial.arguments[array]
        value = change(value) if value is not None and value.ndim == axes else None
        if value is None or value.shape != trial.arguments[array].shape:
            return None
        return trial.arguments | {array: value}

    return changed


def argmax_formulas(trial: Trial) -> Iterator[Candidate]:
    """How else someone may number the place of a maximum: a * size + b, of all that is at hand."""
    if "argmax" not in trial.right or trial.wrong("argmax") is None:
        return
    places, sizes = _numbers_of_places(trial)
    for a, size, b in itertools.product(places, sizes, places):
        if not np.array_equal(places[a] * sizes[size] + places[b], trial.got["argmax"]):
            continue

        def predict(trial, name, a=a, size=size, b=b):
            places, sizes = _numbers_of_places(trial)
            return places[a] * sizes[size] + places[b] if name == "argmax" else None

        formula = f"({a}) * {size}" if " " in a else f"{a} * {size}"
        formula = f"{formula} + {b}".replace(" * 1 ", " ").removeprefix("0 + ")
        yield Candidate("argmax_index", f"argmax is {formula.removesuffix(' + 0')}; it should be "
                        "row * w + column, counted in the image (i, j: the window; ki, kj: the "
                        "place in it)", predict)


def _numbers_of_places(trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may be multiplied and added, and by what, in words."""
    place, (_, h, w, channels) = trial.right["argmax"], trial.given["x"].shape
    (kh, kw), (s, t) = pair(trial.given["size"]), pair(trial.given["stride"])
    n, i, j, c = np.indices(place.shape)
    row, column, (oh, ow) = place // w, place % w, place.shape[1:3]
    ki, kj, clipped = row - i * s, column - j * t, np.minimum(kw, w - j * t)
    places = {
        "0": 0 * place, "row": row, "column": column, "ki": ki, "kj": kj,
        "i": i, "j": j, "i * stride": i * s, "j * stride": j * t, "i * size + ki": i * kh + ki,
        "j * size + kj": j * kw + kj, "i + ki": i + ki, "j + kj": j + kj,
        "i * stride + kj": i * s + kj, "j * stride + ki": j * t + ki, "channel": c, "image": n,
        "row * w + column": place, "image * h * w + row * w + column": n * h * w + place,
    }
    places["1"] = 0 * place + 1
    inside = ki * kw + kj
    for words, number, extent in (("height", inside, kh), ("stride", inside, t),
                                  ("whole width", ki * clipped + kj, kw)):
        words = f"k % (the window's {words})"
        places[f"i * stride + {words.replace('%', '//')}"] = i * s + number // extent
        places[f"j * stride + {words}"] = j * t + number % extent
    sizes = {
        "1": 1, "w": w, "h": h, "(the output's width)": ow, "(the output's height)": oh,
        "(the window's width)": kw, "(the window's height)": kh,
        "(the width of the window, clipped)": clipped, "(w + 1)": w + 1, "(w - 1)": w - 1,
        "(w + size)": w + kw, "(the padded image's width)": (ow - 1) * t + kw,
        "(the number of channels)": channels, "(h * w)": h * w,
    }
    return places, sizes


def _pixels_left_out(candidate: Callable) -> Iterator[Candidate]:
    """Pixels at an end of an axis that the loss leaves out, and perhaps counts all the same."""
    for axis, part in enumerate(("image", "row", "column")):
        for which, index in (("last", -1), ("first", 0)):

            def without(trial, axis=axis, index=index):
                labels = trial.arguments["labels"].astype(np.int64)
                labels[(slice(None),) * axis + (index,)] = trial.arguments["ignore"]
                return trial.arguments | {"labels": labels}

            yield candidate(f"{which}_{part}_missing", f"{{array}} leaves out the {which} {part}",
                            without)

            def counted(trial, name, without=without):
                given = without(trial) | {"reduction": "sum"}
                loss, dscores = call(reference.softmax_cross_entropy, given)
                total = loss if name == "loss" else dscores
                return np.asarray(total / (divisor_of(trial.given) or 1.0))

            yield Candidate(f"{which}_{part}_missing", f"{{array}} leaves out the {which} {part}, "
                            "but counts its pixels in the mean", counted)


# -- without a textbook: the gradient of a function that is no operation --------------------------


def of_any_function(trial: Trial, name: str) -> Iterator[Candidate]:
    """Answers that follow from dy and the inputs, whatever the function is."""
    right = trial.right[name]
    dy, x = trial.arguments.get("dy"), trial.given.get(name.removeprefix("d"))
    if not isinstance(dy, np.ndarray):
        return

    def fixed(cause: str, sentence: str, array: np.ndarray) -> Candidate:
        return Candidate(cause, sentence, lambda t, n: array)

    if isinstance(x, np.ndarray) and dy.shape == right.shape:
        for of, array in (("its input", x), ("dy", dy)):
            for sign, mask in ((">", array > 0), (">=", array >= 0), ("<", array < 0)):
                yield fixed("relu_mask", f"{{array}} is dy where {of} {sign} 0, else 0",
                            np.where(mask, dy, 0))
        yield fixed("derivative_missing", "{array} is dy itself: the derivative is not multiplied "
                    "in", dy)
        yield fixed("dy_ignored", "{array} is its input, not a gradient", x)
    if right.ndim == 1 and dy.ndim > 1 and dy.shape[-1] == right.size:
        axes = tuple(range(dy.ndim - 1))
        for count in range(dy.ndim + 1):
            for over in itertools.combinations(range(dy.ndim), count):
                if over != axes:
                    yield fixed("bias_axes", f"{{array}} is dy summed over the axes {over}, not "
                                f"over {axes}", dy.sum(axis=over))

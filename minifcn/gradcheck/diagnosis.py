"""Name what is wrong: compare wrong answers with those that known mistakes give.

The evidence is a list of ``Trial``s: calls of one function whose right answers are known. A mistake
explains a wrong array only if it predicts, in every trial, what came back, and where the function
was right, that it is right. So the cases of the table decide between mistakes that look alike on
one of them. The mistakes stand in order, from special to general; the first that explains all wrong
arrays is the diagnosis. When none does, the cause is "unknown", and the sentence says where the
error lies. It never guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minifcn.gradcheck.faults import Fault, faults
from minifcn.gradcheck.purity import Finding
from minifcn.gradcheck.report import Comparison, axis_names

Answers = dict[str, np.ndarray]
Mistakes = Callable[["Trial"], Iterator[Fault]]


class Trial(NamedTuple):
    """One call whose right answer is known."""

    function: str
    case: str
    arguments: dict[str, Any]  # of the function
    given: dict[str, Any]  # of its forward
    right: Answers
    got: Answers | None  # None if there is no answer
    problem: Finding | None = None  # why not, or what is wrong with its form
    precision: float = 1e-9  # relative to the largest right value

    def wrong(self, name: str) -> np.ndarray | None:
        """Which elements of an array are wrong; None if it has another shape, or does not exist."""
        if (
            self.got is None
            or name not in self.got
            or self.got[name].shape != self.right[name].shape
        ):
            return None
        return ~close(self.got[name], self.right[name], self.precision)

    def fails(self, name: str) -> bool:
        wrong = self.wrong(name)
        return wrong is None or bool(wrong.any())

    def is_usable(self, name: str) -> bool:
        """Has the right shape and is finite."""
        return self.wrong(name) is not None and bool(np.isfinite(self.got[name]).all())


def close(got: np.ndarray, right: np.ndarray, precision: float) -> np.ndarray:
    """Element by element, relative to the largest right value. NaN is never close."""
    right = np.asarray(right, float)
    scale = np.max(np.abs(right[np.isfinite(right)]), initial=0)
    with np.errstate(invalid="ignore"):
        return np.abs(np.asarray(got, float) - right) <= precision * scale + 1e-12


def matches(got: np.ndarray, predicted: np.ndarray, right: np.ndarray, precision: float) -> bool:
    if got.shape != np.shape(predicted):
        return False
    scale = max(
        (
            np.max(np.abs(a[np.isfinite(a)]), initial=0)
            for a in map(np.asarray, (predicted, right))
            if a.dtype.kind in "fiu"
        ),
        default=0,
    )
    with np.errstate(invalid="ignore"):
        return bool(
            (np.abs(np.asarray(got, float) - predicted) <= 10 * precision * scale + 1e-12).all()
        )


# ---------------------------------------------------------------------------------------------
# Mistakes that any array can have
# ---------------------------------------------------------------------------------------------


def simple(trial: Trial, name: str, factor: float) -> Iterator[Fault]:
    """Sign, and a factor that is the same in all trials."""
    right = trial.right[name]
    yield Fault("sign", "{array} is minus the right answer", {name: -right})
    if factor:
        yield Fault(
            "constant_factor",
            f"{{array}} is {factor:.6g} times the right answer",
            {name: factor * right},
        )


def _counts(trial: Trial) -> dict[str, float]:
    """Numbers that one divides by, or forgets to."""
    counts: dict[str, float] = {}
    for array_name in ("dy", "x", "scores"):
        array = trial.arguments.get(array_name, trial.given.get(array_name))
        if not isinstance(array, np.ndarray) or array.ndim < 2:
            continue
        spatial = int(np.prod(array.shape[1:-1]))
        counts |= {
            "the number of images": array.shape[0],
            f"the number of pixels of {array_name}": spatial,
            f"the number of pixels of {array_name} in all images": array.shape[0] * spatial,
            f"the size of {array_name}": array.size,
        }
        if array.ndim == 4:
            counts |= {
                f"the rows of {array_name}": array.shape[1],
                f"the columns of {array_name}": array.shape[2],
                f"the images and rows of {array_name}": array.shape[0] * array.shape[1],
            }
        counts[f"the number of channels of {array_name}"] = array.shape[-1]
        counts[f"the images and channels of {array_name}"] = array.shape[0] * array.shape[-1]
    return {words: count for words, count in counts.items()}


def averaged(trial: Trial, name: str) -> Iterator[Fault]:
    """A mean where a sum is right, or the reverse."""
    right = trial.right[name]
    for words, count in _counts(trial).items():
        yield Fault(
            "mean_for_sum",
            f"{{array}} is the right answer divided by {words}: a mean where a sum is right",
            {name: right / count},
        )
    for words, count in _counts(trial).items():
        yield Fault(
            "sum_for_mean",
            f"{{array}} is the right answer times {words}: a sum where a mean is right",
            {name: right * count},
        )
    weight = trial.given.get("weight")
    others = {}
    if weight is not None and weight.ndim == 4:
        others["the number of cells of the kernel"] = weight.shape[0] * weight.shape[1]
        others["the size of the kernel, input channels included"] = weight.size // weight.shape[3]
    for option in ("stride", "factor", "size"):
        value = trial.given.get(option)
        if isinstance(value, int):
            others |= {f"the {option}": value, f"the {option} squared": value**2}
    for words, count in others.items():
        yield Fault(
            "constant_factor",
            f"{{array}} is the right answer divided by {words}",
            {name: right / count},
        )
        yield Fault(
            "constant_factor", f"{{array}} is the right answer times {words}", {name: right * count}
        )


def rearranged(trial: Trial, name: str) -> Iterator[Fault]:
    """Flips and exchanges of any axes; another array's answer; nothing at all."""
    right = trial.right[name]
    yield Fault("zero", "{array} is 0 everywhere", {name: np.zeros_like(right, dtype=float)})
    for other, array in trial.right.items():
        if other != name:
            yield Fault(
                "results_swapped", f"{{array}} holds what belongs into {other}", {name: array}
            )
    names = axis_names(name, right.ndim)
    for axis in range(right.ndim):
        yield Fault(
            "flipped", f"{{array}} is flipped along {names[axis]}", {name: np.flip(right, axis)}
        )
    if right.ndim == 4:
        yield Fault(
            "flipped",
            f"{{array}} is flipped along {names[1]} and {names[2]}",
            {name: np.flip(right, (1, 2))},
        )
    for a in range(right.ndim):
        for b in range(a + 1, right.ndim):
            yield Fault(
                "axes_swapped",
                f"{{array}} has its axes {names[a]} and {names[b]} swapped",
                {name: right.swapaxes(a, b)},
            )
    for axis in range(right.ndim):
        for step, words in ((1, "down"), (-1, "up")):
            yield Fault(
                "shifted",
                f"{{array}} is shifted {words} by one along {names[axis]}, around the edge",
                {name: np.roll(right, step, axis)},
            )
    if name == "dx" and "y" not in trial.arguments and right.ndim == 4:
        yield Fault(
            "last_image_missing",
            "every image of {array} is that of the first",
            {name: np.broadcast_to(right[:1], right.shape)},
        )
    yield Fault("abs", "{array} is the absolute value of the right answer", {name: np.abs(right)})
    yield Fault(
        "transposed_memory",
        "{array} has the right values in column-major order",
        {name: right.ravel(order="F").reshape(right.shape)},
    )


def known_mistakes(trial: Trial) -> Iterator[Fault]:
    return faults(trial.function, trial.arguments, trial.given)


# ---------------------------------------------------------------------------------------------
# The choice among them
# ---------------------------------------------------------------------------------------------


def explanations(
    trials: list[Trial], name: str, mistakes: dict[int, list[Fault]]
) -> list[tuple[str, str]]:
    """(cause, sentence) of every mistake that explains one array in all trials, in order.

    ``mistakes`` are those of each trial, by its number.
    """
    failing = [number for number, trial in enumerate(trials) if trial.fails(name)]
    others = [number for number in range(len(trials)) if number not in failing]
    factor = _factor(trials, name)
    surviving: dict[tuple[str, str], None] | None = None
    for number in [*failing, *others]:
        trial = trials[number]
        possible: dict[tuple[str, str], Fault] = {}
        sign, *constant = simple(trial, name, factor)
        # one trial cannot tell a constant from a count, unless it is as plain as 2
        late = constant if len(trials) == 1 and round(factor, 6) not in (2, 0.5) else []
        for fault in (
            sign,
            *(() if late else constant),
            *mistakes[number],
            *averaged(trial, name),
            *late,
            *rearranged(trial, name),
        ):
            possible.setdefault((fault.cause, fault.sentence), fault)
        # a mistake that this trial cannot show predicts the right answer
        still = {}
        for key in possible if surviving is None else surviving:
            predicted = possible[key].answer(name) if key in possible else None
            if predicted is None:
                predicted = trial.right[name]
            if matches(trial.got[name], predicted, trial.right[name], trial.precision):
                still[key] = None
        surviving = still
        if not surviving:
            break
    return list(surviving)


def _factor(trials: list[Trial], name: str) -> float:
    """The factor that fits the first wrong trial best."""
    for trial in trials:
        right = np.asarray(trial.right[name], float)
        if trial.is_usable(name) and trial.fails(name) and (right**2).sum() > 0:
            return float((trial.got[name] * right).sum() / (right**2).sum())
    return 1.0


def _explain_all(trials: list[Trial], names: list[str], mistakes: Mistakes) -> Finding | None:
    """One mistake for all wrong arrays; or one cause for all; or the first array's."""
    possible = {number: list(mistakes(trial)) for number, trial in enumerate(trials)}
    found = {
        name: explanations(trials, name, possible)
        for name in names
        if any(trial.fails(name) for trial in trials)
    }
    explained = {name: keys for name, keys in found.items() if keys}
    if not explained:
        return None
    lists = list(found.values())
    for key in lists[0]:
        if all(key in keys for keys in lists):
            return Finding(key[0], key[1].format(array=_and(found)))
    for cause, _ in lists[0]:
        if all(cause in dict(keys) for keys in lists):
            return Finding(
                cause,
                "; ".join(
                    dict(reversed(keys))[cause].format(array=name) for name, keys in found.items()
                ),
            )
    sentences = [keys[0][1].format(array=name) for name, keys in explained.items()]
    sentences += [
        f"{name} is wrong as well, in a way not known" for name in found if name not in explained
    ]
    return Finding(next(iter(explained.values()))[0][0], "; ".join(sentences))


def _and(names) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}, each:"


def diagnose(trials: list[Trial], mistakes: Mistakes = known_mistakes) -> Finding | None:
    """What is wrong with a function, from trials of it; None if all are right.

    First with every answer, whatever its shape; then with the answers of the right shape only,
    since a mistake can make other cases crash; then what the form of the answers tells; then their
    place.
    """
    names = list(trials[0].right)
    if not any(trial.fails(name) for trial in trials for name in names):
        return None
    answered = [
        trial for trial in trials if trial.got is not None and set(names) <= trial.got.keys()
    ]
    finding = None
    with np.errstate(all="ignore"):
        if answered:
            finding = _unstable(answered, names) or _single_precision(answered, names)
            finding = finding or _explain_all(answered, names, mistakes)
        if finding is None:
            usable = [trial for trial in answered if all(trial.is_usable(name) for name in names)]
            if usable:
                finding = _explain_all(usable, names, mistakes) or _single_element(usable, names)
    return finding or _form(trials, names) or _place(trials, names)


def _unstable(trials: list[Trial], names: list[str]) -> Finding | None:
    failing = {trial.case for trial in trials if any(trial.fails(name) for name in names)}
    if failing and failing <= {"large scores", "huge scores"}:
        return Finding(
            "unstable",
            "right for small scores, wrong or NaN for large ones: subtract the largest score of "
            "a pixel before the exponential, and take the logarithm of the sum, not of the "
            "quotient",
        )
    return None


def _single_precision(trials: list[Trial], names: list[str]) -> Finding | None:
    """Right to 7 digits in every trial, but not to 9."""
    failing = [(trial, name) for trial in trials for name in names if trial.fails(name)]
    if not failing:
        return None
    for trial, name in failing:
        if trial.precision > 1e-8 or not trial.is_usable(name) or trial.right[name].size == 0:
            return None
        if not close(trial.got[name], trial.right[name], 3e-6).all():
            return None
    return Finding(
        "wrong_dtype",
        f"{_and(dict.fromkeys(name for _, name in failing)).removesuffix(', each:')} has the "
        "precision of float32, though the arguments are float64",
    )


def _single_element(trials: list[Trial], names: list[str]) -> Finding | None:
    wrong = [
        (trial, name, trial.wrong(name)) for trial in trials for name in names if trial.fails(name)
    ]
    large_enough = any(mask.size > 2 for _, _, mask in wrong)
    if not wrong or not large_enough or any(mask.sum() != 1 for _, _, mask in wrong):
        return None
    trial, name, mask = max(wrong, key=lambda each: each[2].size)
    index = ", ".join(
        f"{axis}={i}" for axis, i in zip(axis_names(name, mask.ndim), np.argwhere(mask)[0])
    )
    return Finding(
        "single_element",
        f"a single element of {name} is wrong, [{index}] in the case {trial.case!r}",
    )


def _form(trials: list[Trial], names: list[str]) -> Finding | None:
    """No answer, another shape, NaN."""
    total = len({trial.case for trial in trials})
    for trial in trials:
        if trial.problem is not None:
            cases = list(dict.fromkeys(each.case for each in trials if each.problem))
            where = (
                "in every case"
                if len(cases) == total
                else "in the case "
                + " and ".join(map(repr, cases[:2]))
                + (f" and {len(cases) - 2} more" if len(cases) > 2 else "")
            )
            return Finding(trial.problem.cause, f"{trial.problem.diagnosis}, {where}")
    for trial in trials:
        for name in names:
            if trial.wrong(name) is None:
                return Finding(
                    "wrong_shape",
                    f"{name} has the shape {trial.got[name].shape} instead of "
                    f"{trial.right[name].shape} in the case {trial.case!r}",
                )
    for trial in trials:
        for name in names:
            count = int((~np.isfinite(trial.got[name])).sum())
            if count:
                return Finding(
                    "nan",
                    f"{name} holds {count} values that are NaN or infinite in the case "
                    f"{trial.case!r}",
                )
    return None


_PARTS = {"n": "image", "i": "row", "j": "column", "ki": "row", "kj": "column"}  # else channel


def _only_at_one_end(name: str, masks: list[np.ndarray]) -> Finding | None:
    """All errors lie at the last (or first) index of one axis: a loop ends too early (or late)."""
    names = axis_names(name, masks[0].ndim)
    masks = [mask for mask in masks if mask.ndim == len(names)]
    for axis, letter in enumerate(names):
        longer = [mask.swapaxes(0, axis) for mask in masks if mask.shape[axis] > 1]
        for which, inside in (("last", np.s_[:-1]), ("first", np.s_[1:])):
            if longer and not any(mask[inside].any() for mask in longer):
                return Finding(
                    f"{which}_{_PARTS.get(letter, 'channel')}_missing",
                    f"{name} is wrong at the {which} {letter} only, in every case that fails: "
                    "look at the bounds of a loop",
                )
    return None


def _place(trials: list[Trial], names: list[str]) -> Finding:
    """No mistake fits: say where the error lies."""
    name = next(name for name in names if any(trial.fails(name) for trial in trials))
    masks = [trial.wrong(name) for trial in trials if trial.fails(name)]
    if found := _only_at_one_end(name, masks):
        return found
    cases = list(dict.fromkeys(trial.case for trial in trials if trial.fails(name)))
    total = len({trial.case for trial in trials})
    share = sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)
    at_border = all(mask.ndim == 4 and not mask[:, 1:-1, 1:-1].any() for mask in masks)
    some = ", ".join(map(repr, cases[:3])) + (", ..." if len(cases) > 3 else "")
    hint = (
        "at the border only: look at padding and cropping"
        if at_border
        else "the worst element and the heat map show where"
    )
    return Finding(
        "unknown",
        f"no known mistake explains {name}: {share:.0%} of it is wrong in {len(cases)} of {total} "
        f"cases ({some}); {hint}",
    )


def comparisons(trials: list[Trial]) -> list[Comparison]:
    """For every array the first trial in which it is wrong, else the first of all."""
    lines = []
    for name in trials[0].right:
        usable = [trial for trial in trials if trial.wrong(name) is not None]
        if usable:
            trial = next((each for each in usable if each.fails(name)), usable[0])
            got, right = (
                np.asarray(array, float) for array in (trial.got[name], trial.right[name])
            )
            lines.append(Comparison(name, got, right, trial.wrong(name), where=trial.case))
    return lines

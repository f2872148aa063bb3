"""Name what is wrong: compare what came back with what mistakes predict.

The evidence is a list of ``Trial``s: calls of one function whose right answers are known. A mistake
explains a wrong array only if it predicts what came back in every trial that fails, crashes
included. Where it would spoil trials that are right, it is named only with a condition that
separates the two ("only where the kernel is square"). Tried are, in this order: the named mistakes
and the general ones, named ones with a factor, every single edit of the textbook, pairs of named
ones. When none fits, the cause is "unknown", and the sentence says where the error lies. It never
guesses: a wrong name is worse than none.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from minifcn.gradcheck import edits, hypotheses
from minifcn.gradcheck.cases import Operation
from minifcn.gradcheck.hypotheses import Candidate
from minifcn.gradcheck.mistakes import HELPERS, MISTAKES, Mistake
from minifcn.gradcheck.report import Worst, axis_names
from minifcn.gradcheck.trials import Finding, Trial, condition

# exceptions that say the same in loops and in whole-array code: something does not fit
MISFITS = ("IndexError", "ValueError", "AxisError")
MOST_PAIRED = 45  # named mistakes that are tried in pairs


def diagnose(trials: list[Trial], operation: Operation | None = None) -> Finding | None:
    """What is wrong with a function, from trials of it; None if all are right."""
    names = list(trials[0].right)
    failing = [trial for trial in trials if any(map(trial.fails, names))]
    if not failing:
        return None
    for trial in failing:
        if trial.problem is not None:
            words = f"{trial.problem.diagnosis}, {where(failing, trials)}"
            return trial.problem._replace(diagnosis=words)
    with np.errstate(all="ignore"):
        named = _named(trials, failing, names, operation)
    return named or _form(trials, failing, names) or _place(trials, names)


def _named(trials, failing, names, operation) -> Finding | None:
    if found := _single_precision(trials, names):
        return found
    answered = [trial for trial in failing if trial.answered]
    if not answered:  # an exception alone fits too many mistakes
        return None
    wrong = [name for name in names if any(trial.fails(name) for trial in answered)]
    search = _Search(trials, operation)
    explanations = {name: search.explain(name) for name in wrong}
    if "argmax" in wrong and not explanations["argmax"]:
        if all(map(_argmax_follows, answered)):
            del explanations["argmax"]
        elif "y" not in wrong:
            explanations["argmax"] = [Explanation(_other_argmax(answered), None)]
    unknown = _and([name for name, found in explanations.items() if not found], each=False)
    explanations = {name: found for name, found in explanations.items() if found}
    if not explanations:
        return None
    if not unknown:
        return _joined(explanations)
    finding = _joined(explanations)
    if "y" in explanations or trials[0].function == "softmax_cross_entropy":  # of one computation
        return finding._replace(diagnosis=f"{finding.diagnosis} ({unknown} is wrong as well)")
    return Finding("unknown", f"{finding.diagnosis}; nothing known explains {unknown}")


def _argmax_follows(trial: Trial) -> bool:
    """Where y is right, argmax is."""
    y, argmax = trial.wrong("y"), trial.wrong("argmax")
    return y is not None and argmax is not None and not (argmax & ~y).any()


def _other_argmax(failing: list[Trial]) -> Candidate:
    """Where y is right: the place of another maximum, or no place of y's at all."""
    trial = next(trial for trial in failing if trial.fails("argmax"))
    wrong = trial.wrong("argmax")
    place = f", in the case {trial.case!r}"
    if wrong is not None and wrong.any():
        index = tuple(np.argwhere(wrong)[0])
        values = (int(array["argmax"][index]) for array in (trial.got, trial.right))
        place = ": {} is {}, right is {}{}".format(list(map(int, index)), *values, place)
    if all(_is_a_maximum(each) for each in failing):
        words = f"argmax is the place of another of the equal maxima, not of the first{place}"
        return Candidate("pool_last_tie", words, lambda trial, name: None)
    words = f"argmax is not the place of the maximum, row * w + column in the image{place}"
    return Candidate("argmax_index", words, lambda trial, name: None)


def _is_a_maximum(trial: Trial) -> bool:
    """Does argmax point to y's value everywhere?"""
    x, y, argmax = trial.given["x"], trial.right["y"], trial.got["argmax"]
    if argmax.shape != y.shape or argmax.dtype.kind not in "iu":
        return False
    flat = x.reshape(len(x), -1, x.shape[3])
    if argmax.min(initial=0) < 0 or argmax.max(initial=0) >= flat.shape[1]:
        return False
    found = np.take_along_axis(flat, argmax.reshape(len(x), -1, x.shape[3]), axis=1)
    return bool((found == y.reshape(found.shape)).all())


def _joined(explanations: dict[str, list[Explanation]]) -> Finding:
    """One mistake for all wrong arrays, else one cause for all, else one for each."""
    lists = list(explanations.values())
    for first in lists[0]:
        if all(any(each.candidate is first.candidate for each in some) for some in lists[1:]):
            return first.finding(_and(explanations))
    chosen = [some[0] for some in lists]
    for first in lists[0]:
        same = [[each for each in some if each.candidate.cause == first.candidate.cause]
                for some in lists]
        if all(same):
            chosen = [some[0] for some in same]
            break
    findings = [each.finding(name) for each, name in zip(chosen, explanations)]
    return Finding(
        findings[0].cause,
        "; ".join(dict.fromkeys(each.diagnosis for each in findings)),
        [line for each in findings for line in each.edit],
    )


def _and(names: Iterable[str], each: bool = True) -> str:
    names = list(names)
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}" + (", each:" if each else "")


# -- the search -----------------------------------------------------------------------------------


class Explanation:
    """A mistake that predicts one array in all failing trials, and when it shows."""

    def __init__(self, candidate: Candidate, when: str | None):
        self.candidate, self.when = candidate, when

    def finding(self, array: str) -> Finding:
        sentence = self.candidate.sentence.replace("{array}", array)
        if self.when:
            sentence += f"; only {self.when}"
        return Finding(self.candidate.cause, sentence, self.candidate.edit())


class _Search:
    """Tries candidates on the smallest failing trial first."""

    def __init__(self, trials: list[Trial], operation: Operation | None):
        self.trials, self.operation = trials, operation
        self.function = trials[0].function

    def explain(self, name: str) -> list[Explanation]:
        failing = sorted((t for t in self.trials if t.fails(name)), key=lambda t: t.size)
        right = sorted((t for t in self.trials if not t.fails(name)), key=lambda t: t.size)
        for stage in (self.known, self.scaled, self.single_edits, self.pairs):
            found = []
            for candidate in stage(name, failing):
                if all(fits(candidate, trial, name) for trial in failing):
                    spoiled = [t for t in right if _spoils(candidate, t, name)]
                    when = condition(failing, spoiled) if spoiled else None
                    if when or not spoiled:
                        found.append(Explanation(candidate, when))
                    if len([each for each in found if not each.when]) >= 4:
                        break
            if found:
                return sorted(found, key=lambda each: each.when is not None)
        return []

    def known(self, name: str, failing: list[Trial]) -> Iterator[Candidate]:
        """From special to general. One trial cannot tell a constant from a count."""
        factor, single = _factor(failing, name), len(self.trials) == 1
        late = single and round(factor, 6) not in (2, 0.5)
        constant = hypotheses.constant(factor)
        yield hypotheses.sign()
        if not late:
            yield from constant
        yield from self.named
        if self.operation is not None:
            yield from self.misread
        if name == "argmax":
            yield from hypotheses.argmax_formulas(failing[0])
        first = next((trial for trial in failing if trial.wrong(name) is not None), None)
        if first is not None:
            powers = {"powers": (-1, 1)} if single else {}
            yield from hypotheses.multiplied(first, _factor([first], name), **powers)
        if late:
            yield from constant
        if self.operation is None:
            yield from hypotheses.of_any_function(failing[0], name)
        yield from hypotheses.changed_answers(failing[0], name)
        yield from _fitted_kernel(failing, name)

    @functools.cached_property
    def named(self) -> list[Candidate]:
        table = MISTAKES[self.operation.file] if self.operation else []
        found = [named_candidate(self.operation, each, self.function) for each in table]
        return [each for each in found if each]

    @functools.cached_property
    def misread(self) -> list[Candidate]:
        return list(hypotheses.changed_arguments(self.operation, self.trials[0]))

    def scaled(self, name: str, failing: list[Trial]) -> Iterator[Candidate]:
        """A named mistake, and a factor as well."""
        for candidate in self.named:
            predicted = candidate.predict(failing[0], name)
            if not isinstance(predicted, np.ndarray) or not failing[0].answered:
                continue
            factor = _ratio(failing[0].got[name], predicted)
            if factor is None or abs(factor - 1) < 1e-6:
                continue

            def predict(trial, name, candidate=candidate, factor=factor):
                array = candidate.predict(trial, name)
                return factor * array if isinstance(array, np.ndarray) else array

            words = "with the other sign" if factor == -1 else f"{factor:.6g} times"
            sentence = f"{candidate.sentence}; and it is {words} as well"
            yield candidate._replace(predict=predict, sentence=sentence)

    def single_edits(self, name: str, failing: list[Trial]) -> Iterator[Candidate]:
        if self.operation is not None:
            file = self.operation.file
            reached = _reached(file, self.function)
            for edit in edits.single_edits(file, larger=True):
                if edit.function in reached:
                    yield _edit_candidate(edit, self.function)

    def pairs(self, name: str, failing: list[Trial]) -> Iterator[Candidate]:
        """Two named mistakes at once: those that change the smallest failing trial."""
        if self.operation is None or not failing[0].answered:
            return
        trial = failing[0]
        as_right = trial._replace(got=trial.right)
        table = [
            each for each in MISTAKES[self.operation.file]
            if not each.instead
            and (candidate := named_candidate(self.operation, each, self.function))
            and isinstance(predicted := candidate.predict(trial, name), np.ndarray)
            and not as_right.is_predicted(name, predicted)
        ]
        for first, second in itertools.combinations(table[:MOST_PAIRED], 2):
            words = f"{first.sentence}; and {second.sentence.replace('{array} ', 'it ')}"
            both = Mistake(first.cause, words, (*first.changes, *second.changes))
            if candidate := named_candidate(self.operation, both, self.function):
                yield candidate


def fits(candidate: Candidate, trial: Trial, name: str) -> bool:
    predicted = candidate.predict(trial, name)
    if trial.crash is not None:
        if not isinstance(predicted, str):
            return False
        return predicted == trial.crash.kind or {predicted, trial.crash.kind} <= set(MISFITS)
    return not isinstance(predicted, str) and trial.is_predicted(name, predicted)


def _spoils(candidate: Candidate, trial: Trial, name: str) -> bool:
    """Would the mistake show in a trial that is right?"""
    predicted = candidate.predict(trial, name)
    if predicted is None:
        return False
    return isinstance(predicted, str) or not trial.is_predicted(name, predicted)


def _factor(trials: list[Trial], name: str) -> float:
    """The factor that fits the first wrong trial best."""
    for trial in trials:
        if trial.wrong(name) is not None:
            ratio = _ratio(trial.got[name], trial.right[name])
            if ratio is not None:
                return ratio
    return 0.0


def _ratio(got: np.ndarray, of: np.ndarray) -> float | None:
    if got.shape != of.shape or got.dtype.kind not in "fiu":
        return None
    known = np.isfinite(got) & np.isfinite(of)
    square = float((np.asarray(of, float)[known] ** 2).sum())
    if not square:
        return None
    ratio = float((np.asarray(got, float)[known] * of[known]).sum()) / square
    return float(round(ratio, 9)) if abs(ratio - round(ratio, 9)) < 1e-10 else ratio


# -- candidates from the textbook -----------------------------------------------------------------


def named_candidate(operation: Operation, each: Mistake, function: str) -> Candidate | None:
    """A mistake of the table, for one function; None if it does not touch that function."""
    if each.instead is not None:
        return Candidate(each.cause, each.sentence, _predictor(lambda trial: each.instead))
    file = operation.file
    changed = edits.replaced(file, each.changes)
    changed = {name: text for name, text in changed.items() if name in _reached(file, function)}
    if not changed:
        return None

    def load(trial):
        return edits.run(file, changed, given=trial.given, **HELPERS)[function]

    return Candidate(each.cause, each.sentence, _predictor(load),
                     lambda: edits.difference(file, changed))


def _edit_candidate(edit: edits.Edit, function: str) -> Candidate:
    def load(trial):
        return edits.run(edit.file, {edit.function: edit.source}, given=trial.given)[function]

    return Candidate(
        edit.kind,
        f"{{array}} is what the textbook gives {edits.KINDS[edit.kind]} "
        f"{edits.head_of(edit.change[0])} (line {edit.line} of ops/reference/{edit.file}.py, in "
        f"{edit.function})",
        _predictor(load),
        lambda: [edit.change],
    )


def _predictor(load: Callable[[Trial], Callable]) -> Callable:
    """Run a function of an edited textbook on a trial's arguments, once for all arrays."""
    answers: dict[int, dict | str] = {}

    def predict(trial, name):
        key = id(trial.arguments)
        if key not in answers:
            try:
                results = edits.answer(load(trial), trial.arguments)
                answers[key] = dict(zip(trial.right, map(np.asarray, results)))
            except Exception as error:  # the mistake predicts a crash
                answers[key] = type(error).__name__
        found = answers[key]
        return found if isinstance(found, str) else found.get(name)

    return predict


@functools.cache
def _reached(file: str, function: str) -> frozenset[str]:
    """The functions of a file that a function calls, itself included."""
    parts = edits.parts(file)
    reached, waiting = set(), [function, ""]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [other for other in parts if other and f"{other}(" in parts[name]]
    return frozenset(reached)


def _fitted_kernel(failing: list[Trial], name: str) -> Iterator[Candidate]:
    """Upsampling with another kernel: the one that fits best, if it fits everywhere."""
    if "factor" not in failing[0].given or not all(t.wrong(name) is not None for t in failing):
        return
    fitted: dict[tuple[int, int], np.ndarray] = {}
    sizes = {(t.given["size"], t.given["factor"]) for t in failing}
    is_certain = False  # somewhere are more numbers than the kernel has cells
    for size, factor in sizes:
        some = [t for t in failing if (t.given["size"], t.given["factor"]) == (size, factor)]
        double = [t for t in some if t.precision < 1e-6]
        if sum(t.right[name].size for t in double) > size**2:  # float32 would blur the fit
            some = double
        matrix = np.concatenate([_stamps(t) for t in some])
        got = np.concatenate([np.asarray(t.got[name], float).ravel() for t in some])
        if not np.isfinite(got).all():
            return
        is_certain = is_certain or len(got) > 2 * size**2
        fitted[size, factor] = np.linalg.lstsq(matrix, got, rcond=None)[0]
    if not is_certain:
        return
    size, factor = min(sizes)
    cells = np.round(fitted[size, factor].reshape(size, size), 4) + 0.0  # no -0
    kernel = np.array2string(cells, separator=", ").replace("\n", "")

    def predict(trial, name):
        line = fitted.get((trial.given["size"], trial.given["factor"]))
        return None if line is None else (_stamps(trial) @ line).reshape(trial.right[name].shape)

    yield Candidate("wrong_kernel", f"{{array}} is right but for the kernel, which at size {size}, "
                    f"factor {factor} comes out as {kernel}", predict)


def _stamps(trial: Trial) -> np.ndarray:
    """What each cell of the kernel alone contributes, a column each."""
    textbook, columns = edits.run("bilinear", {}), []
    size = trial.given["size"]
    for cell in np.eye(size * size):
        textbook["bilinear_kernel"] = lambda size, dtype, cell=cell: cell.reshape(size, size)
        columns.append(edits.answer(textbook[trial.function], trial.arguments)[0].ravel())
    return np.stack(columns, axis=1).astype(float)


# -- what can be said without a mistake that explains it ------------------------------------------


def _single_precision(trials: list[Trial], names: list[str]) -> Finding | None:
    """Right to the digits of float32 or float16 in every trial, but not beyond."""
    failing = [(trial, name) for trial in trials for name in names if trial.fails(name)]
    for kind, digits, slack in (("float32", 7, 3e-6), ("float16", 3, 2e-2)):
        if all(
            trial.wrong(name) is not None
            and trial.precision < slack / 3
            and not trial._replace(precision=slack).fails(name)
            and _fits_in(trial.got[name], trial.right[name], kind)
            for trial, name in failing
        ):
            names = list(dict.fromkeys(name for _, name in failing))
            has, dtype = "has" if len(names) == 1 else "have", failing[0][0].right[names[0]].dtype
            words = f"{_and(names, each=False)} {has} the precision of {kind} only"
            words += f", about {digits} digits, though the arguments are {dtype}"
            return Finding("wrong_dtype", words)
    return None


def _fits_in(got: np.ndarray, right: np.ndarray, kind: str) -> bool:
    """Does the error look like rounding: all over the array, not at a few elements?"""
    if got.dtype == kind:
        return True
    with np.errstate(over="ignore"):
        if (got.astype(kind) == got).all():
            return True
    return kind == "float32" and bool(np.abs(got - right).max() > 0)


def _form(trials: list[Trial], failing: list[Trial], names: list[str]) -> Finding | None:
    """A crash, another shape, NaN, always at one element."""
    crashed = [trial for trial in failing if trial.crash is not None]
    if crashed:
        return Finding("crashed", f"{raises(crashed[0])}, {where(crashed, trials)}")
    for name in names:
        some = [trial for trial in failing if trial.wrong(name) is None]
        if some:
            got, right = some[0].got[name].shape, some[0].right[name].shape
            words = f"{name} has the shape {got} instead of {right}"
            letters = zip(axis_names(name, len(right)), got, right)
            other = [f"{hypotheses.word(axis)}s" for axis, a, b in letters if a != b]
            if len(got) == len(right):
                words += f" (another number of {_and(other, each=False)})"
            return Finding("wrong_shape", f"{words}, {where(some, trials)}")
    for name in names:
        some = [t for t in failing if not np.isfinite(t.got[name]).all() and t.fails(name)]
        if some:
            count = int((~np.isfinite(some[0].got[name])).sum())
            words = f"{name} holds {count} values that are NaN or infinite, {where(some, trials)}"
            return Finding("nan", words)
    return _single_element(failing, names)


def raises(trial: Trial) -> str:
    crash = trial.crash
    words = f"{trial.function} raises {crash.kind}" + (f": {crash.words}" if crash.words else "")
    if crash.line:
        words += f", at line {crash.line}" + (f" ({crash.source})" if crash.source else "")
    return words


def where(some: list[Trial], trials: list[Trial]) -> str:
    """In which cases, in words."""
    cases, every = (
        list(dict.fromkeys(trial.case.removesuffix(", float32") for trial in each))
        for each in (some, trials)
    )
    if len(trials) == 1:
        return "for these arguments"
    if len(cases) == len(every):
        when = condition(some, [trial for trial in trials if not any(trial is t for t in some)])
        return f"only {when}" if when else "in every case"
    listed = " and ".join(map(repr, cases[:2]))
    if len(cases) > 2:
        listed += f" and {len(cases) - 2} more"
    others = [trial for trial in trials if trial.case.removesuffix(", float32") not in cases]
    when = condition(some, others)
    if when and len(cases) > 1:
        return f"only {when} ({len(cases)} of {len(every)} cases: {listed})"
    return f"in the case{'s' if len(cases) > 1 else ''} {listed}"


def _single_element(failing: list[Trial], names: list[str]) -> Finding | None:
    """Exactly one element is wrong in every case that fails."""
    wrong = [(t, name, t.wrong(name)) for t in failing for name in names if t.fails(name)]
    if any(mask.sum() != 1 for _, _, mask in wrong) or len({name for _, name, _ in wrong}) > 1:
        return None
    if max(mask.size for _, _, mask in wrong) < 3:
        return None
    trial, name, mask = max(wrong, key=lambda each: each[2].size)
    index = tuple(np.argwhere(mask)[0])
    return Finding("single_element", f"a single element of {name} is wrong: "
                   f"{_element(trial, name, index)}, in the case {trial.case!r}")


def _element(trial: Trial, name: str, index: tuple[int, ...]) -> str:
    return str(Worst(name, index, float(trial.got[name][index]), float(trial.right[name][index])))


def _place(trials: list[Trial], names: list[str]) -> Finding:
    """No mistake fits: say where the error lies, and under which condition."""
    name = next(name for name in names if any(trial.fails(name) for trial in trials))
    failing = sorted((trial for trial in trials if trial.fails(name)), key=lambda t: t.size)
    masks = [trial.wrong(name) for trial in failing]
    share = sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)
    trial, mask = failing[0], masks[0]
    error = np.where(mask, np.abs(np.asarray(trial.got[name], float) - trial.right[name]), -1)
    index = np.unravel_index(np.argmax(error), error.shape)
    amount = "all of it is" if share == 1 else f"{share:.0%} of it is"
    return Finding(
        "unknown",
        f"no known mistake explains {name}: {amount} wrong{_at(name, masks)}, "
        f"{where(failing, trials)}; in the case {trial.case!r} {_element(trial, name, index)}",
    )


def _at(name: str, masks: list[np.ndarray]) -> str:
    """Where in the array, if the wrong elements keep to one part of it."""
    letters = axis_names(name, masks[0].ndim)
    masks = [mask for mask in masks if mask.ndim == len(letters)]
    for axis, letter in enumerate(letters):
        longer = [mask.swapaxes(0, axis) for mask in masks if mask.shape[axis] > 1]
        word = hypotheses.word(letter)
        for which, inside in (("last", np.s_[:-1]), ("first", np.s_[1:])):
            if longer and not any(mask[inside].any() for mask in longer):
                return f", all of that in the {which} {word}"
    if all(m.ndim == 4 and min(m.shape[1:3]) > 2 and not m[:, 1:-1, 1:-1].any() for m in masks):
        return ", all of that at the border (look at padding and cropping)"
    return ""

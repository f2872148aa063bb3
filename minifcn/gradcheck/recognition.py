"""Recognise an operation in a function that has never heard of minifcn, by what it computes.

If ``forward`` gives the numbers of, say, a convolution with stride 2 and padding 1, its right
gradient is known exactly, at kinks too, and the mistakes of ``faults.py`` can be tried. Better
still, the functions can then be tried on the table of cases, where mistakes that look alike on the
given inputs differ. Channels may come last or, as in other frameworks, second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minifcn.gradcheck.cases import OPERATIONS, Operation, call
from minifcn.gradcheck.diagnosis import Trial
from minifcn.gradcheck.faults import Fault
from minifcn.gradcheck.faults.fault import left_out
from minifcn.gradcheck.faults.relu import COMPARISONS
from minifcn.gradcheck.faults.sums import bias_gradients, wrong_weights
from minifcn.ops import reference

Axes = tuple[int, ...] | None


class Recognised(NamedTuple):
    """An operation, its options, and where its arrays stand among the inputs."""

    operation: Operation
    options: dict[str, Any]
    positions: dict[str, int]  # argument -> position among the inputs
    layouts: dict[str, Axes]  # argument -> axes that bring it to our layout
    constants: dict[str, np.ndarray]  # arguments that are not among the inputs
    can_repeat: bool = True  # on other shapes

    @property
    def words(self) -> str:
        options = ", ".join(
            f"{name} {value}"
            for name, value in self.options.items()
            if isinstance(value, (int, str))
        )
        return f"recognised as {self.operation.name}" + (f" with {options}" if options else "")

    def given(self, inputs: list[Any]) -> dict[str, Any]:
        """Arguments of our forward function, from the inputs of theirs."""
        values = {
            name: _to_ours(inputs[position], self.layouts.get(name))
            for name, position in self.positions.items()
        } | self.constants
        order = {"relu": ("x",), "softmax_cross_entropy": ("scores", "labels")}.get(
            self.operation.name, ("x", "weight", "bias")
        )
        return {
            name: values[name]
            for name in order
            if name in values
            or (name == "bias" and values.setdefault("bias", None) is None and "weight" in values)
        } | self.options

    def fits(self, inputs: list[Any], y: np.ndarray) -> bool:
        """Does the operation give y on these inputs?"""
        given = _zero_bias(self.given(inputs), self.operation)
        try:
            answer = call(getattr(reference, self.operation.forward), given)
        except (ValueError, IndexError, ZeroDivisionError):  # impossible sizes
            return False
        right = answer[0] if isinstance(answer, tuple) else answer
        return _same_but_bias(_to_ours(y, self.layouts.get("y")), right, given.get("bias"))

    def trial(self, case: str, inputs: list[Any], dy: np.ndarray, gradients: list[Any]) -> Trial:
        given = self.given(inputs)
        answer = call(getattr(reference, self.operation.forward), _zero_bias(given, self.operation))
        answer = answer if isinstance(answer, tuple) else (answer,)
        if self.operation.backward is None:
            right, arguments, function = {"dscores": answer[1] * dy}, given, self.operation.forward
        else:
            ours = np.ascontiguousarray(_to_ours(dy, self.layouts.get("y")))
            arguments = self.operation.backward_arguments(given, answer, ours)
            right = call(getattr(reference, self.operation.backward), arguments)
            right = dict(
                zip(self.operation.gradients, right if isinstance(right, tuple) else (right,))
            )
            function = self.operation.backward
        got = {}
        for name, position in self.positions.items():
            gradient = gradients[position]
            if gradient is not None and f"d{name}" in right:
                axes = self.layouts.get(name)
                got[f"d{name}"] = (
                    _to_ours(gradient, axes)
                    if axes is None or gradient.ndim == len(axes)
                    else np.asarray(gradient)
                )
        if self.operation.backward is None:
            got = {name: array / dy for name, array in got.items()}
            right = {name: array / dy for name, array in right.items()}
        return Trial(function, case, arguments, given, {name: right[name] for name in got}, got)

    def trials(self, forward, backward, inputs, dy, gradients) -> list[Trial]:
        """The given inputs, and the shapes of the table of cases if their functions take them."""
        trials = [self.trial("the given inputs", inputs, dy, gradients)]
        for case in self.operation.cases if self.can_repeat else ():
            drawn = case.draw(np.random.default_rng(7))
            other = list(inputs)
            for name, position in self.positions.items():
                if drawn.get(name) is not None:
                    other[position] = np.ascontiguousarray(
                        _to_theirs(drawn[name], self.layouts.get(name))
                    )
            trial = self._other_trial(case.name, forward, backward, other)
            if trial is not None and trial.got.keys() == trials[0].got.keys():
                trials.append(trial)
        return trials

    def _other_trial(self, case: str, forward, backward, inputs) -> Trial | None:
        """A trial on other inputs; None where their functions do not take them."""
        try:
            y = np.asarray(forward(*_copied(inputs)))
            dy = np.asarray(np.random.default_rng(3).standard_normal(y.shape))
            gradients = backward(dy.copy(), *_copied(inputs))
        except Exception:  # theirs may be made for one shape only; that is no fault
            return None
        if not y.size or not self.fits(inputs, y):
            return None
        if not isinstance(gradients, (tuple, list)):
            positions = self.positions.values()
            gradients = [gradients if k in positions else None for k in range(len(inputs))]
        gradients = [None if each is None else np.array(each) for each in gradients]
        return self.trial(case, inputs, dy, gradients)


def _copied(inputs: list[Any]) -> list[Any]:
    return [each.copy() if isinstance(each, np.ndarray) else each for each in inputs]


def _to_ours(array, axes: Axes):
    return array if axes is None else np.transpose(array, axes)


def _to_theirs(array, axes: Axes):
    return array if axes is None else np.transpose(array, np.argsort(axes))


def _zero_bias(given: dict[str, Any], operation: Operation) -> dict[str, Any]:
    if "bias" in given and given["bias"] is None:
        return {**given, "bias": np.zeros(given["weight"].shape[-1])}
    return given


def _same_but_bias(y: np.ndarray, right: np.ndarray, bias: np.ndarray | None) -> bool:
    """Equal, or, where the bias is not among the inputs, but for a constant in every channel."""
    y, right = np.asarray(y), np.asarray(right)
    if y.shape != right.shape:
        return False
    residue = y - right
    if bias is None or not np.any(bias):
        axes = tuple(range(residue.ndim - 1))
        residue = (
            residue - residue.mean(axis=axes) if residue.ndim and bias is not None else residue
        )
    return bool(np.abs(residue).max(initial=0) <= 1e-8 * max(np.abs(right).max(initial=0), 1e-300))


def recognise(
    forward: Callable,
    inputs: list[Any],
    y: np.ndarray,
    numerical: Callable[[int, np.ndarray], np.ndarray],
) -> Recognised | None:
    """The operation that gives these numbers on these inputs, or None."""
    floats = [
        k
        for k, value in enumerate(inputs)
        if isinstance(value, np.ndarray) and value.dtype == np.float64
    ]
    candidates = itertools.chain(
        _element_wise(inputs, floats, y),
        _pools(inputs, floats, y),
        _convolutions(inputs, floats, y),
        _linear(inputs, floats, y),
        _loss(inputs, floats, y, numerical),
    )
    # other numbers too: abs looks like ReLU where none is negative, and constants like any pooling
    rng = np.random.default_rng(11)
    others = [
        rng.standard_normal(value.shape) if k in floats else value for k, value in enumerate(inputs)
    ]
    other_y = np.asarray(forward(*_copied(others)))
    for candidate in candidates:
        if candidate.fits(inputs, y) and candidate.fits(others, other_y):
            return candidate
    return None


def _operation(name: str) -> Operation:
    return next(each for each in OPERATIONS if each.name == name)


def _element_wise(inputs, floats, y) -> Iterator[Recognised]:
    if len(floats) == 1 and inputs[floats[0]].shape == y.shape and y.ndim:
        yield Recognised(_operation("relu"), {}, {"x": floats[0]}, {}, {})


_IMAGES: tuple[Axes, ...] = (None, (0, 2, 3, 1))


def _pools(inputs, floats, y) -> Iterator[Recognised]:
    if len(floats) != 1 or inputs[floats[0]].ndim != 4 or y.ndim != 4:
        return
    for axes in _IMAGES:
        x, out = _to_ours(inputs[floats[0]], axes), _to_ours(y, axes)
        if x.shape[0] != out.shape[0] or x.shape[3] != out.shape[3]:
            continue
        place = {"x": floats[0]}, {"x": axes, "y": axes}, {}
        if out.shape[1] <= x.shape[1] and out.shape[2] <= x.shape[2]:
            for size, stride, ceil_mode in itertools.product(
                range(1, 6), range(1, 6), (True, False)
            ):
                yield Recognised(
                    _operation("max_pool2d"),
                    {"size": size, "stride": stride, "ceil_mode": ceil_mode},
                    *place,
                )
        for factor, size in itertools.product(range(1, 9), range(1, 17)):
            double = (x.shape[1] - 1) * factor + size - out.shape[1]
            if double >= 0 and double % 2 == 0:
                yield Recognised(
                    _operation("bilinear_upsample"),
                    {"factor": factor, "size": size, "padding": double // 2},
                    *place,
                )


def _convolutions(inputs, floats, y) -> Iterator[Recognised]:
    """x and weight in any order, the bias if there is a vector, (n, h, w, c) or (n, c, h, w)."""
    four = [k for k in floats if inputs[k].ndim == 4]
    vectors = [k for k in floats if inputs[k].ndim == 1]
    if len(four) != 2 or y.ndim != 4 or len(vectors) > 1:
        return
    for x, weight in (four, four[::-1]):
        positions = {"x": x, "weight": weight, **({"bias": vectors[0]} if vectors else {})}
        for name, layouts in (
            ("conv2d", (None, None)),
            ("conv2d", ((0, 2, 3, 1), (2, 3, 1, 0))),
            ("conv_transpose2d", (None, None)),
            ("conv_transpose2d", ((0, 2, 3, 1), (2, 3, 0, 1))),
        ):
            image, kernel = _to_ours(inputs[x], layouts[0]), _to_ours(inputs[weight], layouts[1])
            out = _to_ours(y, layouts[0])
            if (
                image.shape[3] != kernel.shape[2]
                or out.shape[3] != kernel.shape[3]
                or out.shape[0] != image.shape[0]
            ):
                continue
            for stride, padding in _strides(name, image.shape, kernel.shape, out.shape):
                yield Recognised(
                    _operation(name),
                    {"stride": stride, "padding": padding},
                    positions,
                    {"x": layouts[0], "weight": layouts[1], "y": layouts[0]},
                    {},
                )


def _strides(name, image, kernel, out) -> Iterator[tuple[Any, Any]]:
    """Strides and paddings up to 8 and 7 that give the output's size, numbers before pairs."""

    def along(axis):
        for stride, padding in itertools.product(range(1, 9), range(8)):
            extent, k = image[axis], kernel[axis - 1]
            size = (
                (extent + 2 * padding - k) // stride + 1
                if name == "conv2d"
                else (extent - 1) * stride + k - 2 * padding
            )
            if size == out[axis] and (name != "conv2d" or extent + 2 * padding >= k):
                yield stride, padding

    rows, columns = list(along(1)), list(along(2))
    yield from (each for each in rows if each in columns)
    for a, b in itertools.product(rows[:8], columns[:8]):
        if a != b:
            yield (a[0], b[0]), (a[1], b[1])


def _linear(inputs, floats, y) -> Iterator[Recognised]:
    two = [k for k in floats if inputs[k].ndim == 2]
    vectors = [k for k in floats if inputs[k].ndim == 1]
    if len(two) != 2 or y.ndim != 2 or len(vectors) > 1:
        return
    for x, weight in (two, two[::-1]):
        for axes in (None, (1, 0)):
            if inputs[x].shape[1] == _to_ours(inputs[weight], axes).shape[0]:
                yield Recognised(
                    _operation("linear"),
                    {},
                    {"x": x, "weight": weight, **({"bias": vectors[0]} if vectors else {})},
                    {"weight": axes},
                    {},
                )


def _loss(inputs, floats, y, numerical) -> Iterator[Recognised]:
    """Scores of four axes; labels among the inputs, or read off the numerical gradient."""
    if y.ndim or len(floats) != 1 or inputs[floats[0]].ndim != 4:
        return
    scores = inputs[floats[0]]
    given = [
        k
        for k, value in enumerate(inputs)
        if isinstance(value, np.ndarray)
        and value.dtype.kind in "iu"
        and value.shape == scores.shape[:3]
    ]
    positions, constants = {"scores": floats[0]}, {}
    if given:
        positions["labels"] = given[0]
        labels = inputs[given[0]]
    elif scores.size <= 5000:
        gradient = numerical(floats[0], np.float64(1))
        labels = gradient.argmin(axis=-1)
        labels[np.abs(gradient).max(axis=-1) < 1e-7] = 255
        constants["labels"] = labels
    else:
        return
    outside = labels[(labels < 0) | (labels >= scores.shape[3])]
    for reduction in ("mean", "sum", "sum_per_image"):
        yield Recognised(
            _operation("softmax_cross_entropy"),
            {"ignore": int(outside[0]) if outside.size else 255, "reduction": reduction},
            positions,
            {},
            constants,
            can_repeat=False,
        )


def unknown_mistakes(trial: Trial) -> Iterator[Fault]:
    """Mistakes that can be told from the right arrays alone."""
    for name, right in trial.right.items():
        for cause, words, without in left_out(name, right):
            yield Fault(
                cause, f"{{array}} is right but for {words}, which is left out", {name: without}
            )
        if right.ndim == 4 and name in ("dw", "dweight", "dweights", "dkernel", "dW", "dfilters"):
            for cause, sentence, reorder in wrong_weights("channel_axes_swapped"):
                yield Fault(cause, sentence, {name: reorder(right)})
        dy, x = trial.arguments["dy"], trial.given[name.removeprefix("d")]
        if dy.shape == right.shape:
            for of, array in (("its input", x), ("dy", dy)):
                for comparison, test in COMPARISONS.items():
                    yield Fault(
                        "relu_mask",
                        f"{{array}} is dy where {of} {comparison}, else 0",
                        {name: np.where(test(array), dy, 0)},
                    )
        if right.ndim == 1 and dy.ndim > 1 and dy.shape[-1] == right.size:
            yield from (
                Fault(fault.cause, fault.sentence, {name: fault.answers["dbias"]})
                for fault in bias_gradients(dy)
            )

"""Checks of layers and whole networks, and of linear functions by their adjoint."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minifcn.gradcheck.checking import MOST_CROSSINGS, check
from minifcn.gradcheck.differences import choose_elements
from minifcn.gradcheck.report import Comparison, GradientError, Report
from minifcn.ops import softmax_cross_entropy


def check_layer(layer: Any, x: np.ndarray, strict: bool = True, **options: Any) -> Report:
    """Check the gradients of a layer object, of its input and of its parameters.

    Parameters
    ----------
    layer : object
        ``forward(x)``, with or without an argument ``training``; ``backward(dy)``, which returns
        dx; and, if it has parameters, the dictionaries ``parameters`` and ``gradients`` with the
        same keys. Parameters must be float64; they are moved during the check and put back after
        it.
    x : float64 array
    strict : bool
        Raise ``GradientError`` on a failure.
    **options
        Of ``check``.
    """
    keys = list(getattr(layer, "parameters", {}))
    takes_training = "training" in inspect.signature(layer.forward).parameters
    training = {"training": True} if takes_training else {}

    def write(values):
        for key, value in zip(keys, values):
            live = layer.expose(key) if hasattr(layer, "expose") else layer.parameters[key]
            live[...] = value

    def forward(x, *values):
        write(values)
        return layer.forward(x, **training)

    def backward(dy, x, *values):
        forward(x, *values)
        dx = layer.backward(dy)
        return dx, *(layer.gradients[key] for key in keys)

    before = [layer.parameters[key].copy() for key in keys]
    for key, value in zip(keys, before):
        if value.dtype != np.float64:
            words = f"parameter {key} is {value.dtype}; make the layer with float64 to check it"
            raise ValueError(words)
    name = getattr(layer, "name", type(layer).__name__)
    names = ["dx", *(f"d{key}" for key in keys)]
    try:
        report = check(forward, backward, [x, *before], strict, name=name, names=names, **options)
    finally:
        write(before)
    if not keys:
        report.notes.append("the layer has no parameters: only dx was checked")
    return report


def check_adjoint(
    forward: Callable,
    backward: Callable,
    inputs: Sequence[Any],
    strict: bool = True,
    *,
    tolerance: float = 1e-12,
    seed: int = 0,
) -> Report:
    """Check the gradients of a function that is linear (or affine) in each of its inputs alone.

    If y = A x + b, the gradient of dy is A' dy, and <A x, dy> = <x, A' dy> holds to rounding, for
    any x and dy. No differences, no step: two forward passes per input instead of two per element,
    and nearly as sharp.

    Parameters
    ----------
    forward, backward, inputs
        As for ``check``; convolutions, bilinear upsampling, linear layers qualify, ReLU and losses
        do not.
    tolerance : float
        Relative to the product of the norms; right layers reach 2e-15.
    """
    inputs = list(inputs)
    y = np.asarray(forward(*inputs))
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    gradients = backward(dy.copy(), *inputs)
    gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    report = Report(getattr(backward, "__name__", "backward"), gradient="ok")
    for k, (x, gradient) in enumerate(zip(inputs, gradients)):
        if gradient is None or not isinstance(x, np.ndarray) or x.dtype != np.float64:
            continue
        change = y - forward(*inputs[:k], np.zeros_like(x), *inputs[k + 1 :])
        left, right = float(np.sum(change * dy)), float(np.sum(x * gradient))
        scale = float(np.linalg.norm(change) * np.linalg.norm(dy))
        if not abs(left - right) <= tolerance * scale:
            report.cause = report.cause or "not_adjoint"
            report.diagnosis = report.diagnosis or (
                f"<A x, dy> = {left:.10g}, but <x, A' dy> = {right:.10g} for input {k}: its "
                "gradient is not the adjoint; check() tells which elements are wrong"
            )
            report.gradient = "wrong"
    if strict and not report.ok:
        raise GradientError(report)
    return report


def check_model(
    model: Any,
    x: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    strict: bool = True,
    *,
    elements: int = 12,
    step: float = 1e-7,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Report:
    """Check the gradients of all parameters of a network, loss included.

    Works on a float64 copy in which whatever is constant gets random numbers: zero biases stand on
    kinks, and zero score weights block the gradient. The dropout masks are fixed. Elements at which
    a ReLU mask or a pooling winner changes within the step are skipped and counted.

    Parameters
    ----------
    model : VGG16 or FCN
        Narrow (``width=0.02, fc_channels=8``), or it takes hours.
    x : (n, h, w, 3) float64 array, optional
        Two tiny random images by default.
    labels : (n, h, w) array, optional
    elements : int
        How many are tested of each parameter: corners first.
    step, tolerance : float
        h, and the largest error relative to the largest element of each gradient.
    """
    rng = np.random.default_rng(seed)
    copy = type(model)(**{**model.config, "dtype": "float64"})
    for key, value in model.parameters.items():
        values = value.astype(np.float64)
        if np.ptp(values) == 0:  # positive biases keep the ReLUs of a narrow network open
            draw, a, b = (rng.uniform, 0.1, 0.5) if value.ndim == 1 else (rng.normal, 0, 0.5)
            values = draw(a, b, value.shape)
        copy.parameters[key][...] = values
    if x is None:
        x = rng.standard_normal((2, 9, 7, 3))
    if labels is None:
        labels = rng.integers(0, copy.classes, x.shape[:3])
        labels[0, 0, 0] = 255
    masks = copy.dropout_seed

    def loss():
        copy.dropout_seed = masks
        scores = copy.forward(x, training=True)
        return softmax_cross_entropy(scores, labels), kinks(copy)

    (_, dscores), pattern = loss()
    copy.backward(dscores)
    gradients = {key: value.copy() for key, value in copy.gradients.items()}
    report = Report(type(model).__name__, gradient="ok")
    for key, gradient in gradients.items():
        parameter = copy.parameters[key]
        right, crossings = np.full(gradient.shape, np.nan), 0
        chosen = choose_elements(gradient.shape, elements, rng)
        for index in (chosen[each] for each in rng.permutation(len(chosen))[:elements]):
            before, losses = parameter[index], []
            h = step * max(1.0, abs(before))
            for moved in (before + h, before - h):
                parameter[index] = moved
                (value, _), moved_pattern = loss()
                losses.append(value if moved_pattern == pattern else None)
            parameter[index] = before
            if None in losses:
                crossings += 1
            else:
                right[index] = (losses[0] - losses[1]) / (2 * h)
        error = np.abs(gradient - right)
        wrong = np.isfinite(right) & ~(error <= tolerance * np.abs(gradient).max() + 1e-8)
        report.comparisons.append(Comparison(key, gradient, right, wrong, crossings))
    _explain(report)
    if strict and not report.ok:
        raise GradientError(report)
    return report


def kinks(model: Any) -> list[bytes]:
    """Which ReLUs are open and which elements won the pooling, as the layers remember it."""
    pattern = []
    for layer in model.layers:
        for array in layer.remembered if isinstance(layer.remembered, tuple) else ():
            if isinstance(array, np.ndarray):
                pattern.append((array if array.dtype.kind == "i" else array > 0).tobytes())
    return pattern


def _explain(report: Report) -> None:
    """Gradients flow backward: the wrong array nearest to the loss shows where it begins."""
    wrong = [c for c in report.comparisons if c.wrong.any()]
    crossings = sum(c.crossings for c in report.comparisons)
    tested = sum(c.tested for c in report.comparisons)
    if wrong:
        report.gradient, last = "wrong", wrong[-1]
        ratio = last.got[last.wrong] / last.right[last.wrong]
        report.cause = "unknown"
        words = f"wrong in {last.wrong.sum()} of {last.tested} elements tested"
        if np.ptp(ratio) <= 1e-3 * abs(ratio[0]) and last.wrong.sum() > 1:
            report.cause = "sign" if abs(ratio[0] + 1) < 1e-3 else "constant_factor"
            words = f"{ratio[0]:.4g} times the right answer"
        report.diagnosis = (
            f"{len(wrong)} of {len(report.comparisons)} gradients are wrong; going back from the "
            f"loss the first is that of {last.array} ({words}): look at that layer, and at dx of "
            "the next"
        )
    elif crossings > MOST_CROSSINGS * (crossings + tested):
        report.cause, count = "kinks", crossings + tested
        report.diagnosis = f"{crossings} of {count} elements tested cross a kink; try another seed"

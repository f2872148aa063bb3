"""The table of cases: for every operation the shapes, strides and values at which bugs show.

Tests, ``check_module`` and notebooks share it. In most cases every extent differs, so that a wrong
axis cannot hide; one case per operation has all extents equal, so that it runs at all with two axes
swapped. Strides do and do not divide; paddings are 0, 1 and more than half the kernel; some maps
are 1x1.

Each operation also has one adapter, ``Operation.pair``, from its signature to that of ``check``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minifcn.gradcheck.observe import apply
from minifcn.ops import reference

Arguments = dict[str, Any]


class Case(NamedTuple):
    """Arguments of a forward function, drawn anew for every random generator."""

    name: str
    draw: Callable[[np.random.Generator], Arguments]
    optional: bool = False  # with pairs: where equal pairs crash too, that is a note, no failure


def as_tuple(result: Any) -> tuple:
    return result if isinstance(result, tuple) else (result,)


class Operation(NamedTuple):
    """How to call the functions of an operation, and what they return."""

    name: str
    forward: str
    backward: str | None
    outputs: tuple[str, ...]  # of forward
    gradients: tuple[str, ...]  # of backward, or of forward itself
    inputs: tuple[str, ...]  # the arguments that the gradients belong to
    backward_arguments: Callable[[Arguments, tuple, np.ndarray], Arguments] | None
    cases: tuple[Case, ...]
    file: str  # of ops/reference

    def right(self, arguments: Arguments, dy: np.ndarray | None = None) -> tuple:
        """Forward's results, backward's own arguments and results; the last two None without dy."""
        answer = as_tuple(call(getattr(reference, self.forward), arguments))
        if dy is None or self.backward is None:
            return answer, None, None
        own = self.backward_arguments(arguments, answer, dy)
        return answer, own, as_tuple(call(getattr(reference, self.backward), own))

    def pair(self, module: Any, arguments: Arguments) -> tuple[Callable, Callable, list]:
        """``(forward, backward, inputs)`` for ``check``: the functions of a module on one case."""
        names = [name for name in self.inputs if arguments[name] is not None]

        def answer(values):
            given = {**arguments, **dict(zip(names, values))}
            return given, as_tuple(call(getattr(module, self.forward), given))

        def forward(*values):
            return answer(values)[1][0]

        def backward(dy, *values):
            given, results = answer(values)
            if self.backward is None:  # the gradient is the second result of forward
                return (dy * results[1],)
            own = self.backward_arguments(given, results, dy)
            return as_tuple(call(getattr(module, self.backward), own))[: len(names)]

        return forward, backward, [arguments[name] for name in names]


DEFAULTS = {"stride": 1, "padding": 0, "bias": None, "ignore": 255, "reduction": "mean",
            "class_weights": None}
POOL_DEFAULTS = {"size": 2, "stride": 2, "ceil_mode": True}


def defaults_among(arguments: Arguments) -> tuple[str, ...]:
    """Which arguments stand at the default of DESIGN's signature."""
    defaults = POOL_DEFAULTS if "ceil_mode" in arguments else DEFAULTS
    if "factor" in arguments:
        defaults = {}
    return tuple(
        name for name, value in arguments.items()
        if name in defaults and type(value) is type(defaults[name]) and value == defaults[name]
    )


def call(function: Callable, arguments: Arguments) -> Any:
    """Call an operation's function with what stands in DESIGN's signature."""
    return apply(function, arguments, defaults_among(arguments))


def fresh(arguments: Arguments, dtype: Any = None) -> Arguments:
    """Copies of the arrays, the floating ones in another dtype if one is given."""
    copies = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            is_float = value.dtype.kind == "f"
            copies[name] = value.astype(dtype if is_float and dtype else value.dtype)
    return copies


def with_images(arguments: Arguments, count: int) -> Arguments:
    """The same case with ``count`` images: those that there are, again and again."""
    batches = {name: value for name, value in arguments.items()
               if name in ("x", "scores", "labels") and len(value)}
    return arguments | {
        name: value[np.arange(count) % len(value)] for name, value in batches.items()
    }


def _conv(name, x, kernel, c_out, stride=1, padding=0, optional=False, bias=True) -> Case:
    def draw(rng):
        weight = rng.standard_normal((*kernel, x[3], c_out))
        return {"x": rng.standard_normal(x), "weight": weight,
                "bias": rng.standard_normal(c_out) if bias else None,
                "stride": stride, "padding": padding}

    return Case(name, draw, optional)


CONV2D_CASES = (
    _conv("tiny", (2, 3, 4, 2), (2, 3), 3, 1, 1),
    _conv("all extents differ", (4, 6, 8, 5), (3, 2), 7),
    _conv("stride 2 leaves a rest, padding 1", (2, 9, 8, 2), (3, 5), 4, 2, 1),
    _conv("stride 3 leaves a rest larger than the padding", (2, 8, 9, 2), (3, 2), 3, 3),
    _conv("stride 4, padding 1, a rest of 2", (2, 7, 8, 2), (3, 4), 3, 4, 1),
    _conv("all extents equal", (3, 3, 3, 3), (3, 3), 3, 1, 1),
    _conv("square kernel, stride 2 divides", (3, 7, 5, 2), (3, 3), 2, 2, 1),
    _conv("stride 3, padding over half the kernel", (3, 7, 9, 2), (2, 3), 5, 3, 2),
    _conv("one image, stride 2", (1, 6, 7, 2), (2, 3), 3, 2),
    _conv("large padding, no stride", (2, 4, 5, 2), (4, 2), 3, 1, 3),
    _conv("1x1 kernel", (3, 4, 5, 2), (1, 1), 6),
    _conv("1x1 map", (2, 1, 1, 3), (3, 3), 4, 1, 1),
    _conv("one channel in and out", (2, 4, 5, 1), (3, 2), 1, 1, 1),
    _conv("one channel in", (2, 5, 4, 1), (2, 3), 4, 2, 1),
    _conv("many channels", (2, 3, 2, 18), (2, 1), 19),
    _conv("many images", (17, 3, 2, 2), (2, 2), 3),
    _conv("equal pairs", (2, 7, 8, 2), (3, 4), 3, (2, 2), (1, 1), optional=True),
    _conv("stride and padding as pairs", (2, 7, 9, 2), (3, 4), 3, (2, 3), (0, 2), optional=True),
)

CONV_TRANSPOSE2D_CASES = (
    _conv("tiny", (2, 2, 3, 2), (3, 2), 3, 2),
    _conv("all extents differ", (4, 5, 6, 3), (3, 2), 7),
    _conv("stride 2, overlapping, padding 1", (2, 4, 3, 2), (3, 5), 4, 2, 1),
    _conv("all extents equal", (3, 3, 3, 3), (3, 3), 3, 1, 1),
    _conv("square kernel, stride 2", (3, 4, 5, 2), (4, 4), 2, 2, 1),
    _conv("stride 3 leaves gaps", (3, 2, 4, 2), (2, 1), 6, 3),
    _conv("one image, stride 2, padding 2", (1, 5, 4, 2), (5, 6), 3, 2, 2),
    _conv("padding as large as the kernel", (2, 6, 5, 2), (2, 2), 3, 2, 2),
    _conv("padding larger than the kernel", (2, 5, 6, 2), (2, 1), 3, 1, 2),
    _conv("1x1 map", (2, 1, 1, 3), (3, 3), 4, 2, 1),
    _conv("one channel in and out", (2, 3, 4, 1), (3, 2), 1, 2),
    _conv("many channels", (2, 2, 2, 18), (2, 1), 19),
    _conv("many images", (17, 2, 2, 2), (2, 3), 3, 2, 1),
    _conv("without bias", (2, 3, 4, 3), (4, 4), 2, 2, 1, bias=False),
    _conv("equal pairs", (2, 3, 4, 2), (3, 4), 3, (2, 2), (1, 1), optional=True),
    _conv("stride and padding as pairs", (2, 3, 4, 2), (3, 4), 3, (2, 3), (1, 0), optional=True),
)


def _bilinear(name, x, factor, size, padding, optional=False) -> Case:
    def draw(rng):
        return {"x": rng.standard_normal(x), "factor": factor, "size": size, "padding": padding}

    return Case(name, draw, optional)


BILINEAR_CASES = (
    _bilinear("tiny", (2, 2, 3, 2), 2, 4, 1),
    _bilinear("all extents differ", (2, 5, 6, 3), 2, 4, 1),
    _bilinear("factor 3, odd kernel", (3, 4, 2, 5), 3, 5, 2),
    _bilinear("no padding", (3, 3, 4, 2), 2, 4, 0),
    _bilinear("all extents equal", (3, 3, 3, 3), 2, 3, 1),
    _bilinear("one image, factor 4", (1, 2, 3, 2), 4, 8, 2),
    _bilinear("padding 3", (2, 4, 3, 1), 2, 5, 3),
    _bilinear("1x1 map", (2, 1, 1, 3), 2, 4, 1),
    _bilinear("many images and channels", (17, 2, 2, 18), 2, 3, 1),
    _bilinear("an equal pair", (2, 4, 3, 3), 2, 4, (1, 1), optional=True),
    _bilinear("padding as a pair", (2, 4, 3, 3), 2, 4, (0, 1), optional=True),
)


def _pool(name, x, size=2, stride=2, ceil_mode=True, values="distinct", optional=False) -> Case:
    def draw(rng):
        count = int(np.prod(x))
        if values == "ties":
            array = rng.integers(0, 3, x).astype(float)
        elif values == "constant":
            array = np.ones(x)
        elif values == "negative":
            array = -1.0 - rng.permutation(count).reshape(x)
        else:
            array = (rng.permutation(count).reshape(x) - count / 2) / 7
        return {"x": array, "size": size, "stride": stride, "ceil_mode": ceil_mode}

    return Case(name, draw, optional)


MAX_POOL2D_CASES = (
    _pool("tiny", (2, 4, 6, 2)),
    _pool("tiny, overlapping", (1, 3, 5, 2), 3, 2),
    _pool("all extents differ", (3, 8, 6, 5)),
    _pool("windows clipped at the border", (2, 7, 5, 3)),
    _pool("ties", (2, 6, 7, 3), values="ties"),
    _pool("overlapping windows", (2, 7, 9, 3), 3, 2),
    _pool("overlapping windows with ties", (2, 6, 8, 4), 3, 1, values="ties"),
    _pool("negative values, clipped", (3, 5, 7, 2), 2, 2, values="negative"),
    _pool("floor", (2, 9, 7, 3), 2, 2, ceil_mode=False),
    _pool("floor, overlapping", (3, 8, 10, 2), 3, 2, ceil_mode=False),
    _pool("gaps between the windows", (2, 8, 10, 3), 2, 3),
    _pool("a last window would start outside", (2, 5, 7, 3), 1, 3),
    _pool("all extents equal", (3, 3, 3, 3), 3, 3),
    _pool("constant image", (1, 4, 6, 2), values="constant"),
    _pool("1x1 map", (2, 1, 1, 3)),
    _pool("1x1 map, floor", (2, 1, 1, 3), 2, 2, ceil_mode=False),
    _pool("many images and channels", (17, 2, 3, 18)),
    _pool("equal pairs", (2, 7, 8, 3), (2, 2), (2, 2), optional=True),
    _pool("size and stride as pairs", (2, 7, 8, 3), (4, 2), (2, 3), optional=True),
    _pool("pairs, floor", (2, 8, 7, 3), (2, 4), (3, 2), ceil_mode=False, optional=True),
)


def _relu(name, shape, zeros=False, positive=False, scale=1.0) -> Case:
    def draw(rng):
        x = scale * rng.standard_normal(shape)
        if zeros:  # exactly on the kink, where the derivative is 0 by definition
            x[rng.random(shape) < 0.3] = 0.0
        if positive:  # nothing to cut, and values far above those of the other cases
            x = 10 * np.abs(x) + 1
        return {"x": x}

    return Case(name, draw)


RELU_CASES = (
    _relu("all extents differ", (2, 5, 4, 3)),
    _relu("exact zeros", (3, 4, 2, 5), zeros=True),
    _relu("a matrix", (6, 5)),
    _relu("large positive values", (3, 2, 5, 4), positive=True),
    _relu("large values", (2, 3, 4, 5), scale=100.0),
    _relu("small values", (3, 2, 4, 5), scale=1e-4),
    _relu("values near 0", (2, 4, 3, 5), scale=1e-7),
    _relu("values very near 0", (2, 3, 4, 5), scale=1e-20),
    _relu("many images and channels", (17, 2, 3, 18)),
    _relu("one image, one pixel", (1, 1, 1, 7)),
)


def _linear(name, images, c_in, c_out) -> Case:
    def draw(rng):
        return {"x": rng.standard_normal((images, c_in)),
                "weight": rng.standard_normal((c_in, c_out)),
                "bias": rng.standard_normal(c_out)}

    return Case(name, draw)


LINEAR_CASES = (
    _linear("tiny", 2, 3, 4),
    _linear("all extents differ", 4, 5, 7),
    _linear("all extents equal", 5, 5, 5),
    _linear("more inputs than outputs", 6, 8, 3),
    _linear("square weight", 3, 6, 6),
    _linear("one image", 1, 4, 6),
    _linear("one input, one output", 3, 1, 1),
    _linear("many images and channels", 17, 18, 19),
)


def _dropout(name, shape, rate, seed) -> Case:
    return Case(name, lambda rng: {"x": rng.standard_normal(shape) + 3, "rate": rate, "seed": seed})


DROPOUT_CASES = (
    _dropout("rate 0.3", (5, 12, 10, 8), 0.3, 1),
    _dropout("rate 0.5", (3, 16, 12, 9), 0.5, 7),
    _dropout("rate 0.8", (2, 20, 15, 11), 0.8, 123456789),
    _dropout("rate 0", (2, 3, 4, 5), 0.0, 3),
    _dropout("a matrix", (64, 70), 0.4, 0),
)


def _loss(name, shape, ignored=0.3, ignore=255, reduction="mean", weighted=False, scale=1.0,
          dtype=np.int64) -> Case:
    def draw(rng):
        labels = rng.integers(0, shape[3], shape[:3]).astype(dtype)
        if ignored:
            labels[rng.random(shape[:3]) < ignored] = ignore
            labels[0, 0, 0] = labels[-1, -1, -1] = ignore  # the first and the last pixel too
            if ignored < 1:
                labels[0, -1, 0] = 0
        weights = rng.uniform(0.3, 3, shape[3]) if weighted else None
        return {"scores": scale * rng.standard_normal(shape), "labels": labels, "ignore": ignore,
                "reduction": reduction, "class_weights": weights}

    return Case(name, draw)


LOSS_CASES = (
    _loss("tiny", (2, 2, 1, 3), ignored=0),
    _loss("all pixels valid", (2, 3, 4, 5), ignored=0),
    _loss("ignored pixels", (3, 4, 2, 5)),
    _loss("sum", (3, 4, 5, 6), reduction="sum"),
    _loss("sum per image", (4, 3, 5, 6), reduction="sum_per_image"),
    _loss("class weights", (2, 5, 3, 4), weighted=True),
    _loss("class weights, sum", (3, 5, 2, 4), weighted=True, reduction="sum"),
    _loss("class weights, sum per image", (2, 4, 3, 5), weighted=True, reduction="sum_per_image"),
    _loss("another ignore value", (2, 4, 5, 3), ignore=-1),
    _loss("ignore is the last class", (2, 3, 5, 4), ignore=3),
    _loss("uint8 labels", (2, 9, 10, 12), dtype=np.uint8),
    _loss("all extents equal", (3, 3, 3, 3)),
    _loss("no pixel ignored, sum", (2, 3, 2, 4), ignored=0, reduction="sum"),
    _loss("many images and classes", (17, 2, 1, 18)),
    _loss("one image, one class", (1, 3, 4, 1), ignored=0.2),
    _loss("one pixel", (1, 1, 1, 4), ignored=0),
    _loss("large scores", (2, 3, 4, 5), scale=400.0),
    _loss("huge scores", (2, 3, 4, 5), ignored=0, scale=1e5),
    _loss("every pixel ignored", (2, 3, 2, 4), ignored=1.1),
)


def _conv_backward(given, answer, dy):
    return {"dy": dy, **{name: given[name] for name in ("x", "weight", "stride", "padding")}}


def _upsample_backward(given, answer, dy):
    options = {name: given[name] for name in ("factor", "size", "padding")}
    return {"dy": dy, **options, "x_shape": given["x"].shape}


OF_WEIGHT = ("dx", "dweight", "dbias"), ("x", "weight", "bias")
OF_X = ("dx",), ("x",)


def _operation(name, outputs, gradients, backward_arguments, cases, file="") -> Operation:
    return Operation(name, f"{name}_forward", f"{name}_backward", outputs, *gradients,
                     backward_arguments, cases, file or name)


OPERATIONS = (
    _operation("conv2d", ("y",), OF_WEIGHT, _conv_backward, CONV2D_CASES),
    _operation("max_pool2d", ("y", "argmax"), OF_X,
               lambda given, answer, dy: {"dy": dy, "argmax": answer[1],
                                          "x_shape": given["x"].shape}, MAX_POOL2D_CASES),
    _operation("conv_transpose2d", ("y",), OF_WEIGHT, _conv_backward, CONV_TRANSPOSE2D_CASES),
    _operation("bilinear_upsample", ("y",), OF_X, _upsample_backward, BILINEAR_CASES, "bilinear"),
    _operation("relu", ("y",), OF_X, lambda given, answer, dy: {"dy": dy, "y": answer[0]},
               RELU_CASES),
    _operation("linear", ("y",), OF_WEIGHT,
               lambda given, answer, dy: {"dy": dy, "x": given["x"], "weight": given["weight"]},
               LINEAR_CASES),
    _operation("dropout", ("y", "mask"), OF_X,
               lambda given, answer, dy: {"dy": dy, "mask": answer[1], "rate": given["rate"]},
               DROPOUT_CASES),
    Operation("softmax_cross_entropy", "softmax_cross_entropy", None, ("loss", "dscores"),
              ("dscores",), ("scores",), None, LOSS_CASES, "softmax_cross_entropy"),
)

FUNCTIONS = tuple(
    name for operation in OPERATIONS for name in (operation.forward, operation.backward) if name
)


def operation_of(function: str) -> Operation:
    return next(each for each in OPERATIONS if function in (each.forward, each.backward))

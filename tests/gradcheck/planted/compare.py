"""What is wrong with a function, by comparing it with the textbook: no checker takes part."""
from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from unittest import mock

import numpy as np

from minifcn.ops import reference

# n h w c_in  kh kw c_out  stride padding
CONVOLUTIONS = (
    (2, 5, 6, 3, 3, 2, 4, 1, 0), (2, 7, 8, 2, 3, 2, 3, (2, 3), (1, 2)),
    (1, 6, 6, 3, 3, 3, 3, 1, 1), (2, 9, 7, 2, 2, 3, 3, 3, 0), (1, 5, 4, 1, 1, 1, 1, 1, 0),
    (2, 8, 9, 1, 2, 2, 3, 3, 0), (9, 3, 4, 2, 2, 2, 2, 1, 0), (1, 3, 4, 17, 2, 2, 18, 1, 1),
    (2, 5, 6, 2, 3, 3, 2, 2, 2))
# n h w c  size stride ceil_mode
POOLINGS = ((2, 6, 8, 3, 2, 2, True), (2, 7, 9, 2, 3, 2, True), (1, 7, 6, 2, 3, 2, False),
            (2, 8, 7, 2, 2, 3, True), (1, 5, 5, 1, 2, 2, True), (9, 4, 5, 17, 2, 2, True),
            (2, 7, 8, 2, (2, 3), (1, 2), True), (1, 3, 4, 2, 5, 2, True), (1, 4, 3, 2, 1, 1, True),
            (1, 6, 6, 2, 2, 3, True))
# n h w c  factor size padding
UPSAMPLINGS = ((2, 3, 4, 2, 2, 4, 1), (1, 4, 3, 3, 3, 5, 1), (2, 3, 2, 2, 2, 4, (1, 0)),
               (9, 2, 3, 1, 2, 3, 0), (1, 2, 2, 17, 2, 4, 1), (1, 3, 4, 2, 4, 8, 2),
               (2, 3, 3, 1, 3, 2, 0))
LINEARS = ((3, 4, 5), (1, 3, 2), (4, 4, 4), (9, 17, 18), (2, 1, 1))
SHAPES = ((2, 3, 4, 5), (4, 6), (7,), (9, 3, 2, 17), (1, 2, 2, 1), (3, 3))


def cases(function: str, pairs: bool = True) -> Iterator[list]:
    """Arguments in float64; without ``pairs``, pooling and upsampling get single numbers only."""
    rng = np.random.default_rng(8)

    def normal(*shape):
        return rng.standard_normal(shape)

    operation = function.removesuffix("_forward").removesuffix("_backward")
    if operation in ("conv2d", "conv_transpose2d"):
        for n, h, w, c, kh, kw, f, stride, padding in CONVOLUTIONS:
            if operation == "conv_transpose2d":
                h, w = (h + 1) // 2, (w + 1) // 2
            x, weight, bias = normal(n, h, w, c), normal(kh, kw, c, f), normal(f)
            y = getattr(reference, f"{operation}_forward")(x, weight, bias, stride, padding)
            if function.endswith("_forward"):
                yield [x, weight, bias, stride, padding]
            else:
                yield [normal(*y.shape), x, weight, stride, padding]
        if function == "conv_transpose2d_forward":
            yield [normal(2, 3, 2, 2), normal(3, 2, 2, 3), None, 2, 1]
    elif operation == "max_pool2d":
        for n, h, w, c, *rest in POOLINGS:
            if not pairs and isinstance(rest[0], tuple):
                continue
            x = 0.3 * (np.round(normal(n, h, w, c)) - 3 * (c == 3))     # many ties
            y, argmax = reference.max_pool2d_forward(x, *rest)
            yield [x, *rest] if function.endswith("_forward") else [
                normal(*y.shape), argmax, x.shape]
    elif operation == "bilinear_upsample":
        for n, h, w, c, *rest in UPSAMPLINGS:
            if not pairs and isinstance(rest[2], tuple):
                continue
            x = normal(n, h, w, c)
            y = reference.bilinear_upsample_forward(x, *rest)
            yield [x, *rest] if function.endswith("_forward") else [
                normal(*y.shape), *rest, x.shape]
    elif operation == "linear":
        for n, c, f in LINEARS:
            x, weight = normal(n, c), normal(c, f)
            yield [x, weight, normal(f)] if function.endswith("_forward") else [
                normal(n, f), x, weight]
    elif operation == "relu":
        for shape in SHAPES:
            x = np.where(rng.random(shape) < 0.2, 0.0, 4 * normal(*shape))
            x.flat[0] = 1e-3
            if shape == (3, 3):
                x = np.abs(x)           # nothing to cut
            yield [x] if function.endswith("_forward") else [normal(*shape), np.maximum(x, 0)]
    elif operation == "dropout":
        for shape, rate in zip(SHAPES, (0.5, 0.3, 0.6, 0.2, 0.0, 0.5)):
            yield [normal(*shape), rate, 5] if function.endswith("_forward") else [
                normal(*shape), rng.random(shape) >= rate, rate]
    else:
        yield from losses(rng)


def losses(rng) -> Iterator[list]:
    table = (
        ((2, 3, 4, 5), 255, "mean", None), ((2, 3, 4, 5), 255, "mean", None),
        ((2, 3, 2, 4), 255, "sum", None),
        ((3, 2, 3, 4), -1, "sum_per_image", None), ((2, 2, 3, 3), 7, "mean", [0.5, 2.0, 3.0]),
        ((2, 2, 3, 3), 255, "sum", [0.5, 2.0, 3.0]), ((9, 2, 2, 17), 255, "mean", None),
        ((3, 2, 2, 3), 255, "sum_per_image", [0.5, 2.0, 3.0]), ((4, 4, 4, 4), 255, "mean", None))
    for (*shape, classes), ignore, reduction, weights in table:
        scores = 2 * rng.standard_normal((*shape, classes))
        labels = rng.integers(0, classes, shape)
        labels[rng.random(shape) < 0.25] = ignore
        labels[0, 0, 0] = 1
        yield [scores, labels, ignore, reduction, weights and np.array(weights)]
    yield [rng.standard_normal((2, 2, 2, 3)), np.full((2, 2, 2), 255), 255, "mean", None]
    yield [800 * rng.standard_normal((1, 2, 2, 3)), rng.integers(0, 3, (1, 2, 2)), 255, "mean",
           None]


def is_float(value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def copied(arguments: list) -> list:
    return [np.array(each) if isinstance(each, np.ndarray) else each for each in arguments]


def in_float32(arguments: list) -> list:
    return [each.astype(np.float32) if is_float(each) and each.ndim > 0 else each
            for each in arguments]


def changed(arguments: list) -> list:
    """Other values in arrays of the same shapes."""
    return [np.roll(each, 1) * (1.5 + index if is_float(each) else 1)
            if isinstance(each, np.ndarray) and each.dtype != bool and each.ndim > 1 else each
            for index, each in enumerate(copied(arguments))]


def awkward(arguments: list) -> list:
    """Read-only, and not contiguous."""
    out = [np.asfortranarray(each) if isinstance(each, np.ndarray) else each
           for each in arguments]
    for each in out:
        if isinstance(each, np.ndarray):
            each.flags.writeable = False
    return out


def listed(result) -> list:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def same(a, b) -> bool:
    return all(np.array_equal(p, q, equal_nan=True) for p, q in zip(listed(a), listed(b)))


def spoilt_memory(real):
    """np.empty, filled with what nobody wants."""
    def empty(*args, **options):
        array = real(*args, **options)
        array.fill(57)
        return array
    return empty


def trouble(module: ModuleType, function: str, pairs: bool = True) -> str | None:
    """What is wrong with the function, or None: values, form, dtype, purity."""
    call = calling(function, getattr(module, function))
    before = getattr(module, function.replace("_backward", "_forward"), None)
    forms = [("", copied), ("with other values", changed), ("in float32", in_float32),
             ("from read-only memory", awkward)]
    for form in (form for _, form in forms):        # Numba compiles before np.empty is spoilt
        with contextlib.suppress(Exception), np.errstate(all="ignore"):
            call(*form(next(cases(function))))
    earlier = []
    with mock.patch.object(np, "empty", spoilt_memory(np.empty)), \
            mock.patch.object(np, "empty_like", spoilt_memory(np.empty_like)), \
            np.errstate(all="ignore"):
        for number, arguments in enumerate(cases(function, pairs)):
            for name, form in forms if number < 3 else forms[:2]:
                given = form(arguments)
                kept = copied(given)
                try:
                    if function.endswith("_backward"):
                        run_forward(before, function, given)
                    got = call(*given)
                    again = call(*copied(kept))
                except Exception as error:
                    return f"{type(error).__name__} {name}: {error}"
                found = wrong(function, got, kept, 1e-10 if name != "in float32" else 2e-4)
                if found:
                    return f"{found} {name}"
                if not same(given_arrays(given), given_arrays(kept)):
                    return f"changes its arguments {name}"
                if any(np.shares_memory(a, b) for a in listed(got) for b in given_arrays(given)
                       if isinstance(a, np.ndarray)):
                    return "gives back memory of its arguments"
                if not same(got, again):
                    return "another result in a second call"
                earlier.append((got, [np.copy(each) for each in listed(got)]))
        if not all(same(got, values) for got, values in earlier):
            return "changes what it gave before"
    return None


def calling(function: str, call):
    """The function, given its arguments by position, or by name where it wants that."""
    names = list(inspect.signature(getattr(reference, function)).parameters)

    def called(*arguments):
        try:
            inspect.signature(call).bind(*arguments)
        except (TypeError, ValueError):
            wanted = [p.kind for p in inspect.signature(call).parameters.values()]
            if inspect.Parameter.VAR_KEYWORD not in wanted:
                return call(*arguments)
            first = sum(kind == inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in wanted)
            return call(*arguments[:first], **dict(zip(names[first:], arguments[first:])))
        return call(*arguments)

    return called


def given_arrays(arguments: list) -> list:
    return [each for each in arguments if isinstance(each, np.ndarray)]


def run_forward(forward, function: str, given: list) -> None:
    """A backward that remembers needs its forward first."""
    if forward is None or function.startswith(("max_pool2d", "bilinear", "relu", "dropout")):
        return
    x, weight, *rest = copied(given[1:])
    with contextlib.suppress(Exception):        # a wrong forward is not backward's fault
        forward(x, weight, np.zeros(weight.shape[-1], weight.dtype), *rest)


def wrong(function: str, got, arguments: list, tolerance: float) -> str | None:
    if function == "dropout_forward":
        return wrong_dropout(got, *arguments, tolerance)
    right = getattr(reference, function)(*arguments)
    if len(listed(got)) != len(listed(right)):
        return f"{len(listed(got))} results"
    for index, (a, b) in enumerate(zip(listed(got), listed(right))):
        if isinstance(b, float):
            if not isinstance(a, float):
                return f"the loss is a {type(a).__name__}"
        elif not isinstance(a, np.ndarray):
            return f"result {index} is a {type(a).__name__}"
        elif a.shape != b.shape:
            return f"result {index} has shape {a.shape}, not {b.shape}"
        elif a.dtype != b.dtype:
            return f"result {index} has dtype {a.dtype}, not {b.dtype}"
        scale = np.max(np.abs(b), initial=1)
        if not np.allclose(a, b, rtol=tolerance, atol=tolerance * scale):
            return f"result {index} has other values"
    return None


def wrong_dropout(got, x, rate, seed, tolerance) -> str | None:
    y, mask = got
    if mask.dtype != bool or mask.shape != x.shape or y.shape != x.shape or y.dtype != x.dtype:
        return "other shapes or dtypes"
    if not np.allclose(y, x * mask / (1 - rate), rtol=tolerance, atol=tolerance):
        return "y is not x * mask / (1 - rate)"
    return None


def wrong_draws(forward) -> str | None:
    """What many draws of dropout show: the rate, and that each seed has its own mask."""
    x = np.ones((40, 5, 5, 40))
    masks = [forward(x, 0.3, seed)[1] for seed in (1, 2)]
    if any(abs(mask.mean() - 0.7) > 0.02 for mask in masks):
        return "another rate"
    if same(*masks):
        return "the seed is ignored"
    if any(np.ptp(mask.mean(axis)) < 0.02 for mask in masks for axis in ((0, 1, 2), (1, 2, 3))):
        return "masks are shared"
    shared = [(mask == np.take(mask, [0], axis)).mean() for mask in masks for axis in range(4)]
    return "masks are shared along an axis" if max(shared) > 0.75 else None

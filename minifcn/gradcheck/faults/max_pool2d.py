"""What mistakes in max pooling answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minifcn.gradcheck.faults.fault import Fault, dy_ignored, left_out, missing_parts
from minifcn.gradcheck.faults.windows import Windows
from minifcn.ops import reference
from minifcn.ops.checks import Pair, pair


class _Pool(NamedTuple):
    """Windows of a pooling, -inf outside the image, and the index of every cell."""

    values: np.ndarray  # (n, i, j, k, c), k = ki * columns + kj
    index: np.ndarray  # (i, j, k) row * w + column

    @classmethod
    def of(cls, x, size, stride, places, outside=-np.inf) -> _Pool:
        kernel = pair(size)
        windows = Windows.of(places, kernel, pair(stride), (0, 0))
        n, h, w, c = x.shape
        rows, columns = np.minimum(windows.rows, h - 1), np.minimum(windows.columns, w - 1)
        values = x[:, rows[:, None, :, None], columns[None, :, None, :]]
        inside = (windows.rows < h)[:, None, :, None] & (windows.columns < w)[None, :, None, :]
        values = np.where(inside[None, ..., None], values, outside)
        index = windows.rows[:, None, :, None] * w + windows.columns[None, :, None, :]
        index = np.broadcast_to(index, inside.shape)
        cells = kernel.rows * kernel.columns
        return cls(values.reshape(n, *places, cells, c), index.reshape(*places, cells))

    def at(self, choice: np.ndarray) -> np.ndarray:
        """Index in the image of the chosen cell of each window."""
        i, j = np.ogrid[: self.index.shape[0], : self.index.shape[1]]
        return self.index[i[None, ..., None], j[None, ..., None], choice]


def _put(
    index: np.ndarray, dy: np.ndarray, x_shape: tuple[int, ...], assign: bool = False
) -> np.ndarray:
    n, h, w, c = x_shape
    dx = np.zeros((n, h * w, c))
    inside = np.broadcast_to((index >= 0) & (index < h * w), dy.shape)
    images, channels = np.broadcast_arrays(np.arange(n)[:, None, None, None], np.arange(c), dy)[:2]
    images, channels = np.broadcast_to(images, dy.shape), np.broadcast_to(channels, dy.shape)
    where = (images[inside], index[inside], channels[inside])
    if assign:
        dx[where] = dy[inside]
    else:
        np.add.at(dx, where, dy[inside])
    return dx.reshape(x_shape)


def _pooled(x, size, stride, ceil_mode) -> dict[str, np.ndarray]:
    """What the reference answers."""
    return dict(zip(("y", "argmax"), reference.max_pool2d_forward(x, size, stride, ceil_mode)))


def max_pool2d(
    x, size, stride, ceil_mode=True, argmax=None, x_shape=None, dy=None
) -> Iterator[Fault]:
    kernel, step = pair(size), pair(stride)
    cells = kernel.rows * kernel.columns
    y, argmax = reference.max_pool2d_forward(x, size, stride, ceil_mode)
    places, (n, h, w, c) = y.shape[1:3], x.shape
    pool = _Pool.of(x, size, stride, places)
    best = pool.values == y[:, :, :, None]
    first, last = best.argmax(axis=3), cells - 1 - best[:, :, :, ::-1].argmax(axis=3)
    corner = np.broadcast_to(pool.index[None, :, :, :1], y.shape)
    if dy is None:
        yield Fault(
            "pool_last_tie",
            "of equal values the last in a window is taken, not the first",
            {"argmax": pool.at(last)},
        )
        column_major = (
            pool.values.reshape(n, *places, *kernel, c).swapaxes(3, 4).reshape(pool.values.shape)
        )
        by_column = (column_major == y[:, :, :, None]).argmax(axis=3)
        yield Fault(
            "pool_last_tie",
            "of equal values the first in column order is taken, not in row order",
            {
                "argmax": pool.at(
                    by_column % kernel.rows * kernel.columns + by_column // kernel.rows
                )
            },
        )
        yield Fault(
            "pool_first_element",
            "{array} is that of the first element of each window",
            {"y": x.reshape(n, h * w, c)[:, corner[0, ..., 0]], "argmax": corner},
        )
        row, column = argmax // w, argmax % w
        i, j = np.arange(places[0])[:, None, None], np.arange(places[1])[:, None]
        for words, index in (
            ("counts within the window", first),
            (
                "counts within the window clipped at the border",
                (row - i * step.rows) * np.minimum(kernel.columns, w - j * step.columns)
                + column
                - j * step.columns,
            ),
            ("is row * output width + column", row * places[1] + column),
            ("is row * h + column", row * h + column),
            ("is column * h + row", column * h + row),
            ("is column * w + row", column * w + row),
            ("counts from 1", argmax + 1),
            ("is a flat index that counts channels too", argmax * c + np.arange(c)),
            (
                "is a flat index into the whole batch",
                ((np.arange(n)[:, None, None, None] * h * w + argmax) * c + np.arange(c)),
            ),
            ("counts images too", np.arange(n)[:, None, None, None] * h * w + argmax),
            ("is the row only", row),
            ("is the column only", column),
            ("is the window's own number", np.broadcast_to((i * places[1] + j), y.shape)),
        ):
            yield Fault(
                "argmax_index",
                f"argmax {words}; it should be row * w + column in the image",
                {"argmax": index},
            )
        filled = np.where(np.isinf(pool.values), 0, pool.values)
        yield Fault(
            "border_not_clipped",
            "{array} comes out as if windows at the border held zeros",
            {"y": filled.max(axis=3)},
        )
        yield Fault(
            "starts_at_zero",
            "{array} is never below 0: the search for the maximum starts at 0",
            {"y": np.maximum(y, 0)},
        )
        counted = np.isfinite(pool.values).sum(axis=3)
        yield Fault(
            "mean_for_max",
            "{array} is the mean of each window",
            {"y": np.where(np.isinf(pool.values), 0, pool.values).sum(axis=3) / counted},
        )
        yield Fault(
            "min_for_max",
            "{array} is the minimum of each window",
            {"y": np.where(np.isinf(pool.values), np.inf, pool.values).min(axis=3)},
        )
        for words, other in (("1", 1), ("the window's size", size)):
            other_pool = _Pool.of(x, size, other, places)
            chosen = other_pool.values.max(axis=3)
            yield Fault(
                "stride_ignored",
                f"{{array}} comes out as if the stride were {words}",
                {"y": chosen, "argmax": other_pool.at(other_pool.values.argmax(axis=3))},
            )
            for mode in (True, False):
                yield Fault(
                    "stride_ignored",
                    f"{{array}} has the size and values of a stride of {words}",
                    _pooled(x, size, other, mode),
                )
        yield Fault(
            "wrong_shape",
            "{array} has the size of the other rounding: ceil_mode is not obeyed",
            _pooled(x, size, stride, not ceil_mode),
        )
        for mode in (True, False):
            yield Fault(
                "wrong_shape",
                f"{{array}} has the size of ceil_mode={mode}, whatever is asked for",
                _pooled(x, size, stride, mode),
            )
        smaller = _Pool.of(x, Pair(*(max(extent - 1, 1) for extent in kernel)), stride, places)
        yield Fault(
            "last_row_missing",
            "{array} leaves out the last row and column of each window",
            {"y": smaller.values.max(axis=3), "argmax": smaller.at(smaller.values.argmax(axis=3))},
        )
        for cause, words, without in left_out("y", y):
            yield Fault(
                cause,
                f"{{array}} is right but for {words}, which is left out",
                {
                    "y": without,
                    "argmax": next(
                        a for k, v, a in left_out("y", argmax) if (k, v) == (cause, words)
                    ),
                },
            )
        return

    def right(dy=dy, **_):
        return {"dx": _put(argmax, dy, x.shape)}

    every = np.zeros(x.shape)
    shared = np.zeros(x.shape)
    counts = best.sum(axis=3)
    for k in range(cells):
        index = np.broadcast_to(pool.index[None, :, :, k, None], y.shape)
        every += _put(index, np.where(best[:, :, :, k], dy, 0), x.shape)
        shared += _put(index, np.where(best[:, :, :, k], dy / counts, 0), x.shape)
    yield Fault(
        "pool_ties_all",
        "of equal values in a window all receive dy, not only the first",
        {"dx": every},
    )
    yield Fault(
        "pool_ties_all",
        "equal values in a window share dy; the first should have it all",
        {"dx": shared},
    )
    yield Fault(
        "pool_last_tie",
        "of equal values in a window the last receives dy, not the first",
        {"dx": _put(pool.at(last), dy, x.shape)},
    )
    yield Fault(
        "pool_first_element",
        "the first element of each window receives dy, not the largest",
        {"dx": _put(corner, dy, x.shape)},
    )
    yield Fault(
        "overlap_assigned",
        "where windows share their maximum the last dy overwrites the others: assigned "
        "instead of added",
        {"dx": _put(argmax, dy, x.shape, assign=True)},
    )
    for mask, words in ((best.any(axis=3) & True, "all"),):
        spread = sum(
            _put(np.broadcast_to(pool.index[None, :, :, k, None], y.shape), dy * mask, x.shape)
            for k in range(cells)
        )
        yield Fault("mean_for_max", f"{words} elements of each window receive dy", {"dx": spread})
        yield Fault(
            "mean_for_max", "all elements of each window share dy", {"dx": spread / cells}
        )
    row, column = argmax // w, argmax % w
    for words, index in (
        ("the output's width", argmax // places[1] * w + argmax % places[1]),
        ("h", argmax // h * w + argmax % h),
        ("column * w + row", column * w + row),
        ("column * h + row", (argmax % h) * w + argmax // h),
    ):
        yield Fault(
            "argmax_index",
            f"argmax is decoded with {words} instead of row * w + column",
            {"dx": _put(index, dy, x.shape)},
        )
    everyone = np.zeros(x.shape)
    everyone[0] = right()["dx"].sum(axis=0)
    yield Fault("image_ignored", "the gradients of all images land in the first", {"dx": everyone})
    yield from dy_ignored(right, dy)
    yield from missing_parts(right, {"dy": dy}, right())

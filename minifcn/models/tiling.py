"""Pictures too large for one forward pass: tiles that overlap enough to change nothing.

A score depends on the pixels within its receptive field of 404 pixels, and a pixel of the output
on the cells up to 44 pixels away that are interpolated to it: no value further than 202 + 44 pixels
matters. But Winograd's algorithm computes groups of neighbouring cells together, 6 by 6 for 3x3
kernels and 2 by 2 for 7x7, and what only a neighbour depends on still changes how a cell rounds.
Counted back from the edge of a tile's core through every layer, and up to whole groups each time,
632 pixels matter (``reach``).

With a halo of that width a tile gives, in its core, the same bits as the whole picture, if its
cells are grouped alike. So it begins at multiples of 384 pixels: of the network's stride of 32, and
of the cells of both kinds of groups.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from math import ceil
from typing import NamedTuple

import numpy as np

from minifcn.layers import MaxPool2d
from minifcn.models.geometry import plan
from minifcn.ops.fast.transforms import outputs_of_tile


def reach() -> int:
    """Pixels beyond a tile's core that what is in it may depend on, by a single bit."""
    steps = {step.name: step for step in plan(500).steps}
    pixels = ceil(sum((step.kernel - 1) / 2 * step.grid.step
                      for name, step in steps.items() if name.startswith("upscore")))
    for name, step in reversed(steps.items()):
        if name == "fc6" or name.startswith("conv"):
            cell = int(step.grid.step)
            # conv1_1 has too few channels for Winograd's algorithm
            group = cell * (1 if name == "conv1_1" else outputs_of_tile(step.kernel))
            pixels = round_up(pixels, group) + step.kernel // 2 * cell
    return pixels


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


STRIDE = 32                 # of the network, in pixels
GRID = STRIDE * outputs_of_tile(3) * outputs_of_tile(7)     # 384: tiles begin at its multiples
HALO_BEFORE = round_up(reach(), GRID)                       # 768
HALO_AFTER = round_up(reach(), STRIDE)                      # 640: an end needs no alignment
LARGEST = 5 * 10**9     # bytes of activations in one pass; with all else less than 8 GB
BATCH = 10**8           # bytes of activations of small pictures that go through together
MOST = 16               # of them; more gain nothing
INDEX_BYTES = 8         # argmax of a pooling, an int64 for each output


class Span(NamedTuple):
    """A tile along one axis: the pixels that it is for, and with the halo all that it computes."""

    core: slice
    whole: slice

    @property
    def size(self) -> int:
        return self.whole.stop - self.whole.start


def predict_scores(model, image: np.ndarray, largest: int = LARGEST
                   ) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Scores of an image, tile by tile: ((rows, columns), scores (rows, columns, classes)).

    A picture of which the activations fit into ``largest`` bytes is one tile. Several pictures of
    one size, stacked to (n, h, w, 3), give scores (n, rows, columns, classes).
    """
    for rows, columns in tiles(model, *image.shape[-3:-1], largest):
        x = model.preprocessing.apply(image[..., rows.whole, columns.whole, :], model.dtype)
        scores = model.forward(x.reshape(-1, *x.shape[-3:]))
        scores = scores.reshape(*x.shape[:-1], model.classes)
        top, left = rows.core.start - rows.whole.start, columns.core.start - columns.whole.start
        bottom, right = rows.core.stop - rows.whole.start, columns.core.stop - columns.whole.start
        yield (rows.core, columns.core), scores[..., top:bottom, left:right, :]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities (..., classes) of scores."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    exponentials /= exponentials.sum(axis=-1, keepdims=True)
    return exponentials


def batches(model, images: Iterable[np.ndarray], largest: int = BATCH
            ) -> Iterator[list[np.ndarray]]:
    """Successive images of one size together, as many as have ``largest`` bytes of activations.

    Small pictures gain by it: a pass has its fixed costs, and work for every thread.
    """
    batch: list[np.ndarray] = []
    room = 1
    for image in images:
        if batch and (len(batch) == room or image.shape != batch[0].shape):
            yield batch
            batch = []
        if not batch:
            room = min(MOST, max(1, largest // forward_bytes(model, *image.shape[:2])))
        batch.append(image)
    if batch:
        yield batch


def tiles(model, height: int, width: int, largest: int = LARGEST) -> list[tuple[Span, Span]]:
    """The cut into tiles that fit into memory which computes the fewest pixels, halos included.

    Where none fits, it is the finest.
    """
    ways = list(product(cuts(height), cuts(width)))
    for rows, columns in sorted(ways, key=computed_pixels):
        if forward_bytes(model, *largest_of(product(rows, columns))) <= largest:
            return list(product(rows, columns))
    return list(product(*ways[-1]))


def largest_tile(model, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the largest tile that ``predict`` takes."""
    return largest_of(tiles(model, height, width))


def largest_of(cut: Iterable[tuple[Span, Span]]) -> tuple[int, int]:
    rows, columns = zip(*cut)
    return max(span.size for span in rows), max(span.size for span in columns)


def cuts(extent: int) -> list[list[Span]]:
    """All ways to cut an axis, from one tile to tiles for GRID pixels each."""
    return [[Span(slice(start, min(start + core, extent)),
                  slice(max(start - HALO_BEFORE, 0), min(start + core + HALO_AFTER, extent)))
             for start in range(0, extent, core)]
            for core in (extent, *range((extent - 1) // GRID * GRID, 0, -GRID))]


def computed_pixels(way: tuple[list[Span], list[Span]]) -> int:
    rows, columns = way
    return sum(span.size for span in rows) * sum(span.size for span in columns)


def forward_bytes(model, height: int, width: int) -> int:
    """The largest activations that live at the same time in a forward pass without training.

    At each layer these are its input, its output, and the pools that a later fusion waits for.
    """
    rows, columns = (plan(extent, model.stride, model.geometry) for extent in (height, width))
    waiting = {skip.pool for skip in model.skips}
    channels, before, kept, largest = 3, height * width * 3, 0, 0
    layers = {layer.name: layer for layer in model.layers}
    for down, across in zip(rows.steps, columns.steps):
        layer = layers.get(down.name)
        if layer is not None and "weight" in layer.parameters:
            channels = layer.parameters["weight"].shape[-1]
        after = down.grid.size * across.grid.size * channels
        indices = after * INDEX_BYTES if isinstance(layer, MaxPool2d) else 0
        largest = max(largest, (before + after + kept) * model.dtype.itemsize + indices)
        kept += after if down.name in waiting else 0
        before = after
    return largest

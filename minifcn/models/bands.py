"""Pictures too large for one forward pass: tiles that overlap enough to change nothing.

A score depends on the pixels within its receptive field of 404 pixels, and a pixel of the output on
the cells up to 44 pixels away that are interpolated to it: nothing further than 202 + 44 pixels
matters. So a tile that is computed with a halo of at least this width gives, in its core, what the
whole picture would have given. It begins at multiples of 384 pixels: of 32, the stride of the
network, so that poolings meet the same cells, and of 12 such cells, so that the tiles of Winograd's
algorithm (6, 4 or 2 cells) do too and even the rounding is the same.
"""
from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from minifcn.models.summary import forward_bytes

GRID = 384
HALO_BEFORE = 384       # the smallest multiple of GRID above 246
HALO_AFTER = 256        # here the end of a tile needs no alignment
LARGEST = 3 * 10**9     # bytes of activations in one pass


def predict_scores(model, image: np.ndarray, largest: int = LARGEST
                   ) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Scores of an image, tile by tile: ((rows, columns), scores (rows, columns, classes)).

    A picture of which the activations fit into ``largest`` bytes is one tile.
    """
    for rows, columns in tiles(model, image.shape[0], image.shape[1], largest):
        top, left = max(rows.start - HALO_BEFORE, 0), max(columns.start - HALO_BEFORE, 0)
        tile = image[top:rows.stop + HALO_AFTER, left:columns.stop + HALO_AFTER]
        scores = model.forward(model.preprocess(tile))[0]
        yield (rows, columns), scores[rows.start - top:rows.stop - top,
                                      columns.start - left:columns.stop - left]


def tiles(model, height: int, width: int, largest: int) -> list[tuple[slice, slice]]:
    """Cores of the tiles: as large as the memory of their activations allows, but at least GRID."""
    core = [height, width]

    def too_large() -> bool:
        halo = HALO_BEFORE + HALO_AFTER
        tile = (min(extent + halo, whole) for extent, whole in zip(core, (height, width)))
        return forward_bytes(model, *tile) > largest

    while too_large() and max(core) > GRID:
        axis = 0 if core[0] >= core[1] else 1
        core[axis] = (core[axis] - 1) // GRID * GRID       # one step of the grid less
    return list(product(spans(height, core[0]), spans(width, core[1])))


def spans(extent: int, core: int) -> list[slice]:
    return [slice(start, min(start + core, extent)) for start in range(0, extent, core)]

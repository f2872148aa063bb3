"""What a network costs on an image: shapes, parameters, multiplications, memory; nothing is run."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minifcn.layers import Conv2d, ConvTranspose2d, MaxPool2d
from minifcn.models.geometry import plan
from minifcn.models.tiling import INDEX_BYTES, forward_bytes, largest_tile


class Row(NamedTuple):
    """One layer, for one image."""

    name: str
    shape: tuple[int, int, int]     # of the output: h, w, c
    parameters: int
    macs: int                       # multiplications with addition
    activation_bytes: int           # the output, and the argmax of a pooling


class Summary(NamedTuple):
    """Table of the layers; ``print`` it. Memory in bytes, without interpreter and libraries."""

    title: str
    rows: list[Row]
    parameters: int
    macs: int
    predict_bytes: int      # weights, the largest activations (of a tile, if it takes tiles)
    training_bytes: int     # weights, gradients, momentum, all activations (batch 1)
    receptive_field: int    # pixels, along an axis, that a score of the coarsest map depends on

    @property
    def notes(self) -> list[str]:
        """What stands below the table."""
        return [f"receptive field {self.receptive_field} x {self.receptive_field} pixels",
                f"memory to predict {self.predict_bytes / 1e6:,.0f} MB, to train "
                f"{self.training_bytes / 1e6:,.0f} MB (SGD with momentum, batch 1)"]

    def __repr__(self) -> str:
        return (f"{self.title}: {self.parameters:,} parameters, {self.macs / 1e9:.1f} GMAC\n"
                f"{self.notes[-1]}")

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import summary_html

        return summary_html(self)

    def to_dict(self) -> dict:
        """A dictionary that JSON can hold."""
        return {**self._asdict(), "rows": [row._asdict() for row in self.rows]}

    def __str__(self) -> str:
        lines = [self.title, f"{'layer':<14}{'output h x w x c':>20}{'parameters':>14}"
                             f"{'GMAC':>9}{'MB':>9}"]
        for row in self.rows:
            lines.append(f"{row.name:<14}{' x '.join(map(str, row.shape)):>20}{row.parameters:>14,}"
                         f"{row.macs / 1e9:>9.3f}{row.activation_bytes / 1e6:>9.1f}")
        lines.append(f"{'total':<34}{self.parameters:>14,}{self.macs / 1e9:>9.3f}"
                     f"{sum(row.activation_bytes for row in self.rows) / 1e6:>9.1f}")
        return "\n".join([*lines, *self.notes])


def summarise(model, height: int, width: int) -> Summary:
    """Summary of an FCN for an image of ``height`` by ``width`` pixels."""
    rows, columns = (plan(extent, model.stride, model.geometry) for extent in (height, width))
    sizes = {down.name: (down.grid.size, across.grid.size)
             for down, across in zip(rows.steps, columns.steps)}
    itemsize = model.dtype.itemsize
    table, channels = [], 3
    before = (height, width)
    for layer in model.layers:
        if layer.name not in sizes:     # dropout
            continue
        h, w = sizes[layer.name]
        macs, extra = 0, 0
        if isinstance(layer, Conv2d):
            kh, kw, c_in, channels = layer.parameters["weight"].shape
            macs = h * w * kh * kw * c_in * channels
        elif isinstance(layer, MaxPool2d):
            extra = h * w * channels * INDEX_BYTES
        else:       # every input cell stamps the kernel, for all pairs of channels or for each
            pairs = channels**2 if isinstance(layer, ConvTranspose2d) else channels
            macs = before[0] * before[1] * layer.size**2 * pairs
        parameters = sum(array.size for array in layer.parameters.values())
        table.append(Row(layer.name, (h, w, channels), parameters, macs,
                         h * w * channels * itemsize + extra))
        skip = layer.name.startswith("score_pool")      # it is added, and cropped for it, at once
        before = sizes[layer.name.replace("score", "fuse")] if skip else (h, w)
    parameters = sum(row.parameters for row in table)
    weight_bytes = parameters * itemsize
    activations = [row.activation_bytes for row in table]
    return Summary(
        f"FCN-{model.stride}s, {model.geometry} geometry, {model.classes} classes, "
        f"image of {height} x {width} pixels", table, parameters, sum(row.macs for row in table),
        predict_bytes=weight_bytes + forward_bytes(model, *largest_tile(model, height, width)),
        training_bytes=training_bytes(weight_bytes, activations, 1, 1),
        receptive_field=rows.receptive_field)


def training_bytes(weights: int, activations: Sequence[int], batch: int, moments: int) -> int:
    """Memory of a training step.

    ``moments`` arrays of the weights' size are the optimizer's (1 of SGD, 2 of Adam), and one more
    are the gradients; every activation is kept, and two of the largest are at work.
    """
    return (2 + moments) * weights + batch * (sum(activations) + 2 * max(activations))

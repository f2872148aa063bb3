"""Where every cell of an FCN lies in the image: sizes, offsets, crops, from first principles.

A feature map is a grid over the image. Along one axis it is described by three numbers: its
``size`` in cells, the ``step`` from cell to cell in pixels, and the ``origin``, the pixel over
which cell 0 is centred (0 is the centre of the first pixel). A window of k cells that starts p
cells before the border is centred (k - 1) / 2 - p cells behind it, so

    convolution, pooling     step * s,   origin + ((k - 1) / 2 - p) * step
    transposed convolution   step / s,   origin - ((k - 1) / 2 - p) * step / s
    crop of the first o      step,       origin + o * step

Two maps may be added, cell by cell, when they have the same step and the same origin; if the
origins differ, the crop is their difference in cells. That is all there is to the numbers 19, 27,
31, 5 and 9.
"""
from __future__ import annotations

from typing import NamedTuple

from minifcn.ops.checks import conv2d_size, conv_transpose2d_size, max_pool2d_size


class Grid(NamedTuple):
    """One axis of a feature map: cells, pixels from cell to cell, and the pixel of cell 0."""

    size: int
    step: float = 1.0
    origin: float = 0.0

    def convolve(self, kernel: int, stride: int, padding: int) -> Grid:
        return Grid(conv2d_size(self.size, kernel, stride, padding), self.step * stride,
                    self.origin + ((kernel - 1) / 2 - padding) * self.step)

    def pool(self) -> Grid:
        return Grid(max_pool2d_size(self.size, 2, 2, True), self.step * 2,
                    self.origin + self.step / 2)

    def upsample(self, kernel: int, stride: int, padding: int) -> Grid:
        step = self.step / stride
        return Grid(conv_transpose2d_size(self.size, kernel, stride, padding), step,
                    self.origin - ((kernel - 1) / 2 - padding) * step)

    def crop(self, offset: int, size: int) -> Grid:
        return Grid(size, self.step, self.origin + offset * self.step)


class Geometry(NamedTuple):
    """The paddings that fix the geometry of an FCN.

    ``conv1_1`` and ``fc6`` are the paddings of these layers; with ``aligned`` the transposed
    convolutions pad k/2 - s/2 = s/2, which keeps every grid aligned with the image, without it 0.
    """

    conv1_1: int
    fc6: int
    aligned: bool

    def upsampling_padding(self, factor: int) -> int:
        return factor // 2 if self.aligned else 0


GEOMETRIES = {"exact": Geometry(1, 3, True), "caffe": Geometry(100, 0, False)}

# the transposed convolutions of each variant: name, factor, and the pool whose scores are added
UPSAMPLING = {
    32: (("upscore", 32, None),),
    16: (("upscore2", 2, "pool4"), ("upscore16", 16, None)),
    8: (("upscore2", 2, "pool4"), ("upscore_pool4", 2, "pool3"), ("upscore8", 8, None)),
}


class Step(NamedTuple):
    """A layer along one axis: name, kernel, stride, padding (or crop), and the grid after it."""

    name: str
    kernel: int | None
    stride: int | None
    padding: int | None
    grid: Grid


class Crop(NamedTuple):
    """Which cells of an axis stay: ``offset`` to ``offset + size``."""

    offset: int
    size: int

    @property
    def cells(self) -> slice:
        return slice(self.offset, self.offset + self.size)


class Fusion(NamedTuple):
    """Crops that bring a skip connection and the upsampled coarser scores to the same cells."""

    skip: Crop
    upsampled: Crop


class Plan(NamedTuple):
    """The way of one image axis through an FCN."""

    steps: list[Step]
    fusions: dict[str, Fusion]      # by the name of the pool that the skip comes from
    output: Crop

    @property
    def receptive_field(self) -> int:
        """Pixels of the image, along this axis, that a score of the coarsest map depends on."""
        pixels, before = 1, self.steps[0].grid
        for step in self.steps:
            pixels += 0 if step.kernel is None else int((step.kernel - 1) * before.step)
            before = step.grid
            if step.name == "score_fr":
                break
        return pixels

    def __repr__(self) -> str:
        coarse = self.after("score_fr")
        return (f"Plan of an axis of {self.output.size} pixels: {coarse.size} cells in score_fr, "
                f"one every {coarse.step:g} pixels, each sees {self.receptive_field}; the output "
                f"is cropped by {self.output.offset}")

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import plan_html

        return plan_html(self)

    def after(self, name: str) -> Grid:
        """The grid after the layer of that name."""
        return next(step.grid for step in self.steps if step.name == name)


def plan(extent: int, stride: int = 8, geometry: str | Geometry = "exact",
         stages: tuple[int, ...] = (2, 2, 3, 3, 3)) -> Plan:
    """Derive every size, offset and crop along one axis of an image.

    Parameters
    ----------
    extent : int
        Rows or columns of the image, at least 1.
    stride : {32, 16, 8}
        The variant.
    geometry : {"exact", "caffe"} or Geometry
        A ``Geometry`` of one's own serves for any other padding.
    stages : tuple of int
        3x3 convolutions before each pooling.

    Raises
    ------
    ValueError
        If the padding is too small for the image, or maps do not lie on one another.

    Examples
    --------
    >>> plan(500, 8, "caffe").output.offset, plan(500, 8, "caffe").after("fc6").size
    (31, 16)
    """
    paddings = GEOMETRIES[geometry] if isinstance(geometry, str) else geometry
    steps, pools = [Step("image", None, None, None, Grid(extent))], {}

    def add(name, kernel, stride, padding, grid):
        if grid.size < 1:
            raise ValueError(f"{name} has no output left for {extent} pixels with conv1_1 padded "
                             f"by {paddings.conv1_1} and fc6 by {paddings.fc6}; pad more")
        steps.append(Step(name, kernel, stride, padding, grid))
        return grid

    grid = steps[0].grid
    for stage, convolutions in enumerate(stages, 1):
        for layer in range(1, convolutions + 1):
            padding = paddings.conv1_1 if (stage, layer) == (1, 1) else 1
            grid = add(f"conv{stage}_{layer}", 3, 1, padding, grid.convolve(3, 1, padding))
        grid = pools[f"pool{stage}"] = add(f"pool{stage}", 2, 2, 0, grid.pool())
    grid = add("fc6", 7, 1, paddings.fc6, grid.convolve(7, 1, paddings.fc6))
    grid = add("fc7", 1, 1, 0, grid)
    grid = add("score_fr", 1, 1, 0, grid)

    fusions = {}
    for name, factor, skip_from in UPSAMPLING[stride]:
        padding = paddings.upsampling_padding(factor)
        grid = add(name, 2 * factor, factor, padding, grid.upsample(2 * factor, factor, padding))
        if skip_from:
            skip = add(f"score_{skip_from}", 1, 1, 0, pools[skip_from])
            fusion = fusions[skip_from] = overlap(f"score_{skip_from}", skip, name, grid)
            grid = add(f"fuse_{skip_from}", None, None, fusion.skip.offset,
                       grid.crop(*fusion.upsampled))
    offset = -grid.origin / grid.step
    if offset < 0 or offset != int(offset) or offset + extent > grid.size:
        raise ValueError(f"the upsampled scores cover the pixels {grid.origin:g} to "
                         f"{grid.origin + grid.size - 1:g} of 0 to {extent - 1}; pad more")
    output = Crop(int(offset), extent)
    add("output", None, None, output.offset, grid.crop(*output))
    return Plan(steps, fusions, output)


def overlap(skip_name: str, skip: Grid, upsampled_name: str, upsampled: Grid) -> Fusion:
    """The cells that two grids of the same step have in common."""
    offset = (upsampled.origin - skip.origin) / skip.step
    if upsampled.step != skip.step or offset != int(offset):
        raise ValueError(f"{skip_name} and {upsampled_name} do not lie on one another: cells every "
                         f"{skip.step:g} and {upsampled.step:g} pixels, {offset:g} cells apart")
    of_skip, of_upsampled = max(int(offset), 0), max(-int(offset), 0)
    size = min(skip.size - of_skip, upsampled.size - of_upsampled)
    if size < 1:
        raise ValueError(f"{skip_name} and {upsampled_name} have no cell in common")
    return Fusion(Crop(of_skip, size), Crop(of_upsampled, size))


def explain(height: int, width: int, stride: int = 8, geometry: str | Geometry = "exact") -> str:
    """The derivation as a table: what each layer does to the size, and where its cells lie."""
    rows, columns = plan(height, stride, geometry), plan(width, stride, geometry)
    lines = [f"FCN-{stride}s, {geometry} geometry, image of {height} x {width} pixels",
             f"{'layer':<14}{'kernel':>7}{'stride':>7}{'padding':>8}"
             f"{'cells':>13}{'step':>6}{'cell 0 at':>11}"]
    for down, across in zip(rows.steps, columns.steps):
        numbers = ["" if value is None else str(value) for value in down[1:4]]
        if down.kernel is None and down.padding is not None:
            numbers[2] = f"crop {down.padding}"
        lines.append(f"{down.name:<14}{numbers[0]:>7}{numbers[1]:>7}{numbers[2]:>8}"
                     f"{f'{down.grid.size} x {across.grid.size}':>13}{down.grid.step:>6g}"
                     f"{down.grid.origin:>11g}")
    return "\n".join(lines)

"""The FCN explorer: one picture on its way through a network, every map of it, on one page.

The network runs once forward, and once backward for each chosen pixel, on its own layers; what
passes through them is written into the page. Sizes, offsets and crops are those of
``models.geometry``; here is only which cells of the map before a cell is computed from:

    convolution, pooling     i s - p   to   i s - p + k - 1
    transposed convolution   the cells a with   a s - p <= i <= a s - p + k - 1
    crop by o                i + o

Followed from layer to layer back to the image, that is the receptive field.
"""
from __future__ import annotations

import base64
import html
import io
import zlib
from collections.abc import Sequence
from itertools import product
from math import isqrt
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from minifcn.layers import BilinearUpsample
from minifcn.models.fcn import FCN
from minifcn.models.geometry import Plan, Step, plan
from minifcn.ops import bilinear_kernel
from minifcn.plotting import pictures
from minifcn.teaching.page import VIEWER, Page

MOST_CELLS = 131_072        # of conv1_1, the largest map: 362 x 362 pixels in exact geometry
COMPLETE = 1_500_000        # numbers of the layers whose every product can be looked at
GRADIENT_CELLS = 4_096      # of a layer's gradient: more channels where maps are small
MAP_BITS, GRADIENT_BITS = 15, 11        # of the mantissa: four digits and more, three digits
GRID = 4                    # rows and columns of the pixels whose gradients are shown
PITCH, LABEL, LANE = 112, 42, 30            # of the drawing: columns, names, room for arrows
SIDES = (96, 82, 72, 62, 54, 48)           # and its tiles, of the six sizes of cells
TILE, GAP = 128, 12         # pixels of the poster
ZERO, BLUE, ORANGE = (247, 247, 247), (33, 102, 172), (217, 119, 6)


class Span(NamedTuple):
    """Cells ``first`` to ``last`` of an axis; none if ``last < first``."""

    first: int
    last: int

    def within(self, size: int) -> Span:
        return Span(max(self.first, 0), min(self.last, size - 1))


class Gradient(NamedTuple):
    """The gradient of one pixel's winning score in a layer's output: some channels of it."""

    channels: list[int]
    values: np.ndarray          # (h, w, len(channels))


class Pixel(NamedTuple):
    """An output pixel, its winning class and that score, and the score's gradient in each layer."""

    row: int
    column: int
    winner: int
    score: float
    gradients: dict[str, Gradient]


# -- from which cells a cell is computed ----------------------------------------------------------


def inputs_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The layers that each layer reads, in the order of the forward pass."""
    names = [step.name for step in plan.steps]
    inputs: dict[str, tuple[str, ...]] = {"image": ()}
    for index, name in enumerate(names[1:], 1):
        if name.startswith("score_pool"):
            inputs[name] = (name.removeprefix("score_"),)
        elif name.startswith("fuse_"):
            inputs[name] = (names[index - 2], names[index - 1])
        else:
            inputs[name] = (names[index - 1],)
    return inputs


def reads(plan: Plan, step: Step, source: str, cell: int) -> Span:
    """The cells of ``source`` that a cell is computed from, along one axis, borders unheeded."""
    if step.name == "output":
        return Span(cell + plan.output.offset, cell + plan.output.offset)
    if step.name.startswith("fuse_"):
        fusion = plan.fusions[step.name.removeprefix("fuse_")]
        crop = fusion.skip if source.startswith("score_") else fusion.upsampled
        return Span(cell + crop.offset, cell + crop.offset)
    if step.name.startswith("upscore"):
        return Span(-((step.kernel - 1 - step.padding - cell) // step.stride),
                    (cell + step.padding) // step.stride)
    first = cell * step.stride - step.padding
    return Span(first, first + step.kernel - 1)


def influences(plan: Plan, layer: str, cell: int) -> dict[str, Span]:
    """The cells of each earlier layer, and of the image, that a cell depends on, along one axis."""
    steps = {step.name: step for step in plan.steps}
    inputs, spans = inputs_of(plan), {layer: Span(cell, cell)}
    for name in reversed(inputs):
        if name not in spans or spans[name].last < spans[name].first:
            continue
        for source in inputs[name]:
            first, last = (reads(plan, steps[name], source, end) for end in spans[name])
            span = Span(first.first, last.last).within(steps[source].grid.size)
            other = spans.get(source, span)
            spans[source] = Span(min(span.first, other.first), max(span.last, other.last))
    return {name: spans[name] for name in inputs if name in spans}


# -- the passes -----------------------------------------------------------------------------------


class Passes:
    """A twin of a network that shares its weights, drops nothing, and keeps what its layers do.

    Attributes
    ----------
    maps : dict of str to (h, w, c) array
        Of every layer, from the last ``forward``; "image" is the preprocessed picture,
        "fuse_pool4" a sum of two score maps, "output" the scores of the pixels.
    gradients : dict of str to (h, w, c) array
        Of the score that the last ``backward`` asked for, in the same maps.
    """

    def __init__(self, model: FCN, inputs: dict[str, tuple[str, ...]]):
        self.network = FCN(**{**model.config, "dropout": 0.0, "seed": None})
        self.network.backbone.layers[0].needs_dx = True
        self.maps: dict[str, np.ndarray] = {}
        self.gradients: dict[str, np.ndarray] = {}
        for layer, original in zip(self.network.layers, model.layers):
            layer.parameters = original.parameters
            if layer.name in inputs:        # dropout is not
                source = inputs[layer.name][0]
                self.listen(layer, source if source.startswith(("image", "fuse_")) else None)

    def listen(self, layer, source: str | None) -> None:
        """Keep what comes out of a layer, both ways; and of a ``source`` that is no layer too."""
        forward, backward = layer.forward, layer.backward

        def listened_forward(x, *options):
            y = forward(x, *options)
            self.maps.update({source: x[0]} if source else {}, **{layer.name: y[0]})
            return y

        def listened_backward(dy):
            self.gradients[layer.name] = dy[0]
            dx = backward(dy)
            self.gradients.update({source: dx[0]} if source else {})
            return dx

        layer.forward, layer.backward = listened_forward, listened_backward

    def forward(self, x: np.ndarray) -> None:
        self.maps["output"] = self.network.forward(x, True)[0]

    def backward(self, row: int, column: int, winner: int) -> None:
        dscores = np.zeros((1, *self.maps["output"].shape), self.network.dtype)
        dscores[0, row, column, winner] = 1
        self.gradients["output"] = dscores[0]
        self.network.backward(dscores)


def strongest(measure: np.ndarray, count: int) -> list[int]:
    """The ``count`` channels of the largest measure, the largest first."""
    return np.argsort(-measure, kind="stable")[:count].tolist()


# -- the page -------------------------------------------------------------------------------------


class Explorer(Page):
    """The page of a network and a picture; ``model.explore(image)`` makes it.

    Attributes
    ----------
    maps : dict of str to (h, w, c) array
        The output of every layer, in all channels, whatever of it the page shows: "image" is the
        preprocessed picture, "fuse_pool4" the sum of two score maps, "output" the scores.
    pixels : list of Pixel
        Those whose gradients the page shows.
    """

    def __init__(self, model: FCN, image: np.ndarray,
                 pixels: Sequence[tuple[int, int]] | None = None, channels: int = 8,
                 layers: Sequence[str] | None = None):
        model.check_image(image)
        size = image.shape[:2]
        self.plans = tuple(plan(extent, model.stride, model.geometry) for extent in size)
        check_size(self.plans, size)
        self.inputs = inputs_of(self.plans[0])
        layers = list(self.inputs) if layers is None else [*layers, "output"]
        if unknown := [name for name in layers if name not in self.inputs]:
            raise ValueError(f"there is no layer {unknown[0]!r} in an FCN-{model.stride}s; "
                             f"it has {', '.join(self.inputs)}")
        if channels < 1:
            raise ValueError(f"channels is {channels}; a layer has at least 1")
        places = coarse_grid(*size) if pixels is None else [(int(r), int(c)) for r, c in pixels]
        for row, column in places:
            self.check_cell("output", row, column)

        passes = Passes(model, self.inputs)
        x = model.preprocess(image)
        passes.forward(x)
        self.maps = {name: passes.maps[name] for name in self.inputs}
        check_finite(self.maps)
        self.pixels = []
        for index, (row, column) in enumerate(places):
            winner = int(self.maps["output"][row, column].argmax())
            if index:
                passes.forward(x)       # backward forgets what its layers remembered
            passes.backward(row, column, winner)
            chosen = {name: chosen_gradient(passes.gradients[name], is_score(name), channels)
                      for name in layers}
            self.pixels.append(Pixel(row, column, winner,
                                     float(self.maps["output"][row, column, winner]), chosen))

        self.network = f"FCN-{model.stride}s, {model.geometry} geometry"
        self.title = f"A picture's way through an {self.network}"
        super().__init__(self.title, "explorer.js",
                         page_data(self, model, image, layers, channels),
                         poster(self, model, image), *in_words(self, model))

    def check_cell(self, layer: str, row: int, column: int) -> None:
        """Raise ValueError unless the layer exists, and the cell in it."""
        if layer not in self.inputs:
            raise ValueError(f"there is no layer {layer!r}; it is one of {', '.join(self.inputs)}")
        sizes = [plan.after(layer).size for plan in self.plans]
        for what, cell, size in zip(("row", "column"), (row, column), sizes):
            if not 0 <= cell < size:
                raise ValueError(f"{what} {cell} is outside of {layer}, which has "
                                 f"{sizes[0]} x {sizes[1]} cells: 0 to {size - 1}")

    def influences(self, layer: str, row: int, column: int) -> dict[str, tuple[Span, Span]]:
        """Rows and columns of all that a cell depends on, in every layer back to the image.

        That in "image" is the cell's receptive field, as far as it lies in the picture. A cell of
        the border may see nothing of it; then there is no entry.
        """
        self.check_cell(layer, row, column)
        rows, columns = (influences(plan, layer, cell)
                         for plan, cell in zip(self.plans, (row, column)))
        return {name: (rows[name], columns[name]) for name in rows if name in columns
                if rows[name].last >= rows[name].first
                and columns[name].last >= columns[name].first}


def coarse_grid(height: int, width: int) -> list[tuple[int, int]]:
    """16 pixels in the middle of the parts when rows and columns are cut into four."""
    rows, columns = ([(2 * part + 1) * extent // (2 * GRID) for part in range(GRID)]
                     for extent in (height, width))
    return list(dict.fromkeys(product(rows, columns)))      # a small picture has fewer pixels


def chosen_gradient(values: np.ndarray, scores: bool, channels: int) -> Gradient:
    """All classes of score maps; else the channels with the most gradient, fewer of large maps."""
    height, width, count = values.shape
    chosen = list(range(count)) if scores else strongest(
        np.abs(values).sum(axis=(0, 1)),
        min(channels, max(1, GRADIENT_CELLS // (height * width))))
    return Gradient(chosen, values[..., chosen])


def check_size(plans: tuple[Plan, Plan], size: tuple[int, int]) -> None:
    cells = plans[0].after("conv1_1").size * plans[1].after("conv1_1").size
    if cells > MOST_CELLS:
        border = plans[0].after("conv1_1").size - size[0]
        side = isqrt(MOST_CELLS) - border
        top, left = (max(0, (extent - side) // 2) for extent in size)
        raise ValueError(
            f"a picture of {size[0]} x {size[1]} pixels makes {cells:,} cells in conv1_1, and a "
            f"page holds at most {MOST_CELLS:,}: cut out a piece, such as "
            f"image[{top}:{min(top + side, size[0])}, {left}:{min(left + side, size[1])}]")


def check_finite(maps: dict[str, np.ndarray]) -> None:
    for name, values in maps.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds NaN or infinity for this picture: the weights of this "
                             "layer or one before are broken; use an earlier checkpoint")


# -- what the page gets ---------------------------------------------------------------------------


def page_data(page: Explorer, model: FCN, image: np.ndarray, layers: Sequence[str],
              channels: int) -> dict:
    """All that ``viewer/explorer.js`` needs, as JSON."""
    modules = {layer.name: layer for layer in model.layers}
    scales = {skip.score.name: skip.scale for skip in model.skips}
    complete = affordable(page, modules, layers)
    described = []
    for down, across in zip(page.plans[0].steps, page.plans[1].steps):
        name, values = down.name, page.maps[down.name]
        chosen = list(range(values.shape[2])) if is_score(name) else strongest(
            values.std(axis=(0, 1)), values.shape[2] if name in complete else channels)
        weight, bias = parameters_of(modules.get(name))
        here = weight is not None and name in complete and complete.issuperset(page.inputs[name])
        described.append({
            "name": name, "kind": kind_of(name), "says": says(down, page, model),
            "size": values.shape, "step": down.grid.step,
            "origin": [down.grid.origin, across.grid.origin],
            "stride": down.stride, "padding": down.padding, "scale": scales.get(name, 1),
            "inputs": [{"from": source,
                        "rows": [reads(page.plans[0], down, source, i)
                                 for i in range(down.grid.size)],
                        "columns": [reads(page.plans[1], across, source, j)
                                    for j in range(across.grid.size)]}
                       for source in page.inputs[name]],
            "place": place_of(down, described), "known": name in layers, "scores": is_score(name),
            "channels": chosen, "rule": rule_of(chosen, values, name, "that vary most"),
            "labels": labels_of(name, model),
            # the page cuts the output out of the upsampled scores, if it has them
            "map": encoded(values[..., chosen], MAP_BITS) if name in layers and not (
                name == "output" and page.inputs[name][0] in layers) else None,
            "weight": encoded(weight, MAP_BITS) if here else None,
            "absent": None if here or weight is None else
                f"Its products are not on this page: {name} has {weight.size:,} weights.",
            "bias": bias, "relu": getattr(modules.get(name), "relu", False),
        })
    return {"size": image.shape[:2], "picture": png(Image.fromarray(image)),
            "classes": model.class_names, "palette": model.palette,
            "mask": encoded(page.maps["output"].argmax(axis=2)[..., None], MAP_BITS),
            "layers": described, "view": view(page, model, described), "first": first_pixel(page),
            "pixels": [{"row": pixel.row, "column": pixel.column, "winner": pixel.winner,
                        "meaning": "A small change here changes the score of "
                                   f"{model.class_names[pixel.winner]} at row {pixel.row}, column "
                                   f"{pixel.column} by this many times as much.",
                        "gradients": {name: {"channels": each.channels,
                                             "rule": rule_of(each.channels, page.maps[name], name,
                                                             "with the most gradient"),
                                             "map": encoded(each.values, GRADIENT_BITS)}
                                      for name, each in pixel.gradients.items()}}
                       for pixel in page.pixels]}


def view(page: Explorer, model: FCN, described: list[dict]) -> str:
    """The page's HTML, which the script fills."""
    options = [f'<option value="{index}">the gradient of {html.escape(model.class_names[winner])} '
               f"at row {row}, column {column} (score {score:.4g})</option>"
               for index, (row, column, winner, score, _) in enumerate(page.pixels)]
    template = (VIEWER / "explorer.html").read_text(encoding="utf-8")
    return template.format(options="".join(options), drawing=drawing(page, described))


def drawing(page: Explorer, described: list[dict]) -> str:
    """The network as HTML: a button of each layer, and arrows between them."""
    tops = [sum(SIDES[:row]) + row * (LABEL + LANE) for row in range(len(SIDES) + 1)]
    width, height = 7 * PITCH, tops[-1]
    boxes, buttons = {}, []
    for layer in described:
        (row, column), (tall, wide, channels), name = layer["place"], layer["size"], layer["name"]
        side = SIDES[row - 1]
        box = boxes[name] = Box(row, (column - 0.5) * PITCH, tops[row - 1],
                                tops[row - 1] + side + LABEL, tops[row - 1] + side / 2,
                                side * wide / max(tall, wide) / 2)
        margin = (side - side * tall / max(tall, wide)) / 2 / PITCH
        buttons.append(
            f'<button class="layer" title="{layer["says"]}" {"" if layer["known"] else "disabled"} '
            f'style="left:{(box.x - PITCH / 2) / width:.3%};top:{box.top / height:.3%};'
            f'width:{PITCH / width:.3%}"><span class="tile" style="margin:{margin:.3%} 0;'
            f'width:{2 * box.half / PITCH:.3%};aspect-ratio:{wide}/{tall}">'
            f'<canvas></canvas><span class="field"></span></span>'
            f"<b>{name}</b><small>{tall}×{wide}×{channels}</small></button>")
    arrows = [arrow(boxes[source], boxes[name], kind_of(source), kind_of(name))
              for name, sources in page.inputs.items() for source in sources]
    return (f'<div class="sheet" style="aspect-ratio:{width}/{height}">'
            f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(arrows)}</svg>'
            f"{''.join(buttons)}</div>")


class Box(NamedTuple):
    """Where a layer is drawn: its row, the middle, top and foot, and the middle of its tile."""

    row: int
    x: float
    top: float
    foot: float
    y: float
    half: float     # of the width of the tile


def arrow(a: Box, b: Box, source: str, kind: str) -> str:
    """Along a row, to the row below or above, and, for the skips, under their own row."""
    if source == "pool" and a.row == b.row and b.x > a.x + PITCH:
        kind = "skip"
        way = f"M{a.x} {a.foot}v2q0 6 6 6H{b.x - 6}q6 0 6-6v-2m-4 4l4-5l4 5"
    elif a.row < b.row:
        way = f"M{a.x} {a.foot}v11q0 6-6 6H{b.x + 6}q-6 0-6 6V{b.top - 4}m-4-5l4 5l4-5"
    elif a.x == b.x:
        way = f"M{a.x} {a.top - 4}V{b.foot + 2}m-4 5l4-5l4 5"
    elif a.row > b.row and source == "sum":
        way = f"M{a.x} {a.top - 4}v-4q0-6 6-6H{b.x - 6}q6 0 6-6V{b.foot + 2}m-4 5l4-5l4 5"
    elif a.row > b.row:
        way = f"M{a.x + a.half + 4} {a.y}H{b.x - 6}q6 0 6-6V{b.foot + 2}m-4 5l4-5l4 5"
    elif a.x < b.x:
        way = f"M{a.x + a.half + 4} {a.y}H{b.x - b.half - 5}m-5-4l5 4l-5 4"
    else:
        way = f"M{a.x - a.half - 4} {a.y}H{b.x + b.half + 5}m5-4l-5 4l5 4"
    return f'<path class="{kind}" d="{way}"/>'


def first_pixel(page: Explorer) -> int:
    """The pixel that the page begins with: of a rare class, if there are several to choose from."""
    shares = np.bincount(page.maps["output"].argmax(axis=2).ravel())
    return min(range(len(page.pixels)), key=lambda k: shares[page.pixels[k].winner], default=0)


def affordable(page: Explorer, modules: dict, layers: Sequence[str]) -> set[str]:
    """The layers that the page holds with all channels and weights: scores, and the smallest."""
    def cost(name):
        weight, _ = parameters_of(modules.get(name))
        return page.maps[name].size + (0 if weight is None else weight.size)

    complete, spent = {name for name in layers if is_score(name)}, 0
    for name in sorted(set(layers) - complete, key=cost):
        spent += cost(name)
        if spent <= COMPLETE:
            complete.add(name)
    return complete


def parameters_of(layer) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Weight and bias; of frozen upsampling the bilinear kernel."""
    if isinstance(layer, BilinearUpsample):
        return bilinear_kernel(layer.size), None
    parameters = layer.parameters if layer else {}
    return parameters.get("weight"), parameters.get("bias")


def rule_of(channels: list[int], values: np.ndarray, name: str, which: str) -> str:
    """Which channels are shown, and in which order."""
    if is_score(name):
        return f"The {len(channels)} classes."
    return f"{len(channels)} of {values.shape[2]} channels, those {which} first."


def labels_of(name: str, model: FCN) -> list[str] | None:
    """Names of the channels, where they have any."""
    if name == "image":
        return ["red", "green", "blue"][::1 if model.preprocessing.order == "RGB" else -1]
    return model.class_names if is_score(name) else None


def is_score(name: str) -> bool:
    """Whether the channels of a layer are the classes."""
    return name.startswith(("score", "upscore", "fuse", "output"))


def place_of(step: Step, before: list[dict]) -> tuple[int, int]:
    """Row and column in the drawing of the network: a row for each size of cells."""
    row = int(step.grid.step).bit_length()
    if step.name.startswith("score_pool"):
        return row, 5
    if step.name.startswith("fuse_") or (step.name.startswith("upscore") and row == 1):
        return row, 6
    if is_score(step.name) and step.name != "score_fr":
        return row, 7
    return row, 1 + sum(each["place"][0] == row for each in before)


def kind_of(name: str) -> str:
    for start, kind in (("pool", "pool"), ("upscore", "upsampling"), ("fuse", "sum"),
                        ("output", "crop"), ("image", "image")):
        if name.startswith(start):
            return kind
    return "convolution"


def encoded(values: np.ndarray, bits: int) -> dict:
    """float32 numbers rounded to ``bits`` bits of mantissa, their three bytes apart, compressed."""
    drop = 23 - bits
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32)
    raw = (raw + np.uint32(1 << (drop - 1))) >> np.uint32(drop) << np.uint32(drop)
    planes = raw.astype("<u4").view(np.uint8).reshape(-1, 4)[:, 1:].T
    return {"shape": values.shape,
            "bytes": base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()}


def says(step: Step, page: Explorer, model: FCN) -> str:
    """What a layer does, in a few words."""
    name = step.name
    if name == "image":
        return "the picture, preprocessed"
    if name == "output":
        return f"{page.inputs[name][0]}, cropped from row {{}}, column {{}} on".format(
            *(each.output.offset for each in page.plans))
    if name.startswith("pool"):
        return "the largest of 2 × 2 cells"
    if name.startswith("upscore"):
        return f"upsampling by {step.stride}, {model.config['upsampling']} " \
               f"{'bilinear ' if model.config['upsampling'] == 'frozen' else ''}kernel"
    if name.startswith("fuse_"):
        rows, columns = (each.fusions[name.removeprefix("fuse_")] for each in page.plans)
        parts = zip(page.inputs[name], (rows.upsampled, rows.skip),
                    (columns.upsampled, columns.skip))
        return ("the sum of " + " and ".join(
            source if down.offset == across.offset == 0 else
            f"{source}, cropped from row {down.offset}, column {across.offset} on,"
            for source, down, across in parts)).rstrip(",")
    if name.startswith("score_"):
        return f"a score for each class, from one cell of {page.inputs[name][0]}"
    return f"{step.kernel} × {step.kernel} convolution, padding {step.padding}, then ReLU"


def in_words(page: Explorer, model: FCN) -> tuple[str, str]:
    """The poster in words, and the page as plain text: scores and way of one pixel."""
    mask = page.maps["output"].argmax(axis=2)
    shares = np.bincount(mask.ravel(), minlength=model.classes) / mask.size
    found = ", ".join(f"{model.class_names[k]} {shares[k]:.0%}"
                      for k in np.argsort(-shares, kind="stable")[:5] if shares[k])
    alt = (f"The picture at left, one map of each pool of the {page.network}, its coarse scores, "
           f"and the mask at right: {found}.")
    lines = [page.title, alt]
    for pixel in page.pixels[:1]:
        scores = page.maps["output"][pixel.row, pixel.column]
        lines += ["", f"Scores of the pixel in row {pixel.row}, column {pixel.column}:",
                  *(f"  {name:<20}{score:>10.4g}"
                    for name, score in zip(model.class_names, scores)),
                  "", "The cells that they are computed from:"]
        way = page.influences("output", pixel.row, pixel.column)
        lines += [f"  {name:<14} rows {rows.first} to {rows.last}, "
                  f"columns {columns.first} to {columns.last}"
                  for name, (rows, columns) in reversed(way.items())]
    return alt, "\n".join(lines)


# -- pictures -------------------------------------------------------------------------------------


def poster(page: Explorer, model: FCN, image: np.ndarray) -> bytes:
    """A PNG of the way through the network, for where no script runs."""
    tiles = [("the picture", image)]
    for name in ("pool1", "pool2", "pool3", "pool4", "pool5"):
        values = page.maps[name]
        tiles.append((name, signed_colours(values[..., strongest(values.std(axis=(0, 1)), 1)[0]])))
    for name, title in (("score_fr", "score_fr"), ("output", "the mask")):
        tiles.append((title, model.palette[page.maps[name].argmax(axis=2)]))
    canvas = Image.new("RGB", (len(tiles) * (TILE + GAP) + GAP, TILE + 2 * GAP + 20),
                       pictures.PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, (title, tile) in enumerate(tiles):
        left, size = GAP + index * (TILE + GAP), pictures.fitted(tile.shape[:2], (TILE, TILE))
        enlarged = Image.fromarray(tile).resize(size[::-1], Image.Resampling.NEAREST)
        canvas.paste(enlarged, (left, GAP + (TILE - size[0]) // 2))
        draw.text((left + TILE // 2, TILE + 2 * GAP), title, pictures.INK, pictures.font(), "ma")
    return base64.b64decode(png(canvas))


def signed_colours(values: np.ndarray) -> np.ndarray:
    """(h, w) -> uint8 (h, w, 3): blue below zero, orange above, the paper at zero."""
    share = (values / max(np.abs(values).max(), np.finfo(np.float32).tiny))[..., None]
    ends = np.where(share < 0, BLUE, ORANGE)
    return np.rint(ZERO + (ends - np.array(ZERO)) * np.abs(share)).astype(np.uint8)


def png(picture: Image.Image) -> str:
    """A PNG in base64."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()

"""What objects look like in a notebook: small pieces of HTML, readable on light and dark pages.

There is no script and no style sheet in them. Colours are the page's own (``currentColor``, and
greys that are half transparent), pictures are PNGs inside the page with a text for those who cannot
see them, and every text that comes from outside is escaped.
"""
from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image

from minifcn.plotting import pictures

LINE = "1px solid rgba(128,128,128,.4)"
SHOWN, COUNTED = 4, 20          # samples of a data set: pictures of so many, shares of so many
TILE = (150, 200)               # pixels of a picture at most, (h, w)
DRAWN_SIZE = (500, 500)         # of the image in a model's drawing, if nobody says


# -- pieces ---------------------------------------------------------------------------------------


def block(title: str, *parts: str) -> str:
    """A bold line, and what belongs to it."""
    return (f'<div style="margin:.3em 0"><div style="font-weight:bold">{escape(title)}</div>'
            f'{"".join(parts)}</div>')


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the first column is text, the others are numbers. `Raw` cells are HTML already."""
    def line(tag, cells):
        return "<tr>" + "".join(
            f'<{tag} style="text-align:{"right" if i else "left"};padding:.1em .6em;'
            f'border-bottom:{LINE}">{cell if isinstance(cell, Raw) else escape(str(cell))}</{tag}>'
            for i, cell in enumerate(cells)) + "</tr>"

    return ('<table style="border-collapse:collapse;margin:.3em 0;'
            'color:inherit;font-size:inherit"><thead>' + line("th", head)
            + "</thead><tbody>" + "".join(line("td", row) for row in rows) + "</tbody></table>")


class Raw(str):
    """A cell that is HTML already."""


def bar(share: float) -> Raw:
    """A number of per cent on a bar of that length; nothing is counted where it is NaN."""
    if not math.isfinite(share):
        return Raw("-")
    return Raw(f'<span style="display:inline-block;width:{60 * share:.0f}px;height:.6em;'
               f'background:rgba(70,130,180,.7)"></span> {100 * share:.2f}')


def image(array: np.ndarray, text: str, box: tuple[int, int] = TILE) -> str:
    """A picture uint8 (h, w, 3), shown in a box; ``text`` is for who cannot see it.

    A small one is enlarged by the page, a photograph has 256 colours: it is to be looked at only.
    """
    size = pictures.fitted(array.shape[:2], box)
    picture = Image.fromarray(np.ascontiguousarray(array))
    if size < array.shape[:2]:
        picture = picture.resize(size[::-1], Image.Resampling.BOX)
    if picture.getcolors(256) is None:
        picture = picture.quantize(256)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (f'<img alt="{escape(text)}" width="{size[1]}" height="{size[0]}" '
            'style="display:inline-block;margin:0 .4em .4em 0;image-rendering:pixelated" '
            f'src="data:image/png;base64,{data}">')


def legend(entries: Iterable[pictures.Entry]) -> str:
    """A swatch and a name for each class; what is ignored is striped."""
    def swatch(colour):
        if colour is None:
            return "repeating-linear-gradient(135deg,#ececec 0 4px,#c4c4c4 4px 8px)"
        return "rgb({},{},{})".format(*colour)

    return '<div style="max-width:50em">' + "".join(
        f'<span style="display:inline-block;margin-right:1em;white-space:nowrap">'
        f'<span style="display:inline-block;width:1em;height:1em;vertical-align:-.15em;'
        f'border:{LINE};background:{swatch(colour)}"></span> {escape(name)}</span>'
        for name, colour in entries) + "</div>"


# -- data -----------------------------------------------------------------------------------------


def sample_html(sample) -> str:
    """Image, labels and legend of a `Sample`."""
    names, palette = _names_and_colours(sample)
    h, w = sample.labels.shape
    return block(f"{sample.name}, {h} x {w} pixels", _pair(sample, palette, (240, 320)),
                 legend(pictures.present([sample.labels], palette, names)))


def data_html(data) -> str:
    """The first scenes of a data set, and the shares of its classes."""
    samples = [data[i] for i in range(min(len(data), COUNTED))]
    names, palette = data.class_names, np.asarray(data.palette)
    counts = sum(np.bincount(np.where(_known(sample.labels, len(names)), sample.labels, len(names))
                             .ravel(), minlength=len(names) + 1) for sample in samples)
    shares = counts / max(1, counts.sum())
    of = f"the first {len(samples)}" if len(samples) < len(data) else "all"
    entries = [*(pictures.Entry(name, tuple(map(int, palette[i]))) for i, name in enumerate(names)),
               pictures.Entry("ignored", None)]
    pairs = "".join(f'<div style="display:inline-block">{_pair(sample, palette, TILE)}</div>'
                    for sample in samples[:SHOWN])
    rows = [(Raw(legend([entry])), bar(share)) for entry, share in zip(entries, shares)]
    return block(repr(data), f"<div>{pairs}</div>",
                 table(("class", f"% of the pixels of {of}"), rows))


def _names_and_colours(sample) -> tuple[list[str], np.ndarray]:
    if sample.legend is not None:
        return list(sample.legend.class_names), np.asarray(sample.legend.palette)
    from minifcn.palette import voc_palette

    labels = np.unique(sample.labels)
    classes = int(max(labels[labels < 255], default=0)) + 1
    return [f"class {i}" for i in range(classes)], voc_palette(classes)


def _known(labels: np.ndarray, classes: int) -> np.ndarray:
    return (labels >= 0) & (labels < classes)


def _pair(sample, palette: np.ndarray, box: tuple[int, int]) -> str:
    return (image(sample.image, f"image {sample.name}", box)
            + image(pictures.coloured(sample.labels, palette), f"labels of {sample.name}", box))


# -- models ---------------------------------------------------------------------------------------


class Node(NamedTuple):
    """A box of the drawing: name, cells (h, w), channels."""

    name: str
    size: tuple[int, int]
    channels: int


def model_html(model, height: int = DRAWN_SIZE[0], width: int = DRAWN_SIZE[1]) -> str:
    """A network drawn from left to right, with the sizes that an image of h x w pixels gives."""
    summary = model.summary(height, width)
    return block(repr(model).split("\n")[0], drawing(*nodes(summary, height, width)),
                 f"<div>an image of {height} x {width} pixels: {summary.macs / 1e9:.1f} GMAC, "
                 f"{summary.predict_bytes / 1e6:,.0f} MB to predict; "
                 "<code>model.summary(h, w)</code> lists the layers</div>")


def classifier_html(model) -> str:
    """VGG16 drawn for 224 x 224 pixels."""
    main, side, channels = [Node("image", (224, 224), 3)], 224, 3
    for layer in model.layers:
        if "weight" in layer.parameters:
            channels = layer.parameters["weight"].shape[-1]
        if layer.name.startswith("pool"):
            side //= 2
            main.append(Node(layer.name, (side, side), channels))
        elif layer.name.startswith("fc"):
            main.append(Node(layer.name, (1, 1), channels))
    return block(repr(model).split("\n")[0], drawing(main, []))


def drawing(main: Sequence[Node], skips: Sequence[tuple[str, str, Node]]) -> str:
    """Boxes as tall as their maps (by the logarithm), the skips of an FCN below them, as SVG."""
    height = main[0].size[0]
    step, base, reach = 74, 120, 100
    parts, centres = [], {}
    for place, node in enumerate(main):
        tall = 14 + 86 * math.log2(1 + node.size[0]) / math.log2(1 + max(height, node.size[0]))
        x = 10 + step * place
        centres[node.name] = x + 26
        parts.append(
            f'<rect x="{x}" y="{base - tall:.0f}" width="52" height="{tall:.0f}" rx="3" '
            f'fill="rgba(70,130,180,.35)" stroke="currentColor"/>'
            + (f'<path d="M{x - 20} {base - 10}h16" stroke="currentColor"/>' if place else "")
            + _text(x + 26, base + 16, node.name, bold=True)
            + _text(x + 26, base + 30, f"{node.size[0]} x {node.size[1]}")
            + _text(x + 26, base + 44, f"{node.channels} ch."))
    for row, (pool, target, node) in enumerate(skips):
        y = base + 68 + 22 * row
        x1, x2 = centres[pool], centres[target]
        parts.append(
            f'<path d="M{x1} {base + 48}V{y}H{x2}V{base + 48}" fill="none" stroke="currentColor" '
            f'stroke-dasharray="4 3"/>'
            + _text((x1 + x2) / 2, y - 4, f"{node.name}: {node.size[0]} x {node.size[1]}, "
                                          f"{node.channels} ch."))
    w, h = 10 + step * len(main), base + 64 + 22 * len(skips)
    told = ", ".join(
        f"{node.name} {node.size[0]} x {node.size[1]} x {node.channels}" for node in main)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(told)}" '
            f'viewBox="0 {base - reach - 6} {w} {h - base + reach + 6}" '
            f'style="width:100%;max-width:{w}px;display:block">{"".join(parts)}</svg>')


def nodes(summary, height: int, width: int) -> tuple[list[Node], list[tuple[str, str, Node]]]:
    """The boxes of a drawing, a stage of the backbone each; and (pool, box, score) of each skip."""
    main, skips, upsampled = [Node("image", (height, width), 3)], [], None
    for row in summary.rows:
        node = Node(row.name, row.shape[:2], row.shape[2])
        if row.name.startswith("score_pool"):
            skips.append((row.name.removeprefix("score_"), upsampled, node))
        elif not row.name.startswith("conv"):
            main.append(node)
            upsampled = row.name
    main.append(Node("scores", (height, width), main[-1].channels))
    return main, skips


def _text(x: float, y: float, text: str, bold: bool = False) -> str:
    return (f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-size="10" fill="currentColor"'
            f'{" font-weight=" + chr(34) + "bold" + chr(34) if bold else ""}>{escape(text)}</text>')


def summary_html(summary) -> str:
    """The table of a `Summary`."""
    rows = [(row.name, " x ".join(map(str, row.shape)), f"{row.parameters:,}",
             f"{row.macs / 1e9:.3f}", f"{row.activation_bytes / 1e6:.1f}") for row in summary.rows]
    total = ("total", "", f"{summary.parameters:,}", f"{summary.macs / 1e9:.3f}",
             f"{sum(row.activation_bytes for row in summary.rows) / 1e6:.1f}")
    return block(summary.title,
                 table(("layer", "output h x w x c", "parameters", "GMAC", "MB"), [*rows, total]),
                 *(f"<div>{escape(line)}</div>" for line in summary.notes))


def copy_html(report) -> str:
    """What was copied from another network."""
    return block(repr(report), *(f"<div>{escape(title)}: {escape(', '.join(names) or 'none')}</div>"
                                 for title, names in report.parts()))


def plan_html(plan) -> str:
    """The way of an axis through the network."""
    rows = [(step.name, *("" if value is None else value for value in step[1:4]), step.grid.size,
             f"{step.grid.step:g}", f"{step.grid.origin:g}") for step in plan.steps]
    return block(repr(plan), table(("layer", "kernel", "stride", "padding or crop", "cells",
                                    "pixels a cell", "cell 0 at pixel"), rows))


# -- results --------------------------------------------------------------------------------------


def metrics_html(metrics) -> str:
    """The four metrics, and those of each class."""
    names = metrics.class_names or [f"class {i}" for i in range(len(metrics.iu))]
    total = max(1, int(metrics.pixels.sum()))
    means = zip(("pixel accuracy", "mean accuracy", "mean IU", "frequency weighted IU"),
                metrics.means())
    rows = [(name, bar(pixels / total), bar(accuracy), bar(iu)) for name, pixels, accuracy, iu
            in zip(names, metrics.pixels, metrics.accuracy, metrics.iu)]
    return block(repr(metrics).split("\n")[0],
                 table(("in per cent", ""), [(name, bar(value)) for name, value in means]),
                 table(("class", "share of the pixels", "accuracy", "IU"), rows))


def report_html(report) -> str:
    """What a gradient check found; where the error lies, if there is one."""
    if report.ok:
        verdict, picture = f"{report.name}: ok", ""
    else:
        verdict = f"{report.name}: {report.cause}: {report.diagnosis}"
        figure = np.asarray(pictures.rendered(report.figure()))
        picture = image(figure, f"where the error of {report.name} lies", (figure.shape[0], 800))
    rows = [(each.array, each.tested, int(each.wrong.sum()), each.crossings,
             f"{_largest(each.error):.1e}", each.where) for each in report.comparisons]
    return block(verdict, f"<div>worst: {escape(str(report.worst))}</div>" * bool(report.worst),
                 picture, table(("array", "tested", "wrong", "on kinks", "worst error", "case"),
                                rows),
                 *(f"<div>{escape(note)}</div>" for note in report.notes))


def _largest(error: np.ndarray) -> float:
    return float(np.max(error[np.isfinite(error)], initial=0))

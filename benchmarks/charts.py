"""The charts: the contenders side by side, and the layers under the machine's roofline."""
from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot

from benchmarks import report
from benchmarks.contenders import INFERENCE, TRAINING
from benchmarks.network import INPUT, convolution_work

OURS_COLOUR, PEER_COLOUR, LIMIT_COLOUR = "#c0392b", "#7f8c8d", "#2c3e50"
DPI = 130       # sharp in a README, well under 300 kB


def draw(folder: Path, records: list[dict]) -> None:
    """Draw the charts whose figures are there."""
    if report.pick(records, "key", contender=report.OURS):
        contenders_chart(records).savefig(folder / "chart.png", dpi=DPI)
    if report.pick(records, "layers", contender=report.OURS) and report.peaks(records)[0]:
        roofline_chart(records).savefig(folder / "roofline.png", dpi=DPI)
    pyplot.close("all")


def bars(axes, values: dict[str, float], unit: str, title: str) -> None:
    """Horizontal bars, the value and its ratio to ours behind each."""
    names = list(values)[::-1]
    colours = [OURS_COLOUR if name == report.OURS else PEER_COLOUR for name in names]
    axes.barh(names, [values[name] for name in names], color=colours)
    for row, name in enumerate(names):
        ratio = values[name] / values[report.OURS]
        text = f" {values[name]:.2f} {unit}" + (f"  ({ratio:.1f} x)" if name != report.OURS else "")
        axes.text(values[name], row, text, va="center", fontsize=9)
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlim(0, 1.45 * max(values.values()))
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)


def contenders_chart(records: list[dict]):
    """Forward, training step and peak memory of the key case."""
    found = report.pick(records, "key")
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 3.6), layout="constrained")
    first = found[0]
    figure.suptitle(f"FCN-8s on VGG16, {report.name_of(report.case_of(first))}, float32, "
                    f"{first['threads']} CPU threads: less is better", fontsize=13)

    def by_name(names, task, value):
        lists = {name: [value(each) for each in found
                        if each["contender"] == name and each["task"] == task] for name in names}
        return {name: report.middle(values) for name, values in lists.items() if values}

    def seconds(record):
        return report.middle(record["seconds"])

    def gigabytes(record):
        return record["peak_bytes"] / 1e9

    panels = ((INFERENCE, "forward", seconds, "s", "Forward"),
              (TRAINING, "training", seconds, "s", "Training step (forward, loss, backward, SGD)"),
              (TRAINING, "training", gigabytes, "GB", "Peak memory of a training step"))
    for panel, (names, task, value, unit, title) in zip(axes, panels):
        values = by_name(names, task, value)
        if report.OURS in values:
            bars(panel, values, unit, title)
    return figure


def roofline_chart(records: list[dict]):
    """Each convolution's speed over its arithmetic intensity, as direct convolution counts them."""
    job = report.pick(records, "layers", contender=report.OURS)[0]
    case, layers = report.case_of(job), job["layers"]
    peak, _ = report.peaks(records)
    roof, slope = peak["micro_kernel"] * job["threads"], peak["bandwidth"]

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    intensities = [5, roof / slope, 1500]
    axes.loglog(intensities, [min(roof, slope * each) / 1e9 for each in intensities],
                color=LIMIT_COLOUR, label=f"direct convolution at most: {roof / 1e9:.0f} GFLOP/s, "
                                          f"{slope / 1e9:.0f} GB/s")
    points, labels = [], {}
    for layer, (height, width), multiplications in convolution_work(case):
        pixels = case.batch * height * width
        bytes_moved = 4 * (pixels * (layer.channels + layer.features)
                           + layer.kernel**2 * layer.channels * layer.features)
        operations = 2 * case.batch * multiplications
        forward, backward = layers[layer.name]
        gradients = 1 if layer.source == INPUT else 2       # the image needs none
        points.append((operations / bytes_moved, operations / forward / 1e9,
                       gradients * operations / backward / 1e9))
        labels.setdefault(round(10 * np.log(points[-1][0])), []).append((layer.name, points[-1]))
    for near in labels.values():        # layers of nearly one intensity share a label
        names, values = zip(*near)
        intensity, fastest, _ = max(values, key=lambda point: point[1])
        axes.annotate(", ".join(names), (intensity, fastest), fontsize=7, rotation=55,
                      xytext=(0, 5), textcoords="offset points", rotation_mode="anchor")
    x, forward, backward = zip(*points)
    axes.scatter(x, forward, marker="o", s=28, label="forward", color=OURS_COLOUR, zorder=3)
    axes.scatter(x, backward, marker="^", s=28, label="backward", color=PEER_COLOUR, zorder=3)
    axes.set_ylim(top=16000)     # room for the labels
    axes.set_xlabel("arithmetic intensity, FLOP per byte of input, output and weights")
    axes.set_ylabel("effective GFLOP/s")
    axes.set_title(f"Convolutions of FCN-8s, {report.name_of(case)}, {job['threads']} threads:\n"
                   "Winograd's are above the roof, for they multiply less than direct convolution",
                   fontsize=11, loc="left")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    return figure

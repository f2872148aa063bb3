"""Caffe: a prototxt with the layers of the authors' networks, and a caffemodel with the blobs."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minifcn.files import written_whole
from minifcn.models import FCN
from minifcn.models.geometry import UPSAMPLING
from minifcn.weights.exporting import crops, expects, paddings, torch_arrays
from minifcn.weights.wire import header, number, text

SIZE = 500                  # of the picture that the prototxt names; others can be set
LAYER, LAYER_NAME, LAYER_TYPE, BLOBS, SHAPE, DATA, DIMENSION = 100, 1, 2, 7, 7, 5, 1


def write_caffe(model: FCN, out: Path) -> str:
    prototxt = out.with_suffix(".prototxt")
    if prototxt == out:
        raise ValueError(f"{out} would be both; give the name of the caffemodel")
    with written_whole(prototxt) as description, written_whole(out) as weights:
        description.write_text(network(model), encoding="utf-8")
        with open(weights, "wb") as file:
            for piece in caffemodel(model):
                file.write(piece)
    return (f"{out} and {prototxt}: {model.title}, for Caffe and OpenCV's cv2.dnn.readNetFromCaffe"
            f"; the blob data is (n, 3, h, w): {expects(model)}; the blob score is "
            f"(n, {model.classes}, h, w)")


def caffemodel(model: FCN) -> Iterator[bytes | memoryview]:
    """The NetParameter, piece by piece."""
    layers: dict[str, list[np.ndarray]] = {}
    for name, array in torch_arrays(model).items():
        layers.setdefault(name.split(".")[0], []).append(array)
    for skip in model.skips:
        if skip.scale != 1:
            layers[f"scale_{skip.pool}"] = [np.full(skip.score.parameters["weight"].shape[2],
                                                    skip.scale, np.float32)]
    yield text(1, f"FCN-{model.stride}s")
    for name, arrays in layers.items():
        kind = "Deconvolution" if name.startswith("upscore") else \
            "Scale" if name.startswith("scale_") else "Convolution"
        start = text(LAYER_NAME, name) + text(LAYER_TYPE, kind)
        blobs = []
        for array in arrays:
            dimensions = b"".join(map(number, array.shape))
            shape = header(DIMENSION, len(dimensions)) + dimensions
            front = header(SHAPE, len(shape)) + shape + header(DATA, array.nbytes)
            blobs.append((header(BLOBS, len(front) + array.nbytes) + front, array))
        length = len(start) + sum(len(front) + array.nbytes for front, array in blobs)
        yield header(LAYER, length) + start
        for front, array in blobs:
            yield front
            yield memoryview(array.astype("<f4", copy=False)).cast("B")


def network(model: FCN) -> str:
    """The prototxt."""
    lines = [f"# {model.title}: {expects(model)}", f'name: "FCN-{model.stride}s"']
    padding, offsets = paddings(model), crops(model)

    def layer(name: str, kind: str, *bottoms: str, top: str | None = None, **parts: str) -> str:
        words = [f'name: "{name}"', f'type: "{kind}"', *(f'bottom: "{each}"' for each in bottoms),
                 f'top: "{top or name}"', *(f"{part} {{ {value} }}"
                                            for part, value in parts.items())]
        lines.append(f"layer {{ {' '.join(words)} }}")
        return top or name

    def convolution(name: str, x: str, outputs: int, kernel: int, pad: int, relu: bool) -> str:
        layer(name, "Convolution", x,
              convolution_param=f"num_output: {outputs} kernel_size: {kernel} pad: {pad}")
        return layer(name.replace("conv", "relu").replace("fc", "relu"), "ReLU", name,
                     top=name) if relu else name

    def crop(name: str, x: str, like: str, offset: int) -> str:
        return layer(name, "Crop", x, like, crop_param=f"axis: 2 offset: {offset}")

    y = layer("data", "Input",
              input_param=f"shape {{ dim: 1 dim: 3 dim: {SIZE} dim: {SIZE} }}")
    for each in model.backbone.layers:
        if each.name.startswith("pool"):
            y = layer(each.name, "Pooling", y, pooling_param="pool: MAX kernel_size: 2 stride: 2")
        else:
            y = convolution(each.name, y, each.parameters["bias"].size, 3, each.padding, True)
    fc_channels = model.config["fc_channels"]
    y = convolution("fc6", y, fc_channels, 7, padding.fc6, True)
    y = convolution("fc7", y, fc_channels, 1, 0, True)
    y = convolution("score_fr", y, model.classes, 1, 0, False)
    scales = {skip.pool: skip.scale for skip in model.skips}
    for name, factor, pool in UPSAMPLING[model.stride]:
        y = layer(name, "Deconvolution", y, convolution_param=(
            f"num_output: {model.classes} bias_term: false kernel_size: {2 * factor} "
            f"stride: {factor} pad: {padding.upsampling_padding(factor)}"))
        if pool is None:
            break
        finer = pool if scales[pool] == 1 else \
            layer(f"scale_{pool}", "Scale", pool, scale_param="bias_term: false")
        finer = convolution(f"score_{pool}", finer, model.classes, 1, 0, False)
        if model.geometry == "caffe":       # the finer scores are the larger ones
            finer = crop(f"score_{pool}c", finer, y, offsets[pool])
        else:
            y = crop(f"{name}c", y, finer, 0)
        y = layer(f"fuse_{pool}", "Eltwise", y, finer, eltwise_param="operation: SUM")
    crop("score", y, "data", offsets["output"])
    return "\n".join(lines) + "\n"

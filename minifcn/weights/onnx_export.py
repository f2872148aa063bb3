"""ONNX: the network as a graph that takes any number of pictures of any size."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from minifcn.files import written_whole
from minifcn.models import FCN
from minifcn.models.geometry import UPSAMPLING
from minifcn.weights.exporting import OPSET, crops, expects, paddings, torch_arrays

IR_VERSION = 8


class Graph:
    """Nodes and constants, each named after its output."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        from onnx import helper, numpy_helper

        self.helper, self.to_tensor = helper, numpy_helper.from_array
        self.arrays, self.nodes, self.constants = arrays, [], {}

    def add(self, kind: str, name: str, *inputs: str, **attributes) -> str:
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, name: str, values) -> str:
        self.constants.setdefault(name, self.to_tensor(np.ascontiguousarray(values), name))
        return name

    def weight(self, name: str) -> str:
        """A parameter; float16 becomes float32 when the graph is loaded."""
        array = self.arrays.pop(name)
        if array.dtype == np.float16:
            return self.add("Cast", name, self.constant(f"{name}.half", array), to=1)
        return self.constant(name, array)

    def convolution(self, layer: str, x: str, padding: int = 0) -> str:
        return self.add("Conv", layer, x, self.weight(f"{layer}.weight"),
                        self.weight(f"{layer}.bias"), pads=[padding] * 4)

    def crop(self, name: str, x: str, like: str, offset: int) -> str:
        """Rows and columns of x from ``offset`` on, as many as ``like`` has."""
        start = self.constant(f"{name}_start", np.array([offset, offset]))
        size = self.add("Shape", f"{name}_size", like, start=2, end=4)
        end = self.add("Add", f"{name}_end", size, start)
        axes = self.constant("rows_columns", np.array([2, 3]))
        return self.add("Slice", name, x, start, end, axes)


def write_onnx(model: FCN, out: Path, half: bool, preprocessing: bool, argmax: bool) -> str:
    if importlib.util.find_spec("onnx") is None:
        raise ValueError('writing ONNX needs onnx: pip install "minifcn[interop]"')
    import onnx

    made = build(model, half, preprocessing, argmax)
    onnx.checker.check_model(made)
    with written_whole(out) as temporary:
        onnx.save(made, str(temporary))
    takes = "image, uint8 (n, h, w, 3), RGB" if preprocessing else \
        f"x, float32 (n, 3, h, w): {expects(model)}"
    gives = f"mask, {'uint8' if model.classes <= 256 else 'uint16'} (n, h, w): class ids" \
        if argmax else f"scores, float32 (n, {model.classes}, h, w), before the softmax"
    return (f"{out}: {model.title}, ONNX opset {OPSET}, any n, h, w"
            f"{', weights as float16' if half else ''}\n  takes {takes}\n  gives {gives}")


def build(model: FCN, half: bool, preprocessing: bool, argmax: bool):
    """The ModelProto."""
    from onnx import TensorProto

    arrays = torch_arrays(model, half)
    if model.config["upsampling"] == "frozen":      # one kernel for each class
        for name, _, _ in UPSAMPLING[model.stride]:
            diagonal = np.arange(model.classes)
            arrays[f"{name}.weight"] = arrays[f"{name}.weight"][diagonal, diagonal][:, None]
    graph = Graph(arrays)
    helper = graph.helper
    if preprocessing:
        x = prepared(graph, model)
        given = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])
    else:
        x = "x"
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    scores = network(graph, model, x)
    if argmax:
        kind = TensorProto.UINT8 if model.classes <= 256 else TensorProto.UINT16
        graph.add("ArgMax", "argmax", scores, axis=1, keepdims=0)
        graph.add("Cast", "mask", "argmax", to=kind)
        result = helper.make_tensor_value_info("mask", kind, ["n", "h", "w"])
    else:
        result = helper.make_tensor_value_info("scores", TensorProto.FLOAT,
                                               ["n", model.classes, "h", "w"])
    made = helper.make_model(
        helper.make_graph(graph.nodes, "minifcn", [given], [result],
                          list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="minifcn", doc_string=model.title)
    helper.set_model_props(made, {"classes": "\n".join(model.class_names),
                                  "preprocessing": expects(model)})
    return made


def prepared(graph: Graph, model: FCN) -> str:
    """The picture as the network sees it: y = image * scale + shift, as ``Preprocessing`` does."""
    order = slice(None, None, -1 if model.preprocessing.order == "BGR" else 1)
    scale = 1 / np.array(model.preprocessing.std)[order]
    shift = -np.array(model.preprocessing.mean)[order] * scale
    x = graph.add("Cast", "pixels", "image", to=1)
    if model.preprocessing.order == "BGR":
        x = graph.add("Gather", "bgr", x, graph.constant("order", np.array([2, 1, 0])), axis=3)
    x = graph.add("Mul", "scaled", x, graph.constant("scale", scale.astype(np.float32)))
    x = graph.add("Add", "shifted", x, graph.constant("shift", shift.astype(np.float32)))
    return graph.add("Transpose", "x", x, perm=[0, 3, 1, 2])


def network(graph: Graph, model: FCN, x: str) -> str:
    """All layers from x to the scores."""
    padding, offsets = paddings(model), crops(model)
    y = x
    for layer in model.backbone.layers:
        if layer.name.startswith("pool"):
            y = graph.add("MaxPool", layer.name, y, kernel_shape=[2, 2], strides=[2, 2],
                          ceil_mode=1)
        else:
            y = graph.convolution(layer.name, y, layer.padding)
            y = graph.add("Relu", f"{layer.name}_relu", y)
    for layer, pad in (("fc6", padding.fc6), ("fc7", 0)):
        y = graph.add("Relu", f"{layer}_relu", graph.convolution(layer, y, pad))
    y = graph.convolution("score_fr", y)
    scales = {skip.pool: skip.scale for skip in model.skips}
    for name, factor, pool in UPSAMPLING[model.stride]:
        group = model.classes if model.config["upsampling"] == "frozen" else 1
        y = graph.add("ConvTranspose", name, y, graph.weight(f"{name}.weight"),
                      strides=[factor] * 2, pads=[padding.upsampling_padding(factor)] * 4,
                      group=group)
        if pool is None:
            return graph.crop("scores", y, x, offsets["output"])
        finer = pool
        if scales[pool] != 1:
            finer = graph.add("Mul", f"scale_{pool}", pool,
                              graph.constant(f"{pool}_factor", np.float32(scales[pool])))
        finer = graph.convolution(f"score_{pool}", finer)
        if model.geometry == "caffe":       # the finer scores are the larger ones
            finer = graph.crop(f"score_{pool}c", finer, y, offsets[pool])
        else:
            y = graph.crop(f"{name}c", y, finer, 0)
        y = graph.add("Add", f"fuse_{pool}", y, finer)
    raise AssertionError("the last upsampling has no pool")

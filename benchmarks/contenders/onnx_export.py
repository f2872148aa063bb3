"""The network as an ONNX model, for those who read one.

They differ in what they upsample faster with: a transposed convolution, or ``resize``, which is the
same once a cell of zeros lies around the image, and what becomes of it is cropped away.
"""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from benchmarks import network

OPSET = 17


def export(case, resize: bool) -> bytes:
    parameters = {layer.name: (network.oihw(weight), bias)
                  for layer, weight, bias in network.weights(case)}
    nodes, initializers, margins = [], [], {}

    def constant(name, array):
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(kind, inputs, output, **attributes):
        name = f"{output}_{kind}"
        nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def cropped(layer, output):
        margin = margins.get(layer.source, 0)
        start = constant(f"{output}_start", np.array([margin, margin]))
        end = constant(f"{output}_end", np.array([margin + layer.height, margin + layer.width]))
        axes = constant(f"{output}_axes", np.array([2, 3]))
        return node("Slice", [layer.source, start, end, axes], output)

    for layer in network.layers(case):
        if isinstance(layer, network.Convolution):
            weight, bias = parameters.pop(layer.name)
            inputs = [layer.source, constant(f"{layer.name}.weight", weight),
                      constant(f"{layer.name}.bias", bias)]
            output = f"{layer.name}_linear" if layer.relu else layer.name
            node("Conv", inputs, output, kernel_shape=[layer.kernel] * 2,
                 pads=[layer.padding] * 4)
            if layer.relu:
                node("Relu", [output], layer.name)
        elif isinstance(layer, network.Pool):
            node("MaxPool", [layer.source], layer.name, kernel_shape=[2, 2], strides=[2, 2],
                 ceil_mode=1)
        elif isinstance(layer, network.Upsample) and resize:
            around = constant(f"{layer.name}_pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
            scales = np.array([1, 1, layer.factor, layer.factor], np.float32)
            node("Pad", [layer.source, around], f"{layer.name}_padded")
            node("Resize", [f"{layer.name}_padded", "", constant(f"{layer.name}_scales", scales)],
                 layer.name, mode="linear", coordinate_transformation_mode="half_pixel")
            margins[layer.name] = layer.factor
        elif isinstance(layer, network.Upsample):
            kernel = np.tile(network.bilinear_square(layer.factor), (case.classes, 1, 1, 1))
            node("ConvTranspose", [layer.source, constant(f"{layer.name}.weight", kernel)],
                 layer.name, kernel_shape=[2 * layer.factor] * 2, strides=[layer.factor] * 2,
                 pads=[layer.factor // 2] * 4, group=case.classes)
        elif isinstance(layer, network.Fuse):
            node("Add", [cropped(layer, f"{layer.name}_cropped"), layer.skip], layer.name)
        else:
            cropped(layer, layer.name)

    def value(name, channels):
        shape = [case.batch, channels, case.height, case.width]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(nodes, "FCN-8s", [value(network.INPUT, 3)],
                              [value(network.OUTPUT, case.classes)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return model.SerializeToString()

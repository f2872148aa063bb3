"""Caffe's messages, as far as weights need them, with the real protobuf library.

The numbers of the fields are those of Caffe's own description of its files.
"""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
KINDS = {"int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64, "float": FIELD.TYPE_FLOAT,
         "string": FIELD.TYPE_STRING}
MESSAGES = {
    "BlobShape": {"dim": (1, "int64", "packed")},
    "BlobProto": {"num": (1, "int32", ""), "channels": (2, "int32", ""), "height": (3, "int32", ""),
                  "width": (4, "int32", ""), "data": (5, "float", "packed"),
                  "diff": (6, "float", "packed"), "shape": (7, "BlobShape", "")},
    "LayerParameter": {"name": (1, "string", ""), "type": (2, "string", ""),
                       "bottom": (3, "string", "many"), "top": (4, "string", "many"),
                       "blobs": (7, "BlobProto", "many"), "phase": (10, "int32", "")},
    "V1LayerParameter": {"bottom": (2, "string", "many"), "top": (3, "string", "many"),
                         "name": (4, "string", ""), "type": (5, "int32", ""),
                         "blobs": (6, "BlobProto", "many"), "blobs_lr": (7, "float", "many")},
    "NetParameter": {"name": (1, "string", ""), "layers": (2, "V1LayerParameter", "many"),
                     "layer": (100, "LayerParameter", "many")},
}
V1_TYPES = {"Convolution": 4, "Deconvolution": 39, "Data": 5}


def messages():
    """The classes of the messages, by name."""
    file = descriptor_pb2.FileDescriptorProto(name="weights_of_caffe.proto", package="of_caffe",
                                              syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, how) in fields.items():
            added = message.field.add(
                name=field, number=number,
                label=FIELD.LABEL_REPEATED if how else FIELD.LABEL_OPTIONAL)
            if kind in KINDS:
                added.type = KINDS[kind]
            else:
                added.type, added.type_name = FIELD.TYPE_MESSAGE, f".of_caffe.{kind}"
            if how == "packed":
                added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"of_caffe.{name}")) for name in MESSAGES}


def net(arrays, old=False, legacy=False, scales=None):
    """A NetParameter with layers of the arrays (name -> array in Caffe's order of axes)."""
    made = messages()["NetParameter"](name="a network")
    layers = {"data": []}
    for name, array in arrays.items():
        layers.setdefault(name.split(".")[0], []).append(array)
    layers |= {name: [array] for name, array in (scales or {}).items()}
    for name, blobs in layers.items():
        kind = "Deconvolution" if name.startswith("upscore") else \
            "Data" if name == "data" else "Scale" if name.startswith("scale") else "Convolution"
        layer = made.layers.add(type=V1_TYPES[kind]) if old else made.layer.add(type=kind)
        layer.name = name
        layer.top.append(name)
        for array in blobs:
            blob = layer.blobs.add()
            if legacy:
                blob.num, blob.channels, blob.height, blob.width = \
                    [1] * (4 - array.ndim) + list(array.shape)
            else:
                blob.shape.dim.extend(array.shape)
            for start in range(0, array.size, 1 << 20):
                blob.data.extend(array.reshape(-1)[start:start + (1 << 20)].tolist())
    return made


def prototxt(stride, classes, width, fc_channels, at_once):
    """The authors' network in Caffe geometry, with the published numbers."""
    lines = ['name: "fcn"', 'layer { name: "data" type: "Input" top: "data" input_param '
             "{ shape { dim: 1 dim: 3 dim: 64 dim: 64 } } }"]

    def layer(name, kind, bottoms, parts="", top=None):
        lines.append(f'layer {{ name: "{name}" type: "{kind}" '
                     + " ".join(f'bottom: "{each}"' for each in bottoms)
                     + f' top: "{top or name}" {parts} }}')
        return top or name

    def convolution(name, bottom, outputs, kernel, pad=0):
        return layer(name, "Convolution", [bottom], f"convolution_param {{ num_output: {outputs} "
                     f"kernel_size: {kernel} pad: {pad} }}")

    def deconvolution(name, bottom, kernel, step):
        return layer(name, "Deconvolution", [bottom], f"convolution_param {{ num_output: {classes} "
                     f"bias_term: false kernel_size: {kernel} stride: {step} }}")

    def crop(name, bottom, like, offset):
        return layer(name, "Crop", [bottom, like], f"crop_param {{ axis: 2 offset: {offset} }}")

    def skip(pool, like, offset, scale):
        bottom = layer(f"scale_{pool}", "Scale", [pool],
                       f"scale_param {{ filler {{ value: {scale} }} bias_term: false }}") \
            if at_once else pool
        convolution(f"score_{pool}", bottom, classes, 1)
        crop(f"score_{pool}c", f"score_{pool}", like, offset)
        return layer(f"fuse_{pool}", "Eltwise", [like, f"score_{pool}c"],
                     "eltwise_param { operation: SUM }")

    y = "data"
    for stage, (channels, count) in enumerate(
            ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for number in range(1, count + 1):
            pad = 100 if (stage, number) == (1, 1) else 1
            y = convolution(f"conv{stage}_{number}", y, round(channels * width), 3, pad)
            layer(f"relu{stage}_{number}", "ReLU", [y], top=y)
        y = layer(f"pool{stage}", "Pooling", [y],
                  "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    for name, kernel in (("fc6", 7), ("fc7", 1)):
        y = convolution(name, y, fc_channels, kernel)
        layer(name.replace("fc", "relu"), "ReLU", [y], top=y)
        layer(name.replace("fc", "drop"), "Dropout", [y], "dropout_param { dropout_ratio: 0.5 }",
              top=y)
    y = convolution("score_fr", y, classes, 1)
    if stride == 32:
        crop("score", deconvolution("upscore", y, 64, 32), "data", 19)
    else:
        y = skip("pool4", deconvolution("upscore2", y, 4, 2), 5, 0.01)
        if stride == 16:
            crop("score", deconvolution("upscore16", y, 32, 16), "data", 27)
        else:
            y = skip("pool3", deconvolution("upscore_pool4", y, 4, 2), 9, 0.0001)
            crop("score", deconvolution("upscore8", y, 16, 8), "data", 31)
    return "\n".join(lines) + "\n"

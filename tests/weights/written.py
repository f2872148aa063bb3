"""Weight files as other projects write them, made of one network of ours: what the tests read.

Each function takes a network and returns or writes what the other project would have. The axes are
reordered here by hand, once more, and not by the code under test.
"""
import json
import struct

import numpy as np

FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
CONVOLUTIONS = [f"conv{stage}_{number}" for stage, count in enumerate((2, 2, 3, 3, 3), 1)
                for number in range(1, count + 1)]


def randomised(model, seed=0):
    """Every parameter random, upsampling left alone."""
    rng = np.random.default_rng(seed)
    for name in model.parameters:
        if not name.startswith("upscore"):
            shape = model.parameters[name].shape
            fan_in = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 1
            model.parameters[name] = rng.standard_normal(shape) * (2 / fan_in) ** 0.5
    return model


def torch_order(name, array):
    """A parameter of ours with the axes of PyTorch, Caffe and Chainer."""
    layer, part = name.split(".")
    if part == "bias":
        return array.copy()
    if layer.startswith("upscore"):
        return np.ascontiguousarray(np.moveaxis(array, (2, 3), (0, 1)))
    if array.ndim == 4:
        return np.ascontiguousarray(np.moveaxis(array, (3, 2), (0, 1)))
    if layer == "fc6":              # (49 c, out) -> (out, c, 7, 7) -> (out, 49 c)
        cells = array.reshape(7, 7, -1, array.shape[1])
        return np.ascontiguousarray(np.moveaxis(cells, (3, 2), (0, 1))).reshape(array.shape[1], -1)
    return np.ascontiguousarray(array.T)


def torch_arrays(model):
    return {name: torch_order(name, array) for name, array in model.parameters.items()}


def bilinear(classes, size):
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - abs(np.arange(size) - centre) / factor
    weight = np.zeros((classes, classes, size, size), np.float32)
    weight[range(classes), range(classes)] = np.outer(line, line)
    return weight


UPSCORES = {32: {"upscore": 64}, 16: {"upscore2": 4, "upscore16": 32},
            8: {"upscore2": 4, "upscore_pool4": 4, "upscore8": 16}}


def pytorch_fcn(model):
    """A state dict of pytorch-fcn: dense upsampling weights are always there."""
    arrays = torch_arrays(model)
    for layer, size in UPSCORES.get(getattr(model, "stride", None), {}).items():
        arrays.setdefault(f"{layer}.weight", bilinear(model.classes, size))
    return arrays


def torchvision(vgg):
    arrays = torch_arrays(vgg)
    names = dict(zip(CONVOLUTIONS, (f"features.{index}" for index in FEATURES)))
    names |= {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
    return {f"{names[name.split('.')[0]]}.{name.split('.')[1]}": array
            for name, array in arrays.items()}


def timm(vgg):
    renamed = {}
    for name, array in torchvision(vgg).items():
        for old, new in (("classifier.0", "pre_logits.fc1"), ("classifier.3", "pre_logits.fc2"),
                         ("classifier.6", "head.fc")):
            name = name.replace(old, new)
        if name == "pre_logits.fc1.weight":
            array = array.reshape(len(array), -1, 7, 7)
        if name == "pre_logits.fc2.weight":
            array = array[:, :, None, None]
        renamed[name] = array
    return renamed


def chainer(model):
    """The flat keys of ``chainer.serializers.save_npz``."""
    return {name.replace(".weight", "/W").replace(".bias", "/b"): array
            for name, array in pytorch_fcn(model).items()}


def tensorflow_vgg(vgg):
    """The dictionary of vgg16.npy."""
    layers = [*CONVOLUTIONS, "fc6", "fc7", "fc8"]
    return {layer: [vgg.parameters[f"{layer}.weight"].copy(),
                    vgg.parameters[f"{layer}.bias"].copy()] for layer in layers}


def keras(path, vgg, top=True, old_names=True):
    import h5py

    names = {layer: layer.replace("conv", "block", 1).replace("_", "_conv")
             for layer in CONVOLUTIONS}
    if top:
        names |= {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in
                                     ["input_1", *names.values(), "flatten"]]
        for empty in ("input_1", "flatten"):
            file.create_group(empty).attrs["weight_names"] = np.zeros(0, "S1")
        for layer, name in names.items():
            group = file.create_group(name)
            pair = [f"{name}_W_1:0", f"{name}_b_1:0"] if old_names else \
                [f"{name}/kernel:0", f"{name}/bias:0"]
            group.attrs["weight_names"] = [each.encode() for each in pair]
            group.create_dataset(pair[0], data=vgg.parameters[f"{layer}.weight"])
            group.create_dataset(pair[1], data=vgg.parameters[f"{layer}.bias"])
    return path


# -- PyTorch's files without PyTorch ------------------------------------------------------------


def legacy_pth(path, arrays):
    """A file of PyTorch's older format."""
    path.write_bytes(legacy_bytes(arrays))
    return path


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def state_dict_pickle(arrays):
    """The instructions that PyTorch writes for an OrderedDict of tensors, by hand."""
    body = b"\x80\x02ccollections\nOrderedDict\n)R("
    for key, (name, array) in enumerate(arrays.items()):
        strides = [stride // array.itemsize for stride in array.strides]
        kind = {"float32": "FloatStorage", "float16": "HalfStorage",
                "float64": "DoubleStorage", "int64": "LongStorage"}[array.dtype.name]
        body += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        body += text("storage") + f"ctorch\n{kind}\n".encode() + text(str(key)) + text("cpu")
        body += b"J" + struct.pack("<i", array.size)
        body += b"%(none)stQK\0"
        for numbers in (array.shape, strides):
            body += b"(" + b"".join(b"J" + struct.pack("<i", n) for n in numbers) + b"t"
        body += b"\x89ccollections\nOrderedDict\n)RtR"
    return body + b"u."


def legacy_bytes(arrays):
    magic = (0x1950a86a20f9469cfc6c).to_bytes(10, "little")
    parts = [b"\x80\x02\x8a\x0a" + magic + b".", b"\x80\x02M" + struct.pack("<H", 1001) + b".",
             b"\x80\x02}(" + text("little_endian") + b"\x88u.",
             state_dict_pickle(arrays).replace(b"%(none)s", b"N"),
             b"\x80\x02](" + b"".join(text(str(key)) for key in range(len(arrays))) + b"e."]
    for array in arrays.values():
        parts += [struct.pack("<Q", array.size), np.ascontiguousarray(array).tobytes()]
    return b"".join(parts)


def zip_pth(path, arrays):
    """A file of PyTorch's newer format."""
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state_dict_pickle(arrays).replace(b"%(none)s", b""))
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(array).tobytes())
        archive.writestr("archive/version", "3\n")
    return path


# -- Caffe's files without protobuf -------------------------------------------------------------


def varint(value):
    groups = []
    while value > 127:
        groups.append(value % 128 + 128)
        value //= 128
    return bytes([*groups, value])


def field(number, content):
    return varint(number * 8 + 2) + varint(len(content)) + content


def blob(array, legacy=False, packed=True):
    shape = [1] * (4 - array.ndim) + list(array.shape)
    dims = b"".join(varint(8 * (i + 1)) + varint(n) for i, n in enumerate(shape)) if legacy else \
        field(7, field(1, b"".join(map(varint, array.shape))))
    values = array.astype("<f4")
    if packed:
        return dims + field(5, values.tobytes())
    return dims + b"".join(bytes([5 * 8 + 5]) + value.tobytes() for value in values.reshape(-1))


def caffemodel(path, arrays, old=False, legacy=False, packed=True, scales=None):
    """A NetParameter of the arrays of ``pytorch_fcn`` or ``torch_arrays``."""
    layers = {}
    for name, array in arrays.items():
        layers.setdefault(name.split(".")[0], []).append(array)
    layers |= {name: [array] for name, array in (scales or {}).items()}
    content = field(1, b"a net")
    for name, blobs in [("data", []), *layers.items(), ("relu1_1", [])]:
        numbers = (2, 4, 6) if old else (100, 1, 7)
        body = field(numbers[1], name.encode())
        body += b"".join(field(numbers[2], blob(array, legacy, packed)) for array in blobs)
        content += field(numbers[0], body)
    path.write_bytes(content)
    return path


def header_of(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8:8 + length]), content[8 + length:]

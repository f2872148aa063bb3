"""Which network the tensors of a file are: VGG16, an FCN on it, or another one, told by names.

Each project has its own names and its own order of axes for the same layers. Here they become the
paper's names, with axes in the order h, w, in, out.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from minifcn.models.geometry import UPSAMPLING
from minifcn.models.vgg import FC6_SIZE, STAGES, scaled
from minifcn.weights.tensors import DTYPES, WeightFile

CONVOLUTIONS = [f"conv{stage}_{number}" for stage, (_, convolutions) in enumerate(STAGES, 1)
                for number in range(1, convolutions + 1)]
FEATURES = dict(zip((f"features.{index}" for index in
                     (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)), CONVOLUTIONS))
SCORES = ("score_fr", "score_pool4", "score_pool3")
UPSCORES = sorted({name for steps in UPSAMPLING.values() for name, _, _ in steps})
PAPER = (*CONVOLUTIONS, "fc6", "fc7", "fc8", *SCORES, *UPSCORES, "scale_pool4", "scale_pool3")
# layer in the file -> the paper's name
NAMES = {
    "torchvision": FEATURES | {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"},
    "timm": FEATURES | {"pre_logits.fc1": "fc6", "pre_logits.fc2": "fc7", "head.fc": "fc8"},
    "keras": {name.replace("conv", "block", 1).replace("_", "_conv"): name
              for name in CONVOLUTIONS} | {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"},
    "paper": {name: name for name in PAPER},
}
TENSORFLOW = ("h5", "npy")              # formats with axes h, w, in, out; all others out, in, h, w
PARTS = {"npz": r"(.+)/(W|b)", "caffemodel": r"(.+)\[(\d+)\]", "npy": r"(.+)\[(\d+)\]",
         "h5": r"([^/]+)/(?:.*[/_])?(kernel|bias|W|b)(?:_\d+)?(?::0)?"}
TORCH_PARTS = r"(?:module\.)?(.+)\.(weight|bias)"
WEIGHTS = ("weight", "W", "kernel", "0")
# names of tensors that other well-known networks have
OTHERS = {
    r"denseblock|dense_block": "DenseNet",
    r"^Mixed_|inception": "Inception",
    r"squeeze\.weight|^fire\d": "SqueezeNet",
    r"^res\d[a-z]_branch|^resnet|^conv5_block": "a ResNet",
    r"\.attn\.(qkv|in_proj)|self_attention|^encoder\.layers": "a transformer",
    r"^features\.0\.0\.weight|^features\.\d+\.conv\.0": "MobileNet or EfficientNet",
    r"^conv_dw|^Conv_\d+/|^conv2_1/dw": "MobileNet",
    r"inc\.double_conv|^up\d\.|^down\d\.": "a U-Net",
    r"^stages\.\d+\.": "ConvNeXt",
    r"^blocks\.\d+\.": "EfficientNet or a transformer",
}


@dataclass
class Found:
    """The network in a file."""

    names: str                                  # a key of NAMES
    kind: str                                   # "FCN" or "VGG16"
    sources: dict[str, str]                     # parameter -> tensor of the file
    shapes: dict[str, tuple[int, ...]]          # of these, with axes h, w, in, out
    unknown: list[str]                          # tensors that belong to no parameter
    classes: int | None
    width: float
    fc_channels: int | None
    stride: int | None

    @property
    def title(self) -> str:
        return f"FCN-{self.stride}s" if self.kind == "FCN" else "VGG16"


def identify(file: WeightFile) -> Found:
    """Which network a file holds.

    Raises
    ------
    ValueError
        Another one; which one, where that can be told.
    """
    usable = {name: tensor for name, tensor in file.tensors.items() if tensor.dtype in DTYPES}
    split = {name: re.fullmatch(PARTS.get(file.format, TORCH_PARTS), name) for name in usable}
    layers = {name: match.groups() for name, match in split.items() if match}
    found = {names: sum(layer in table for layer, _ in layers.values())
             for names, table in NAMES.items()}
    names = max(found, key=found.get)
    if other := other_architecture(file):
        raise ValueError(f"{file.path}: this is {other}, not VGG16 or an FCN on it")
    sources: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    unknown = [name for name in file.tensors if name not in layers]
    for name, (layer, part) in layers.items():
        if layer not in NAMES[names]:
            unknown.append(name)
            continue
        parameter = f"{NAMES[names][layer]}.{'weight' if part in WEIGHTS else 'bias'}"
        if parameter in sources or part not in (*WEIGHTS, "bias", "b", "1"):
            unknown.append(name)
            continue
        sources[parameter] = name
        try:
            dummy = np.broadcast_to(np.int8(0), usable[name].shape)
            shapes[parameter] = reordered(dummy, parameter, file.format).shape
        except ValueError as error:
            raise ValueError(f"{file.path}: {name} has shape {usable[name].shape}, which does not "
                             f"fit {parameter} of VGG16") from error
    if not any(name in sources for name in ("conv1_1.weight", "fc6.weight", "score_fr.weight")):
        first = ", ".join(list(file.tensors)[:3])
        raise ValueError(f"{file.path}: this is not VGG16 or an FCN on it, but a network with "
                         f"tensors such as {first[:200]}")
    return measured(file, names, sources, shapes, unknown)


def measured(file: WeightFile, names: str, sources: dict[str, str],
             shapes: dict[str, tuple[int, ...]], unknown: list[str]) -> Found:
    """Kind and size of the network, from the shapes."""
    def outputs(layer: str) -> int | None:
        shape = shapes.get(f"{layer}.weight")
        return None if shape is None else shape[3]

    is_fcn = any(f"{name}.weight" in sources for name in (*SCORES, *UPSCORES))
    stride = None
    if is_fcn:
        stride = next((stride for stride, steps in UPSAMPLING.items()
                       if f"{steps[-1][0]}.weight" in sources), None)
        if stride is None:      # without upsampling layers: bilinear, as always
            stride = 8 if "score_pool3.weight" in sources else \
                16 if "score_pool4.weight" in sources else 32
    channels = [outputs(f"conv{stage}_1") for stage in range(1, len(STAGES) + 1)]
    width = next((candidate for candidate in
                  (count / full for count, (full, _) in reversed(list(zip(channels, STAGES)))
                   if count)
                  if all(count is None or scaled(full, candidate) == count
                         for count, (full, _) in zip(channels, STAGES))), None)
    if width is None:
        raise ValueError(f"{file.path}: its convolutions have {', '.join(map(str, channels))} "
                         "channels; VGG16 has 64, 128, 256, 512, 512, or all of them narrower by "
                         "one factor")
    classes = outputs("score_fr") if is_fcn else outputs("fc8")
    return Found(names, "FCN" if is_fcn else "VGG16", sources, shapes, unknown, classes, width,
                 outputs("fc6"), stride)


def reordered(array: np.ndarray, parameter: str, form: str) -> np.ndarray:
    """A tensor of a file as a view with axes h, w, in, out; a bias as a vector."""
    layer, part = parameter.split(".")
    if part == "bias" or layer.startswith("scale_"):
        return array.reshape(-1)
    size = FC6_SIZE if layer == "fc6" else 1
    if form in TENSORFLOW:
        if array.ndim == 2:         # fully connected, features flattened in h, w, c order
            array = array.reshape(size, size, -1, array.shape[1])
        return four(array)
    if layer.startswith("upscore"):             # in, out, h, w
        return four(array).transpose(2, 3, 0, 1)
    if array.ndim == 4 and array.shape[:2] == (1, 1) and layer.startswith("fc") \
            and array.shape[2:] != (size, size):
        array = array[0, 0]                     # Caffe's legacy dimensions
    if array.ndim == 2:             # fully connected, features flattened in c, h, w order
        array = array.reshape(array.shape[0], -1, size, size)
    return four(array).transpose(2, 3, 1, 0)


def four(array: np.ndarray) -> np.ndarray:
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError("a kernel has four axes")
    return array


def change(parameter: str, form: str, shape: tuple[int, ...]) -> str:
    """What ``reordered`` does to a tensor, in words."""
    layer, part = parameter.split(".")
    if part == "bias":
        return "as it is" if len(shape) == 1 else "reshaped"
    if form in TENSORFLOW:
        return "as it is" if len(shape) == 4 else "reshaped (H,W,C features)"
    if layer.startswith("upscore"):
        return "axes in,out,h,w to h,w,in,out"
    flat = len(shape) == 2 or (shape[:2] == (1, 1) and layer.startswith("fc"))
    return "reshaped (C,H,W features), axes out,in,h,w to h,w,in,out" if flat and layer == "fc6" \
        else "axes out,in to in,out" if flat else "axes out,in,h,w to h,w,in,out"


def other_architecture(file: WeightFile) -> str | None:
    """The name of a network that is no VGG16, if it is a well-known one."""
    names = {name.removeprefix("module."): tensor.shape for name, tensor in file.tensors.items()}
    layers = {re.split(r"\[\d+\]$|/", name)[0] for name in names}

    def has(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    features = [name for name, shape in names.items()
                if re.fullmatch(r"features\.\d+\.weight", name) and len(shape) == 4]
    if features and names.get("features.0.weight", (0, 0))[2:] == (11, 11):
        return "AlexNet"
    if features and (len(features) in (8, 10, 16) or has(r"^features\.\d+\.running_mean$")):
        depth = {8: 11, 10: 13, 13: 16, 16: 19}.get(len(features), "")
        return f"vgg{depth}_bn, with batch normalisation" if has("running_mean") else f"VGG{depth}"
    if layers & {"conv3_4", "conv5_4", "block5_conv4"}:
        return "VGG19"
    if has(r"(^|\.)layer3\.0\.conv1\.weight"):
        blocks = len({match[1] for name in names
                      if (match := re.search(r"layer3\.(\d+)\.conv1", name))})
        depth = {2: 18, 6: 50 if has(r"layer3\.0\.conv3") else 34, 23: 101, 36: 152}.get(blocks, "")
        head = "deeplabv3_" if has(r"^classifier\.0\.convs") else \
            "fcn_" if has(r"^classifier\.4\.weight") else ""
        name = f"resnet{depth}"
        return f"torchvision's {head}{name}_coco, or a network like it" if head else name
    for pattern, title in OTHERS.items():
        if has(pattern):
            return title
    if "conv1" in layers and names.get("conv1[0]", (0, 0))[2:] == (11, 11):
        return "AlexNet, or CaffeNet"
    if any(shape == (64, 3, 3, 3) for shape in names.values()) and file.format == "h5":
        return "VGG with Theano's order of axes"
    if layers & {"layers", "_layer_checkpoint_dependencies"} and file.format == "h5":
        return "a file of Keras 3"
    return None

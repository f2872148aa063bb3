"""PyTorch: a state dict as ``torch.load`` reads it, and a Python file with the network."""
from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from string import Template

import numpy as np

from minifcn.files import written_whole
from minifcn.models import FCN
from minifcn.models.geometry import UPSAMPLING
from minifcn.weights.exporting import crops, expects, paddings, torch_arrays

STORAGES = {"float16": "HalfStorage", "float32": "FloatStorage"}
TEMPLATE = Path(__file__).with_name("torch_model.py.txt")


def write_torch(model: FCN, out: Path, half: bool) -> str:
    script = out.with_suffix(".py")
    if script == out:
        raise ValueError(f"{out} would be both; give the name of the state dict, NAME.pth")
    with written_whole(script) as program, written_whole(out) as weights:
        program.write_text(code(model, out.name), encoding="utf-8")
        write_state_dict(weights, torch_arrays(model, half))
    fits = "pytorch-fcn's own FCN classes load it" if model.geometry == "caffe" \
        and model.config["width"] == 1 and model.config["fc_channels"] == 4096 \
        and not model.config["at_once"] else \
        "its names are pytorch-fcn's, but not its geometry, width or scales: use the Python file"
    return (f"{out}: {model.title}, a state dict for torch.load; {fits}\n"
            f"{script}: the network for it: python {script} PICTURE; it expects {expects(model)}")


def write_state_dict(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A zip as ``torch.save`` writes it: a pickle of names and shapes, and the numbers."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), state_dict_pickle(arrays))
        archive.writestr(zipfile.ZipInfo("archive/byteorder"), "little")
        for key, array in enumerate(arrays.values()):
            numbers = array.astype(array.dtype.newbyteorder("<"), copy=False)
            archive.writestr(zipfile.ZipInfo(f"archive/data/{key}"), memoryview(numbers).cast("B"))
        archive.writestr(zipfile.ZipInfo("archive/version"), "3\n")


def state_dict_pickle(arrays: dict[str, np.ndarray]) -> bytes:
    """The instructions that make an OrderedDict of tensors; see ``pickles.py``."""
    def word(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()

    def numbers(values) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"

    ordered_dict = b"ccollections\nOrderedDict\n)R"
    pieces = [b"\x80\x02", ordered_dict, b"("]
    for key, (name, array) in enumerate(arrays.items()):
        strides = [step // array.itemsize for step in array.strides]
        storage = (b"(" + word("storage") + f"ctorch\n{STORAGES[array.dtype.name]}\n".encode()
                   + word(str(key)) + word("cpu") + b"J" + struct.pack("<i", array.size) + b"tQ")
        pieces += [word(name), b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, b"K\0",
                   numbers(array.shape), numbers(strides), b"\x89", ordered_dict, b"tR"]
    return b"".join([*pieces, b"u."])


def code(model: FCN, weights: str) -> str:
    """The Python file."""
    offsets, padding = crops(model), paddings(model)
    scales = {skip.pool: skip.scale for skip in model.skips}
    steps = [(name, factor, padding.upsampling_padding(factor), pool,
              scales.get(pool, 1.0), offsets.get(pool, 0))
             for name, factor, pool in UPSAMPLING[model.stride]]
    channels = [model.parameters.shapes()[f"conv{stage}_1.weight"][3] for stage in range(1, 6)]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=model.title, weights=ascii(weights), channels=channels,
        fc_channels=model.config["fc_channels"], classes=model.classes,
        padding=padding.conv1_1, fc6_padding=padding.fc6, steps=repr(steps),
        output=offsets["output"], skip_is_larger=model.geometry == "caffe",
        mean=list(model.preprocessing.mean), std=list(model.preprocessing.std),
        order=ascii(model.preprocessing.order), class_names=ascii(list(model.class_names)))

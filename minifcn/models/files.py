"""Checkpoints: one ``.safetensors`` file is one model, with everything that a prediction needs.

The file holds the parameters under their names, training state under ``training/...``, and as text
(JSON) the architecture, class names, colours and the preprocessing. It is read as untrusted:
nothing in it is executed, and sizes are compared with the architecture before memory is taken:
the network is built hollow first, and arrays are read last.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minifcn.files import check_header, written_whole
from minifcn.layers import hollow
from minifcn.models.config import check_config
from minifcn.models.preprocessing import Preprocessing
from minifcn.ops.checks import dense
from minifcn.palette import check_class_names

FORMAT = "minifcn 1"
STATE = "training/"
DTYPES = {"float64": "F64", "float32": "F32"}


@dataclass
class Checkpoint:
    """What a file says of itself, and the open file, of which arrays are read when asked for."""

    kind: str                               # "FCN" or "VGG16"
    config: dict[str, Any]                  # the constructor's arguments
    class_names: list[str]
    palette: np.ndarray
    preprocessing: Preprocessing
    metadata: dict[str, Any]                # training state
    file: Any                               # of safetensors

    @property
    def names(self) -> list[str]:
        """Of the parameters."""
        return [name for name in self.file.keys() if not name.startswith(STATE)]  # noqa: SIM118

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {name: self.file.get_tensor(name) for name in self.names}

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """Training state."""
        return {name.removeprefix(STATE): self.file.get_tensor(name)
                for name in self.file.keys() if name.startswith(STATE)}  # noqa: SIM118


def write(path, model, tensors, metadata, half: bool = False) -> None:
    """Write a model, and training state if there is any; see ``Network.save``."""
    if half and tensors:
        raise ValueError("training state is kept in full: leave out tensors, or half")
    text = {"format": FORMAT, "kind": type(model).__name__, "config": model.config,
            "class_names": list(model.class_names), "palette": np.asarray(model.palette).tolist(),
            "preprocessing": model.preprocessing.to_dict(), "state": dict(metadata)}
    arrays = {name: model.parameters[name] for name in model.parameters}
    if half:
        arrays = {name: halved(name, array) for name, array in arrays.items()}
    arrays |= {STATE + name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with written_whole(path) as temporary:
        try:
            save_file(arrays, temporary, {"minifcn": json.dumps(text)})
        except SafetensorError as error:        # its name for a full disk and the like
            raise OSError(f"{path} could not be written: {error}") from error


def halved(name: str, array: np.ndarray) -> np.ndarray:
    """As float16, which ends at 65,504.

    Raises
    ------
    ValueError
        A value is larger.
    """
    largest = float(np.abs(array).max())
    if not largest <= float(np.finfo(np.float16).max):
        raise ValueError(f"{name} holds {largest:g}, which float16 cannot; save without half")
    return array.astype(np.float16)


def read(path: str | Path) -> Checkpoint:
    """Open a checkpoint, and read all but its arrays.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is cut off, not a checkpoint of minifcn, or contradicts itself; naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    check_header(path)
    try:
        file = safe_open(path, framework="numpy")
        text = (file.metadata() or {}).get("minifcn")
    except SafetensorError as error:
        raise ValueError(f"{path} is cut off or not a safetensors file ({error})") from error
    if text is None:
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of minifcn")
    try:
        about = json.loads(text)
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, this program reads {FORMAT!r}")
        return Checkpoint(str(about["kind"]), dict(about["config"]),
                          check_class_names(about["class_names"]),
                          np.array(about["palette"], np.uint8).reshape(-1, 3),
                          Preprocessing.from_dict(about["preprocessing"]),
                          dict(about["state"]), file)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is not a checkpoint that can be used: {error}") from error


def build(checkpoint: Checkpoint, path: str | Path, kinds: dict[str, type]):
    """The model of a checkpoint, with its weights. ``path`` is for the messages."""
    if checkpoint.kind not in kinds:
        raise ValueError(f"{path} holds a {checkpoint.kind!r}, not one of {', '.join(kinds)}")
    config, names, colours = checkpoint.config, checkpoint.class_names, checkpoint.palette
    try:
        check_config(config)
        if not len(names) == len(colours) == config["classes"]:
            raise ValueError(f"it names {len(names)} classes and {len(colours)} colours, "
                             f"its network has {config['classes']} classes")
        with hollow():
            model = kinds[checkpoint.kind](**{**config, "seed": None})
    except (KeyError, TypeError, ValueError, MemoryError, OverflowError) as error:
        raise ValueError(f"{path} describes a network that cannot be built: {error}") from error
    expected = model.parameters.shapes()
    stored = {name: checkpoint.file.get_slice(name) for name in checkpoint.names}
    found = {name: tuple(array.get_shape()) for name, array in stored.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(f"{path} contradicts itself: {name} has shape "
                             f"{found.get(name, 'none')}, its architecture asks for "
                             f"{expected.get(name, 'none')}")
    for name, array in stored.items():
        if array.get_dtype() not in (DTYPES[str(model.dtype)], "F16"):      # F16: save(half=True)
            raise ValueError(f"{path}: {name} has dtype {array.get_dtype()}, "
                             f"the network {DTYPES[str(model.dtype)]}")
    try:
        for layer in model.layers:
            for key in layer.parameters:
                name = f"{layer.name}.{key}"
                array = checkpoint.file.get_tensor(name)
                if not (np.isfinite(array.min()) and np.isfinite(array.max())):
                    raise ValueError(f"{path}: {name} holds NaN or infinity: its training "
                                     "diverged, or the file is damaged")
                layer.parameters[key] = dense(array.astype(model.dtype, copy=False))
    except MemoryError as error:
        raise ValueError(f"{path} holds a network too large for this machine's memory") from error
    model.config["seed"] = config["seed"]
    model.dropout_seed = config["seed"] or 0
    model.preprocessing = checkpoint.preprocessing
    model.class_names, model.palette = names, colours
    return model

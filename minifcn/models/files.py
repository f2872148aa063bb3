"""Checkpoints: one ``.safetensors`` file is one model, with everything that a prediction needs.

The file holds the parameters under their names, training state under ``training/...``, and as text
(JSON) the architecture, class names, colours and the preprocessing. It is read as untrusted:
nothing in it is executed, and sizes are compared with the architecture before memory is taken.
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minifcn.files import check_header, written_whole
from minifcn.models.config import check_config
from minifcn.models.preprocessing import Preprocessing
from minifcn.palette import check_class_names

FORMAT = "minifcn 1"
STATE = "training/"


class Checkpoint(NamedTuple):
    """What a file holds."""

    kind: str                               # "FCN" or "VGG16"
    config: dict[str, Any]                  # the constructor's arguments
    parameters: dict[str, np.ndarray]
    class_names: list[str]
    palette: np.ndarray
    preprocessing: Preprocessing
    tensors: dict[str, np.ndarray]          # training state
    metadata: dict[str, Any]                # training state


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
    """Read a checkpoint.

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
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("minifcn")
            if text is None:
                raise ValueError(f"{path} is a safetensors file, but not a checkpoint of minifcn")
            arrays = {name: file.get_tensor(name) for name in file.keys()}      # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is cut off or not a safetensors file ({error})") from error
    try:
        about = json.loads(text)
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, this program reads {FORMAT!r}")
        state = {name.removeprefix(STATE): arrays.pop(name)
                 for name in list(arrays) if name.startswith(STATE)}
        return Checkpoint(str(about["kind"]), dict(about["config"]), arrays,
                          check_class_names(about["class_names"]),
                          np.array(about["palette"], np.uint8).reshape(-1, 3),
                          Preprocessing.from_dict(about["preprocessing"]),
                          state, dict(about["state"]))
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
        model = kinds[checkpoint.kind](**{**config, "seed": None})
    except (KeyError, TypeError, ValueError, MemoryError, OverflowError) as error:
        raise ValueError(f"{path} describes a network that cannot be built: {error}") from error
    expected = model.parameters.shapes()
    found = {name: array.shape for name, array in checkpoint.parameters.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(f"{path} contradicts itself: {name} has shape "
                             f"{found.get(name, 'none')}, its architecture asks for "
                             f"{expected.get(name, 'none')}")
    for name, array in checkpoint.parameters.items():
        if array.dtype not in (model.dtype, np.float16):      # of ``save(half=True)``
            raise ValueError(f"{path}: {name} has dtype {array.dtype}, the network {model.dtype}")
        if not (np.isfinite(array.min()) and np.isfinite(array.max())):
            raise ValueError(f"{path}: {name} holds NaN or infinity: its training diverged, or the "
                             "file is damaged")
        model.parameters[name] = array
    model.config["seed"] = config["seed"]
    model.dropout_seed = config["seed"] or 0
    model.preprocessing = checkpoint.preprocessing
    model.class_names, model.palette = names, colours
    return model

"""Our networks for other programs: what all of the writers share, and ``export``."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from minifcn import ops
from minifcn.files import written_whole
from minifcn.models import FCN
from minifcn.models.files import halved
from minifcn.models.geometry import GEOMETRIES, UPSAMPLING, plan
from minifcn.weights.safetensors_files import EXPORTED

TARGETS = ("onnx", "torch", "safetensors", "caffe")
OPSET = 17                      # of ONNX: what runtimes since 2022 know


def export(model: FCN, to: str, out: str | Path, half: bool = False, preprocessing: bool = False,
           argmax: bool = False) -> str:
    """Write a model for other programs.

    Parameters
    ----------
    model : FCN
    to : {"onnx", "torch", "safetensors", "caffe"}
        ONNX for ONNX Runtime, OpenVINO and others; a state dict of PyTorch, and beside it a Python
        file with the network; a state dict as .safetensors; a caffemodel, and beside it the
        prototxt.
    out : path
    half : bool
        Store float16; the network still computes in float32. Caffe has no such type.
    preprocessing, argmax : bool
        ONNX only: take uint8 pictures (n, h, w, 3), RGB; give class ids (n, h, w).

    Returns
    -------
    text : str
        What was written, and what it takes and gives.

    Raises
    ------
    ValueError, OSError
        A choice that does not exist; a file that cannot be written.

    Examples
    --------
    >>> import minifcn, tempfile
    >>> from minifcn.weights import convert
    >>> model = minifcn.FCN(8, classes=3, width=1 / 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = export(model, "safetensors", f"{folder}/a.safetensors")
    ...     again, _ = convert(f"{folder}/a.safetensors")
    >>> again.title
    'FCN-8s, exact geometry'
    """
    if to not in TARGETS:
        raise ValueError(f"there is no export to {to!r}; use one of {', '.join(TARGETS)}")
    if to != "onnx" and (preprocessing or argmax):
        raise ValueError(f"preprocessing and argmax can be inside of ONNX only, not of {to}")
    if to == "caffe" and half:
        raise ValueError("Caffe has no float16; leave out half")
    out = Path(out)
    if to == "onnx":
        from minifcn.weights.onnx_export import write_onnx
        return write_onnx(model, out, half, preprocessing, argmax)
    if to == "torch":
        from minifcn.weights.torch_export import write_torch
        return write_torch(model, out, half)
    if to == "caffe":
        from minifcn.weights.caffe_export import write_caffe
        return write_caffe(model, out)
    return write_safetensors(model, out, half)


def torch_arrays(model: FCN, half: bool = False) -> dict[str, np.ndarray]:
    """Every weight under pytorch-fcn's name with PyTorch's axes; upsampling always as a layer."""
    arrays = {}
    for name in model.parameters:
        array = model.parameters[name]
        if name.startswith("upscore"):
            array = array.transpose(2, 3, 0, 1)
        elif array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        arrays[name] = array
    for name, factor, _ in UPSAMPLING[model.stride]:
        if f"{name}.weight" not in arrays:
            kernel = np.zeros((model.classes, model.classes, 2 * factor, 2 * factor), np.float32)
            diagonal = np.arange(model.classes)
            kernel[diagonal, diagonal] = ops.bilinear_kernel(2 * factor)
            arrays[f"{name}.weight"] = kernel
    return {name: np.ascontiguousarray(halved(name, array) if half else array,
                                       np.float16 if half else np.float32)
            for name, array in arrays.items()}


def crops(model: FCN) -> dict[str, int]:
    """Offsets of the crops, by the pool of the fusion and "output": the same for every size."""
    steps = plan(500, model.stride, model.geometry)
    return {"output": steps.output.offset,
            **{pool: fusion.skip.offset for pool, fusion in steps.fusions.items()}}


def paddings(model: FCN):
    return GEOMETRIES[model.geometry]


def about(model: FCN) -> dict:
    """What a file of weights alone does not tell."""
    return {"stride": model.stride, "geometry": model.geometry, "classes": model.classes,
            "at_once": model.config["at_once"], "class_names": list(model.class_names),
            "palette": np.asarray(model.palette).tolist(),
            "preprocessing": model.preprocessing.to_dict()}


def expects(model: FCN) -> str:
    """The preprocessing of a model, in words."""
    mean, std = (", ".join(f"{value:.8g}" for value in values)
                 for values in (model.preprocessing.mean, model.preprocessing.std))
    return (f"pixels 0..255 minus ({mean}) of red, green, blue, divided by ({std}), channels in "
            f"the order {model.preprocessing.order}")


def write_safetensors(model: FCN, out: Path, half: bool) -> str:
    with written_whole(out) as temporary:
        try:
            save_file(torch_arrays(model, half), temporary,
                      {"format": "pt", EXPORTED: json.dumps(about(model))})
        except SafetensorError as error:
            raise OSError(f"{out} could not be written: {error}") from error
    return (f"{out}: {model.title}, a state dict with the names of pytorch-fcn and the axes of "
            f"PyTorch; it expects {expects(model)}")

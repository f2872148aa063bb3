"""Which format a file has is told from its content, never from its name."""
from __future__ import annotations

import zipfile
from pathlib import Path

from minifcn.files import shortened
from minifcn.weights.caffe_files import read_caffemodel
from minifcn.weights.keras_files import read_h5
from minifcn.weights.numpy_files import read_npy, read_npz
from minifcn.weights.safetensors_files import read_safetensors
from minifcn.weights.tensors import WeightFile, mapped
from minifcn.weights.torch_files import read_legacy, read_zip
from minifcn.weights.wire import fields
from minifcn.weights.zips import open_zip

FORMATS = {"pth": "PyTorch's zip", "legacy pth": "PyTorch's older format", "npz": "NumPy's .npz",
           "npy": "a pickled dictionary of NumPy arrays", "safetensors": "safetensors",
           "h5": "HDF5", "caffemodel": "a caffemodel"}
LONGEST_NAME = 300
# other things that people have under the names of weights: how they begin, what they are
OTHERS = {
    b"\x1f\x8b": "it is compressed with gzip; unpack it first",
    b"MATLAB": "it is a MATLAB file, such as MatConvNet's pascal-fcn8s-dag.mat; these are not "
               "read. The same networks, in better versions, are the caffemodels "
               "fcn8s-heavy-pascal and so on",
    b"version https://git-lfs": "it is a pointer of Git LFS, not the file itself; git lfs pull "
                                "fetches it",
    b"GGUF": "it is a GGUF file of a language model",
    b"Rar!": "it is a RAR archive; unpack it first",
    b"\x89PNG": "it is a picture", b"\xff\xd8\xff": "it is a picture", b"%PDF": "it is a PDF file",
}


def open_weights(path: str | Path) -> WeightFile:
    """Open a file of weights, of any format that is known.

    Parameters
    ----------
    path : path

    Returns
    -------
    WeightFile
        Nothing of its numbers is read yet.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file; or it is damaged, or something else, in a sentence that names it.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a", **{"conv1_1/b": np.zeros(3, "float32")})
    ...     file = open_weights(f"{folder}/a.npz")
    ...     print(file.format, file.tensors["conv1_1/b"].shape)
    npz (3,)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    try:
        file = WeightFile(path, *recognise(mapped(path), path))
        if not all(name.isprintable() and len(name) <= LONGEST_NAME for name in file.tensors):
            raise ValueError("its tensors have names that cannot be printed")
    except (ValueError, OverflowError) as error:
        raise ValueError(shortened(f"{path}: {error}")) from error
    return file


def recognise(data: memoryview, path: Path) -> tuple:
    """Format, tensors, and what else the file says of itself."""
    start = bytes(data[:512])
    if start.startswith(b"PK\x03\x04"):
        return recognise_zip(data)
    if start.startswith(b"\x93NUMPY"):
        return "npy", read_npy(data)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5", read_h5(data, path)
    for beginning, what in OTHERS.items():
        if start.startswith(beginning):
            raise ValueError(what)
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ValueError("it is a web page: the download did not give the file")
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 10**8:
        return "safetensors", *read_safetensors(data, path)
    if start[:1] == b"\x80" and len(start) > 1 and start[1] in range(2, 6):
        return "legacy pth", read_legacy(data)
    if start[257:262] == b"ustar":
        raise ValueError("it is a tar archive, as PyTorch wrote before version 0.1.10; load it "
                         "there and save it anew, or unpack it")
    if looks_like_net(data):
        return "caffemodel", read_caffemodel(data)
    if is_text(start):
        raise ValueError("it is a text" + (", a prototxt: the description of a network; its "
                                           "weights are in the caffemodel"
                                           if b"layer" in bytes(data[:5000]) else ""))
    raise ValueError(f"no format of weights begins with the bytes {start[:8].hex(' ')}; known are "
                     f"{', '.join(FORMATS.values())}")


def recognise_zip(data: memoryview) -> tuple:
    archive: zipfile.ZipFile = open_zip(data)
    names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        return "pth", read_zip(data, archive)
    if any(name.endswith("model.weights.h5") for name in names):
        raise ValueError("it is a .keras file of Keras 3; save model.save_weights('NAME.h5') with "
                         "Keras 2, or use the published .h5 files")
    if any(name.endswith(".npy") for name in names):
        return "npz", read_npz(data, archive)
    raise ValueError(f"it is a zip without weights; it begins with {', '.join(names[:3])[:100]}")


def looks_like_net(data: memoryview) -> bool:
    """Whether it begins as Caffe's NetParameter does: with a name, or a layer."""
    try:
        field, kind, value, _ = next(fields(data))
    except ValueError:
        # a layer that is cut off still shows what it was
        return data[:1] == b"\x12" or data[:2] == b"\xa2\x06"
    if kind == 0 and field == 1:
        raise ValueError("it looks like an ONNX file; ONNX Runtime runs it as it stands")
    return kind == 2 and field in (1, 2, 100) and (field != 1 or is_text(bytes(value[:200])))


def is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in start)

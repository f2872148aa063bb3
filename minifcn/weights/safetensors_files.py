"""``.safetensors``: the library checks the header, then the numbers are where it says."""
from __future__ import annotations

import json
import struct
from pathlib import Path

from safetensors import SafetensorError, safe_open

from minifcn.weights.tensors import Tensor, stored

EXPORTED = "minifcn.export"         # what ``minifcn export`` says of its network
DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16", "I8": "int8",
          "U8": "uint8", "I16": "int16", "I32": "int32", "I64": "int64", "BOOL": "bool"}


def read_safetensors(data: memoryview, path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors, and what the file says of itself."""
    try:
        with safe_open(path, framework="numpy") as file:
            about: dict = dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"it is cut off or damaged ({error})") from error
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(bytes(data[8:8 + length]))
    header.pop("__metadata__", None)
    if EXPORTED in about:
        try:
            about[EXPORTED] = dict(json.loads(about[EXPORTED]))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"its {EXPORTED} is damaged") from error
    return {name: stored(data, 8 + length + entry["data_offsets"][0], entry["shape"],
                         DTYPES.get(entry["dtype"], entry["dtype"]))
            for name, entry in header.items()}, about

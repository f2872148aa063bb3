"""What every reader makes of a file: tensors by name, each read when it is asked for.

A file is mapped into memory, not loaded: what a tensor's header claims is compared with the bytes
that are there, and nothing is allocated because a header says so.
"""
from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minifcn.files import open_file

# how files call the types of numbers that weights may have; bfloat16 is unknown to NumPy
DTYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "bfloat16": "<u2", "int8": "i1",
          "uint8": "u1", "int16": "<i2", "int32": "<i4", "int64": "<i8", "bool": "?"}


def item_size(dtype: str) -> int:
    """Bytes of a number."""
    return np.dtype(DTYPES[dtype]).itemsize


class Tensor(NamedTuple):
    """A tensor in a file."""

    shape: tuple[int, ...]
    dtype: str                              # one of DTYPES, or what else the file says
    read: Callable[[], np.ndarray]          # a view of the file where that is possible


@dataclass
class WeightFile:
    """An open file.

    Attributes
    ----------
    path : Path
    format : str
        Such as "caffemodel"; a key of `minifcn.weights.recognition.FORMATS`.
    tensors : dict of str to Tensor
        In the order of the file.
    about : dict
        What else the file says of itself.
    """

    path: Path
    format: str
    tensors: dict[str, Tensor]
    about: dict[str, Any] = field(default_factory=dict)

    def read(self, name: str) -> np.ndarray:
        """A tensor's numbers; ValueError, with path and name, if they are damaged."""
        try:
            return self.tensors[name].read()
        except (ValueError, OSError) as error:
            raise ValueError(f"{self.path}: {name} cannot be read: {error}") from error


def mapped(path: Path) -> memoryview:
    """The bytes of a file, which must not be empty."""
    with open_file(path) as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def checked_shape(shape) -> tuple[int, ...]:
    """A shape as a tuple, if it can be one."""
    shape = tuple(shape)
    if len(shape) > 8 or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"{str(shape)[:80]} is no shape")
    return shape


def stored(data: memoryview, start: int, shape, dtype: str,
           strides: tuple[int, ...] | None = None) -> Tensor:
    """A tensor whose numbers lie in ``data`` from byte ``start`` on.

    Parameters
    ----------
    strides : tuple of int, optional
        Elements from one index to the next along each axis; in C order if not given.

    Raises
    ------
    ValueError
        The bytes are not there.
    """
    shape = checked_shape(shape)
    if dtype not in DTYPES:
        raise ValueError(f"numbers of type {str(dtype)[:40]} are not known here")
    size, count = item_size(dtype), math.prod(shape)
    extent = count if strides is None or count == 0 else \
        1 + sum((n - 1) * step for n, step in zip(shape, strides))
    if strides is not None and (len(strides) != len(shape) or min(strides, default=0) < 0
                                or extent < count):
        raise ValueError(f"the strides {str(strides)[:80]} do not fit the shape {shape}")
    if start < 0 or start + extent * size > len(data):
        raise ValueError(f"a tensor of shape {shape} takes {extent * size:,} bytes from byte "
                         f"{start:,} on, but there are {len(data):,}")

    def read() -> np.ndarray:
        flat = np.frombuffer(data, DTYPES[dtype], extent, start)
        if dtype == "bfloat16":         # the upper half of a float32
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        if strides is None:
            return flat.reshape(shape)
        return np.lib.stride_tricks.as_strided(
            flat, shape, [step * flat.itemsize for step in strides], writeable=False)

    return Tensor(shape, dtype, read)

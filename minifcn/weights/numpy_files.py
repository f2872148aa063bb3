"""NumPy's files: ``.npz`` as Chainer writes it, and ``vgg16.npy``, a pickled dictionary."""
from __future__ import annotations

import re
import zipfile
from typing import Any

import numpy as np

from minifcn.weights.pickles import Chunk, Machine
from minifcn.weights.tensors import DTYPES, Tensor, checked_shape, item_size, stored
from minifcn.weights.zips import DAMAGE, open_zip, stored_entry

LONGEST_HEADER = 10_000
OBJECTS = "objects"                     # the dtype of an array of Python's own
NAMES = {np.dtype(code).str: name for name, code in DTYPES.items() if name != "bfloat16"}
HEADER = re.compile(rb"\{'descr': ?'([^']{1,20})', ?'fortran_order': ?(True|False), "
                    rb"?'shape': ?\(((?:\d{1,19}L?,? ?){0,9})\),? ?\} *\n?")


def read_header(data: memoryview) -> tuple[tuple[int, ...], str, bool, int]:
    """Shape, dtype, whether in Fortran's order, and where the numbers begin.

    NumPy's own reader evaluates the header as Python; this one knows what NumPy writes.
    """
    start = bytes(data[:LONGEST_HEADER])
    begin = {b"\x01\0": 10, b"\x02\0": 12}.get(start[6:8], len(start))
    length = int.from_bytes(start[8:begin], "little")
    match = HEADER.fullmatch(start[begin:begin + length])
    if not match or begin + length > len(start):
        raise ValueError("it is cut off, or its header is damaged")
    code, fortran, extents = (part.decode("ascii", "replace") for part in match.groups())
    shape = tuple(int(extent.rstrip("L ")) for extent in extents.split(",") if extent.strip(" L"))
    name = OBJECTS if code.startswith("|O") else NAMES.get(code, code)
    return checked_shape(shape), name, fortran == "True", begin + length


def ordered(tensor: Tensor, fortran: bool) -> Tensor:
    """The tensor, of which the numbers may lie in Fortran's order."""
    if not fortran:
        return tensor
    return Tensor(tensor.shape, tensor.dtype,
                  lambda: tensor.read().reshape(tensor.shape[::-1]).T)


def read_npz(data: memoryview, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """The arrays of an archive, compressed or not."""
    return {entry.filename.removesuffix(".npy"): in_archive(data, entry)
            for entry in archive.infolist() if entry.filename.endswith(".npy")}


def in_archive(data: memoryview, entry: zipfile.ZipInfo) -> Tensor:
    def unpacked(most: int) -> memoryview:
        if entry.compress_type == zipfile.ZIP_STORED:
            return stored_entry(data, entry)[:most]
        try:
            with open_zip(data).open(entry.filename) as file:
                return memoryview(file.read(most))
        except DAMAGE as error:
            raise ValueError(f"{entry.filename[:80]} is damaged ({error})") from error

    shape, dtype, fortran, start = read_header(unpacked(LONGEST_HEADER))
    if dtype not in DTYPES:

        def refuse() -> np.ndarray:
            raise ValueError(f"an array of {dtype} is no weight")

        return Tensor(shape, dtype, refuse)
    count = int(np.prod(shape, dtype=object))
    if start + count * item_size(dtype) != entry.file_size:
        raise ValueError(f"{entry.filename[:80]} should hold {count:,} numbers of {dtype}, but has "
                         f"{entry.file_size - start:,} bytes")
    return ordered(Tensor(shape, dtype, lambda: stored(unpacked(entry.file_size), start, shape,
                                                       dtype).read()), fortran)


class Kind:
    """``numpy.dtype`` in a pickle."""

    def __init__(self, code: Any = None, *_: Any):
        self.code = code.text() if isinstance(code, Chunk) else ""
        self.order = "<"

    def build(self, state: Any) -> None:
        order = state[1].text()
        self.order = order if order in ("<", ">") else "<"

    @property
    def name(self) -> str:
        if self.code.startswith("O"):
            return OBJECTS
        order = "|" if self.code in ("b1", "i1", "u1") else self.order
        return NAMES.get(order + self.code, f"{order}{self.code[:40]}")


class Array:
    """``numpy.ndarray`` in a pickle: made empty, then given shape, type and numbers."""

    shape: tuple[int, ...] = (0,)
    kind = Kind()
    fortran = False
    values: Any = None

    def build(self, state: Any) -> None:
        _, shape, self.kind, self.fortran, self.values = state
        self.shape = checked_shape(shape)
        if not isinstance(self.kind, Kind):
            raise ValueError("the pickle has an array of an unknown type")

    def tensor(self) -> Tensor:
        values = self.values
        if isinstance(values, Latin1):
            view, size = values.chunk.view, None
        elif isinstance(values, Chunk):
            view, size = values.view, len(values.view)
        else:
            raise ValueError("the pickle has an array without numbers")
        name = self.kind.name
        if name not in DTYPES:
            raise ValueError(f"an array of {name} is no weight")
        expected = int(np.prod(self.shape, dtype=object)) * item_size(name)
        if size not in (None, expected) or expected > len(view):
            raise ValueError(f"the pickle has an array of shape {self.shape} with {len(view):,} "
                             "bytes of numbers")

        def read() -> np.ndarray:
            data = view if size is not None else \
                memoryview(str(view, "utf-8", "strict").encode("latin-1"))
            return stored(data, 0, self.shape, name).read()

        return ordered(Tensor(self.shape, name, read), bool(self.fortran))


class Latin1:
    """Bytes that Python 3 wrote as text, for Python 2 to read."""

    def __init__(self, chunk: Any, encoding: Any = None):
        if not isinstance(chunk, Chunk) or encoding is None or encoding.text() != "latin1":
            raise ValueError("the pickle encodes text in an unknown way")
        self.chunk = chunk


SCALARS = {f"numpy.{core}.multiarray.scalar": lambda *_: None for core in ("core", "_core")}
SCALARS |= {"numpy.dtype": Kind, "_codecs.encode": Latin1}
KNOWN = {f"numpy.{core}.multiarray._reconstruct": lambda *_: Array() for core in ("core", "_core")}
KNOWN |= {"numpy.ndarray": lambda *_: None, "collections.OrderedDict": lambda *_: {}, **SCALARS}


def read_npy(data: memoryview) -> dict[str, Tensor]:
    """The arrays of a pickled dictionary, name -> [weight, bias]."""
    shape, dtype, _, start = read_header(data)
    if dtype != OBJECTS:
        raise ValueError(f"it holds one array of shape {shape} and type {dtype}, not the weights "
                         "of a network")
    outer = Machine(data, start, KNOWN).run()
    values = outer.values if isinstance(outer, Array) else None
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], dict):
        raise ValueError("it holds Python objects, but no dictionary of weights")
    tensors = {}
    for layer, parts in values[0].items():
        if isinstance(parts, Array):
            parts = [parts]
        if not isinstance(parts, (list, tuple)) or \
                not all(isinstance(part, Array) for part in parts):
            raise ValueError(f"{str(layer)[:80]} is no list of arrays")
        for index, part in enumerate(parts):
            tensors[f"{layer}[{index}]"] = part.tensor()
    return tensors

"""PyTorch's files: the zip that it writes since version 1.6, and the older run of pickles."""
from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

from minifcn.weights.numpy_files import SCALARS
from minifcn.weights.pickles import Chunk, Machine
from minifcn.weights.tensors import Tensor, checked_shape, item_size, stored
from minifcn.weights.zips import stored_entry

MAGIC = 0x1950a86a20f9469cfc6c
PROTOCOL = 1001
STORAGES = {"Float": "float32", "Half": "float16", "Double": "float64", "BFloat16": "bfloat16",
            "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
            "Bool": "bool"}


class Storage(NamedTuple):
    """The numbers behind one or more tensors."""

    key: str
    dtype: str
    count: int


class View(NamedTuple):
    """A tensor: some of the numbers of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def rebuild(storage, offset, shape, strides, *_) -> View:
    if not isinstance(storage, Storage) or not isinstance(offset, int):
        raise ValueError("the pickle makes a tensor of something else than numbers")
    return View(storage, offset, checked_shape(shape), checked_shape(strides))


KNOWN = {
    "collections.OrderedDict": lambda *_: {},
    "torch._utils._rebuild_tensor_v2": rebuild,
    "torch._utils._rebuild_tensor": rebuild,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": lambda values=(): checked_shape(values),
    "torch.device": lambda *_: None,
    **{f"torch.{name}Storage": lambda *_: None for name in STORAGES},
    **SCALARS,
}


def storage_of(identity: Any) -> Storage:
    """The storage that a persistent id names: ("storage", type, key, location, count, ...)."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0].text() != "storage":
        raise ValueError("the pickle refers to something outside of it")
    kind = identity[1].name.removeprefix("torch.").removesuffix("Storage")
    count = identity[4]
    if kind not in STORAGES or not isinstance(count, int) or count < 0:
        raise ValueError("the pickle has a storage of an unknown kind")
    if len(identity) > 5 and identity[5] is not None:
        raise ValueError("the file shares storages in a way of PyTorch before 0.4; save it anew")
    return Storage(identity[2].text(), STORAGES[kind], count)


def read_zip(data: memoryview, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """The tensors of a zip."""
    names = {entry.filename: entry for entry in archive.infolist()}
    pickled = next(name for name in names if name.endswith("data.pkl"))
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}constants.pkl" in names:
        raise ValueError("this is a TorchScript program, not a state dict; save "
                         "model.state_dict() with torch.save")
    if bytes(stored_entry(data, names.get(f"{folder}byteorder")) or b"little") != b"little":
        raise ValueError("it was written on a big-endian machine, which is not read here")
    storages: dict[str, Storage] = {}
    value = Machine(stored_entry(data, names[pickled]), 0, KNOWN, remembering(storages)).run()

    def place(storage: Storage) -> tuple[memoryview, int]:
        entry = names.get(f"{folder}data/{storage.key}")
        if entry is None:
            raise ValueError(f"its storage {storage.key} is missing in the file")
        return stored_entry(data, entry), 0

    return tensors_of(value, place)


def read_legacy(data: memoryview) -> dict[str, Tensor]:
    """The tensors of a file of PyTorch before 1.6: pickles, and then the numbers."""
    storages: dict[str, Storage] = {}
    machine = Machine(data, 0, KNOWN, remembering(storages))
    if machine.run() != MAGIC:
        raise ValueError("this is a pickle, but none of PyTorch's; pickles can run any code and "
                         "are not read")
    if machine.run() != PROTOCOL:
        raise ValueError("it has an unknown version of PyTorch's old format")
    system = machine.run()
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ValueError("it was written on a big-endian machine, which is not read here")
    value, keys = machine.run(), machine.run()
    places, position = {}, machine.position
    for key in map(Chunk.text, keys if isinstance(keys, list) else ()):
        if key not in storages:
            raise ValueError(f"it has numbers, {key[:80]}, that belong to no tensor")
        if position + 8 > len(data):
            raise ValueError("it is cut off")
        (count,) = struct.unpack("<Q", data[position:position + 8])
        if count != storages[key].count:
            raise ValueError(f"storage {key} has {count} numbers, its tensors say "
                             f"{storages[key].count}")
        places[key] = position + 8
        position += 8 + count * item_size(storages[key].dtype)

    def place(storage: Storage) -> tuple[memoryview, int]:
        if storage.key not in places:
            raise ValueError(f"its storage {storage.key} is missing in the file")
        return data, places[storage.key]

    return tensors_of(value, place)


def remembering(storages: dict[str, Storage]) -> Callable[[Any], Storage]:
    """Reads persistent ids, and notes their storages."""
    def persistent(identity: Any) -> Storage:
        storage = storage_of(identity)
        if storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"storage {storage.key} is described twice, and differently")
        return storage
    return persistent


def tensors_of(value: Any, place: Callable[[Storage], tuple[memoryview, int]]
               ) -> dict[str, Tensor]:
    """The tensors of the state dict: of the dictionary that has the most."""
    found: list[dict[str, View]] = []
    below, seen = [value], set()
    while below:                            # a training checkpoint has it among other things
        each = below.pop()
        if isinstance(each, dict) and id(each) not in seen:
            seen.add(id(each))
            found.append({str(name): view for name, view in each.items()
                          if isinstance(view, View)})
            below.extend(each.values())
    views = max(found, key=len, default={})
    if not views:
        raise ValueError("it holds no state dict; save model.state_dict() with torch.save")
    tensors = {}
    for name, (storage, offset, shape, strides) in views.items():
        try:
            data, start = place(storage)
            size = item_size(storage.dtype)
            end = start + storage.count * size
            if end > len(data):
                raise ValueError(f"storage {storage.key} should have {storage.count:,} numbers, "
                                 "more than there are; the file is cut off or damaged")
            tensors[name] = stored(data[:end], start + offset * size, shape, storage.dtype, strides)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return tensors

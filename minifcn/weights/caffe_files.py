"""``.caffemodel``: a NetParameter, of layers, of blobs (protocol buffers).

Old files have their layers in field 2 (V1LayerParameter), newer ones in field 100.
"""
from __future__ import annotations

import numpy as np

from minifcn.weights.tensors import Tensor, checked_shape, stored
from minifcn.weights.wire import BYTES, FOUR, MOST_FIELDS, VARINT, fields, varint

LAYERS = {2: (4, 6), 100: (1, 7)}               # field of a layer: those of its name, its blobs
OLDEST = 1                                      # in a V1LayerParameter: the layer of 2013
DATA, SHAPE, DOUBLE_DATA, LEGACY = 5, 7, 8, (1, 2, 3, 4)
MOST_LAYERS, MOST_AXES = 20_000, 8
UNPACKED = np.dtype([("tag", "u1"), ("value", "<f4")])


def read_caffemodel(data: memoryview) -> dict[str, Tensor]:
    """The blobs as ``layer[0]`` (weight) and ``layer[1]`` (bias)."""
    tensors: dict[str, Tensor] = {}
    layers = 0
    for field, kind, message, _ in fields(data):
        if field in LAYERS and kind == BYTES:
            layers += 1
            if layers > MOST_LAYERS:
                raise ValueError(f"it has more than {MOST_LAYERS:,} layers")
            name, blobs = read_layer(message, *LAYERS[field])
            for index, blob in enumerate(blobs):
                if f"{name}[{index}]" in tensors:
                    raise ValueError(f"it has two layers {name}")
                tensors[f"{name}[{index}]"] = blob
    if not layers:
        raise ValueError("it has no layers")
    return tensors


def read_layer(message: memoryview, name_field: int, blobs_field: int
               ) -> tuple[str, list[Tensor]]:
    name, blobs = "", []
    for field, kind, value, _ in fields(message):
        if field == name_field and kind == BYTES:
            name = bytes(value[:200]).decode("utf-8", "replace")
        elif field == OLDEST and kind == BYTES and name_field != OLDEST:
            raise ValueError("it is of Caffe's first format, of 2013; bring it up to date with "
                             "Caffe's upgrade_net_proto_binary")
        elif field == blobs_field and kind == BYTES:
            try:
                blobs.append(read_blob(value))
            except ValueError as error:
                raise ValueError(f"layer {name}: {error}") from error
    return name, blobs


def read_blob(message: memoryview) -> Tensor:
    legacy, shape, numbers, dtype = [1, 1, 1, 1], None, memoryview(b""), "float32"
    old = False
    position = count = 0
    while position < len(message):
        count += 1
        if count > MOST_FIELDS:
            raise ValueError(f"a blob of more than {MOST_FIELDS:,} fields")
        field, kind, value, end = next(fields(message, position))
        if field in LEGACY and kind == VARINT:
            legacy[field - 1], old = value, True
        elif field == SHAPE and kind == BYTES:
            shape = read_shape(value)
        elif field in (DATA, DOUBLE_DATA) and kind == BYTES:
            if len(numbers):
                raise ValueError("its numbers are in pieces, which is not read here")
            numbers, dtype = value, "float32" if field == DATA else "float64"
        elif field == DATA and kind == FOUR:    # each number with a tag of its own
            run = np.frombuffer(message, UNPACKED, (len(message) - position) // 5, position)
            other = np.flatnonzero(run["tag"] != (DATA << 3 | FOUR))
            run = run[:other[0]] if len(other) else run
            if len(numbers):
                raise ValueError("its numbers are in pieces, which is not read here")
            numbers = memoryview(np.ascontiguousarray(run["value"])).cast("B")
            end = position + 5 * len(run)
        position = end
    if shape is None:
        shape = tuple(legacy) if old else (len(numbers) // 4,)
    tensor = stored(numbers, 0, shape, dtype)
    if np.prod(shape, dtype=object) * np.dtype(dtype).itemsize != len(numbers):
        raise ValueError(f"a blob of shape {shape} has {len(numbers):,} bytes of numbers")
    return tensor


def read_shape(message: memoryview) -> tuple[int, ...]:
    dimensions: list[int] = []
    for field, kind, value, _ in fields(message):
        if len(dimensions) > MOST_AXES:
            break
        if field == 1 and kind == VARINT:
            dimensions.append(value)
        elif field == 1 and kind == BYTES:
            position = 0
            while position < len(value) and len(dimensions) <= MOST_AXES:
                dimension, position = varint(value, position)
                dimensions.append(dimension)
    return checked_shape(dimensions)

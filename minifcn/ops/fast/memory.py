"""Memory for the kernels: aligned arrays, and scratch that is kept from call to call.

Fresh pages cost more than much of the arithmetic that is done in them, and a vector that straddles
two cache lines costs two loads.
"""
from __future__ import annotations

import math
import threading

import numpy as np

CACHE_LINE = 64     # bytes; also the widest vector

_mine = threading.local()   # two Python threads may call the same kernel at once


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array whose first element begins a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start:start + size].view(dtype).reshape(shape)


def scratch(size: int, dtype: np.dtype) -> np.ndarray:
    """A flat, uninitialised array of at least ``size`` elements, this Python thread's own.

    It is valid until the same thread asks again.
    """
    dtype = np.dtype(dtype)
    room = getattr(_mine, "room", None)
    if room is None or room.nbytes < size * dtype.itemsize:
        _mine.room = None                       # give the old one back before asking for more
        _mine.room = room = empty((size * dtype.itemsize,), np.uint8)
    return room[:room.nbytes // dtype.itemsize * dtype.itemsize].view(dtype)

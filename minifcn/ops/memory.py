"""Memory for the kernels: aligned arrays whose memory serves again, and scratch.

Fresh pages cost more than much of the arithmetic that is done in them: the system clears each, and
maps it, and takes it back. So a large block returns to a shelf when the last view of it is gone,
and serves the next array that it fits, as in a network the next layer's. The shelf drops what
nobody wanted for a while, what is too much, and what would make the process larger than it was.
"""
from __future__ import annotations

import math
import os
import threading

import numpy as np

CACHE_LINE = 64     # bytes; also the widest vector
LARGE, HUGE = 2 ** 18, 2 ** 29      # bytes: smaller blocks are not worth keeping, larger too much
TOO_LARGE = 4       # times what is asked for
WHILE = 1000        # arrays, some steps of training

_mine = threading.local()   # two Python threads may call the same kernel at once


class Shelf:
    """Blocks of memory that are free, the longest unused first."""

    def __init__(self):
        self.lock = threading.RLock()       # a block may come back while another is looked for
        self.blocks: list[tuple[int, np.ndarray]] = []
        self.time = self.lent = self.most = 0       # arrays so far; bytes in use, now and at most

    def take(self, size: int) -> np.ndarray:
        """A block of at least ``size`` bytes, the smallest that there is, or a new one."""
        with self.lock:
            self.time += 1
            fits = [item for item in self.blocks if size <= item[1].nbytes <= TOO_LARGE * size]
            item = min(fits, key=lambda item: item[1].nbytes, default=None)
            if item is not None:
                self.blocks = [other for other in self.blocks if other is not item]
            self.lent += size if item is None else item[1].nbytes
            self.most = max(self.most, self.lent)
            self.drop()
        try:
            return np.empty(size, np.uint8) if item is None else item[1]
        except MemoryError:
            with self.lock:
                self.lent -= size
            raise

    def give_back(self, block: np.ndarray) -> None:
        with self.lock:
            self.lent -= block.nbytes
            if block.nbytes <= HUGE:
                self.blocks.append((self.time, block))

    def drop(self) -> None:
        """What is too old, or too much."""
        spare = self.most - self.lent
        for time, block in reversed(self.blocks):
            spare -= block.nbytes
            if spare < 0 or time < self.time - WHILE:
                self.blocks = [item for item in self.blocks if item[0] > time]
                break


shelf = Shelf()
if hasattr(os, "register_at_fork"):     # a child must not wait for a thread that it does not have
    os.register_at_fork(before=shelf.lock.acquire, after_in_parent=shelf.lock.release,
                        after_in_child=shelf.lock.release)


class Lent:
    """A block in use: NumPy keeps this object as long as there is a view of its memory."""

    block = None        # until there was memory for one

    def __init__(self, size: int):
        self.block = shelf.take(size)
        self.__array_interface__ = self.block.__array_interface__

    def __del__(self, give_back=shelf.give_back):
        if self.block is not None:
            give_back(self.block)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array whose first element begins a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + CACHE_LINE, np.uint8) if size < LARGE else \
        np.asarray(Lent(size + CACHE_LINE))
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

"""Memory for the kernels: a caching allocator of aligned arrays, and scratch.

Fresh pages cost more than much of the arithmetic that is done in them: the system clears each, and
maps it, and takes it back. So a large block is kept when the last view of it is gone, and serves
the next array that it fits, as in a network the next layer's. The allocator frees what was not used
for a while, and what would make the process larger than it was with all blocks in use.
"""
from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

CACHE_LINE = 64     # bytes; also the widest vector
LARGE, HUGE = 2 ** 18, 2 ** 29      # bytes: smaller blocks are not worth keeping, larger too much
SLACK = 4           # a block serves for no less than this part of its size
LIFETIME = 1000     # allocations, some steps of training, that a block is kept without use


class Block(NamedTuple):
    """Memory that nobody uses."""

    freed: int      # the number of allocations before
    memory: np.ndarray


class Allocator:
    """Keeps freed blocks, in the order in which they were freed."""

    def __init__(self):
        self.lock = threading.RLock()       # a block may be freed while another is looked for
        self.blocks: list[Block] = []
        self.allocations = self.used = self.peak = 0        # bytes in use, now and at most

    def allocate(self, size: int) -> np.ndarray:
        """At least ``size`` bytes: the smallest block that fits, or new memory."""
        with self.lock:
            self.allocations += 1
            fits = [i for i, block in enumerate(self.blocks)
                    if size <= block.memory.nbytes <= SLACK * size]
            best = min(fits, key=lambda i: self.blocks[i].memory.nbytes, default=None)
            memory = None if best is None else self.blocks.pop(best).memory
            self.used += size if memory is None else memory.nbytes
            self.peak = max(self.peak, self.used)
            self.trim()
        try:
            return np.empty(size, np.uint8) if memory is None else memory
        except MemoryError:
            with self.lock:
                self.used -= size
            raise

    def free(self, memory: np.ndarray) -> None:
        with self.lock:
            self.used -= memory.nbytes
            if memory.nbytes <= HUGE:
                self.blocks.append(Block(self.allocations, memory))

    def trim(self) -> None:
        """Let go of what is too old or too much, the longest unused first."""
        spare, keep = self.peak - self.used, len(self.blocks)
        while keep:
            block = self.blocks[keep - 1]
            spare -= block.memory.nbytes
            if spare < 0 or block.freed < self.allocations - LIFETIME:
                break
            keep -= 1
        del self.blocks[:keep]

    def release(self) -> None:
        """Let go of all blocks."""
        with self.lock:
            self.blocks.clear()
            self.peak = self.used


allocator = Allocator()
if hasattr(os, "register_at_fork"):     # a child must not wait for a thread that it does not have
    os.register_at_fork(before=allocator.lock.acquire, after_in_parent=allocator.lock.release,
                        after_in_child=allocator.lock.release)


class Owner:
    """A block in use: NumPy keeps this object as long as there is a view of its memory."""

    memory = None       # until there was any

    def __init__(self, size: int):
        self.memory = allocator.allocate(size)
        self.__array_interface__ = self.memory.__array_interface__

    def __del__(self, free=allocator.free):
        if self.memory is not None:
            free(self.memory)


def release_memory() -> None:
    """Give memory that is kept for the next call back to the system, as a server that idles may.

    Examples
    --------
    >>> release_memory()
    """
    allocator.release()


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array whose first element begins a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + CACHE_LINE, np.uint8) if size < LARGE else \
        np.asarray(Owner(size + CACHE_LINE))
    start = -room.ctypes.data % CACHE_LINE
    return room[start:start + size].view(dtype).reshape(shape)


_borrowed = threading.local()       # .now: whether this Python thread has scratch


@contextlib.contextmanager
def scratch(size: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """A flat, uninitialised array for the ``with`` block; one at a time in each Python thread.

    Raises
    ------
    RuntimeError
        If it is asked for again inside: whoever does should ask for it in one piece.
    """
    if getattr(_borrowed, "now", False):
        raise RuntimeError("scratch memory is lent to this thread already")
    _borrowed.now = True
    try:
        yield empty((size,), dtype)
    finally:
        _borrowed.now = False

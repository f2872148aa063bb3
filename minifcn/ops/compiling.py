"""Compile kernels with Numba, keep what was compiled for the next process, and use all cores.

Numba's own cache keys a function by the file that it stands in, so a changed helper in another file
would go unnoticed. Here the folder of the cache carries a hash of all files beside the kernel:
change any of them, and they are compiled anew. ``NUMBA_BOUNDSCHECK`` is not part of Numba's key
either, so it is part of the hash.

The folder lies beside the package, or in the user's cache where the package cannot be written;
``NUMBA_CACHE_DIR`` overrides both.
"""
from __future__ import annotations

import functools
import hashlib
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
from numba.core import config

OPS = Path(__file__).parent
JIT_ENABLED = not config.DISABLE_JIT


def _cache_base() -> Path:
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    if os.access(OPS, os.W_OK):
        return OPS / "__pycache__"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minifcn"


@functools.cache
def cache_folder(room: Path) -> Path:
    """Where the kernels of the Python files in a folder are kept.

    A kernel may use what stands beside it and in ``ops`` itself, so both are hashed.
    """
    digest = hashlib.sha256(f"boundscheck={config.BOUNDSCHECK}".encode())
    for path in sorted({*OPS.glob("*.py"), *room.glob("*.py")}):
        digest.update(path.name.encode() + path.read_bytes())
    return _cache_base() / f"{room.name}-{digest.hexdigest()[:16]}"


_decorating = threading.Lock()      # CACHE_DIR is a global of Numba's


def compiled(function: Callable | None = None, **options) -> Callable:
    """Decorate a kernel: compiled on first use, cached, and free of the interpreter's lock.

    Parameters
    ----------
    **options
        Passed to ``numba.njit`` (``fastmath``, ``inline``, ...).
    """
    if function is None:
        return functools.partial(compiled, **options)
    with _decorating:
        room = Path(function.__code__.co_filename).parent
        before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder(room))
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        finally:
            config.CACHE_DIR = before


def parallel(function: Callable | None = None, *, grain: int = 1) -> Callable:
    """Decorate a kernel that does the tasks ``begin`` to ``end``: all threads share them out.

    The kernel is written as ``kernel(thread, begin, end, *arguments)`` and called as
    ``kernel(tasks, *arguments)``. Each thread takes a few tasks at a time until none are left, so
    which thread does what is a matter of chance: a task must own what it writes. ``thread`` counts
    the threads of one call from 0, for scratch memory.

    Numba's own ``prange`` is not used. It takes two to four seconds more to compile each kernel;
    its threads wait spinning, so that a second process on the machine slows it a hundred times; and
    it dies in forked processes, and with some of its threading layers in several Python threads.

    Parameters
    ----------
    grain : int
        Tasks that are not worth sharing out.
    """
    if function is None:
        return functools.partial(parallel, grain=grain)
    kernel = compiled(function)

    @functools.wraps(function)
    def call(tasks: int, *arguments) -> None:
        threads = numba.get_num_threads() if JIT_ENABLED else 1
        at_a_time = max(grain, -(-tasks // (SHARES * threads)))
        starts = itertools.count(0, at_a_time)      # its next() is atomic

        def work(thread: int) -> None:
            while (begin := next(starts)) < tasks:
                kernel(thread, begin, min(begin + at_a_time, tasks), *arguments)

        helpers = [_pool().submit(work, thread)
                   for thread in range(1, min(threads, -(-tasks // at_a_time)))]
        try:
            work(0)
        finally:        # after Ctrl-C too: nobody may write into memory that is used again
            for helper in helpers:
                if not helper.cancel():
                    helper.result()

    return call


SHARES = 8      # for each thread: small enough to end together, large enough not to count


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, config.NUMBA_NUM_THREADS - 1), thread_name_prefix="minifcn")


if hasattr(os, "register_at_fork"):     # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)

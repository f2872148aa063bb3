"""Compile kernels with Numba, and keep what was compiled for the next process.

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
import os
import threading
from collections.abc import Callable
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

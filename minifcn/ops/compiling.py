"""Compile kernels with Numba, and keep what was compiled for the next process.

Numba's own cache keys a function by the file that it stands in, so a changed helper in another file
would go unnoticed. Here the folder of the cache carries a hash of all files beside the kernel:
change any of them, and they are compiled anew. ``NUMBA_BOUNDSCHECK`` is not part of Numba's key
either, so it is part of the hash.

The folder lies beside the package, or in the user's cache where the package cannot be written;
``NUMBA_CACHE_DIR`` overrides both. A file in it that is damaged, and a folder that cannot be
written, cost time to compile, and a warning, but no result.
"""
from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numba
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.serialize import dumps

OPS = Path(__file__).parent
JIT_ENABLED = not config.DISABLE_JIT


def _cache_base() -> Path:
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if os.access(OPS, os.W_OK) or user.startswith("~"):     # of a user without a home
        return OPS / "__pycache__"
    return Path(user) / "minifcn"


@functools.cache
def cache_folder(room: Path) -> Path:
    """Where the kernels of the Python files in a folder are kept.

    A kernel may use what stands beside it and in ``ops``, so both are hashed.
    """
    digest = hashlib.sha256(f"boundscheck={config.BOUNDSCHECK}".encode())
    for path in sorted({*OPS.rglob("*.py"), *room.glob("*.py")}):
        digest.update(path.name.encode() + path.read_bytes())
    return _cache_base() / f"{room.name}-{digest.hexdigest()[:16]}"


def old_cache_folders() -> list[Path]:
    """Folders of kernels from before an edit: of each room, all but the one in use, or the newest.
    """
    in_use = {cache_folder(room) for room in (OPS, OPS / "reference", OPS / "fast",
                                              OPS.parent / "training")}
    rooms: dict[str, list[Path]] = {}
    for folder in _cache_base().glob("*-" + 16 * "[0-9a-f]"):
        rooms.setdefault(folder.name.rpartition("-")[0], []).append(folder)
    old = []
    for folders in rooms.values():
        folders.sort(key=lambda folder: (folder in in_use, folder.stat().st_mtime))
        old += folders[:-1]
    return old


class _Locator(_CacheLocator):
    """Where Numba's cache keeps a function; the folder's name tells that a source has changed."""

    def __init__(self, function):
        self._py_file = function.__code__.co_filename
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function, file):
        return cls(function)

    def get_cache_path(self):
        return str(cache_folder(Path(self._py_file).parent))

    def get_source_stamp(self):
        return None

    def get_disambiguator(self):
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)

    def reduce(self, data):
        content = dumps(super().reduce(data))
        return hashlib.sha256(content).digest(), content

    def rebuild(self, target_context, reduced_data):
        digest, content = reduced_data
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its content has changed")
        return super().rebuild(target_context, pickle.loads(content))


class _Cache(FunctionCache):
    """Numba's cache of a function, but for faults: then it is as if nothing were kept."""

    _impl_class = _Implementation

    def load_overload(self, signature, target_context):
        try:
            return super().load_overload(signature, target_context)
        except OSError:         # ``save_overload`` tells
            return None
        except Exception:       # whatever a damaged pickle raises
            _warn_once(f"a file of compiled kernels in {self.cache_path} was damaged; "
                       "it is compiled anew")
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature, result):
        try:
            super().save_overload(signature, result)
        except OSError as error:
            _warn_once(f"compiled kernels cannot be kept in {self.cache_path} ({error.strerror}), "
                       "so every process compiles anew; set NUMBA_CACHE_DIR to a folder of yours")


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def compiled(function: Callable | None = None, **options) -> Callable:
    """Decorate a kernel: compiled on first use, cached, and free of the interpreter's lock.

    Parameters
    ----------
    **options
        Passed to ``numba.njit`` (``fastmath``, ``inline``, ...).
    """
    if function is None:
        return functools.partial(compiled, **options)
    kernel = numba.njit(nogil=True, **options)(function)
    if JIT_ENABLED:
        kernel._cache = _Cache(function)
    return kernel


def block(function: Callable) -> Callable:
    """Decorate a part of a kernel: compiled, but no references are counted, so it makes no arrays.

    Counted, each operand would cost two atomic additions, all threads to the same cache line.
    """
    return compiled(function, _nrt=False)

"""``minifcn doctor``: what this machine offers, and what is wrong with it."""
from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding as llvm

import minifcn
from minifcn import ops
from minifcn.ops.compiling import JIT_ENABLED, OPS, cache_folder, old_cache_folders
from minifcn.ops.fast.vectors import vector_unit

LIBRARIES = ("numpy", "numba", "llvmlite", "pillow", "matplotlib", "safetensors", "tqdm")
INTEL = ("x86_64", "AMD64", "i386", "i686")
LOW_MEMORY = 2 * 10**9


def run_doctor(as_json: bool = False) -> int:
    """Print the facts, then what is wrong; 1 if anything is."""
    wrong, facts = [], []
    for name, value, complaint in findings():
        facts.append({"what": name, "state": value})
        if not as_json:
            print(f"{name:<18}{value}")
        if complaint:
            wrong.append(complaint)
    if as_json:
        print(json.dumps({"facts": facts, "wrong": wrong}, indent=2))
        return 1 if wrong else 0
    print()
    for complaint in wrong:
        print(f"wrong: {complaint}")
    if not wrong:
        print("nothing wrong was found")
    return 1 if wrong else 0


def findings() -> Iterator[tuple[str, str, str | None]]:
    """(what, its state, a complaint or None), one after the other."""
    yield "minifcn", minifcn.__version__, None
    yield "Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}", None
    for library in LIBRARIES:
        yield library, metadata.version(library), None
    yield "engine", ops.engine_name(), None
    yield ("compiler", "on" if JIT_ENABLED else "off (NUMBA_DISABLE_JIT)", None if JIT_ENABLED else
           "NUMBA_DISABLE_JIT is set, so everything runs as plain Python, a hundred times slower; "
           "unset it unless you debug")
    if numba.config.BOUNDSCHECK:
        yield "bounds checks", "on", "NUMBA_BOUNDSCHECK is set, which slows down the kernels"
    yield threads()
    yield "threading layer", "threads of its own (none of Numba's)", None
    yield vectors()
    yield memory()
    for room in (OPS / "reference", OPS / "fast"):
        yield cache(cache_folder(room))
    if old := old_cache_folders():
        yield ("old caches", f"{len(old)} folders, {size_of(old) / 1e6:.0f} MB "
               "(minifcn doctor --clean removes them)", None)
    yield from arithmetic()


def cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> tuple[str, str, str | None]:
    count, available = ops.get_threads(), cores()
    return ("threads", f"{count} on {available} cores", None if count <= available else
            f"{count} threads share {available} cores; set MINIFCN_NUM_THREADS={available}")


def vectors() -> tuple[str, str, str | None]:
    """The vector unit that compiled code uses, which environment variables of Numba may limit."""
    if not JIT_ENABLED:
        return "vector unit", "none without the compiler", None
    bits, machine = 8 * vector_unit()[0], platform.machine()
    name = {512: "AVX-512", 256: "AVX2"}.get(bits, "SSE" if machine in INTEL else "NEON")
    return ("vector unit", f"{name}, {bits} bits, on {llvm.get_host_cpu_name()}",
            "neither AVX2 nor AVX-512 is there or allowed, so the fast engine is slow"
            if name == "SSE" else None)


def memory() -> tuple[str, str, str | None]:
    available = available_memory()
    if available is None:
        return "memory", "unknown", None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return ("memory", f"{available / 1e9:.1f} of {total / 1e9:.1f} GB available",
            None if available >= LOW_MEMORY else
            f"less than {LOW_MEMORY / 1e9:.0f} GB are available; full-size networks need more")


def available_memory() -> int | None:
    """Bytes of free memory, on Linux with what the system would give back; None if unknown."""
    path = Path("/proc/meminfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("MemAvailable"):
            return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def cache(folder: Path) -> tuple[str, str, str | None]:
    """Whether compiled kernels are kept for the next process."""
    files = list(folder.rglob("*.nbi")) if folder.exists() else []      # Numba adds a folder
    state = f"{len(files)} kernels" if files else "empty: the first run compiles for some seconds"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    complaint = None
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        complaint = (f"the cache of kernels {folder} cannot be written ({error.strerror}), so "
                     "every process compiles anew; set NUMBA_CACHE_DIR to a folder of yours")
    return "cache", f"{folder} ({state})", complaint


def size_of(folders: list[Path]) -> int:
    """Bytes of all files in them."""
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*")
               if file.is_file())


def clean() -> None:
    """Remove compiled kernels of former versions."""
    old = old_cache_folders()
    size = size_of(old)
    for folder in old:
        shutil.rmtree(folder)
    print(f"removed {len(old)} folders of old kernels, {size / 1e6:.0f} MB", file=sys.stderr)


def arithmetic() -> Iterator[tuple[str, str, str | None]]:
    """One small convolution on the engine in use, compared with the reference."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((1, 9, 11, 5)), rng.standard_normal((3, 3, 5, 6))
    bias = np.zeros(6)
    y = ops.conv2d_forward(x, weight, bias, 1, 1)
    with ops.using("reference"):
        error = float(abs(y - ops.conv2d_forward(x, weight, bias, 1, 1)).max())
    right = error < 1e-10
    yield ("self-test", "right" if right else "WRONG", None if right else
           f"the engine {ops.engine_name()} computes a convolution with an error of {error:.1e}; "
           f"delete the caches above")

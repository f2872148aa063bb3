"""What this machine is, for the head of every table."""
from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("numpy", "numba", "torch", "onnxruntime", "openvino", "ncnn")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def describe() -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (f"{cpu()}, {cores()} cores, {platform.system()} {platform.machine()}, "
            f"Python {platform.python_version()}, {versions}")

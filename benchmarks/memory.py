"""The largest memory that this process ever had resident."""
from __future__ import annotations

import sys
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Start anew from what is resident now, where the system can (Linux)."""
    try:
        RESET.write_text("5")
    except OSError:
        return      # then loading counts too, for everyone


def peak_bytes() -> int:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        import resource
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else 1024 * largest
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

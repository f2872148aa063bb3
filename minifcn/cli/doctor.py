"""``minifcn doctor``: its findings are made in ``machine.py``."""
from __future__ import annotations

HELP = "look for what may be wrong on this machine"
EXAMPLE = "doctor"


def add_arguments(parser) -> None:
    """It has none of its own."""


def run(arguments) -> int:
    from minifcn.cli.machine import run_doctor

    return run_doctor()

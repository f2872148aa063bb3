"""``minifcn doctor``: its findings are made in ``machine.py``."""
from __future__ import annotations

from minifcn.cli.options import add_json

HELP = "look for what may be wrong on this machine"
EXAMPLE = "doctor"


def add_arguments(parser) -> None:
    add_json(parser)


def run(arguments) -> int:
    from minifcn.cli.machine import run_doctor

    return run_doctor(arguments.json)

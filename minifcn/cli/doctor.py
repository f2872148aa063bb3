"""``minifcn doctor``: its findings are made in ``machine.py``."""
from __future__ import annotations

from minifcn.cli.options import add_json

HELP = "look for what may be wrong on this machine"
EXAMPLE = "doctor"


def add_arguments(parser) -> None:
    add_json(parser)
    parser.add_argument("--clean", action="store_true",
                        help="remove compiled kernels of former versions from the cache")


def run(arguments) -> int:
    from minifcn.cli.machine import clean, run_doctor

    if arguments.clean:
        clean()
    return run_doctor(arguments.json)

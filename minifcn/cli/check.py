"""``minifcn check``."""
from __future__ import annotations

HELP = "check the layers in a Python file: values and gradients"
EXAMPLE = "check my_layers.py"


def add_arguments(parser) -> None:
    parser.add_argument("file", metavar="FILE", help="has functions named as in minifcn.ops")
    parser.add_argument("--seconds", type=float, default=60, metavar="S",
                       help="limit for each function (default: 60)")


def run(arguments) -> int:
    from minifcn.gradcheck.runner import check_file

    return check_file(arguments.file, arguments.seconds, arguments.quiet)

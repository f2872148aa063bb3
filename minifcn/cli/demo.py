"""``minifcn demo``."""
from __future__ import annotations

from pathlib import Path

HELP = "train FCN-32s, 16s and 8s on generated scenes in two minutes"
EXAMPLE = "demo --out demo"


def add_arguments(parser) -> None:
    parser.add_argument("--out", default="demo", metavar="DIR", help="default: demo")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments) -> None:
    from minifcn.demo import demo

    demo(Path(arguments.out), seed=arguments.seed, quiet=arguments.quiet)

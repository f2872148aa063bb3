"""``minifcn demo``."""
from __future__ import annotations

import shlex
from pathlib import Path

from minifcn.cli import program

HELP = "train FCN-32s, 16s and 8s on generated streets in two minutes"
EXAMPLE = "demo --out demo"


def add_arguments(parser) -> None:
    parser.add_argument("--out", default="demo", metavar="DIR", help="default: demo")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments) -> None:
    from minifcn.demo import checkpoint, demo

    out = Path(arguments.out)
    demo(out, seed=arguments.seed, quiet=arguments.quiet)
    paths = (shlex.quote(str(out / name)) for name in (checkpoint(8), "street.png", "masks"))
    print("\nThe next command segments a picture; put yours in the place of street.png:\n"
          "  {} predict {} {} --out {}".format(program(), *paths))

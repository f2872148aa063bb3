"""``minifcn inspect``: what is in a weight file."""
from __future__ import annotations

from minifcn.cli.options import add_json

HELP = "show what is in a weight file, of minifcn or of another project"
EXAMPLE = "inspect fcn8s-heavy-pascal.caffemodel"


def add_arguments(parser) -> None:
    parser.add_argument("file", metavar="FILE", help="of any format that minifcn convert takes")
    add_json(parser)


def run(arguments) -> None:
    import json

    from minifcn.weights.inspection import inspect

    found = inspect(arguments.file)
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else found)

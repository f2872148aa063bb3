"""``minifcn fetch``: download published weights, verified."""
from __future__ import annotations

HELP = "download a published weight file and verify it, or list them"
EXAMPLE = """\
fetch
fetch vgg16-torchvision
fetch fcn8s-heavy-pascal --from fcn8s-heavy-pascal.caffemodel"""


def add_arguments(parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the list; without it the list")
    parser.add_argument("--from", dest="source", metavar="FILE",
                        help="the file, downloaded by hand: it is verified and copied")
    parser.add_argument("--mirror", metavar="ADDRESS",
                        help="address of the file on a server of your own, tried first")
    parser.add_argument("--cache", metavar="DIR",
                        help="where files lie (default: $MINIFCN_CACHE, or ~/.cache/minifcn)")
    parser.add_argument("--table", metavar="FILE",
                        help="a TOML file with entries of your own: [NAME], and in it file, "
                             "checksum, addresses, size, licence, what")


def run(arguments) -> None:
    from minifcn import progress
    from minifcn.weights.catalogue import CATALOGUE
    from minifcn.weights.fetching import fetch, listing, read_table

    catalogue = CATALOGUE if arguments.table is None else read_table(arguments.table)
    if arguments.name is None:
        print(listing(catalogue))
        return
    path = fetch(arguments.name, arguments.cache, arguments.source, arguments.mirror, catalogue,
                 arguments.quiet)
    if arguments.quiet:
        return
    entry = catalogue[arguments.name]
    verified = f"its {entry.checksum.partition(':')[0]} is right" if entry.checksum else \
        "its checksum is not known: it was not verified"
    progress.say(f"{path}: {verified}; licence: {entry.licence or 'not stated'}")

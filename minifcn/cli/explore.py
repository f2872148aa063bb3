"""``minifcn explore``: every map of a network for one picture, on one page."""
from __future__ import annotations

from minifcn.cli.options import load_fcn

HELP = "write a page that shows a picture's way through a network, number by number"
EXAMPLE = ("explore demo/fcn8s.safetensors street.png --out explorer.html\n"
           "explore demo/fcn8s.safetensors street.png --out explorer.html --pixel 40 52")


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--out", default="explorer.html", metavar="FILE",
                        help="the page (default: explorer.html)")
    parser.add_argument("--pixel", type=int, nargs=2, action="append", dest="pixels",
                        metavar=("ROW", "COLUMN"),
                        help="show the gradient of this pixel's score; may be given several times "
                             "(default: 16 pixels, spread over the picture)")


def run(arguments) -> None:
    from minifcn.data import read_image

    model = load_fcn(arguments.checkpoint)
    page = model.explore(read_image(arguments.image), pixels=arguments.pixels)
    path = page.save(arguments.out)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")

"""``minifcn summary``."""
from __future__ import annotations

from minifcn.cli.options import add_json, add_network, checkpoint_file, load_fcn

HELP = "show layers, sizes, parameters, GMAC and memory"
EXAMPLE = "summary 360 480 --stride 16 --width 0.25"


def add_arguments(parser) -> None:
    parser.add_argument("height", type=int, nargs="?", default=500, help="default: 500")
    parser.add_argument("image_width", type=int, nargs="?", metavar="width",
                         help="of the image (default: its height)")
    parser.add_argument("--checkpoint", metavar="FILE", help="the model in it")
    parser.add_argument("--classes", type=int, help="default: 21")
    parser.add_argument("--positions", action="store_true",
                         help="derive sizes, offsets and crops instead")
    add_json(parser)
    add_network(parser.add_argument_group("network"))


def run(arguments) -> None:
    import json

    from minifcn.data.images import limits
    from minifcn.models.geometry import explain

    height, width = arguments.height, arguments.image_width or arguments.height
    if min(height, width) < 1:
        raise ValueError(f"an image has at least 1 x 1 pixels, not {height} x {width}")
    if height * width > limits().pixels:
        raise ValueError(f"an image has at most {limits().pixels:,} pixels, not {height} x {width}")
    model = _summarised_model(arguments)
    if arguments.positions and arguments.json:
        raise ValueError("--positions has no --json; choose one of the two")
    if arguments.json:
        print(json.dumps(model.summary(height, width).to_dict(), indent=2))
    elif arguments.positions:
        print(explain(height, width, model.stride, model.geometry))
    else:
        print(model.summary(height, width))


def _summarised_model(arguments):
    import minifcn

    given = {name: getattr(arguments, name) for name in
             ("stride", "classes", "width", "fc_channels", "geometry", "upsampling", "at_once")
             if getattr(arguments, name) is not None}
    if arguments.checkpoint:
        if given:
            raise ValueError(f"--checkpoint has its own network; leave out --{next(iter(given))}")
        return load_fcn(checkpoint_file(arguments.checkpoint, "--checkpoint"))
    return minifcn.FCN(**given, seed=None)

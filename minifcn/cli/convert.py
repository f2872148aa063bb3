"""``minifcn convert``: weights of other projects become a checkpoint."""
from __future__ import annotations

HELP = "make a checkpoint of a weight file of another project"
EXAMPLE = """\
convert fcn8s-heavy-pascal.caffemodel --to street.safetensors
convert vgg16-397923af.pth --to vgg16.safetensors --half"""


def add_arguments(parser) -> None:
    parser.add_argument("file", metavar="FILE",
                        help="PyTorch's .pth, .safetensors, .caffemodel, .npz, .h5 or .npy, told "
                             "from its content; or the name of a fetched file (minifcn fetch)")
    parser.add_argument("--to", required=True, metavar="CHECKPOINT", help="the file to write")
    parser.add_argument("--half", action="store_true", help="store float16, in half the space")
    parser.add_argument("--partial", action="store_true",
                        help="accept a file that lacks layers, has NaN in some, or has others "
                             "besides; what is missing keeps random values")
    parser.add_argument("--geometry", choices=("caffe", "exact"),
                        help="of an FCN (default: caffe, which the released weights need)")
    parser.add_argument("--at-once", action="store_true", default=None,
                        help="an FCN-8s that was trained at once, where the file cannot tell")
    parser.add_argument("--preprocessing",
                        choices=("torchvision", "caffe", "caffe-vgg", "amdegroot"),
                        help="what the weights expect, where the file cannot tell")


def run(arguments) -> None:
    from minifcn import progress
    from minifcn.weights.fetching import local_file
    from minifcn.weights.transplant import convert

    model, report = convert(local_file(arguments.file), arguments.partial, arguments.geometry,
                            arguments.at_once, arguments.preprocessing)
    model.save(arguments.to, half=arguments.half)
    if not arguments.quiet:
        progress.say(f"{report}\nwritten: {arguments.to}, {model.title}, "
                     f"{model.classes} classes{', float16' if arguments.half else ''}")

"""``minifcn train``: its arguments; what they do stands in ``runs.py``."""
from __future__ import annotations

from minifcn.cli.options import add_data, add_dataset, add_network
from minifcn.cli.recipes import RECIPES

HELP = "train a model, or continue to train one"
EXAMPLE = """\
train camvid --data data/camvid --out runs/camvid --epochs 60
train camvid --data data/camvid --out 8s --from runs/16s/best.safetensors --stride 8
train camvid --data data/camvid --out runs/vgg --vgg16 vgg16-397923af.pth --stride 32
train --out runs/camvid --resume"""
USAGE = "minifcn train [DATASET] --out RUN [--recipe NAME] [options]"
START = """\
Three recipes to begin with; all else has a default:
  minifcn train folder --data photos --out runs/photos --recipe folder
  minifcn train shapes --out runs/shapes --epochs 4
  minifcn train camvid --data CamVid --out runs/camvid --recipe camvid
After Ctrl-C or a power cut: minifcn train --out RUN --resume"""


def add_arguments(parser) -> None:
    parser.usage = USAGE
    parser.description = f"{START}\n\n{parser.description}"
    add_dataset(parser, nargs="?")
    parser.add_argument("--out", metavar="RUN", help="folder of the run")
    parser.add_argument("--recipe", choices=RECIPES, metavar="NAME",
                        help="options that go together, for " + ", ".join(RECIPES)
                             + "; what else is given wins")
    parser.add_argument("--config", metavar="FILE",
                        help="options in a TOML file; the command line wins. Each run writes its "
                             "own, RUN/config.toml")
    parser.add_argument("--resume", action="store_true",
                       help="continue the run in RUN to the same bits as if it had never stopped; "
                            "only --steps, --epochs and --patience may change")
    parser.add_argument("--from", dest="start", metavar="CHECKPOINT",
                       help="start from the weights of a file, or of streets-8s: FCN-16s from 32s, "
                            "8s from 16s, or fine-tuning")
    parser.add_argument("--vgg16", metavar="FILE_OR_NAME",
                       help="start from an ImageNet classifier: a weight file of another project, "
                            "or the name of a fetched one; see minifcn fetch")
    parser.add_argument("--new-classes", action="store_true", default=None,
                       help="with --from: new score layers, for other classes")
    add_data(parser)
    network = parser.add_argument_group("network (with --from, what is not given stays)")
    add_network(network)
    recipe = parser.add_argument_group("recipe")
    length = recipe.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="steps of the optimizer")
    length.add_argument("--epochs", type=float, help="passes over the data (default: 30)")
    recipe.add_argument("--batch", type=int, help="images at a time (default: 4)")
    recipe.add_argument("--accumulate", type=int, help="batches in a step (default: 1)")
    recipe.add_argument("--optimizer", choices=("adam", "sgd"), help="default: adam")
    recipe.add_argument("--rate", type=float,
                        help="default: 1e-3 for adam, 1e-2 for sgd, both with --loss mean")
    recipe.add_argument("--momentum", type=float, help="default: 0.9")
    recipe.add_argument("--decay", type=float,
                        help="of the weights (default: 0 for adam, 5e-4 for sgd)")
    recipe.add_argument("--schedule", choices=("constant", "poly", "step", "one-cycle"),
                        help="default: one-cycle")
    recipe.add_argument("--loss", choices=("mean", "sum", "sum_per_image"),
                        help="over the pixels; sum_per_image is the paper's (default: mean)")
    recipe.add_argument("--class-weights", choices=("none", "median", "root"),
                        help="median-frequency weights in the loss, or their square roots "
                             "(default: none)")
    recipe.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="random windows")
    recipe.add_argument("--flip", type=float, metavar="P", help="probability (default: 0)")
    recipe.add_argument("--scale", type=float, nargs=2, metavar=("LOW", "HIGH"),
                        help="random size")
    recipe.add_argument("--colour", type=float, metavar="0..1", help="random colours (default: 0)")
    recipe.add_argument("--seed", type=int, help="default: 0")
    recipe.add_argument("--evaluate-every", type=int, metavar="STEPS",
                        help="on the split val; default: once an epoch")
    recipe.add_argument("--tensorboard", action="store_true", default=None,
                        help="also write the log as TensorBoard's event files, RUN/tensorboard")
    recipe.add_argument("--patience", type=int, metavar="N",
                        help="stop early, after N evaluations without a better mean IU "
                             "(default: never)")


def run(arguments) -> int | None:
    from minifcn.cli.runs import run_train

    return run_train(arguments)

"""The command line: ``minifcn demo | train | evaluate | predict | summary | check | doctor``.

Exit codes: 0 done; 1 ``check`` or ``doctor`` found something wrong; 2 a mistake in the arguments or
files, said in one line; 130 stopped by Ctrl-C (143 by SIGTERM), after saving.
"""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import minifcn
from minifcn.data import DATASETS


class Parser(argparse.ArgumentParser):
    """Mistakes take one line, like all others."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    try:
        arguments = build_parser().parse_args(argv)
        if arguments.threads is not None:
            set_threads(arguments.threads)
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except BrokenPipeError:         # of ``minifcn summary | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except MemoryError as error:
        return fail(f"out of memory ({error}): use a smaller --batch, --crop or --width")
    except (OSError, ValueError) as error:
        return fail(one_line(error))


def fail(message: str, code: int = 2) -> int:
    print(f"minifcn: {message}", file=sys.stderr)
    return code


def one_line(error: Exception) -> str:
    """What is wrong, without an error number, on one line."""
    reason = getattr(error, "strerror", None) or str(error)
    name = getattr(error, "filename", None)
    return " ".join((f"{name}: {reason}" if name else reason).split())


def set_threads(threads: int) -> None:
    import numba
    if not 1 <= threads <= numba.config.NUMBA_NUM_THREADS:
        raise ValueError(f"--threads must be 1..{numba.config.NUMBA_NUM_THREADS}, not {threads}")
    numba.set_num_threads(threads)


# -- arguments ------------------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="minifcn", description="Fully convolutional networks for semantic "
                    "segmentation, on the CPU, with every layer written by hand.")
    parser.add_argument("--version", action="version", version=f"minifcn {minifcn.__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

    def command(name, run, text, example):
        added = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".",
            epilog="Example:\n" + "\n".join(f"  minifcn {line}" for line in example.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter)
        added.add_argument("--quiet", action="store_true", help="no progress, for scripts")
        added.add_argument("--threads", type=int, metavar="N", help="of the CPU (default: all)")
        added.set_defaults(run=run)
        return added

    demo = command("demo", run_demo, "train FCN-32s, 16s and 8s on generated scenes in two minutes",
                   "demo --out demo")
    demo.add_argument("--out", default="demo", metavar="DIR", help="default: demo")
    demo.add_argument("--seed", type=int, default=0)

    train = command(
        "train", run_train, "train a model, or continue to train one",
        "train camvid --data data/camvid --out runs/camvid --epochs 60\n"
        "train camvid --data data/camvid --out 8s --from runs/16s/best.safetensors --stride 8\n"
        "train --out runs/camvid --resume")
    train.add_argument("dataset", nargs="?", choices=DATASETS, metavar="DATASET",
                       help=", ".join(DATASETS))
    train.add_argument("--out", required=True, metavar="RUN", help="folder of the run")
    train.add_argument("--resume", action="store_true",
                       help="continue the run in RUN to the same bits as if it had never stopped; "
                            "only --steps or --epochs may change")
    train.add_argument("--from", dest="start", metavar="CHECKPOINT",
                       help="start from its weights: FCN-16s from 32s, 8s from 16s, or fine-tuning")
    train.add_argument("--new-classes", action="store_true", default=None,
                       help="with --from: new score layers, for other classes")
    add_data(train)
    network = train.add_argument_group("network (with --from, what is not given stays)")
    add_network(network)
    recipe = train.add_argument_group("recipe")
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
    recipe.add_argument("--class-weights", choices=("none", "median"),
                        help="median-frequency weights in the loss (default: none)")
    recipe.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="random windows")
    recipe.add_argument("--flip", type=float, metavar="P", help="probability (default: 0)")
    recipe.add_argument("--scale", type=float, nargs=2, metavar=("LOW", "HIGH"),
                        help="random size")
    recipe.add_argument("--colour", type=float, metavar="0..1", help="random colours (default: 0)")
    recipe.add_argument("--seed", type=int, help="default: 0")
    recipe.add_argument("--evaluate-every", type=int, metavar="STEPS",
                        help="on the split val; default: once an epoch")

    evaluate = command("evaluate", run_evaluate, "measure a checkpoint on a data set, and draw it",
                       "evaluate runs/camvid/best.safetensors camvid --data data/camvid")
    evaluate.add_argument("checkpoint", metavar="CHECKPOINT")
    evaluate.add_argument("dataset", choices=DATASETS, metavar="DATASET", help=", ".join(DATASETS))
    evaluate.add_argument("--split", default="val", help="default: val")
    evaluate.add_argument("--out", metavar="DIR",
                          help="of the pictures (default: evaluation, beside the checkpoint)")
    evaluate.add_argument("--pictures", type=int, default=8, metavar="N",
                          help="how many to draw (default: 8)")
    add_data(evaluate)

    predict = command("predict", run_predict, "segment images: palette PNG masks, and overlays",
                      "predict runs/camvid/best.safetensors photo.jpg more-photos/ --out masks")
    predict.add_argument("checkpoint", metavar="CHECKPOINT")
    predict.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER")
    predict.add_argument("--out", required=True, metavar="DIR",
                         help="gets NAME.png (class ids) and NAME_overlay.png")

    summary = command("summary", run_summary, "show layers, sizes, parameters, GMAC and memory",
                      "summary 360 480 --stride 16 --width 0.25")
    summary.add_argument("height", type=int, nargs="?", default=500, help="default: 500")
    summary.add_argument("image_width", type=int, nargs="?", metavar="width",
                         help="of the image (default: its height)")
    summary.add_argument("--checkpoint", metavar="FILE", help="the model in it")
    summary.add_argument("--classes", type=int, help="default: 21")
    summary.add_argument("--positions", action="store_true",
                         help="derive sizes, offsets and crops instead")
    add_network(summary.add_argument_group("network"))

    check = command("check", run_check, "check the layers in a Python file: values and gradients",
                    "check my_layers.py")
    check.add_argument("file", metavar="FILE", help="has functions named as in minifcn.ops")
    check.add_argument("--seconds", type=float, default=60, metavar="S",
                       help="limit for each function (default: 60)")

    command("doctor", run_doctor, "look for what may be wrong on this machine", "doctor")
    return parser


def add_network(group) -> None:
    group.add_argument("--stride", type=int, choices=(8, 16, 32), help="default: 8")
    group.add_argument("--width", type=float,
                       help="factor of VGG16's channels (default: 0.25 to train, else 1)")
    group.add_argument("--fc-channels", type=int, help="of fc6 and fc7 (default: 4096 * width)")
    group.add_argument("--geometry", choices=("exact", "caffe"), help="default: exact")
    group.add_argument("--upsampling", choices=("frozen", "learned"), help="default: frozen")
    group.add_argument("--at-once", action="store_true", default=None,
                       help="scale pool4 and pool3, to train all strides together")
    group.add_argument("--dropout", type=float, help="default: 0.5")


def add_data(parser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="PATH", help="folder of the data set; shapes needs none")
    data.add_argument("--count", type=int, help="shapes: scenes (default: 1000)")
    data.add_argument("--size", type=int, nargs=2, metavar=("H", "W"),
                      help="shapes: of the scenes (default: 96 96)")
    data.add_argument("--year", type=int, help="voc: default 2012")
    data.add_argument("--classes", nargs="+", metavar="NAME", help="folder: names, in order of ids")
    data.add_argument("--palette", metavar="FILE", help="folder: lines of NAME RED GREEN BLUE")
    data.add_argument("--ignore", type=int, help="folder: label to leave out (default: 255)")


# -- commands -------------------------------------------------------------------------------------


def run_demo(arguments) -> None:
    from minifcn.demo import demo
    demo(Path(arguments.out), seed=arguments.seed, quiet=arguments.quiet)


def run_train(arguments) -> int | None:
    from minifcn.cli.train import run_train
    return run_train(arguments)


def run_evaluate(arguments) -> None:
    from minifcn.cli.pictures import run_evaluate
    run_evaluate(arguments)


def run_predict(arguments) -> int:
    from minifcn.cli.pictures import run_predict
    return run_predict(arguments)


def run_summary(arguments) -> None:
    from minifcn.models.geometry import explain
    height, width = arguments.height, arguments.image_width or arguments.height
    if min(height, width) < 1:
        raise ValueError(f"an image has at least 1 x 1 pixels, not {height} x {width}")
    model = _summarised_model(arguments)
    if arguments.positions:
        print(explain(height, width, model.stride, model.geometry))
    else:
        print(model.summary(height, width))


def _summarised_model(arguments):
    given = {name: getattr(arguments, name) for name in
             ("stride", "classes", "width", "fc_channels", "geometry", "upsampling", "at_once")
             if getattr(arguments, name) is not None}
    if arguments.checkpoint:
        if given:
            raise ValueError(f"--checkpoint has its own network; leave out --{next(iter(given))}")
        model = minifcn.load(arguments.checkpoint)
        if not isinstance(model, minifcn.FCN):
            raise ValueError(f"{arguments.checkpoint} holds a {type(model).__name__}, not an FCN")
        return model
    if "width" in given and "fc_channels" not in given:
        given["fc_channels"] = max(1, round(4096 * given["width"]))
    return minifcn.FCN(**given, seed=None)


def run_check(arguments) -> int:
    from minifcn.gradcheck.runner import check_file
    return check_file(arguments.file, arguments.seconds, arguments.quiet)


def run_doctor(arguments) -> int:
    from minifcn.cli.doctor import run_doctor
    return run_doctor()

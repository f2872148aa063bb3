"""``minifcn export``: a model for other programs."""
from __future__ import annotations

HELP = "write a model for PyTorch, ONNX Runtime, OpenVINO or Caffe"
EXAMPLE = """\
export streets-8s --to onnx --out streets.onnx
export streets-8s --to onnx --out streets.onnx --preprocess --argmax
export streets-8s --to torch --out streets.pth"""


def add_arguments(parser) -> None:
    parser.add_argument("model", metavar="MODEL",
                        help="a checkpoint, or the name of a packaged model: streets-8s")
    parser.add_argument("--to", required=True, choices=("onnx", "torch", "safetensors", "caffe"),
                        help="torch writes NAME.py beside it, with the network; caffe "
                             "NAME.prototxt; safetensors is a state dict with PyTorch's axes")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--half", action="store_true", help="store float16 (not for caffe)")
    parser.add_argument("--preprocess", action="store_true",
                        help="onnx: take uint8 pictures (n, h, w, 3), RGB")
    parser.add_argument("--argmax", action="store_true",
                        help="onnx: give class ids (n, h, w) instead of scores")


def run(arguments) -> None:
    from minifcn import progress
    from minifcn.cli.options import load_fcn
    from minifcn.weights.exporting import export

    text = export(load_fcn(arguments.model), arguments.to, arguments.out, arguments.half,
                  arguments.preprocess, arguments.argmax)
    if not arguments.quiet:
        progress.say(text)

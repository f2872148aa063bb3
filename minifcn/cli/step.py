"""``minifcn step``."""
from __future__ import annotations

HELP = "step through the loops of an operation, number by number, in a page"
EXAMPLE = ("step conv2d_forward\n"
           "step conv2d_backward --shape 1x4x5x2 --stride 2 --out step.html\n"
           "step my_layers.py:conv2d_forward")
SIZES = ("kernel", "filters", "stride", "padding")


def add_arguments(parser) -> None:
    parser.add_argument("operation", metavar="OPERATION",
                        help="such as conv2d_backward, or FILE.py:conv2d_backward for your own")
    parser.add_argument("--shape", metavar="NxHxWxC", help="of x (default: 1x4x5x2; linear: 2x3)")
    parser.add_argument("--kernel", type=int, metavar="K",
                        help="rows and columns of a kernel or window")
    parser.add_argument("--filters", type=int, metavar="F", help="output channels (default: 2)")
    parser.add_argument("--stride", type=int, metavar="S", help="or factor of upsampling")
    parser.add_argument("--padding", type=int, metavar="P")
    parser.add_argument("--seed", type=int, default=0, help="of the numbers (default: 0)")
    parser.add_argument("--out", default="step.html", metavar="FILE", help="default: step.html")


def run(arguments) -> None:
    import minifcn
    from minifcn.cli.stepping import arguments_of, function_of

    function, name = function_of(arguments.operation)
    given = arguments_of(name, arguments.shape, {size: getattr(arguments, size) for size in SIZES},
                         arguments.seed)
    trace = minifcn.trace(function, *given.values())
    path = trace.save(arguments.out)
    if trace.error is not None:
        print(f"line {trace.line} raised {type(trace.error).__name__}: {trace.error}")
    if not arguments.quiet:
        print(f"{path}: {len(trace):,} steps; open it in a browser")

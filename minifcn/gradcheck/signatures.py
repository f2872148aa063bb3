"""How each function of the checker is called: its signature and the layouts, in words."""

from __future__ import annotations

import inspect

from minifcn.gradcheck.cases import FUNCTIONS, operation_of
from minifcn.ops import reference

_IMAGE = {"x": "(n, h, w, c)", "y": "(n, oh, ow, c)"}
_CONVOLUTION = {
    "x": "(n, h, w, c_in)",
    "weight": "(kh, kw, c_in, c_out)",
    "bias": "(c_out,)",
    "y": "(n, oh, ow, c_out)",
}
_PAIR = "an int, or (rows, columns)"
_LAYOUTS = {
    "conv2d": {**_CONVOLUTION, "stride": _PAIR, "padding": _PAIR},
    "conv_transpose2d": {**_CONVOLUTION, "stride": _PAIR, "padding": _PAIR},
    "max_pool2d": {
        **_IMAGE,
        "size": "of the window, an int",
        "stride": "an int",
        "ceil_mode": "True: windows that reach over the border count, clipped",
        "argmax": "(n, oh, ow, c) int64, row * w + column of the maximum within the image",
        "x_shape": "(n, h, w, c)",
    },
    "bilinear_upsample": {
        **_IMAGE,
        "factor": "an int",
        "size": "of the kernel, an int",
        "padding": "an int",
        "x_shape": "(n, h, w, c)",
    },
    "relu": {"x": "any shape", "y": "like x"},
    "linear": {"x": "(n, c_in)", "weight": "(c_in, c_out)", "bias": "(c_out,)", "y": "(n, c_out)"},
    "dropout": {
        "x": "any shape",
        "y": "like x",
        "mask": "bool like x, True where a value is kept",
        "rate": "share of values to drop",
        "seed": "an int",
    },
    "softmax_cross_entropy": {
        "scores": "(n, h, w, classes)",
        "labels": "(n, h, w) integers",
        "ignore": "label of the pixels that do not count",
        "reduction": '"mean" over the valid pixels, "sum", or "sum_per_image" (sum / n)',
        "class_weights": "(classes,) or None",
        "loss": "a number",
        "dscores": "like scores",
    },
}


def results(name: str) -> tuple[str, ...]:
    """What a function returns."""
    operation = operation_of(name)
    return operation.gradients if name == operation.backward else operation.outputs


def signature(name: str) -> str:
    """``"relu_backward(dy, y) -> dx"``."""
    return f"{name}{inspect.signature(getattr(reference, name))} -> {', '.join(results(name))}"


def layouts(name: str) -> dict[str, str]:
    """Shape or meaning of each argument and result; gradients are shaped like what they are of."""
    known = _LAYOUTS[operation_of(name).name]
    names = [*inspect.signature(getattr(reference, name)).parameters, *results(name)]

    def gradient(of):
        shape = known[of] if known[of].startswith("(") else f"like {of}"
        return f"{shape}, the gradient of {of}"

    return {each: known.get(each) or gradient(each[1:]) for each in names}


def template() -> str:
    """A Python file with all functions, to be filled in."""
    parts = ['"""My layers. Check them with: minifcn check FILE"""\n\nimport numpy as np\n']
    for name in FUNCTIONS:
        lines = "\n".join(f"    {each}: {words}" for each, words in layouts(name).items())
        call, _, outputs = signature(name).partition(" -> ")
        parts.append(
            f'\n\ndef {call}:\n    """Returns {outputs}.\n\n{lines}\n    """\n'
            f'    raise NotImplementedError("{name} is still to be written")\n'
        )
    return "".join(parts)

"""One module a contender, imported in a process of its own.

Each has ``forward(case, threads) -> run, result``: ``run()`` is what is timed, and
``result(run())`` the scores (n, h, w, classes). Those that train also have
``training(case, threads) -> step, gradients``: ``step()`` is forward, loss, backward and SGD, and
returns the loss; ``gradients(names)`` are the last ones, in minifcn's layouts. No contender drops
out: their masks would differ, and the time is that of the convolutions.
"""
import importlib

MODULES = {
    "minifcn": "fast", "minifcn reference": "reference",
    "PyTorch": "pytorch", "PyTorch channels_last": "pytorch_channels_last",
    "ONNX Runtime": "onnx_runtime", "OpenVINO": "open_vino", "ncnn": "ncnn_net",
}
INFERENCE = [name for name in MODULES if name != "minifcn reference"]
TRAINING = ["minifcn", "PyTorch", "PyTorch channels_last"]

# one step of SGD, the same for all who train
RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4


def load(name: str):
    return importlib.import_module(f"benchmarks.contenders.{MODULES[name]}")

"""minifcn: fully convolutional networks with every layer, forward and backward, written by hand.

What is public here is imported when it is first used, so that ``minifcn --help`` starts at once.
"""
import importlib

__version__ = "0.1.0"

ROOMS = ("data", "gradcheck", "ops", "teaching", "training", "weights")
PLACES = {
    "FCN": "models",
    "VGG16": "models",
    "Preprocessing": "models",
    "convolutionalize": "models",
    "load": "models",
    "pretrained": "models.pretrained",
    "register_engine": "ops",
    "release_memory": "ops",
    "set_threads": "ops",
    "softmax_cross_entropy": "ops",
    "use": "ops",
    "using": "ops",
    "trace": "teaching.trace",
    "SGD": "training.optimizers",
    "Adam": "training.optimizers",
}

__all__ = ["__version__", *ROOMS, *PLACES]


def __getattr__(name: str):
    if name in ROOMS:
        return importlib.import_module(f"minifcn.{name}")
    if name in PLACES:
        value = getattr(importlib.import_module(f"minifcn.{PLACES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'minifcn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""minifcn: fully convolutional networks with every layer, forward and backward, written by hand."""
import importlib

from minifcn import ops
from minifcn.models import FCN, VGG16, Preprocessing, convolutionalize, load
from minifcn.ops import register_engine, softmax_cross_entropy, use
from minifcn.training.optimizers import SGD, Adam

__version__ = "0.1.0"

__all__ = ["FCN", "SGD", "VGG16", "Adam", "Preprocessing", "__version__", "convolutionalize",
           "gradcheck", "load", "ops", "register_engine", "softmax_cross_entropy", "use"]


def __getattr__(name: str):
    """``minifcn.gradcheck`` is imported when first used: predictions start without it."""
    if name == "gradcheck":
        return importlib.import_module("minifcn.gradcheck")
    raise AttributeError(f"module 'minifcn' has no attribute {name!r}")

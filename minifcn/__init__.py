"""minifcn: fully convolutional networks with every layer, forward and backward, written by hand."""
from minifcn import gradcheck, ops
from minifcn.models import FCN, VGG16, Preprocessing, convolutionalize, load
from minifcn.ops import register_engine, softmax_cross_entropy, use
from minifcn.training.optimizers import SGD, Adam

__version__ = "0.1.0"

__all__ = ["FCN", "SGD", "VGG16", "Adam", "Preprocessing", "__version__", "convolutionalize",
           "gradcheck", "load", "ops", "register_engine", "softmax_cross_entropy", "use"]

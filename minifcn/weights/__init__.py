"""Weight files of other projects: read, recognised, converted; and ours written for others."""
from __future__ import annotations

from minifcn.weights.exporting import export
from minifcn.weights.fetching import fetch
from minifcn.weights.inspection import inspect
from minifcn.weights.recognition import open_weights
from minifcn.weights.tensors import Tensor, WeightFile
from minifcn.weights.transplant import Report, convert, load_vgg16

__all__ = ["Report", "Tensor", "WeightFile", "convert", "export", "fetch", "inspect", "load_vgg16",
           "open_weights"]

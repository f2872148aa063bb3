"""Weight files of other projects: read, recognised, converted; and ours written for others."""
from __future__ import annotations

import importlib

PLACES = {
    "open_weights": "recognition",
    "WeightFile": "tensors",
    "Tensor": "tensors",
    "inspect": "inspection",
    "convert": "transplant",
    "load_vgg16": "transplant",
    "Report": "transplant",
    "export": "exporting",
    "fetch": "fetching",
}

__all__ = [*PLACES]


def __getattr__(name: str):
    if name in PLACES:
        value = getattr(importlib.import_module(f"minifcn.weights.{PLACES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'minifcn.weights' has no attribute {name!r}")

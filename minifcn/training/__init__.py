"""Training: optimizers and schedules, metrics, runs that can be resumed, and their checkpoints.

`Trainer` follows a `Recipe`; `SGD` and `Adam` serve a loop of one's own, `Metrics` measures.
"""
import importlib

PLACES = {
    "Trainer": "trainer", "Recipe": "trainer", "SGD": "optimizers", "Adam": "optimizers",
    "Metrics": "metrics", "confusion_matrix": "metrics", "median_frequency": "class_weights",
}

__all__ = list(PLACES)


def __getattr__(name: str):
    if name in PLACES:      # imported when it is first used: an optimizer needs no pictures
        return getattr(importlib.import_module(f"minifcn.training.{PLACES[name]}"), name)
    raise AttributeError(f"module 'minifcn.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

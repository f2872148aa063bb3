"""What learners use: the stepper, the explorer, questions that check predictions, pictures."""
import importlib

_MODULES = {
    "Explorer": "explorer",
    "grid": "pictures",
    "question": "questions",
    "show": "pictures",
}

__all__ = list(_MODULES)


def __getattr__(name: str):
    """Imported when first used: who wants one of these does not wait for the others."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"minifcn.teaching.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'minifcn.teaching' has no attribute {name!r}")

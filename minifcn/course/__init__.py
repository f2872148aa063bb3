"""Homework on it: judged the same way at home, by nbgrader, by Gradescope, and by pytest."""

import importlib

PLACES = {"grade": "grading", "Result": "grading", "notebook": "athome", "assignment": "parts"}

__all__ = [*PLACES]


def __getattr__(name: str):
    if name in PLACES:
        return getattr(importlib.import_module(f"minifcn.course.{PLACES[name]}"), name)
    raise AttributeError(f"module 'minifcn.course' has no attribute {name!r}")

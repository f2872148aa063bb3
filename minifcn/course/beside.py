"""Runs beside the student's code, as a probe of a ``Worker``: calls a function that it wrote.

Knows nothing of minifcn and no right answer.
"""

from __future__ import annotations

from time import process_time  # before any student could change it

import numpy as np

CODE = "minifcn: python"  # the key of an argument that is Python


def call(module, name: str, arguments, options):
    """What the student's function returns."""
    names = module if isinstance(module, dict) else vars(module)
    arguments = [_decoded(each, module) for each in arguments]
    return names[name](*arguments, **{key: _decoded(each, module) for key, each in options.items()})


def best_seconds(module, name: str, arguments) -> float:
    """CPU seconds of the fastest of five calls."""
    names = module if isinstance(module, dict) else vars(module)
    return best_of(names[name], arguments, 5)


def best_of(function, arguments, times: int) -> float:
    best = float("inf")
    for _ in range(times):
        start = process_time()
        function(*arguments)
        best = min(best, process_time() - start)
    return best


def lacking(module, wanted) -> list[str]:
    """Which functions are not there."""
    names = module if isinstance(module, dict) else vars(module)
    return [name for name in wanted if not callable(names.get(name))]


def failed_cells(module) -> list[str]:
    """What went wrong in the cells of a notebook, "cell 7 raises NameError: ..."."""
    said = vars(module).get("_failed_cells", [])
    return [str(each)[:300] for each in said] if isinstance(said, list) else []


def _decoded(value, module):
    if isinstance(value, dict) and list(value) == [CODE]:
        return eval(value[CODE], {"np": np, "module": module})
    if isinstance(value, (list, tuple)):
        return type(value)(_decoded(each, module) for each in value)
    return value

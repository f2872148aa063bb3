"""How fast a student's operation is, beside the textbook's loops in plain Python: a coarse ratio.

It is information. Points are only for parts that declare ``speed``, for a ratio of 10; the clock is
that of the student's process, best of five.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np

from minifcn.course.beside import best_of
from minifcn.ops import reference

RATIO = 10  # times as fast as the plain loops, for points


def largest_case(name: str, rng: np.random.Generator) -> tuple[Any, ...]:
    """Arguments of a function, from the checker's case with the most numbers."""
    from minifcn.gradcheck.cases import operation_of

    operation = operation_of(name)
    drawn = [each.draw(rng) for each in operation.cases if not each.optional]
    given = max(drawn, key=lambda each: sum(np.size(value) for value in each.values()))
    if name == operation.forward:
        return tuple(given.values())
    answer = operation.right(given)[0]
    own = operation.right(given, rng.standard_normal(answer[0].shape))[1]
    return tuple(own.values())


def plain_seconds(name: str, arguments: tuple[Any, ...]) -> float:
    """Of the textbook's function, run as plain Python."""
    file = Path(getattr(reference, name).__code__.co_filename)
    module = types.ModuleType(file.stem)
    text = file.read_text(encoding="utf-8").replace(
        "from minifcn.ops.compiling import compiled", "compiled = lambda function: function"
    )
    exec(compile(text, str(file), "exec"), vars(module))
    return best_of(vars(module)[name], arguments, 2)


def words(name: str, ratio: float) -> str:
    """The ratio as a coarse sentence."""
    if ratio >= 2:
        return f"{name} is about {float(f'{ratio:.1g}'):g} times as fast as plain loops"
    if ratio > 0.5:
        return f"{name} is about as fast as plain loops"
    return f"{name} takes about {float(f'{1 / ratio:.1g}'):g} times as long as plain loops"

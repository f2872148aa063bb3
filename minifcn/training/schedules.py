"""Learning-rate schedules: each gives the factor of the rate at a step (counted from 0) of a run.

>>> [round(poly(step, steps=4, power=1.0), 2) for step in range(4)]
[1.0, 0.75, 0.5, 0.25]
"""
from __future__ import annotations

from collections.abc import Callable
from math import cos, pi


def constant(step: int, steps: int) -> float:
    """The rate of the paper, which never changes."""
    return 1.0


def poly(step: int, steps: int, power: float = 0.9) -> float:
    """Falls from 1 towards 0 as ``(1 - step / steps) ** power``: almost a straight line."""
    return max(1 - step / steps, 0.0) ** power


def step_down(step: int, steps: int, drops: int = 3, factor: float = 0.1) -> float:
    """Constant, and multiplied by ``factor`` at the end of each of ``drops`` equal parts."""
    return factor ** min(step * drops // steps, drops - 1)


def one_cycle(step: int, steps: int, rise: float = 0.2, start: float = 0.04,
              end: float = 0.001) -> float:
    """From ``start`` up to 1 in the share ``rise`` of the run, then down to ``end``, by cosines.

    A network without batch normalisation, trained from scratch, cannot bear its best rate at once.
    """
    position = min(step / steps, 1.0)
    if position < rise:
        return start + (1 - start) * (1 - cos(pi * position / rise)) / 2
    return end + (1 - end) * (1 + cos(pi * (position - rise) / (1 - rise))) / 2


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": constant, "poly": poly, "step": step_down, "one-cycle": one_cycle,
}

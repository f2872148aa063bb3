"""One comparison of an answer, with the mistakes that it may show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minifcn.course.parts import Verdict, attempt, close

Mistake = tuple[str, str, Any]      # cause, sentence, the answer that one gets (or a call for it)


def compared(got: Any, right: Any, name: str, mistakes: Sequence[Mistake] = (),
             rtol: float = 1e-6) -> Verdict:  # fmt: skip
    """The verdict on an answer: right, or wrong as one of the mistakes is, or just wrong.

    Examples
    --------
    >>> compared(-2.0, 2.0, "the slope", [("sign", "has the wrong sign", -2.0)]).message
    'the slope has the wrong sign'
    """
    wrong = close(got, right, rtol, name)
    if wrong is None:
        return Verdict(1)
    with np.errstate(all="ignore"):
        for cause, words, other in mistakes:
            other = other() if callable(other) else other
            if close(*_without_common_nan(got, other), rtol) is None:
                return Verdict(0, f"{name} {words}", cause)
    return Verdict(0, wrong)


def _without_common_nan(a: Any, b: Any) -> tuple[Any, Any]:
    """NaN at the same places is the same."""
    kinds = (np.ndarray, np.floating, float)
    if isinstance(a, kinds) and isinstance(b, kinds) and np.shape(a) == np.shape(b):
        both = np.isnan(a) & np.isnan(b)
        return np.where(both, 0, a), np.where(both, 0, b)
    return a, b


def aspects(function: str, right: Callable, draws: dict[str, Callable],
            mistakes: Sequence[tuple[str, str, Callable]]) -> Callable:  # fmt: skip
    """A judge of a plain function: a share for each aspect, of which ``draws`` gives arguments.

    ``mistakes`` are triples of a cause, a sentence, and a function that makes that mistake.
    """

    def judge(ask, rng):
        def one(what, arguments):
            return compared(ask(function, *arguments), right(*arguments), f"the answer {what}", [
                (cause, words, lambda wrong=wrong: wrong(*arguments))
                for cause, words, wrong in mistakes])  # fmt: skip

        cases = [(what, draw(rng)) for what, draw in draws.items()]
        return [attempt(lambda case=case: one(*case)) for case in cases]

    return judge

"""One comparison of an answer, with the mistakes that it may show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minifcn.course.parts import Verdict, close

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
            if close(got, other() if isinstance(other, Callable) else other, rtol) is None:
                return Verdict(0, f"{name} {words}", cause)
    return Verdict(0, wrong)

"""Judge what was seen of a function beside its values: what it changes, shares, keeps, draws.

Nothing here touches the function or anything of its owner's: state is found by calls. The same call
again, other calls between, the same numbers in other shapes: what a pure function answers does not
depend on any of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minifcn.gradcheck.observe import Call, Observe, Seen, same
from minifcn.gradcheck.trials import Finding

REPEATS = 100


def side_effects(
    seen: Seen, outputs: Sequence[str], name: str, case: str = ""
) -> Iterator[Finding]:
    """Arguments changed, memory shared, results overwritten later."""
    place = f", in the case {case!r}" if case else ""
    for argument in seen.changed:
        yield Finding("mutates_input", f"{name} changes its argument {argument}{place}")
    for number, argument in seen.shared:
        result = outputs[number] if number < len(outputs) else "a result"
        yield Finding("aliases_input", f"{result} shares memory with the argument {argument}"
                      f"{place}: writing to one changes the other")
    if seen.overwritten:
        yield Finding("stateful", f"the arrays that {name} returned are overwritten by its next "
                      f"call{place}: return a copy, or make a new array each time")


def is_steady(seen: Seen) -> bool:
    """Did all repetitions give the same?"""
    return len(set(seen.order)) < 2


def explain_difference(observe: Observe, call: Call, name: str) -> Finding:
    """Why do two calls with the same arguments differ?"""
    first, other = call.pattern, 0x3C
    patterns = observe([call._replace(pattern=p) for p in (first, other) * 3])
    many = call._replace(repeat=REPEATS)
    plain, reseeded = observe([many, many._replace(reseed=True)])
    if _depends_on_memory(patterns):
        cause, words = "nondeterministic", (
            f"returns memory that it never wrote{_where(patterns)}: it changes with what the "
            "memory held before (np.empty, or a loop that leaves elements out)"
        )
    elif -1 in plain.order and not is_steady(plain):
        cause, words = "stateful", "fails at a repeated call with the same arguments"
    elif is_steady(plain):
        cause, words = "stateful", (
            "gives another result after other calls than before, with the same arguments: it keeps "
            "state between calls"
        )
    elif is_steady(reseeded):
        cause, words = "nondeterministic", (
            "gives another result at every call with the same arguments, and the same again after "
            "reseeding NumPy: it draws random numbers"
        )
    elif _drifts(plain):
        cause, words = "stateful", (
            "gives another result at every call with the same arguments, each moved on from the "
            "one before: it keeps state between calls (adds to something that is never set back)"
        )
    else:
        cause, words = "nondeterministic", (
            "gives now one result, now another with the same arguments, without any order: threads "
            "that race, or random numbers"
        )
    return Finding(cause, f"{name} {words}")


def _depends_on_memory(seen: Sequence[Seen]) -> bool:
    """Alike where the memory before was alike, different where it was not."""
    return (
        all(each.crash is None for each in seen)
        and all(same(seen[k].results, seen[k + 2].results) for k in range(len(seen) - 2))
        and not same(seen[0].results, seen[1].results)
    )


def unwritten(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two results differ, NaNs included."""
    return (first != second) & ~((first != first) & (second != second))


def _where(seen: Sequence[Seen]) -> str:
    for a, b in zip(seen[0].results, seen[1].results):
        if a is not None and a.shape == b.shape and a.ndim and (mask := unwritten(a, b)).any():
            return f" ({mask.sum()} of {mask.size} elements, the first at {_index(mask)})"
    return ""


def _index(mask: np.ndarray) -> list[int]:
    return [int(i) for i in np.argwhere(mask)[0]]


def _drifts(seen: Seen) -> bool:
    """Do results move on steadily, come round in a period, or settle? Races do neither."""
    order = list(seen.order)
    for period in range(2, len(order) // 3):
        if all(order[k] == order[k + period] for k in range(len(order) - period)):
            return True
    half = order[len(order) // 2 :]
    if len(set(half)) == 1 and len(half) > 5:
        return True  # settled after a while
    results = [[a.ravel() for a in each if a is not None] for each in seen.distinct]
    states = [np.concatenate(each) for each in results if each]
    if len(states) < 4 or len({len(state) for state in states}) > 1:
        return False
    with np.errstate(all="ignore"):
        steps = np.diff(np.asarray(states, float), axis=0)
        norms = np.linalg.norm(steps, axis=1)
        cosines = (steps[1:] * steps[:-1]).sum(axis=1) / (norms[1:] * norms[:-1])
    return bool((cosines > 0.9).all())

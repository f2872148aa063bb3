"""Judging in a student's own notebook, in this very process: no wall, and no hidden cases.

In a course's folder, ``MINIFCN_COURSE_SEED`` holds the seed while the instructor's own solution is
validated.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from minifcn.course import beside, grading
from minifcn.course.parts import Failed, Function, Judged, Layer, assignment

SEED = "MINIFCN_COURSE_SEED"


def notebook(name: str, namespace: dict[str, Any]) -> Callable[..., float]:
    """What judges the parts of an assignment in a notebook.

    Parameters
    ----------
    name : str
        Of the assignment.
    namespace : dict
        ``globals()`` of the notebook.

    Returns
    -------
    judge : callable
        ``judge(part)`` prints the feedback and returns the points; ``judge(part, hidden=True)``
        says that hidden cases are judged after handing in.
    """
    homework = assignment(name)

    def judge(part: str, hidden: bool = False) -> float:
        declared = homework.part(part)
        seed = os.environ.get(SEED)
        if hidden and seed is None:
            print(
                f"{part}: {declared.hidden:g} points are judged after you have handed in, "
                "on other shapes and values"
            )
            return 0.0
        results, told = _judged(declared, namespace, int(seed) if hidden else None)
        results = [grading.with_page(each, declared, homework) for each in results]
        print("\n".join([shown(results), *told]))
        return float(round(sum(each.score for each in results), 6))

    return judge


def _judged(part: Layer | Function | Judged, namespace: dict[str, Any], seed: int | None):
    """Results, and how fast they are."""
    ask = asking(namespace)
    if seed is not None:
        return [grading.hidden(part, ask, seed)], []
    if isinstance(part, Layer):
        reports = {name: _report(namespace, name, part.leave_out) for name in part.functions}
        return grading.layer_results(
            part, reports, lambda name, given: beside.best_seconds(namespace, name, given)
        )
    return [grading.judged(part, ask)], []


def _report(namespace: dict[str, Any], name: str, leave_out: tuple[str, ...]):
    from minifcn import gradcheck
    from minifcn.gradcheck.report import Report

    if not callable(namespace.get(name)):
        return Report(name, "missing", f"there is no function {name}")
    return grading.unwritten(gradcheck.check_function(namespace, name, leave_out))


def asking(namespace: dict[str, Any]) -> grading.Ask:
    """``ask`` without a wall."""

    class module:  # what ``Code("module.relu_forward")`` finds
        def __getattr__(self, name):
            return namespace[name]

    def ask(name: str, *arguments: Any, **options: Any) -> Any:
        if not callable(namespace.get(name)):
            raise Failed(f"there is no function {name}", "missing")
        given = [_copied(each, module()) for each in arguments]
        options = {key: _copied(each, module()) for key, each in options.items()}
        try:
            return namespace[name](*given, **options)
        except NotImplementedError:
            raise Failed(f"{name} is still to be written", "missing") from None
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            raise Failed(f"{name} raises {words}") from None

    return ask


def _copied(value: Any, module: Any) -> Any:
    """An argument that a function may change without harm."""
    import copy

    decoded = beside._decoded(grading._encoded(value), module)
    return decoded if callable(decoded) else copy.deepcopy(decoded)


def shown(results: list[grading.Result]) -> str:
    """Results as lines of text, the same in a notebook, a terminal and a file."""
    lines = []
    for each in results:
        lines.append(f"{each.name}: {each.score:g} of {each.out_of:g}")
        lines += [f"    {line}" for line in each.message.splitlines()]
        if each.page:
            lines.append(f"    read: {each.page}")
    return "\n".join(lines)

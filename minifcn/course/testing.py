"""The judgement as tests for pytest, one for each result."""

from __future__ import annotations

import functools
from pathlib import Path

from minifcn.course import grading
from minifcn.course.parts import Assignment, Words, assignment


def judged(name: str | Assignment, folder: str | Path):
    """A test function for pytest: fails, with the feedback, where points are missing.

    Parameters
    ----------
    name : str
        Of the assignment.
    folder : path
        Where ``adapters.py`` or the notebook is.
    """
    import pytest

    homework = assignment(name, folder) if isinstance(name, str) else name
    names = [
        each.name
        for part in homework.parts
        if not isinstance(part, Words)
        for each in grading.out_of(part, with_hidden=False)
    ]

    @functools.lru_cache
    def grades() -> dict[str, grading.Result]:
        return {each.name: each for each in grading.grade(folder, homework)}

    @pytest.mark.parametrize("result", names)
    def test(result):
        found = grades()[result]
        read = f"\nread: {found.page}" if found.page else ""
        if found.score < found.out_of:
            pytest.fail(f"{found.score:g} of {found.out_of:g} points\n{found.message}{read}", False)

    return test

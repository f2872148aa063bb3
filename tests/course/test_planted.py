"""Sixty planted bugs in otherwise right homework: the right points go, and the bug is named.

The homework is a file of the checker's bank, in one of several styles; the points are those of the
assignments' own layers.
"""
import pytest

from minifcn.course.grading import grade
from minifcn.course.parts import Assignment, Layer, assignment
from tests.gradcheck.planted import Bug, bank, functions_of, load

COUNT = 60
IMPURE = {"stateful", "mutates_input", "aliases_input", "nondeterministic"}
LAYERS = [part for name in ("hw1", "hw2", "hw3") for part in assignment(name).parts
          if isinstance(part, Layer)]


def operation(function: str) -> str:
    return function.removesuffix("_forward").removesuffix("_backward")


JUDGED = {operation(name) for part in LAYERS for name in part.functions}
# not those that judge what the homework leaves out, such as class weights
CANDIDATES = [bug for bug in bank() if bug.source and bug.operation in JUDGED
              and "class_weights" not in " ".join(bug.causes) and "weights" not in bug.name]
BUGS = CANDIDATES[:: max(len(CANDIDATES) // COUNT, 1)][:COUNT]

pytestmark = pytest.mark.course


def layers_of(bug: Bug) -> Assignment:
    """An assignment with the layers that the file of a bug has."""
    there = functions_of(load(bug.name, bug.source), bug.operation)
    parts = tuple(part for part in LAYERS if all(each in there for each in part.functions)
                  and operation(part.functions[0]) == bug.operation)
    return Assignment("planted", bug.name, parts)


def judged(bug: Bug, folder) -> tuple[list, list]:
    """Results of the spoilt functions, and of the others."""
    (folder / "planted.py").write_text(bug.source, encoding="utf-8")
    homework = layers_of(bug)
    grades = grade(folder, homework, seed=7)
    spoilt = {part.name for part in homework.parts if bug.functions.keys() & set(part.functions)}
    return ([each for each in grades if each.part in spoilt],
            [each for each in grades if each.part not in spoilt])


@pytest.fixture(scope="session")
def named():
    """Bug -> whether its feedback has the right cause, filled by the tests below."""
    return {}


def test_there_are_sixty_in_three_styles():
    assert len(BUGS) == COUNT and len({bug.style for bug in BUGS}) >= 3
    assert {bug.operation for bug in BUGS} == JUDGED


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_loses_the_right_points(bug, tmp_path, named):
    spoilt, others = judged(bug, tmp_path)
    lost = [each for each in spoilt if each.score < each.out_of]
    named[bug.name] = any(bug.named(each.cause) for each in lost)
    assert lost and all(each.message for each in lost)
    assert [each for each in others if each.score < each.out_of] == []
    kinds = {each.name.partition(".")[2] for each in lost}
    if bug.causes & IMPURE:
        assert "purity" in kinds
    elif bug.function == "softmax_cross_entropy":
        assert kinds & {"value", "gradient"}
    else:
        assert ("gradient" if bug.function.endswith("_backward") else "value") in kinds


def test_the_feedback_names_at_least_55(named):
    """Runs after the sixty, in the same process."""
    if len(named) == COUNT:
        missed = [name for name, right in named.items() if not right]
        assert len(missed) <= COUNT - 55, missed

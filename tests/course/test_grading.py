"""The grading core: each canned student gets what is due, and is told why."""
import pytest

from minifcn.course.grading import grade
from tests.course.students import FULL, HOMEWORK, RELEASED, STUDENTS

SEED = 20261124
FAST = ("perfect", "partly", "changed-tests", "imports-answer", "classes", "broken")


def graded(name, tmp_path, **options):
    STUDENTS[name].write(tmp_path)
    return grade(tmp_path, HOMEWORK, SEED, seconds=10, **options)


@pytest.fixture
def release(tmp_path_factory):
    import json
    path = tmp_path_factory.mktemp("release") / "tiny.ipynb"
    path.write_text(json.dumps(RELEASED))
    return path


@pytest.mark.parametrize("name", [
    *FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in STUDENTS if name not in FAST)])
def test_each_canned_student_gets_what_is_due(name, tmp_path, release):
    student, grades = STUDENTS[name], graded(name, tmp_path, release=release)
    assert {each.name: each.score for each in grades} == student.points
    assert all(each.out_of == FULL[each.name] for each in grades)
    assert all(each.message for each in grades if each.score < each.out_of)
    assert student.noticed in "\n".join(grades.notices)
    assert bool(student.noticed) == bool(grades.notices) or name == "one-cell-fails"
    assert student.remarked in "\n".join(grades.remarks)

"""The whole cycle, from a copied folder to feedback: nbgrader, Gradescope and the command line.

`make course` runs it; it needs nbgrader, which needs Python 3.11.
"""
import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from minifcn.cli import main
from minifcn.course.classroom import Course
from tests.course.students import FULL, HOMEWORK, STUDENTS, TINY

pytestmark = pytest.mark.course
pytest.importorskip("nbgrader", reason="nbgrader is not installed: make course")


def run(*words) -> None:
    assert main(["course", *map(str, words)]) == 0


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> Course:
    """A course's folder in which the small assignment has been released."""
    root = tmp_path_factory.mktemp("course") / "mine"
    shutil.copytree(TINY, root)
    run("init", root)
    run("release", "tiny", "--course", root)
    return Course(root)


@pytest.fixture(scope="session")
def submissions(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("submissions")
    for name, student in STUDENTS.items():
        (root / name).mkdir()
        student.write(root / name)
    return root


@pytest.fixture(scope="session")
def graded(course, submissions) -> Course:
    run("collect", "tiny", submissions, "--course", course.root)
    run("grade", "tiny", "--course", course.root, "--seconds", 10)
    return course


def test_what_is_handed_out_is_nbgraders_own_and_earns_nothing(course):
    released = json.loads(course.release_notebook("tiny").read_text())
    marks = [cell["metadata"]["nbgrader"] for cell in released["cells"]
             if "nbgrader" in cell["metadata"]]
    assert all("checksum" in each for each in marks)
    assert sum(each.get("points", 0) for each in marks) == 100
    assert "BEGIN" not in course.release_notebook("tiny").read_text()


def test_nbgraders_gradebook_holds_each_grade(graded):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded.root / 'gradebook.db'}") as book:
        for name, student in STUDENTS.items():
            found = book.find_submission_notebook("tiny", "tiny", name)
            scores = {each.name: each.auto_score for each in found.grades}
            points, hidden = student.points, {"relu": "relu.hidden", "size": "size.hidden"}
            expected = {"relu": sum(points[f"relu.{each}"]
                                    for each in ("value", "gradient", "purity")),
                        "size": points["size"], "slope": points["slope"], "why": None,
                        **{f"{part}-hidden": points[each] for part, each in hidden.items()}}
            if scores["why"] == 0:  # nothing was written: nbgrader says so itself
                expected["why"] = 0
            assert scores == expected, name


def test_records_hold_each_result_and_tell_the_instructor(graded):
    for name, student in STUDENTS.items():
        record = json.loads(graded.record_file("tiny", name).read_text())
        assert {each["name"]: each["score"] for each in record["results"]} == student.points, name
        assert student.noticed in "\n".join(record["notices"])
        assert student.remarked in "\n".join(record["remarks"])


def test_grading_goes_on_where_it_stopped(graded, capsys):
    run("grade", "tiny", "--course", graded.root, "--seconds", 10)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(STUDENTS) and all("graded before" in each for each in told)


def test_report_and_csv(graded, capsys):
    run("report", "tiny", "--course", graded.root)
    told = capsys.readouterr().out
    assert "1  relu: relu_mask" in told and "visible-only: size: right on every case" in told
    with open(graded.root / "grades" / "tiny.csv", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    for name, student in STUDENTS.items():
        assert float(rows[name]["total"]) == sum(student.points.values())
        assert rows[name]["out_of"] == "100"


def test_a_page_of_feedback_names_the_bug_and_nothing_that_is_the_instructors(graded):
    run("feedback", "tiny", "--course", graded.root)
    pages = {each.stem: each.read_text()
             for each in (graded.root / "returned" / "tiny").glob("*.html")}
    assert set(pages) == set(STUDENTS)
    partly = pages["partly"]
    assert "dx is dy where y &gt;= 0" in partly and "docs/why/relu" in partly
    assert "one place too few; output_size(7, 3, 2, 0) is 2, right is 3" in partly
    seed = str(graded.seed)
    for text in pages.values():
        assert seed not in text and "np.maximum" not in text
    assert "not judged: the code starts another program" in pages["other-program"]
    assert "no hidden one" not in pages["visible-only"]


# -- Gradescope -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def harness(course, tmp_path_factory) -> Path:
    """A bare environment, set up once as theirs is: nothing but Python and what setup.sh brings."""
    root = tmp_path_factory.mktemp("autograder")
    with zipfile.ZipFile(course.root / "gradescope" / "tiny.zip") as archive:
        archive.extractall(root / "source")
    shutil.copyfile(root / "source" / "run_autograder", root / "run_autograder")
    bare = {key: os.environ[key] for key in ("HOME", "LANG", "PIP_CONFIG_FILE", "PIP_INDEX_URL")
            if key in os.environ}
    bare["PATH"] = f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
    subprocess.run(["bash", str(root / "source" / "setup.sh")], check=True, env=bare)
    return root


def by_gradescope(harness: Path, course: Course, submission: Path) -> dict:
    """As their harness would: a fresh container for each submission."""
    private = harness / "source" / "private" / "course.json"
    assert not private.exists() or "seconds" in private.read_text()
    with zipfile.ZipFile(course.root / "gradescope" / "tiny.zip") as archive:
        settings = json.loads(archive.read("private/course.json"))
    private.write_text(json.dumps({**settings, "seconds": 10}))
    shutil.rmtree(harness / "submission", ignore_errors=True)
    shutil.copytree(submission, harness / "submission")
    shutil.rmtree(harness / "results", ignore_errors=True)
    (harness / "results").mkdir()
    done = subprocess.run(["bash", str(harness / "run_autograder")], cwd="/", text=True,
                          env={"PATH": "/usr/bin:/bin"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not private.exists()
    return json.loads((harness / "results" / "results.json").read_text())


@pytest.mark.parametrize("name", STUDENTS)
def test_gradescope_gives_the_same_scores(name, harness, course, submissions):
    results = by_gradescope(harness, course, submissions / name)
    tests = {each["name"]: each for each in results["tests"]}
    told = tests.pop("for the instructor", {"output": "", "visibility": "hidden"})
    assert {key: each["score"] for key, each in tests.items()} == STUDENTS[name].points
    assert {key: each["max_score"] for key, each in tests.items()} == FULL
    assert {each["visibility"] for key, each in tests.items() if "hidden" in key} == {
        "after_published"}
    assert STUDENTS[name].noticed in told["output"] and told["visibility"] == "hidden"
    assert results["stdout_visibility"] == "hidden"


# -- the command line, pytest ---------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDENTS)
def test_students_get_the_same_at_home(name, submissions, capsys):
    shutil.copyfile(TINY / "tiny_parts.py", submissions / name / "tiny_parts.py")
    code = main(["course", "check", "tiny", str(submissions / name), "--json", "--seconds", "10"])
    told = json.loads(capsys.readouterr().out)
    visible = {key: each for key, each in STUDENTS[name].points.items() if "hidden" not in key}
    assert {each["name"]: each["score"] for each in told["results"]} == visible
    assert code == (0 if told["score"] == told["out_of"] else 1)


def test_the_plain_release_runs_under_pytest(course, tmp_path):
    shutil.copytree(course.root / "plain" / "tiny", tmp_path / "hw")
    for write, outcome in ((None, "5 failed"), (STUDENTS["classes"].write, "5 passed")):
        if write:
            write(tmp_path / "hw")
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", str(tmp_path / "hw")],
                              capture_output=True, text=True, cwd=tmp_path)
        assert outcome in done.stdout, done.stdout


def test_parts_of_the_small_assignment_sum_to_100():
    assert HOMEWORK.points == 100

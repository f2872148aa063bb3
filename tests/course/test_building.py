"""From source to what is handed out: cells, stubs, the plain variant, and no leaks."""
import json
import zipfile
from pathlib import Path

import pytest

import minifcn
from minifcn.course import building, leaks
from minifcn.course.submission import id_of, kind_of, text_of
from tests.course.students import HOMEWORK, RELEASED, SOLVED, TINY

SOURCE = (TINY / "tiny.py").read_text()
MARKS = (TINY / "tiny_marks.md").read_text()
SEED = 987654321012345
PUBLIC = "\n".join(map(text_of, RELEASED["cells"]))
SECRETS = leaks.secrets(building.solutions(SOLVED), MARKS, SEED, PUBLIC)


def test_nbgrader_knows_each_cell_by_what_it_is():
    marks = {id_of(each): each["metadata"]["nbgrader"] for each in SOLVED["cells"] if id_of(each)}
    for name, (grade, locked, solution, points) in {
        "setup": (False, True, False, None), "imports": (False, True, False, None),
        "answer-slope": (False, False, True, None), "relu": (True, True, False, 50),
        "relu-hidden": (True, True, False, 10), "why": (True, False, True, 10),
    }.items():
        found = marks[name]
        assert (found["grade"], found["locked"], found["solution"]) == (grade, locked, solution)
        assert found.get("points") == points
        assert found["schema_version"] == 3 and not found["task"]
        assert set(found) <= {"grade", "locked", "solution", "task", "grade_id", "points",
                              "schema_version"}


def test_students_get_stubs_and_all_else():
    for ours, theirs in zip(SOLVED["cells"], RELEASED["cells"]):
        if kind_of(ours) not in ("solution", "words"):
            assert ours == theirs
        else:
            assert text_of(ours).split("###")[0].rstrip() in text_of(theirs)
            stub = building.STUB if kind_of(ours) == "solution" else building.ANSWER
            assert text_of(theirs).count(stub) == 1


@pytest.mark.parametrize("old, new, words", [
    ('part="slope"', 'part="slopes"', "has no part 'slopes'"),
    ('id="slope"', 'id="relu_forward"', "'answer-relu_forward' is used twice"),
    ('id="slope"', 'id="the slope"', "other characters"),
    ('minifcn="try"', 'minifcn="attempt"', "there is no kind 'attempt'"),
    ("# %% minifcn=\"hidden\" part=\"size\"\njudge(\"size\", hidden=True)\n", "",
     "no test or words cell for size-hidden"),
    ("    ### END SOLUTION\n\n# %% minifcn=\"try\"", "\n# %% minifcn=\"try\"", "in pairs"),
    ("    ### BEGIN SOLUTION\n    reach", "    # BEGIN SOLUTION\n    reach", "in pairs"),
    ('minifcn="solution" id="slope"', 'minifcn="given" id="slope"', "this is given"),
])
def test_a_source_that_does_not_fit_its_declaration_is_refused(tmp_path, old, new, words):
    jupytext = pytest.importorskip("jupytext")
    assert jupytext and SOURCE.count(old) == 1
    (tmp_path / "tiny.py").write_text(SOURCE.replace(old, new))
    with pytest.raises(ValueError, match=words):
        building.instructors(tmp_path / "tiny.py", HOMEWORK)


def test_the_plain_variant_is_a_module_with_the_same_functions(tmp_path, monkeypatch):
    for file, text in building.plain_variant(SOLVED, HOMEWORK).items():
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import adapters
    import student_layers

    assert adapters.output_size(7, 3, 2, 0) == student_layers.output_size(7, 3, 2, 0) == 3
    text = building.plain_variant(RELEASED, HOMEWORK)["student_layers.py"]
    assert text.count("raise NotImplementedError") == 4 and "# Negative values become 0." in text
    assert "judge" not in text


# -- leaks ----------------------------------------------------------------------------------------


def test_nothing_leaks_from_what_is_built(tmp_path):
    (tmp_path / "tiny.ipynb").write_text(json.dumps(RELEASED))
    for file, text in building.plain_variant(RELEASED, HOMEWORK).items():
        (tmp_path / file).write_text(text)
    assert leaks.scan(tmp_path, SECRETS) == []


def planted(where: str) -> dict:
    """The release with one secret somewhere."""
    notebook = json.loads(json.dumps(RELEASED))
    cell = next(each for each in notebook["cells"] if kind_of(each) == "try")
    line = "    passes = (y > 0).astype(dy.dtype)"
    if where == "cell":
        cell["source"] = f"x = 1\n{line}\n"
    elif where == "lines of a cell":
        cell["source"] = ["x = 1\n", line]
    elif where == "output":
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [line + "\n"]}]
    elif where == "metadata":
        notebook["metadata"]["old"] = {"cell": line}
    elif where == "mark scheme":
        notebook["cells"][0]["source"] += f"\n\n{MARKS.splitlines()[2]}"
    elif where == "seed":
        cell["source"] = f"rng = np.random.default_rng({SEED})"
    elif where == "marker":
        cell["source"] = "### BEGIN SOLUTION\npass"
    return notebook


@pytest.mark.parametrize("where", ["cell", "lines of a cell", "output", "metadata", "mark scheme",
                                   "seed", "marker"])
def test_a_leak_is_found_wherever_it_is(tmp_path, where):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    file = tmp_path / ".ipynb_checkpoints" / "tiny-checkpoint.ipynb"
    file.write_text(json.dumps(planted(where)))
    (found,) = leaks.scan(tmp_path, SECRETS)
    assert found.startswith(".ipynb_checkpoints/tiny-checkpoint.ipynb: ")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(file, "deep/tiny.ipynb")
    assert any(each.startswith("all.zip/deep/tiny.ipynb: ")
               for each in leaks.scan(tmp_path, SECRETS))


def test_the_package_holds_no_solution_and_no_mark_scheme(tmp_path):
    package = Path(minifcn.__file__).parent
    assert leaks.scan(package / "course", SECRETS, package=True) == []
    lines = [each for each in SECRETS.solution]
    (tmp_path / "module.py").write_text("\n\n".join(lines))
    assert leaks.scan(tmp_path, SECRETS, package=True)

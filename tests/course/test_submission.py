"""What comes in: found, looked through, repaired, or refused with a sentence."""
import copy
import json

import pytest

from minifcn.course import submission
from minifcn.course.submission import as_python, found, id_of, looked_through, text_of
from tests.course.students import RELEASED, RIGHT, notebook


@pytest.fixture
def handed_in(tmp_path):
    notebook(RIGHT)(tmp_path)
    return json.loads((tmp_path / "tiny.ipynb").read_text())


@pytest.fixture
def release(tmp_path):
    path = tmp_path / "release.ipynb"
    path.write_text(json.dumps(RELEASED))
    return path


def test_a_right_notebook_stays_as_it_is(handed_in, release):
    mended, remarks, notices = looked_through(copy.deepcopy(handed_in), release)
    assert mended["cells"] == handed_in["cells"] and not remarks and not notices


def test_copied_cells_count_once(handed_in, release):
    answer = next(each for each in handed_in["cells"] if id_of(each) == "answer-slope")
    test = next(each for each in handed_in["cells"] if id_of(each) == "slope")
    handed_in["cells"] += copy.deepcopy([answer, test])
    mended, remarks, _ = looked_through(handed_in, release)
    names = [id_of(each) for each in mended["cells"] if id_of(each)]
    assert len(names) == len(set(names)) and remarks == [
        "copied cells, counted once: answer-slope, slope"]
    assert text_of(mended["cells"][-1]) == text_of(answer)


def test_missing_cells_come_back_in_their_place(handed_in, release):
    order = [id_of(each) for each in handed_in["cells"]]
    handed_in["cells"] = [each for each in handed_in["cells"]
                          if id_of(each) not in ("setup", "size", "answer-output_size", "why")]
    mended, _, notices = looked_through(handed_in, release)
    names = [id_of(each) for each in mended["cells"] if id_of(each)]
    assert names == [each for each in order if each]
    assert "setup, answer-output_size, size, why" in notices[0]


def test_changed_tests_are_put_back_and_points_too(handed_in, release):
    for cell in handed_in["cells"]:
        if id_of(cell) == "relu":
            cell["source"], cell["metadata"]["nbgrader"]["points"] = "1000.0", 1000
            cell["cell_type"] = "markdown"
    mended, _, notices = looked_through(handed_in, release)
    (cell,) = [each for each in mended["cells"] if id_of(each) == "relu"]
    assert text_of(cell) == 'judge("relu")' and cell["metadata"]["nbgrader"]["points"] == 50
    assert cell["cell_type"] == "code" and "relu" in notices[0]


def test_a_foreign_kernel_is_replaced_and_outputs_go(handed_in, release):
    handed_in["metadata"]["kernelspec"] = {"name": "conda-env-x", "language": "python"}
    handed_in["cells"][1]["outputs"] = [{"output_type": "stream", "text": "x" * (30 << 20)}]
    mended, remarks, _ = looked_through(handed_in, release)
    assert mended["metadata"]["kernelspec"]["name"] == "python3"
    assert "the kernel conda-env-x was replaced by python3" in remarks
    assert "30 MB of outputs were left out" in remarks and not mended["cells"][1]["outputs"]


def test_another_language_and_another_order_are_said(handed_in):
    handed_in["metadata"]["language_info"] = {"name": "R"}
    code = [each for each in handed_in["cells"] if each["cell_type"] == "code"]
    for count, cell in enumerate(code):
        cell["execution_count"] = 50 - count
    remarks = looked_through(handed_in)[1]
    assert "the kernel is r, not Python" in remarks
    assert "was not run from top to bottom: run all cells in a fresh kernel" in remarks


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [{}]}', "\xff",
                                  '{"worksheets": []}', '{"cells": [' * 5000])
def test_what_is_no_notebook_is_refused(tmp_path, text):
    (tmp_path / "tiny.ipynb").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="is no notebook of version 4"):
        submission.read_notebook(tmp_path / "tiny.ipynb")


def test_a_folder_is_searched_for_what_is_to_be_judged(tmp_path):
    with pytest.raises(ValueError, match=r"neither tiny\.ipynb nor student_layers\.py$"):
        found(tmp_path, "tiny")
    (tmp_path / "essay.pdf").write_text("")
    with pytest.raises(ValueError, match="neither a notebook nor a Python file"):
        found(tmp_path / "essay.pdf", "tiny")
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "test_tiny.py").write_text("")
    assert found(tmp_path, "tiny").name == "mine.py"
    (tmp_path / "other.ipynb").write_text("")
    with pytest.raises(ValueError, match=r"but other\.ipynb, mine\.py"):
        found(tmp_path, "tiny")
    for name in ("student_layers.py", "adapters.py", "tiny.ipynb"):
        (tmp_path / name).write_text("")
        assert found(tmp_path, "tiny").name == name


def test_a_link_to_someone_elses_file_is_refused(tmp_path):
    (tmp_path / "solution.py").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "student_layers.py").symlink_to(tmp_path / "solution.py")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="is a link"):
        submission.prepare(tmp_path / "mine", tmp_path / "out", "tiny")
    (tmp_path / "mine" / "adapters.py").write_text("import student_layers")
    with pytest.raises(ValueError, match="is a link"):
        submission.prepare(tmp_path / "mine", tmp_path / "out", "tiny")


def test_cells_become_python_that_does_not_fall_over(handed_in):
    sources = ["%matplotlib inline\n!ls\nk = 3", "%%html\n<b>", "def broken(:", "1 / 0",
               'text = """two\n  lines"""', "from __future__ import annotations", "exit()",
               "%%time\nlate = k + 1", "judge('relu')"]
    handed_in["cells"] += [{"cell_type": "code", "metadata": {}, "source": each}
                           for each in sources]
    text, remarks = as_python(handed_in)
    names: dict = {}
    exec(compile(text, "tiny.py", "exec"), names)
    assert names["k"] == 3 and names["late"] == 4 and names["text"] == "two\n  lines"
    assert names["slope"] and "judge" not in names
    assert [each.split(" raises ")[1] for each in names["_failed_cells"]] == [
        "ZeroDivisionError: division by zero", "SystemExit: None"]
    assert len(remarks) == 1 and "cannot be read as Python, line 1" in remarks[0]


# -- copies of the textbook -----------------------------------------------------------------------


def textbook(name):
    import inspect

    from minifcn.ops import reference
    return inspect.getsource(inspect.getmodule(getattr(reference, name)))


def test_a_copy_of_the_textbook_is_told_whatever_its_names_are():
    text = textbook("conv2d_forward")
    for old, new in (("images", "N"), ("height", "H"), ("channels", "C"), ("ki", "a_row")):
        text = text.replace(old, new)
    told = submission.copied(text.encode(), ("conv2d_forward", "conv2d_backward"))
    assert any("_forward has the syntax tree of _forward in the textbook" in each for each in told)
    assert any("_backward has" in each for each in told)


def test_code_of_ones_own_is_no_copy():
    from tests.gradcheck.planted import STYLES, right_source
    functions = ("conv2d_forward", "conv2d_backward", "max_pool2d_forward", "max_pool2d_backward",
                 "relu_forward", "relu_backward", "softmax_cross_entropy")
    for style in STYLES:
        assert submission.copied(right_source(style).encode(), functions) == [], style

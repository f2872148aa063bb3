"""Progress is shown where somebody looks: on terminals and in notebooks, never in files."""
import contextlib
import io
import sys
import types

import numba
import pytest

from minifcn import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal(function, **options) -> str:
    """What a function writes to a terminal."""
    with contextlib.redirect_stderr(Terminal()) as stream:
        function(**options)
    return stream.getvalue()


@pytest.fixture
def notebook(monkeypatch):
    """What IPython's display is told: a list of (what, its text)."""
    told = []

    class Handle:
        def update(self, data, raw):
            told.append(("update", data["text/plain"]))

    def display(data, raw, display_id):
        told.append(("display", data["text/plain"]))
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    return told


def count_to_three(**options):
    with progress.bar(range(3), unit="step", desc="counting: ", **options) as steps:
        return list(steps)


def test_a_terminal_gets_a_bar():
    text = on_terminal(count_to_three)
    assert "counting: " in text and "3/3" in text


def test_a_file_gets_nothing(capfd):
    assert count_to_three() == [0, 1, 2]
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_notebook_gets_one_line_which_stays(notebook, capfd):
    assert count_to_three() == [0, 1, 2]
    assert [what for what, _ in notebook].count("display") == 1
    assert notebook[-1][1].startswith("counting: 3/3 steps")
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("how", ["quiet", "build"])
def test_silence(how, notebook, monkeypatch):
    if how == "build":
        monkeypatch.setenv("MINIFCN_PROGRESS", "0")
    said = []
    for function in (count_to_three, compiles):
        function(quiet=how == "quiet", say=said.append)
    monkeypatch.delitem(sys.modules, "IPython")
    for function in (count_to_three, compiles):
        assert on_terminal(function, quiet=how == "quiet", say=said.append) == ""
    assert said == notebook == []


def compiles(**options):
    """A kernel that was never compiled before is called below a bar."""
    with progress.bar(total=2, unit="step", desc="training: ", **options) as bar:
        kernel = numba.njit(lambda x: x + 1)
        before = None if bar.disable else bar.start_t
        kernel(1)
        if before is not None and not numba.config.DISABLE_JIT:
            assert bar.start_t > before     # the time that is left does not count it
        bar.update()
        kernel(2)
        bar.update()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_compiling_says_so_and_the_title_comes_back():
    text = on_terminal(compiles)
    assert "compiling, once: about 15 s" in text
    assert text.rindex("training: ") > text.rindex("compiling")


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_without_a_bar_compiling_is_said_once():
    said = []
    compiles(say=said.append)
    assert said == ["compiling, once: about 15 s"]
    said.clear()
    count_to_three(say=said.append)
    assert said == []

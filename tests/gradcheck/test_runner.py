"""``minifcn check my_layers.py``: nobody is talked round, and right code is not refused."""

import json
import tempfile
import textwrap
from pathlib import Path

import pytest

from minifcn.cli import main
from minifcn.gradcheck.runner import check_file
from minifcn.isolation import Limits

RIGHT = """
import numpy as np
def relu_forward(x):
    return np.maximum(x, 0)
def relu_backward(dy, y):
    return dy * (y > 0)
"""
WRONG = """
import atexit, builtins, gc, inspect, json, os, signal, sys, threading, time
import numpy as np
def relu_forward(x):
    return np.abs(x)
"""


def write(folder, code, name="my_layers.py"):
    path = folder / name
    path.write_text(textwrap.dedent(code))
    return path


def verdicts(path, **options):
    return {name: report.ok for name, report in check_file(path, **options).reports.items()}


# -- cheats ---------------------------------------------------------------------------------------

CHEATS = {
    # those that deceived the first version of the checker
    "writes a result and exits": """
        for folder in (".", "/tmp"):
            for name in os.listdir(folder):
                if name.endswith(".json"):
                    open(os.path.join(folder, name), "w").write('{"verdict": "ok"}')
        def relu_forward(x):
            print('{"verdict": "ok"}')
            os._exit(0)""",
    "exits while it is loaded": "os._exit(0)",
    "rewrites the result at exit": """
        @atexit.register
        def forge():
            for pipe in range(3, 20):
                try: os.write(pipe, b'{"forward": "ok", "verdict": "ok"}')
                except OSError: pass
        def relu_forward(x):
            sys.exit(0)""",
    "patches the checker": """
        import minifcn.gradcheck.module as module, minifcn.gradcheck.report as report
        import minifcn.gradcheck.purity as purity, minifcn.gradcheck.observe as observe
        purity.same = observe.same = module.same = lambda *a: True
        module.check_observed = lambda *a, **k: report.Report("relu_forward")
        module._Function = None
        report.Report.ok = True""",
    "patches the right answers": """
        import minifcn.ops.reference as reference, minifcn.gradcheck.cases as cases
        reference.relu_forward = reference.relu.relu_forward = relu_forward
        cases.OPERATIONS = ()""",
    "patches comparisons": """
        np.allclose = np.array_equal = np.isclose = lambda *a, **k: True
        np.testing.assert_allclose = lambda *a, **k: None
        np.abs = np.absolute = lambda x: x * 0""",
    "reads the caller's frames": """
        def relu_forward(x):
            frame = sys._getframe()
            while frame:
                for name, value in [*frame.f_locals.items()]:
                    if name in ("right", "answer", "expected") and isinstance(value, np.ndarray):
                        return value
                    if isinstance(value, dict) and "y" in value:
                        return value["y"]
                frame = frame.f_back
            return np.abs(x)""",
    "is right only when it sees the checker": """
        words = " ".join([*sys.argv, *sys.orig_argv, *os.environ, *os.environ.values()])
        if any(word in words for word in ("check", "pytest", "runner", "isolat", "minifcn/")):
            relu_forward = lambda x: np.maximum(x, 0)""",
    "looks for right answers in memory": """
        def relu_forward(x):
            for each in gc.get_objects():
                if isinstance(each, np.ndarray) and each is not x and each.shape == x.shape:
                    if (each >= 0).all():
                        return each
            return np.abs(x)""",
    # others
    "leaves out the wrong function": "def __dir__(): return []",
    "denies to have it": """
        def __getattr__(name): raise AttributeError(name)
        del relu_forward""",
    "replaces the observer": """
        for each in gc.get_objects():
            if isinstance(each, dict) and "observe" in each and "Seen" in each:
                each["observe"] = each["answer"] = each["_one"] = lambda *a: []""",
    "speaks for the checker": """
        def relu_forward(x):
            message = json.dumps({"dict": [["value", {"list": []}]]}).encode()
            for pipe in range(3, 20):
                try: os.write(pipe, len(message).to_bytes(4, "big") + bytes(8) + message)
                except OSError: pass
            return np.abs(x)""",
    "answers with true instead of arrays": """
        class Yes(np.ndarray):
            __eq__ = __le__ = __lt__ = lambda *a: np.True_
            tobytes = lambda self: b""
            def __array_ufunc__(self, *a, **k): return np.True_
        def relu_forward(x): return np.abs(x).view(Yes)""",
    "answers twice": """
        def relu_forward(x):
            os.fork()
            return np.abs(x)""",
    "kills those above": """
        def relu_forward(x):
            os.kill(os.getppid(), 9)
            return np.abs(x)""",
    "kills everyone": """
        def relu_forward(x):
            os.kill(-1, 9)
            os.kill(0, 9)
            return np.abs(x)""",
    "changes the homework and the checker on disk": """
        for path in (__file__, os.path.dirname(os.__file__) + "/site-packages/forged.pth"):
            try: open(path, "w").write("import numpy")
            except OSError: pass""",
    "turns the clock and the names of types": """
        time.monotonic = time.perf_counter = time.time = lambda: 0.0
        builtins.isinstance = lambda *a: True
        builtins.len = lambda *a: 1""",
    "replaces NumPy": """
        class Fake:
            def __getattr__(self, name): return lambda *a, **k: True
        sys.modules["numpy"] = Fake()""",
    "traces the checker": """
        def tracer(frame, event, argument):
            if "right" in frame.f_locals: frame.f_locals["right"] = None
            return tracer
        sys.settrace(tracer); threading.settrace(tracer)""",
    "catches signals and hangs": """
        def relu_forward(x):
            for each in range(1, 32):
                try: signal.signal(each, signal.SIG_IGN)
                except OSError: pass
            while True: pass""",
    "raises what looks like success": """
        class OK(BaseException):
            __bool__ = lambda self: False
            __str__ = lambda self: "relu_forward: ok\\x1b[2K"
        def relu_forward(x): raise OK""",
    "raises megabytes": """
        def relu_forward(x): raise ValueError("ok \\ud800 " * 1_000_000)""",
    "returns itself": """
        def relu_forward(x):
            loop = []
            loop.append(loop)
            return loop""",
    "repeats what it has seen": """
        seen = {}
        def relu_forward(x): return seen.setdefault(x.shape, np.abs(x))""",
    "changes what it was given": """
        def relu_forward(x):
            x[...] = np.maximum(x, 0)
            return np.abs(x) * 0.5""",
    "closes the pipes": """
        def relu_forward(x):
            os.closerange(0, 100)
            return np.abs(x)""",
    "fills the memory": "def relu_forward(x): return np.ones(1 << 40)",
    "returns more than a message may hold": "def relu_forward(x): return np.ones(5 << 20)",
}


@pytest.fixture
def neutral_folder():
    """A folder whose name tells nothing of tests."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("cheat", CHEATS)
def test_no_cheat_changes_a_verdict(neutral_folder, cheat):
    path = write(neutral_folder, WRONG + textwrap.dedent(CHEATS[cheat]))
    before = path.read_bytes()
    try:
        checked = check_file(path, 4, ["relu_forward"], limits=Limits(message=20 << 20))
        assert not checked.ok
        assert not checked.reports["relu_forward"].ok
        words = str(checked.reports["relu_forward"])
        assert "\x1b" not in words
        assert len(words) < 10_000
    except ValueError as error:
        assert "cannot be imported" in str(error)
    assert path.read_bytes() == before


def test_a_folder_that_is_called_minifcn_is_not_taken_for_ours(tmp_path, monkeypatch):
    (tmp_path / "minifcn" / "gradcheck").mkdir(parents=True)
    for name in ("__init__", "gradcheck/__init__", "gradcheck/observe", "isolated"):
        write(tmp_path / "minifcn", "raise SystemExit(0)", f"{name}.py")
    monkeypatch.chdir(tmp_path)
    assert verdicts(write(tmp_path, RIGHT)) == {"relu_forward": True, "relu_backward": True}


@pytest.mark.parametrize("code, words", [
    ("from minifcn.ops import relu_forward", "imports minifcn (line 1)"),
    ("import importlib\nlayers = importlib.import_module('min' + 'ifcn.ops.reference')\n"
     "relu_forward = layers.relu_forward", "imports minifcn"),
    ("def relu_forward(x):\n    import scipy.special, numpy\n    return numpy.maximum(x, 0)",
     "imports scipy (line 2)"),
    ("import subprocess\nimport numpy\nsubprocess.run(['true'])\n"
     "relu_forward = lambda x: numpy.maximum(x, 0)", "starts another program"),
    ("import os, importlib.util, numpy, glob\n"
     "place = importlib.util.find_spec('numba').origin\n"
     "relu_forward = lambda x: numpy.maximum(x, 0)", None),
    (RIGHT + "if __name__ == '__main__':\n    import minifcn", None),
])
def test_ready_made_layers_are_noticed_in_a_neutral_sentence(tmp_path, code, words):
    checked = check_file(write(tmp_path, code))
    if words is None:
        assert checked.notes == []
    else:
        assert any(f"my_layers.py {words}; that is no mistake" in each for each in checked.notes)
    assert check_file(write(tmp_path, code), notice=False).notes == []


def test_what_is_required_and_absent_fails(tmp_path):
    checked = check_file(write(tmp_path, RIGHT), required=["linear_forward", "relu_forward"])
    assert checked.reports["linear_forward"].cause == "missing"
    assert checked.reports["relu_forward"].ok
    assert not checked.ok


# -- right code -----------------------------------------------------------------------------------

STYLES = {
    "byte order mark": "\ufeff" + RIGHT,
    "a main part": RIGHT + "if __name__ == '__main__':\n    raise SystemExit('not when imported')",
    "a thread left running": RIGHT + textwrap.dedent("""
        import threading, time
        threading.Thread(target=lambda: time.sleep(600)).start()"""),
    "much output": RIGHT.replace("return np.max", "print('x' * 3_000_000); return np.max"),
    "classes": RIGHT + textwrap.dedent("""
        from dataclasses import dataclass
        @dataclass
        class Relu:
            slope: float = 0
            def __call__(self, x: np.ndarray) -> np.ndarray:
                return np.where(x > 0, x, x.dtype.type(self.slope))
        relu_forward = Relu()"""),
}


@pytest.mark.parametrize("style", STYLES)
def test_right_code_is_not_refused(tmp_path, style):
    path = tmp_path / "my_layers.py"
    path.write_bytes(STYLES[style].encode())
    assert verdicts(path) == {"relu_forward": True, "relu_backward": True}


def test_other_codings_names_and_helpers_are_not_refused(tmp_path):
    write(tmp_path, "def positive(x):\n    return x > 0\n", "helpers.py")
    path = tmp_path / "random.py"  # as a module of the standard library
    code = "# coding: latin-1\nfrom helpers import positive\n" + RIGHT + "# ä"
    path.write_bytes(code.replace("(y > 0)", "positive(y)").encode("latin-1"))
    assert verdicts(path) == {"relu_forward": True, "relu_backward": True}


@pytest.mark.slow
def test_functions_jitted_by_the_student_are_not_refused(tmp_path):
    code = RIGHT.replace("def ", "@numba.njit(cache=True)\ndef ")
    path = write(tmp_path, code.replace("import numpy", "import numba\nimport numpy"))
    checked = check_file(path)
    assert checked.ok
    assert not checked.notes


def notebook(folder, *cells):
    path = folder / "homework.ipynb"
    made = [{"cell_type": kind, "source": text, "metadata": {}} for kind, text in cells]
    path.write_text(json.dumps({"cells": made, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_notebook_is_read(tmp_path):
    path = notebook(
        tmp_path,
        ("markdown", "# Homework"),
        ("code", "%matplotlib inline\nimport numpy as np\n!pip list\n"),
        ("code", "%%bash\nrm -rf everything\n"),
        ("code", [line + "\n" for line in RIGHT.splitlines()]),
        ("code", "if True:\n    %timeit 1\nrelu_forward?"),
    )
    assert verdicts(path) == {"relu_forward": True, "relu_backward": True}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": 3}', '{"cells": [[]]}', "\ud800"])
def test_what_is_no_notebook_is_refused_in_a_sentence(tmp_path, content, capsys):
    path = tmp_path / "homework.ipynb"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert main(["check", str(path)]) == 2
    assert "no notebook" in capsys.readouterr().err

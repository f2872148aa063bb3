"""``minifcn check my_layers.py``: what one function does, does not touch the others."""

import os
import textwrap
import time

import pytest

from minifcn.gradcheck.runner import check_file

RIGHT = """
    import numpy as np
    def relu_forward(x):
        return np.maximum(x, 0)
    def relu_backward(dy, y):
        return dy * (y > 0)
"""
LINEAR = """
    import numpy as np
    def linear_forward(x, weight, bias):
        return x @ weight + bias
"""


def check(tmp_path, code, **options):
    path = tmp_path / "my_layers.py"
    path.write_text(textwrap.dedent(code))
    return check_file(path, **options)


def test_right_functions_give_0(tmp_path, capsys):
    assert check(tmp_path, RIGHT) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["function", "forward", "gradient", "purity", "verdict", "hint"]
    assert lines[1].split() == ["relu_forward", "ok", "-", "ok", "ok"]
    assert lines[2].split() == ["relu_backward", "-", "ok", "ok", "ok"]


def test_a_wrong_function_gives_1_and_a_hint(tmp_path, capsys):
    assert check(tmp_path, RIGHT.replace("y > 0", "y < 0"), quiet=True) == 1
    out = capsys.readouterr().out
    assert "relu_mask" in out
    assert "relu_forward" not in out, "quiet prints only what is wrong"


def test_whatever_ends_a_function_the_others_go_on(tmp_path, capsys):
    assert (
        check(
            tmp_path,
            """
        import numpy as np
        print("noise", "x" * 100000)
        def relu_forward(x):
            import ctypes
            ctypes.string_at(0)
        def relu_backward(dy, y):
            print("x" * 100000)
            return dy * (y > 0)
        def linear_forward(x, weight, bias):
            import sys
            sys.exit("enough")
        def linear_backward(dy, x, weight):
            raise MemoryError
        def dropout_forward(x, rate, seed):
            import os
            os._exit(0)
        def dropout_backward(dy, mask, rate):
            import sys
            sys.stdout.close()
            return None
        """,
        )
        == 1
    )
    out = capsys.readouterr().out
    assert "xxx" not in out
    rows = {}
    for line in out.splitlines():
        if line[:1].strip():
            name = line.split()[0]
        rows[name] = rows.get(name, "") + " " + line.strip()
    for function, words in {
        "relu_forward": "SIGSEGV",
        "linear_forward": "SystemExit: enough",
        "linear_backward": "MemoryError",
        "dropout_forward": "exit code 0",
        "dropout_backward": "returns None",
    }.items():
        assert words in rows[function]
    # its forward had ended the process, too
    assert rows["relu_backward"].split() == ["relu_backward", "-", "ok", "ok", "ok"]


def test_a_hanging_function_is_stopped_with_its_children(tmp_path, capsys):
    mark = tmp_path / "child"
    code = textwrap.dedent(LINEAR + RIGHT).replace(
        "return dy * (y > 0)",
        f"""import subprocess
    process = subprocess.Popen(["sleep", "600"])
    open({str(mark)!r}, "w").write(str(process.pid))
    while True: pass""",
    )
    start = time.monotonic()
    assert check(tmp_path, code, seconds=5) == 1
    assert time.monotonic() - start < 60
    out = capsys.readouterr().out
    assert "stopped after 5 s" in " ".join(out.split())
    assert "linear_forward" in out
    deadline = time.monotonic() + 5
    while _runs(int(mark.read_text())):
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"  # killed, but not yet collected
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    "code, words",
    [
        ("def relu_forward(x:", "line 1"),
        ("import does_not_exist_anywhere", "does_not_exist_anywhere"),
        ("raise ValueError('broken')", "broken"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(0)", "exit code 0"),
        ("x = 1", "no function"),
    ],
)
def test_a_file_that_cannot_be_checked_gives_2_and_one_line(tmp_path, capsys, code, words):
    assert check(tmp_path, code) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_missing_file_gives_2(tmp_path, capsys):
    assert check_file(tmp_path / "nothing.py") == 2
    assert "no such file" in capsys.readouterr().err


def test_a_file_may_import_what_lies_beside_it_and_quiet_prints_only_what_is_wrong(
    tmp_path, capsys
):
    (tmp_path / "helpers.py").write_text("def positive(x):\n    return x > 0\n")
    code = "from helpers import positive\n" + textwrap.dedent(RIGHT).replace(
        "(y > 0)", "positive(y)"
    )
    assert check(tmp_path, code, quiet=True) == 0
    assert capsys.readouterr().out == ""


def test_no_temporary_file_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    before = set(os.listdir(tmp_path))
    assert check(tmp_path, RIGHT) == 0
    assert set(os.listdir(tmp_path)) - before <= {"my_layers.py", "__pycache__"}

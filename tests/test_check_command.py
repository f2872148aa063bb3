"""``minifcn check``: exit codes, tables, JSON, JUnit, and one line for what cannot be checked."""

import json
import os
import signal
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from minifcn.cli import main
from minifcn.gradcheck.signatures import layouts, signature
from tests.gradcheck.test_runner import RIGHT, write


def test_right_functions_give_0_and_a_table(tmp_path, capsys):
    assert main(["check", str(write(tmp_path, RIGHT))]) == 0
    out, error = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["function", "forward", "gradient", "purity", "verdict"]
    assert lines[1].split()[:2] == ["relu_forward", "ok"]
    assert lines[2].split()[:3] == ["relu_backward", "-", "ok"]
    assert "2 of 2 functions are right" in out
    assert error == ""
    assert main(["check", "--quiet", str(write(tmp_path, RIGHT))]) == 0
    assert capsys.readouterr().out == ""


MISTAKES = RIGHT + """
def linear_forward(x, weight):
    return x @ weight
def linear_backward(dy, x, weight):
    print("\\x1b[2J was here")
    return dy @ weight.T, x.T @ dy, 1 / 0
def conv2d_foward(x):
    pass
"""


def test_a_crash_shows_the_line_and_how_the_function_is_called(tmp_path, capsys):
    path = write(tmp_path, MISTAKES)
    junit = tmp_path / "out.xml"
    assert main(["check", str(path), "--show-output", "--junit", str(junit)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "1 / 0" in out
    assert str(1 + MISTAKES[: MISTAKES.index("1 / 0")].count("\n")) in out
    assert signature("linear_forward") in out
    assert layouts("linear_forward")["weight"] == "(c_in, c_out)"
    assert "weight: (c_in, c_out)" in out
    assert "conv2d_foward: did you mean conv2d_forward?" in out
    assert "linear_backward printed: \\x1b[2J was here" in out
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    assert [each.get("name") for each in suite if len(each)] == ["linear_forward",
                                                                 "linear_backward"]  # fmt: skip


def test_json_is_valid_whatever_happens(tmp_path, capsys):
    path = write(tmp_path, MISTAKES.replace("return np.max", "return np.nan * np.max"))
    assert main(["check", "--json", str(path)]) == 1
    data = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert data["functions"]["relu_backward"]["ok"]
    assert not data["functions"]["relu_forward"]["ok"]
    assert main(["check", "--json", str(tmp_path / "nothing.py")]) == 2
    assert "no such file" in json.loads(capsys.readouterr().out)["error"]


def test_hostile_words_are_harmless_in_every_format(tmp_path, capsys):
    words = "'\\x1b]0;x\\x07 ]]> <a> & \\x00 \\ud800 \\uffff'"
    path = write(tmp_path, RIGHT.replace("return np.maximum(x, 0)", f"raise ValueError({words})"))
    junit = tmp_path / "out.xml"
    for options in ([], ["--json"]):
        assert main(["check", str(path), "--junit", str(junit), *options]) == 1
        out = capsys.readouterr().out
        assert not set(out) & set("\x1b\x07\x00\ud800")
        assert "ValueError" in ElementTree.parse(junit).getroot()[0][0].text


@pytest.mark.parametrize(
    "code, words",
    [
        ("def relu_forward(x:", "line 1"),
        ("x = '\x00'", "cannot be read as Python"),
        ("import does_not_exist_anywhere", "does_not_exist_anywhere"),
        ("\n\nraise ValueError('broken')", "broken (line 3 of my_layers.py: raise ValueError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(0)", "exit code 0"),
        ("x = 1", "no function"),
        ("x = " + "-" * 100_000 + "1", "nested too deeply"),
        ("x = a" + ".b" * 100_000, "cannot be read as Python"),
        ("def relu_foward(x): pass", "did you mean relu_forward?"),
    ],
)
def test_a_file_that_cannot_be_checked_gives_2_and_one_line(tmp_path, capsys, code, words):
    assert main(["check", str(write(tmp_path, code))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_template_is_written_once_and_can_be_checked(tmp_path, capsys):
    path = tmp_path / "new.py"
    assert main(["check", "--template", str(path)]) == 0
    text = path.read_text()
    assert "def max_pool2d_backward(dy, argmax, x_shape):" in text
    assert main(["check", "--template", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_text() == text
    write(tmp_path, text[text.index("import") : text.index("def conv2d_backward")], "one.py")
    assert main(["check", str(tmp_path / "one.py")]) == 1
    assert "conv2d_forward is still to be written" in " ".join(capsys.readouterr().out.split())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_gives_130(tmp_path):
    path = write(tmp_path, "def relu_forward(x):\n    while True: pass")
    command = [sys.executable, "-c", f"""
import signal, sys, minifcn.cli, minifcn.gradcheck.runner as runner
signal.signal(signal.SIGINT, signal.default_int_handler)    # the starter of the tests may ignore it
seen = runner.check_observed
def check_observed(*a, **k):
    print("now", flush=True)
    return seen(*a, **k)
runner.check_observed = check_observed
sys.exit(minifcn.cli.main(["check", {str(path)!r}]))
"""]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "TMPDIR": str(tmp_path)}) as process:  # fmt: skip
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (130, "", "minifcn: interrupted\n")
    assert os.listdir(tmp_path) == ["my_layers.py"]

"""The demo: its files, and what it is there to show."""
import os
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

import minifcn
from minifcn import demo as module
from minifcn.cli import main, program
from minifcn.data import Streets

FILES = ["curves.png", "fcn16s.safetensors", "fcn32s.safetensors", "fcn8s.safetensors",
         "panel.png", "street.png"]


@pytest.fixture
def short(monkeypatch):
    """Few steps on few, small scenes."""
    monkeypatch.setattr(module, "STEPS", (3, 2, 2))
    monkeypatch.setattr(module, "RECIPE", replace(module.RECIPE, batch=2))
    monkeypatch.setattr(module, "SIZE", (48, 64))
    monkeypatch.setattr(module, "TRAINING", 6)
    monkeypatch.setattr(module, "HELD_OUT", 4)


def test_the_demo_leaves_pictures_checkpoints_and_a_command_that_works(
        short, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minifcn"])
    out = tmp_path / "the demo"
    assert main(["demo", "--out", str(out), "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "all-background baseline" in text and "FCN-32s" in text and "SignSymbol" in text
    assert sorted(path.name for path in out.iterdir()) == FILES
    with Image.open(out / "panel.png") as panel:
        assert panel.width > 6 * 64
    for stride in (32, 16, 8):
        model = minifcn.load(out / f"fcn{stride}s.safetensors")
        assert model.stride == stride and model.class_names == Streets().class_names

    command = shlex.split(text.splitlines()[-1])
    assert command[0] == "minifcn"
    assert main([*command[1:], "--quiet"]) == 0
    with Image.open(out / "masks" / "street.png") as mask, Image.open(out / "street.png") as street:
        assert mask.size == street.size


@pytest.mark.parametrize("called, begins", [
    ("minifcn", "minifcn"), ("some where/minifcn", "'some where/minifcn'"),
    ("minifcn/__main__.py", f"{shlex.quote(sys.executable)} -m minifcn")])
def test_the_command_begins_as_the_program_was_called(monkeypatch, called, begins):
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert program() == begins


def test_a_program_on_the_path_needs_no_folder(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/minifcn"])
    monkeypatch.setattr("shutil.which", lambda name: f"/somewhere/bin/{name}")
    assert program() == "minifcn"


def test_the_demo_gives_the_same_bits_twice(short):
    first, second = (module.train_all(seed=1, quiet=True) for _ in range(2))
    for stride, trained in first.items():
        assert len(trained.losses) == 7 and trained.losses == second[stride].losses
        for name, weight in trained.model.parameters.items():
            assert (weight == second[stride].model.parameters[name]).all()


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_a_bit():
    code = """
import hashlib
from minifcn import demo
demo.STEPS, demo.TRAINING, demo.SIZE = (3, 2, 2), 8, (48, 64)
for stride, (model, losses) in demo.train_all(seed=0, quiet=True).items():
    bits = b"".join(array.tobytes() for array in model.parameters.values())
    print(stride, losses, hashlib.sha256(bits).hexdigest())
"""
    printed = {subprocess.run([sys.executable, "-c", code], text=True, check=True, timeout=600,
                              capture_output=True,
                              env={**os.environ, "MINIFCN_NUM_THREADS": threads}
                              ).stdout for threads in "124"}
    assert len(printed) == 1 and printed.pop().count("\n") == 3


@pytest.mark.slow
def test_finer_strides_are_better_by_a_clear_margin(tmp_path):
    metrics = module.demo(tmp_path, quiet=True)
    assert metrics[8].mean_iu > 0.55
    assert metrics[16].mean_iu > metrics[32].mean_iu + 0.04
    assert metrics[8].mean_iu > metrics[16].mean_iu + 0.04

"""What README and docs show is true: the Python runs, and so do the commands, on tiny data.

Commands are run in the order of the page, in a folder with generated files of the names that they
use, with few steps and a narrow network; ``demo`` and ``course`` are only parsed.
"""
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn.cli import build_parser, main
from minifcn.cli.train import EXAMPLE, START
from minifcn.data import Shapes
from tests.weights import written

CHECKOUT = Path(minifcn.__file__).parent.parent
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
TINY = ["--width", "0.03", "--fc-channels", "8"]
DOWNLOADS = ["fetch", "vgg16-torchvision"]
HOURS = ("demo", "course")

pytestmark = pytest.mark.skipif(not PAGES[0].exists(), reason="needs the checkout")


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The words of the lines that call minifcn."""
    lines = (shlex.split(line, comments=True)
             for line in text.replace("\\\n", " ").splitlines() if "minifcn" in line)
    return [words[1:] for words in lines if words and words[0] == "minifcn"]


SHOWN = [words for page in PAGES for block in blocks(page, "sh") for words in commands(block)]


@pytest.mark.parametrize("words", [*SHOWN, *commands(START), *(
    commands("minifcn " + line)[0] for line in EXAMPLE.splitlines())], ids=" ".join)
def test_a_command_that_is_shown_is_one(words):
    assert build_parser().parse_args(words).run


def test_the_python_of_the_readme_runs_and_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    (code,) = blocks(PAGES[0], "python")
    exec(compile(code, "README.md", "exec"), names)
    model, data = names["model"], names["data"]
    labels = np.stack([data[i].labels for i in range(20)])
    x = np.concatenate([model.preprocess(data[i].image) for i in range(20)])
    loss, _ = minifcn.softmax_cross_entropy(model.forward(x), labels)
    shares = np.bincount(labels.ravel(), minlength=7) / labels.size
    assert loss < 0.95 * -(shares * np.log(shares)).sum()       # more than how frequent they are
    assert names["report"].ok and names["mask"].shape == (64, 64)
    assert minifcn.load("shapes.safetensors").config == model.config
    (trainer,) = re.findall(r"`(minifcn\.training\.Trainer\(.*?\.run\(\))`",
                            PAGES[0].read_text(encoding="utf-8"), re.DOTALL)
    names["validation"] = Shapes(1, (64, 64), seed=1)
    eval(" ".join(trainer.split()).replace("steps=500", "steps=1"), names)
    assert Path("run/best.safetensors").exists()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with what the commands of the pages ask for."""
    monkeypatch.chdir(tmp_path)
    samples = [Shapes(4, (33, 40))[i] for i in range(4)]
    for images, labels in (("CamVid/train", "CamVid/trainannot"), ("CamVid/val", "CamVid/valannot"),
                           ("photos/images", "photos/labels"), ("mine/images", "mine/labels")):
        for folder in (images, labels):
            Path(folder).mkdir(parents=True)
        for sample in samples:
            Image.fromarray(sample.image).save(f"{images}/{sample.name}.png")
            Image.fromarray(sample.labels).save(f"{labels}/{sample.name}.png")
    for name in ("photo.jpg", "more-photos/a.png", "photos/a.jpg", "frames/1.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(samples[0].image).save(name)
    Path("demo").mkdir()
    minifcn.FCN(8, 7, width=0.03).save("demo/fcn8s.safetensors")
    Path("my_layers.py").write_text(
        "import numpy as np\n\n\ndef relu_forward(x):\n    return np.maximum(x, 0)\n")
    monkeypatch.setenv("MINIFCN_CACHE", str(tmp_path / "cache"))
    fcn = minifcn.FCN(8, 21, "caffe", width=0.03, fc_channels=8)
    written.caffemodel(tmp_path / "fcn8s-heavy-pascal.caffemodel", written.pytorch_fcn(fcn))
    vgg = minifcn.VGG16(9, width=0.03, fc_channels=8)
    written.legacy_pth(tmp_path / "vgg16-397923af.pth", written.torchvision(vgg))
    (config,) = blocks(PAGES[0], "toml")
    Path("photos.toml").write_text(config)
    return tmp_path


def shortened(words: list[str]) -> list[str]:
    """The same command for a test: few steps, a narrow network, one picture, few scenes."""
    words = [*words, *(["--count", "6"] if "streets" in words[:3] else [])]
    if words[0] == "train":
        length = ["--epochs", "0.01"] if "--epochs" in words else ["--steps", "1"]
        if "--resume" in words:
            return [*words, "--quiet"]
        again = "runs/camvid/config.toml" in words
        new = [] if {"--from", "--vgg16"} & {*words} or again else TINY
        return [*words, *length, *new, "--batch", "1", "--crop", "32", "32", "--quiet"]
    return [*words, *(["--pictures", "1", "--quiet"] if words[0] == "evaluate" else [])]


def test_the_commands_run_one_after_the_other(place, capsys):
    done = set()
    for words in SHOWN:
        if words[0] in HOURS or words == DOWNLOADS:
            continue
        words = shortened(words)
        out = words[words.index("--out") + 1] if "--out" in words else None
        if words[0] == "train" and out and out in done and "--resume" not in words:
            words[words.index("--out") + 1] = out = f"{out}-{len(done)}"
        done.add(out)
        code = main(words)
        assert code == 0 or (words[0] == "doctor" and code == 1), (words, capsys.readouterr().err)
    assert minifcn.load("runs/8s/best.safetensors").stride == 8
    assert Path("masks/photo.png").exists() and Path("runs/again/config.toml").exists()


def test_the_targets_of_make_that_are_shown_exist():
    targets = re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    shown = re.findall(r"(?:^|`)make ([a-z]+)", "\n".join(page.read_text() for page in PAGES[:1]),
                       re.MULTILINE)
    assert shown and set(shown) <= set(targets)

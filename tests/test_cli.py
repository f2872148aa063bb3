"""The command line, as a shell sees it: exit codes, one line for a mistake, whole files."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn.cli import main
from minifcn.data import Shapes, read_labels
from minifcn.models import files
from minifcn.training.trainer import BEST, LAST

TINY = ["--width", "0.03", "--fc-channels", "8"]
TRAIN = ["train", "shapes", *TINY, "--count", "12", "--size", "40", "40", "--steps", "6",
         "--batch", "2", "--evaluate-every", "3", "--flip", "0.5", "--quiet"]


def fails(capsys, *arguments) -> str:
    """The one line of a command that ends with exit code 2."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stopped:       # argparse's way
        code = stopped.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("minifcn") and captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("run") / "shapes"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def photos(tmp_path):
    """A folder of images of several sizes and kinds, and one that is broken."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, mode, size in (("wide.png", "RGB", (61, 20)), ("tiny.png", "L", (1, 1)),
                             ("alpha.png", "RGBA", (33, 40)), ("photo.jpg", "RGB", (50, 32))):
        noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
        Image.fromarray(noise, "RGBA").convert(mode).save(folder / name)
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# -- train ----------------------------------------------------------------------------------------


def test_training_leaves_checkpoints_logs_and_curves(run):
    assert sorted(path.name for path in run.iterdir()) == [
        BEST, "config.toml", "curves.png", LAST, "log.csv", "validation.csv"]
    model = minifcn.load(run / BEST)
    assert model.class_names == Shapes().class_names
    assert (model.palette == Shapes().palette).all()


def process(*arguments):
    return subprocess.Popen([sys.executable, "-m", "minifcn", *map(str, arguments)],
                            stderr=subprocess.PIPE, text=True)


def wait_for_rows(path, rows):
    deadline = time.monotonic() + 300
    while not path.exists() or path.read_text().count("\n") <= rows:
        assert time.monotonic() < deadline, f"{path} did not get {rows} rows"
        time.sleep(0.002)


@pytest.mark.parametrize("rows", [1, 4, pytest.param(2, marks=pytest.mark.slow),
                                  pytest.param(5, marks=pytest.mark.slow)])
def test_sigkill_and_resume_give_the_same_bits_as_an_undisturbed_run(run, tmp_path, rows):
    out = tmp_path / "killed"
    training = process(*TRAIN, "--out", out)
    wait_for_rows(out / "log.csv", rows)
    training.kill()
    training.communicate()
    assert training.returncode == -signal.SIGKILL
    assert main(["train", "--out", str(out), "--resume", "--quiet"]) == 0
    for name in (LAST, BEST):
        one, other = files.read(run / name), files.read(out / name)
        assert one.metadata == other.metadata
        for arrays, others in ((one.parameters, other.parameters), (one.tensors, other.tensors)):
            assert all((arrays[key] == others[key]).all() for key in arrays | others)
    for name in ("log.csv", "validation.csv"):
        assert (run / name).read_text() == (out / name).read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_continue(tmp_path, number):
    out = tmp_path / "my run"
    training = process(*TRAIN[:-1], "--steps", "100000", "--out", out)
    wait_for_rows(out / "log.csv", 2)
    training.send_signal(number)
    _, error = training.communicate(timeout=60)
    assert training.returncode == 128 + number
    line = error.strip().splitlines()[-1]
    assert "stopped after step" in line
    assert line.endswith(f"continue with: minifcn train --out '{out}' --resume")


def test_the_command_of_a_run_repeated_with_resume_continues_it(tmp_path, run, capsys):
    command = [*TRAIN, "--out", str(tmp_path / "r")]
    assert main([*command, "--resume"]) == 0        # nothing there yet: it starts
    assert main([*command, "--resume"]) == 0        # done: nothing to do
    assert (tmp_path / "r" / "log.csv").read_text() == (run / "log.csv").read_text()
    assert "holds a run already; continue it with --resume" in fails(capsys, *command)
    assert "--rate is 0.5, but the run" in fails(capsys, *command, "--resume", "--rate", "0.5")


def test_finer_strides_start_from_coarser_ones(tmp_path, capsys):
    base = [*TRAIN[:-1], "--steps", "1"]
    assert main([*base, "--stride", "32", "--out", str(tmp_path / "32s")]) == 0
    capsys.readouterr()
    assert main(["train", "shapes", "--count", "12", "--size", "40", "40", "--steps", "1",
                 "--stride", "16", "--out", str(tmp_path / "16s"),
                 "--from", str(tmp_path / "32s" / LAST)]) == 0
    text = capsys.readouterr().out
    assert "copied (32)" in text and "kept their initial values: score_pool4.weight" in text
    assert minifcn.load(tmp_path / "16s" / LAST).config["fc_channels"] == 8
    error = fails(capsys, *base, "--out", tmp_path / "x", "--from", tmp_path / "16s" / LAST,
                  "--width", "0.1")
    assert "the checkpoint has width 0.03, not 0.1; leave out --width" in error


def test_other_classes_need_to_be_asked_for(run, tmp_path, capsys):
    street = tmp_path / "street"
    for part in ("images", "labels"):
        (street / part).mkdir(parents=True)
    for index in range(4):
        sample = Shapes(4, (40, 40))[index]
        Image.fromarray(sample.image).save(street / "images" / f"{index}.png")
        two = (sample.labels > 0).astype(np.uint8)
        Image.fromarray(two).save(street / "labels" / f"{index}.png")
    command = ["train", "folder", "--data", street, "--out", tmp_path / "two", "--from", run / BEST,
               "--steps", "2", "--batch", "1"]
    assert "has 7 classes, the data set 2; add --new-classes" in fails(capsys, *command)
    assert main([*map(str, command), "--new-classes"]) == 0
    text = capsys.readouterr().out
    assert "kept their initial values: score_fr.weight" in text
    assert minifcn.load(tmp_path / "two" / LAST).classes == 2


@pytest.mark.parametrize("arguments, message", [
    (["train", "--out", "{new}"], "no data set is named"),
    (["train", "--out", "{new}", "--resume"], "holds no run to resume"),
    (["train", "cityscapes", "--out", "{new}"], "invalid choice"),
    (["train", "camvid", "--out", "{new}"], "where is the data set camvid"),
    (["train", "camvid", "--data", "{empty}", "--out", "{new}"], "of CamVid in"),
    (["train", "shapes", "--out", "{new}", "--rate", "-1"], "rate must be above 0"),
    (["train", "shapes", "--out", "{new}", "--rate", "fast"], "invalid float value"),
    (["train", "shapes", "--out", "{new}", "--batch", "0"], "batch must be at least 1"),
    (["train", "shapes", "--out", "{new}", "--steps", "0"], "steps must be at least 1"),
    (["train", "shapes", "--out", "{new}", "--epochs", "inf"], "--epochs must be above 0"),
    (["train", "shapes", "--out", "{new}", "--flip", "2"], "flip is a probability"),
    (["train", "shapes", "--out", "{new}", "--width", "-1"], "width"),
    (["train", "shapes", "--out", "{new}", "--loss", "sum"], "needs a --rate"),
    (["train", "shapes", "--out", "{new}", "--new-classes"], "--from"),
    (["train", "shapes", "--out", "{new}", "--from", "{new}"], "no such file"),
    (["train", "shapes", "--out", "{new}", "--from", "{cut}"], "cut off"),
    (["evaluate", "{cut}", "shapes"], "cut off"),
    (["evaluate", "{run}", "camvid", "--data", "{empty}"], "of CamVid in"),
    (["evaluate", "{run}", "shapes", "--split", "night"], "splits train, val, test"),
    (["predict", "{cut}", "{photos}", "--out", "{new}"], "cut off"),
    (["predict", "{run}", "{new}", "--out", "{new}"], "neither a file nor a folder"),
    (["predict", "{run}", "{empty}", "--out", "{new}"], "holds no images"),
    (["summary", "0", "10"], "at least 1 x 1"),
    (["summary", "--width", "0"], "width"),
    (["summary", "--checkpoint", "{run}", "--width", "0.5"], "leave out --width"),
    (["doctor", "--threads", "0"], "--threads must be"),
    (["nothing"], "invalid choice"),
    ([], "required"),
])
def test_a_mistake_takes_one_line_and_writes_nothing(run, photos, tmp_path, capsys, arguments,
                                                    message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut").write_bytes((run / LAST).read_bytes()[:5000])
    places = {"new": tmp_path / "new", "cut": tmp_path / "cut", "run": run / BEST, "photos": photos,
              "empty": tmp_path / "empty"}
    assert message in fails(capsys, *(argument.format(**places) for argument in arguments))
    assert not (tmp_path / "new").exists()


def test_a_diverging_run_ends_with_exit_code_2(tmp_path, capsys):
    error = fails(capsys, *TRAIN, "--out", tmp_path / "r", "--optimizer", "sgd", "--rate", "1e12",
                  "--schedule", "constant")
    assert "image shapes-0-" in error and "rate 1e+12" in error
    assert files.read(tmp_path / "r" / LAST).metadata["training"]["progress"]["step"] == 0


# -- evaluate and predict -------------------------------------------------------------------------


def test_evaluate_prints_all_metrics_beside_the_baseline(run, tmp_path, capsys):
    assert main(["evaluate", str(run / BEST), "shapes", "--count", "3", "--out",
                 str(tmp_path / "e"), "--pictures", "2", "--quiet"]) == 0
    text = capsys.readouterr().out
    for word in ("pixel acc.", "mean acc.", "mean IU", "f.w. IU", "triangle",
                 "all-background baseline (every pixel 'background')"):
        assert word in text
    pictures = sorted((tmp_path / "e").iterdir())
    assert [path.name for path in pictures] == [
        "confusion.png", "panel.png", "shapes-1-0.png", "shapes-1-2.png"]
    for path in pictures:
        with Image.open(path) as picture:
            assert min(picture.size) > 100


def test_evaluate_refuses_another_number_of_classes(run, tmp_path, capsys):
    minifcn.FCN(classes=5, width=0.02, fc_channels=2).save(tmp_path / "five.safetensors")
    assert "the model has 5 classes, the data set 7" in fails(
        capsys, "evaluate", tmp_path / "five.safetensors", "shapes")


def test_predict_writes_masks_and_overlays_of_any_size(run, photos, tmp_path):
    before, out = contents(photos), tmp_path / "masks"
    assert main(["predict", str(run / BEST), str(photos), "--out", str(out), "--quiet"]) == 0
    model = minifcn.load(run / BEST)
    for name, size in (("wide", (61, 20)), ("tiny", (1, 1)), ("alpha", (33, 40)),
                       ("photo", (50, 32))):
        with Image.open(out / f"{name}.png") as mask:
            assert mask.mode == "P" and mask.size == size
            assert mask.getpalette()[:21] == model.palette.ravel().tolist()
        assert (out / f"{name}_overlay.png").exists()
    image = np.asarray(Image.open(photos / "wide.png"))
    assert (read_labels(out / "wide.png") == model.predict(image)).all()
    assert contents(photos) == before


def test_a_bad_file_is_reported_and_the_others_go_on(run, photos, tmp_path, capsys):
    (photos / "broken.png").write_bytes((photos / "wide.png").read_bytes()[:60])
    (photos / "text.jpg").write_text("no image")
    code = main(["predict", str(run / BEST), str(photos), "--out", str(tmp_path / "m"), "--quiet"])
    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert len(lines) == 3 and "broken.png" in lines[0] and "text.jpg" in lines[1]
    assert "2 of 6" in lines[2]
    assert len(list((tmp_path / "m").glob("*_overlay.png"))) == 4


def test_inputs_are_never_overwritten(run, photos, capsys):
    before = contents(photos)
    error = fails(capsys, "predict", run / BEST, photos, "--out", photos)
    assert "is a folder of images to read" in error
    assert contents(photos) == before
    assert main(["predict", str(run / BEST), str(photos / "photo.jpg"), "--out", str(photos),
                 "--quiet"]) == 0
    Image.new("L", (5, 5)).save(photos / "wide.jpg")
    before = contents(photos)
    del before[photos / "manifest.csv"]             # ours: it grows
    assert main(["predict", str(run / BEST), str(photos / "wide.jpg"), "--out", str(photos),
                 "--quiet"]) == 0
    assert contents(photos).items() > before.items()
    assert (photos / "wide-2.png").exists()         # wide.png was there, and is an image


def test_images_of_one_name_do_not_overwrite_each_others_masks(run, photos, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "x.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "a" / "x.jpg")
    assert main(["predict", str(run / BEST), str(tmp_path / "a"), str(tmp_path / "b"), "--out",
                 str(tmp_path / "m"), "--quiet"]) == 0
    assert len(list((tmp_path / "m").glob("*_overlay.png"))) == 3


# -- the rest -------------------------------------------------------------------------------------


def test_summary_shows_the_parameters_of_the_paper(capsys):
    assert main(["summary", "500", "500"]) == 0
    assert "134,362,751" in capsys.readouterr().out
    assert main(["summary", "500", "375", "--geometry", "caffe", "--positions"]) == 0
    assert "crop 31" in capsys.readouterr().out


def test_doctor_says_what_it_found(capsys):
    code = main(["doctor"])
    text = capsys.readouterr().out
    assert code == ("wrong:" in text)
    for word in ("numba", "threads", "threading layer", "vector unit", "cache", "memory"):
        assert word in text


def test_doctor_names_a_disabled_compiler():
    done = subprocess.run([sys.executable, "-m", "minifcn", "doctor"], capture_output=True,
                          text=True, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=False)
    assert done.returncode == 1 and "wrong: NUMBA_DISABLE_JIT is set" in done.stdout, done.stderr


def test_check_passes_its_verdict_on(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.py")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    layers = tmp_path / "layers.py"
    layers.write_text("import numpy as np\n\n\ndef relu_forward(x):\n    return np.abs(x)\n")
    assert main(["check", str(layers)]) == 1
    assert "relu_forward" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["demo", "train", "evaluate", "predict", "summary", "check",
                                     "doctor"])
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"Example:\n  minifcn {command}" in capsys.readouterr().out


def test_the_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"minifcn {minifcn.__version__}\n"


# -- for programs ---------------------------------------------------------------------------------


def printed_json(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) in (0, 1)
    return json.loads(capsys.readouterr().out)


def test_evaluate_prints_json_with_the_names_of_the_checkpoint(run, tmp_path, capsys):
    found = printed_json(capsys, "evaluate", run / BEST, "shapes", "--count", "2", "--json",
                         "--pictures", "0", "--out", tmp_path / "e")
    assert found["images"] == 2 and list(found["classes"]) == Shapes().class_names
    assert 0 <= found["mean_iu"] <= 1
    assert sum(each["pixels"] for each in found["classes"].values()) == 2 * 96 * 96
    assert not (tmp_path / "e").exists()


def test_summary_prints_json(capsys):
    found = printed_json(capsys, "summary", "64", "96", "--width", "0.25", "--json")
    assert found["parameters"] == sum(row["parameters"] for row in found["rows"])
    assert found["parameters"] == sum(
        array.size for array in minifcn.FCN(width=0.25, seed=None).parameters.values())
    assert found["receptive_field"] == 404
    assert {row["name"]: row["shape"] for row in found["rows"]}["fc6"] == [2, 3, 1024]


def test_doctor_prints_json_and_finds_the_kernels(capsys, run):
    found = printed_json(capsys, "doctor", "--json")
    caches = [fact["state"] for fact in found["facts"] if fact["what"] == "cache"]
    assert len(caches) == 2 and isinstance(found["wrong"], list)
    if minifcn.ops.engine_name() == "fast":
        assert re.search(r"fast-\w+ \([1-9]\d* kernels\)", " ".join(caches))


@pytest.mark.parametrize("line, words", [
    ("minifcn eva", ["evaluate"]), ("minifcn train --resu", ["--resume"]),
    ("minifcn train --optimizer ", ["adam", "sgd"]), ("minifcn summary --stride 1", ["16"])])
def test_a_shell_completes_lines(tmp_path, line, words):
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    done = subprocess.run(
        [sys.executable, "-m", "minifcn"], capture_output=True, text=True, check=False,
        env={**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)),
             "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "|"})
    assert done.returncode == 0, done.stderr
    assert sorted(word.strip() for word in answer.read_text().split("|")) == words

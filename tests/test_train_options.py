"""What ``minifcn train`` makes of options, recipes and config files, before and beside training."""
import sys

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn.cli import machine, main
from minifcn.cli.config import tomllib
from minifcn.data import Shapes
from minifcn.models import files
from minifcn.training.checkpoints import read_run
from minifcn.training.trainer import BEST, LAST
from tests.test_cli import TINY, fails

SHORT = ["train", "shapes", *TINY, "--count", "4", "--size", "33", "40", "--batch", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of 4 steps."""
    folder = tmp_path_factory.mktemp("run") / "r"
    assert main([*SHORT, "--steps", "4", "--flip", "0.5", "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def photos(tmp_path):
    """A folder of four labelled pictures with three classes."""
    for part in ("images", "labels"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for index in range(4):
        sample = Shapes(4, (40, 40))[index]
        Image.fromarray(sample.image).save(tmp_path / "photos" / "images" / f"{index}.png")
        Image.fromarray((sample.labels % 3).astype(np.uint8)).save(
            tmp_path / "photos" / "labels" / f"{index}.png")
    return tmp_path / "photos"


def parameters(path):
    return files.read(path).parameters


def test_a_run_writes_all_its_options_and_they_repeat_it(run, tmp_path):
    options = tomllib.loads((run / "config.toml").read_text())
    assert options["dataset"] == "shapes" and options["steps"] == 4 and options["flip"] == 0.5
    assert options["rate"] == 1e-3 and options["size"] == [33, 40] and "epochs" not in options
    again = tmp_path / "again"
    assert main(["train", "--config", str(run / "config.toml"), "--out", str(again),
                 "--quiet"]) == 0
    one, other = parameters(run / LAST), parameters(again / LAST)
    assert all((one[name] == other[name]).all() for name in one | other)
    assert tomllib.loads((again / "config.toml").read_text()) == options


def test_the_command_line_wins_over_the_file_and_the_file_over_the_recipe(tmp_path):
    config = tmp_path / "my.toml"
    config.write_text('dataset = "shapes"\nrecipe = "camvid"\nbatch = 2\nflip = 0.25\nsteps = 9\n'
                      'count = 4\nsize = [32, 32]\nfc-channels = 8\nwidth = 0.03\nquiet = true\n'
                      f'crop = [16, 16]\nout = "{tmp_path / "a"}"\n')
    assert main(["train", "--config", str(config), "--flip", "0.75", "--epochs", "0.5"]) == 0
    _, state = read_run(tmp_path / "a" / LAST)
    recipe = state.recipe
    assert (recipe["batch"], recipe["augmentation"]["flip"], recipe["steps"]) == (2, 0.75, 1)
    assert recipe["augmentation"]["colour"] == 0.2 and recipe["evaluate_every"] == 1300


@pytest.mark.parametrize("text, message", [
    ("crp = [1, 2]", "my.toml: there is no option 'crp'; did you mean crop?"),
    ("evaluate_every = 3", "no option 'evaluate_every'; did you mean evaluate-every?"),
    ("rate = 'fast'", "my.toml: argument --rate: invalid float value: 'fast'"),
    ("rate = true", "my.toml: rate is True; it should be a value"),
    ("at-once = 1", "my.toml: at-once is 1; it should be true or false"),
    ("stride = 7", "my.toml: argument --stride: invalid choice: 7"),
    ("crop = [1]", "my.toml: argument --crop: expected 2 arguments"),
    ("[network]\nwidth = 1", "there is no option 'network'"),
    ("dataset = 'moon'", "invalid choice: 'moon'"),
    ("config = 'other.toml'", "there is no option 'config'"),
    ("steps = 3\nepochs = 4", "not allowed with argument"),
    ("rate = ", "my.toml is not a TOML file: "),
    ("rate = 1\nrate = 2", "my.toml is not a TOML file: "),
    ("name = '\\xff'", "there is no option 'name'"),
])
def test_a_wrong_file_is_one_line(tmp_path, capsys, text, message):
    config = tmp_path / "my.toml"
    config.write_text(text)
    assert message in fails(capsys, "train", "--config", config, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_no_text_is_one_line(tmp_path, capsys):
    (tmp_path / "my.toml").write_bytes(b"\xff\xfe\x00")
    assert "is not a TOML file" in fails(capsys, "train", "--config", tmp_path / "my.toml")


@pytest.mark.parametrize("arguments, message", [
    (["train", "shapes"], "--out RUN is missing"),
    (["train", "shapes", "--out", "{new}", "--crp", "3", "3"],
     "minifcn train: there is no option --crp; did you mean --crop? (see minifcn train --help)"),
    (["summary", "3", "4", "5"], "unexpected argument '5' (see minifcn summary --help)"),
    (["evaluate", "x", "shapes", "--pictres=3"], "did you mean --pictures? (see minifcn evaluate"),
    (["train", "folder", "--data", "{new}", "--out", "{new}"], "--data {new}: there is no such"),
    (["train", "camvid", "--out", "{new}"], "--data PATH"),
    (["train", "shapes", "--from", "{new}", "--out", "{new}"], "--from {new}: there is no such"),
    (["train", "shapes", "--config", "{new}", "--out", "{new}"], "--config {new}: there is no"),
    (["train", "folder", "--data", "{run}", "--palette", "{new}", "--out", "{new}"],
     "--palette {new}: there is no"),
    (["evaluate", "{run}", "shapes"], "the best model of this run is {run}/best.safetensors"),
    (["evaluate", "{empty}", "shapes"], "a checkpoint is a file, such as best.safetensors"),
    (["train", "shapes", "--from", "{run}", "--out", "{new}"],
     "--from {run} is a folder; the best model of this run is {run}/best.safetensors"),
    (["summary", "--checkpoint", "{new}"], "--checkpoint {new}: there is no such file"),
    (["summary", "--positions", "--json"], "--positions has no --json"),
    (["train", "shapes", "--recipe", "moon", "--out", "{new}"], "invalid choice: 'moon'"),
    (["train", "shapes", "--patience", "-1", "--out", "{new}"], "patience must be at least 0"),
    (["evaluate", "{run}/best.safetensors", "shapes", "--pictures", "-1"], "--pictures must be"),
    (["evaluate", "{run}/best.safetensors", "shapes", "--count", "0"], "count has to be at least"),
])
def test_a_mistake_names_what_was_meant(run, tmp_path, capsys, arguments, message):
    places = {"new": tmp_path / "new", "run": run, "empty": tmp_path / "empty"}
    (tmp_path / "empty").mkdir()
    error = fails(capsys, *(argument.format(**places) for argument in arguments))
    assert message.format(**places) in error
    assert not (tmp_path / "new").exists()


def test_another_width_is_named_in_a_line(run, tmp_path, capsys):
    error = fails(capsys, *SHORT, "--steps", "1", "--width", "0.25", "--from", run / BEST, "--out",
                  tmp_path / "new")
    assert "the checkpoint has width 0.03, not 0.25; leave out --width" in error
    assert len(error) < 120


def test_a_recipe_leaves_the_network_of_the_checkpoint(run, tmp_path):
    assert main(["train", "shapes", "--count", "4", "--size", "33", "40", "--recipe", "folder",
                 "--steps", "1", "--quiet", "--from", str(run / BEST), "--out",
                 str(tmp_path / "b")]) == 0
    model, state = read_run(tmp_path / "b" / LAST)
    assert model.config["width"] == 0.03 and state.recipe["patience"] == 20


@pytest.mark.parametrize("steps", ["4", "2"])
def test_a_run_that_is_far_enough_says_so(run, capsys, steps):
    before = (run / LAST).read_bytes()
    assert main(["train", "--out", str(run), "--resume", "--steps", steps]) == 0
    text = capsys.readouterr().out
    assert f"nothing to do: the run in {run} is at step 4 of {steps}" in text
    assert (run / LAST).read_bytes() == before


def test_training_starts_from_the_packaged_network(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "streets", "--count", "2", "--size", "32", "48", "--steps", "1",
                 "--rate", "1e-9", "--from", "streets-8s", "--quiet", "--out", "r"]) == 0
    packaged, trained = minifcn.pretrained("streets-8s"), minifcn.load("r/last.safetensors")
    for name, weight in packaged.parameters.items():
        np.testing.assert_allclose(trained.parameters[name], weight, atol=1e-6)


def test_class_names_pass_from_stage_to_stage(photos, tmp_path, capsys):
    first = ["train", "folder", "--data", str(photos), "--batch", "2", "--steps", "1"]
    assert main([*first, *TINY, "--stride", "32", "--classes", "person", "cup", "cat", "--out",
                 str(tmp_path / "32s")]) == 0
    assert main([*first, "--stride", "8", "--from", str(tmp_path / "32s" / BEST), "--out",
                 str(tmp_path / "8s")]) == 0
    model = minifcn.load(tmp_path / "8s" / LAST)
    assert model.class_names == ["person", "cup", "cat"]
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "8s" / BEST), "folder", "--data", str(photos)]) == 0
    text = capsys.readouterr().out
    assert "person" in text and "cat" in text and "class 1" not in text


def test_memory_is_foretold(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minifcn.cli.runs.available_memory", lambda: 300 * 10**6)
    command = ["train", "shapes", "--width", "0.25", "--fc-channels", "64", "--steps", "1",
               "--count", "4", "--size", "480", "640", "--out", tmp_path / "new"]
    error = fails(capsys, *command, "--batch", "16")
    assert "a batch of 16 images of 480 x 640 pixels needs about 2.6 GB of memory, 0.3 GB" in error
    assert "use --batch 1 or --crop 160 160" in error
    with_crop = fails(capsys, *command, "--batch", "64", "--crop", "256", "256")
    assert "64 images of 256 x 256" in with_crop and "--batch 8 or --crop" in with_crop
    monkeypatch.setattr("minifcn.cli.runs.available_memory", lambda: 10**5)
    assert "use a smaller --width" in fails(capsys, *command)
    assert not (tmp_path / "new").exists()


def test_memory_that_runs_out_gives_advice_that_fits(tmp_path, capsys, monkeypatch):
    def too_large(*arguments, **options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(minifcn.FCN, "forward", too_large)
    command = [*SHORT, "--steps", "1", "--quiet"]
    error = fails(capsys, *command, "--out", tmp_path / "a")
    assert "Unable to allocate 9 TiB; use a smaller --batch, or windows by --crop H W" in error
    error = fails(capsys, *command, "--crop", "16", "16", "--out", tmp_path / "b")
    assert "use a smaller --batch, or a smaller --crop" in error


def test_help_begins_with_recipes(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert text.index("--recipe folder") < text.index("--recipe camvid") < text.index("options:")


def test_available_memory_is_a_number_of_bytes_on_linux():
    if sys.platform == "linux":
        assert 10**7 < machine.available_memory() < 10**14


def test_event_files_hold_the_log_also_after_resuming(tmp_path):
    pytest.importorskip("tensorboardX")
    out = tmp_path / "r"
    assert main([*SHORT, "--steps", "2", "--quiet", "--tensorboard", "--out", str(out)]) == 0
    assert main(["train", "--out", str(out), "--resume", "--steps", "3", "--quiet"]) == 0
    found = {}
    for path in sorted((out / "tensorboard").iterdir()):
        for step, tag, value in scalars(path):
            found.setdefault(tag, {})[step] = value
    rows = [row.split(",") for row in (out / "log.csv").read_text().splitlines()[1:]]
    assert found["log/loss"] == {int(row[0]): pytest.approx(float(row[3])) for row in rows}
    assert sorted(found["validation/mean_iu"]) == [2, 3]


def scalars(path):
    """(step, tag, value) of an event file, a record for each: length, its CRC, data, their CRC."""
    from tensorboardX.proto.event_pb2 import Event

    data = path.read_bytes()
    while data:
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12:12 + size])
        for value in event.summary.value:
            yield event.step, value.tag, value.simple_value
        data = data[16 + size:]


def test_without_tensorboardx_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    error = fails(capsys, *SHORT, "--steps", "1", "--tensorboard", "--out", tmp_path / "new")
    assert "pip install tensorboardX" in error and not (tmp_path / "new").exists()


def test_a_run_that_stopped_early_goes_on_with_another_patience(tmp_path, capsys):
    out = ["--out", str(tmp_path / "r")]
    assert main([*SHORT, "--steps", "30", "--rate", "1e-12", "--evaluate-every", "1", "--patience",
                 "2", *out]) == 0
    assert "stopped early: nothing better in 2 evaluations" in capsys.readouterr().out
    assert main(["train", "--resume", *out, "--steps", "40"]) == 0
    assert "at step 3 of 40; it stopped early, another --patience" in capsys.readouterr().out
    assert main(["train", "--resume", *out, "--steps", "40", "--patience", "4"]) == 0
    assert "nothing better in 4 evaluations" in capsys.readouterr().out

"""Faults that were found by attack, and small shares of what ``make soak`` does at length."""
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import minifcn
from minifcn import data, files
from minifcn.cli import main
from minifcn.training.checkpoints import read_run
from minifcn.training.trainer import LAST, Interrupted, Recipe, Trainer
from tests.soak.readers import READERS, mutated, try_input

UNIX = pytest.mark.skipif(os.name == "nt", reason="needs a Unix system")
SECURITY = Path(minifcn.__file__).parent.parent / "SECURITY.md"
ESCAPE = "\x1b[31m"


def network(**changes):
    return minifcn.FCN(**{"classes": 7, "width": 1 / 32, "fc_channels": 8, **changes})


def about_of(model):
    return {"format": "minifcn 1", "kind": "FCN", "config": model.config,
            "class_names": list(model.class_names), "palette": model.palette.tolist(),
            "preprocessing": model.preprocessing.to_dict(), "state": {}}


def write_checkpoint(path, arrays=None, **changes):
    model = network()
    arrays = {name: np.array(model.parameters[name]) for name in model.parameters} | (arrays or {})
    save_file(arrays, path, {"minifcn": json.dumps({**about_of(model), **changes})})
    return path


def one_message(raised, most=500):
    text = str(raised.value)
    assert len(text) <= most and text.isprintable(), text
    return text


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 200_000, ESCAPE + "red", "", "two\nlines", 7, None])
def test_class_names_of_a_checkpoint_are_short_and_can_be_printed(tmp_path, name):
    path = write_checkpoint(tmp_path / "a.safetensors", class_names=[name, *"bcdefg"])
    with pytest.raises(ValueError, match="class") as raised:
        minifcn.load(path)
    one_message(raised)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    weight = np.zeros_like(network().parameters["conv1_2.weight"])
    weight[0, 0, 1, 0] = value
    path = write_checkpoint(tmp_path / "a.safetensors", {"conv1_2.weight": weight})
    with pytest.raises(ValueError, match=r"conv1_2.weight holds NaN or infinity"):
        minifcn.load(path)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    path = write_checkpoint(tmp_path / "a.safetensors", state={"nested": [[]] * 1_000_000})
    with pytest.raises(ValueError, match="has a header of"):
        minifcn.load(path)
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])
    with pytest.raises(ValueError, match="cut off or not a safetensors file"):
        minifcn.load(path)


def test_names_of_arrays_do_not_reach_the_terminal_raw(tmp_path):
    path = write_checkpoint(tmp_path / "a.safetensors", {ESCAPE * 20_000: np.zeros(1, np.float32)})
    with pytest.raises(ValueError) as raised:
        minifcn.load(path)
    one_message(raised)


# -- only files are opened, and a signal ends any wait --------------------------------------------


@UNIX
@pytest.mark.parametrize("read", [data.read_image, data.read_labels, data.read_palette,
                                  minifcn.load, read_run])
def test_pipes_and_devices_are_not_opened(tmp_path, read):
    os.mkfifo(tmp_path / "x.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for path in (tmp_path / "x.png", tmp_path / "zero.png"):
        with pytest.raises((ValueError, OSError)):
            read(path)


class Hanging(data.Shapes):
    """A data set on a disk that does not answer any more."""

    def __init__(self, count, after):
        super().__init__(count, (32, 32))
        self.left = after

    def __getitem__(self, index):
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait()
        return super().__getitem__(index)


@UNIX
@pytest.mark.parametrize("training, validation", [(Hanging(8, 6), None),
                                                  (data.Shapes(8, (32, 32)), Hanging(4, 2))])
def test_a_signal_ends_the_wait_for_an_image(tmp_path, training, validation):
    trainer = Trainer(network(), training, Recipe(steps=8, batch=2, evaluate_every=2), validation,
                      tmp_path)
    with pytest.raises(Interrupted):
        trainer.run()
    assert read_run(tmp_path / LAST)[1].progress.step == trainer.progress.step > 0


# -- the state of a run ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of the command line, at step 2 of 4."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "shapes", "--out", str(folder), "--quiet", *SMALL.split()]) == 0
    return folder


SMALL = ("--size 32 32 --count 10 --steps 2 --batch 2 --evaluate-every 2 --width 0.03 "
         "--fc-channels 8")


def leaves(value, path=()):
    """The paths of all values in nested dictionaries and lists."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(
        value) if isinstance(value, list) else ()
    for key, child in children:
        yield from leaves(child, (*path, key))


def changed(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


WRONG = [None, True, -1, 10**30, 1e400, float("nan"), "text", [], {}, [[]], "x" * 100_000, ESCAPE]


@pytest.mark.parametrize("new", WRONG, ids=lambda new: repr(new)[:12])
def test_a_damaged_state_is_one_clear_error(run, tmp_path, new, capsys):
    """A value of the state becomes something else; --resume says so, or goes on."""
    from safetensors import safe_open

    with safe_open(run / LAST, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}      # noqa: SIM118
        text = json.loads(file.metadata()["minifcn"])
    folder = tmp_path / "run"
    folder.mkdir()
    paths = [path for path in leaves(text["state"]) if path]
    for path in paths[[*map(repr, WRONG)].index(repr(new)) % 6::6]:
        damaged = {**text, "state": changed(text["state"], path, new)}
        save_file(arrays, folder / LAST, {"minifcn": json.dumps(damaged)})
        code = main(["train", "--out", str(folder), "--resume", "--quiet"])
        said = capsys.readouterr().err
        assert code == (2 if said else 0) and len(said) <= 520 and said.count("\n") <= 1, path


def test_a_second_training_in_one_folder_is_refused(tmp_path, capsys):
    with files.held(tmp_path):
        trainer = Trainer(network(), data.Shapes(4, (32, 32)), Recipe(steps=1), folder=tmp_path)
        with pytest.raises(ValueError, match=rf"in use by process {os.getpid()} on "):
            trainer.run()
        command = ["train", "shapes", "--out", str(tmp_path), "--quiet", *SMALL.split()]
        assert main(command) == 2 and "in use by process" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    trainer.run()
    with pytest.raises(ValueError, match="holds a run already"):
        Trainer(network(), data.Shapes(4, (32, 32)), Recipe(steps=1), folder=tmp_path).run()


@UNIX
def test_a_lock_dies_with_its_process(tmp_path):
    code = ("import sys, time, pathlib; from minifcn import files\n"
            "with files.held(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(99)")
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match=f"process {other.pid} "), files.held(tmp_path):
            pass
        other.kill()
        other.wait()
        with files.held(tmp_path):
            pass


def test_a_run_that_went_on_elsewhere_is_not_taken_back(run, tmp_path):
    model, state = read_run(run / LAST)
    recipe = Recipe.from_dict(state.recipe)
    one, other = (Trainer(model, data.Shapes(10, (32, 32)), Recipe(**{
        **asdict(recipe), "steps": 3, "augmentation": recipe.augmentation}), None, tmp_path,
        state._replace(source={**state.source, "images": 10})) for _ in range(2))
    one.run()
    with pytest.raises(ValueError, match=r"another process has trained the run .* to step 3"):
        other.run()


def test_a_wrong_first_command_does_not_block_the_right_one(tmp_path, capsys):
    right = ["train", "shapes", "--out", str(tmp_path / "run"), "--quiet", *SMALL.split()]
    assert main([*right, "--rate", "1e30"]) == 2
    assert (tmp_path / "run" / LAST).exists()
    assert main(right) == 0
    assert read_run(tmp_path / "run" / LAST)[1].progress.step == 2
    assert main(right) == 2 and "holds a run already" in capsys.readouterr().err


# -- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [2**31 - 1, 65535, 1000])
def test_one_pixel_does_not_decide_how_many_classes_there_are(tmp_path, value):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for name in "abc":
        Image.new("RGB", (4, 3)).save(tmp_path / "images" / f"{name}.png")
        labels = np.zeros((3, 4), np.int32)
        labels[0, 1] = value if name == "b" else 1
        Image.fromarray(labels).save(tmp_path / "labels" / f"{name}.tif")
    with pytest.raises(ValueError, match=rf"b.tif has the label {value}"):
        data.Folder(tmp_path)


def test_labels_of_any_data_set_are_judged_before_they_are_counted():
    class Wrong(data.Shapes):
        def __getitem__(self, index):
            image, labels, name = super().__getitem__(index)
            labels = labels.astype(np.int64)
            labels[2, 3] = 2**40
            return data.Sample(image, labels, name)

    assert "label 1099511627776 at row 2, column 3" in data.survey(Wrong(1, (8, 8))).faults[0]
    with pytest.raises(ValueError, match="label 1099511627776"):
        minifcn.training.median_frequency((sample.labels for sample in [Wrong(1, (8, 8))[0]]), 7,
                                          255)


# -- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    "--width inf", "--width nan", "--scale 2 inf", "--scale nan 1", "--count 100000000000000000000",
    "--crop 4294967296 4294967296", "--batch 10000000000000000000000",
    "--seed 99999999999999999999",
    "--evaluate-every 99999999999999999999999", "--epochs 1e300", "--epochs nan", "--rate inf",
    "--size 10000000000 1", "--dropout nan", "--momentum inf", "--flip nan", "--colour inf",
    "--out=--", "--rate=--", "--data=--", "--crop=--", "--classes=--", "--config=--",
    "--config /dev/zero", "--patience 1e5", "--fc-channels 100000000000"])
def test_a_number_that_cannot_be_meant_is_one_line(tmp_path, options, capsys):
    words = ["train", "shapes", "--out", str(tmp_path / "run"), "--quiet", *SMALL.split()]
    if "--epochs" in options:
        words = [word for word in words if word not in ("--steps",)]
        words.remove("2")
    try:
        code = main([*words, *options.split()])
    except SystemExit as stopped:
        code = stopped.code
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and len(said) < 600
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", ["summary 1000000 1000000", "summary --classes 100000000"])
def test_a_summary_of_what_cannot_be_is_one_line(words, capsys):
    assert main(words.split()) == 2
    assert capsys.readouterr().err.count("\n") == 1


@UNIX
def test_a_folder_whose_name_is_not_utf8_trains_and_resumes(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("names are UTF-8 on this file system")
    assert main(["train", "shapes", "--out", folder, *SMALL.split()]) == 0
    assert main(["train", "--out", folder, "--resume", "--steps", "3"]) == 0


@UNIX
def test_a_name_of_255_bytes_and_one_with_escapes_are_segmented(tmp_path, capsys):
    places = [tmp_path / ("x" * 251 + ".png"), tmp_path / f"{ESCAPE}red.png", tmp_path / "b.png"]
    for place in places:
        Image.new("RGB", (20, 10)).save(place)
    (tmp_path / f"{ESCAPE}broken.png").write_bytes(b"no picture")
    assert main(["predict", "streets-8s", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err and r"\x1b[31mbroken.png" in said.err
    assert len(list((tmp_path / "out").glob("*_overlay.png"))) == 3


@UNIX
@pytest.mark.parametrize("closed", ["2>&-", pytest.param("2> >(exit)", marks=pytest.mark.slow)])
def test_nobody_has_to_listen(tmp_path, closed):
    command = (f"{sys.executable} -m minifcn train shapes --out {tmp_path}/run {SMALL} {closed}; "
               "exit $?")
    assert subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL).returncode == 0
    assert read_run(tmp_path / "run" / LAST)[1].progress.step == 2


def test_a_config_file_holds_no_other_options(tmp_path, capsys):
    for text in ('classes = ["--help"]', 'dataset = "--help"', "x = " + "[" * 5000, 'out = "--"',
                 f'seed = "{"9" * 5000}"', "crop = [[1], {a = 1}]", "\xff"):
        (tmp_path / "a.toml").write_text(text, encoding="latin-1")
        assert main(["train", "--config", str(tmp_path / "a.toml"), "--out", "x"]) == 2, text
        assert len(capsys.readouterr().err) < 600


# -- Ctrl-C ---------------------------------------------------------------------------------------


LEAVING = """
import signal, sys
from minifcn import leaving
signal.signal(signal.SIGINT, leaving.leave)     # whoever starts the tests may ignore it
print("ready", flush=True)
sys.exit(leaving.main())
"""


def interrupted(command, folder, until=lambda: True):
    """What a command says when Ctrl-C comes as soon as ``until`` is true."""
    with subprocess.Popen([sys.executable, "-c", LEAVING, *command.split()], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        while not until() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    return said


@UNIX
def test_ctrl_c_ends_a_command_that_starts_without_a_traceback(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    later = iter([False] * 20)
    for until in (lambda: True, lambda: next(later, True)):
        said = interrupted("predict streets-8s a.png", tmp_path, until)
        assert said == "minifcn: interrupted\n"


@UNIX
def test_ctrl_c_ends_a_check_at_once(tmp_path):
    (tmp_path / "homework.py").write_text(
        "import time\ndef relu_forward(x):\n    time.sleep(600)\n")
    later = iter([False] * 100)
    said = interrupted("check homework.py --seconds 500", tmp_path, lambda: next(later, True))
    assert said == "minifcn: interrupted\n"


@UNIX
def test_ctrl_c_leaves_a_list_of_what_is_there(tmp_path):
    for number in range(400):
        Image.new("RGB", (60 + number, 50)).save(tmp_path / f"{number}.png")
    out = tmp_path / "masks"
    said = interrupted("predict streets-8s . --quiet", tmp_path, lambda: len(
        list(out.glob("*_overlay.png")) if out.exists() else []) > 3)
    assert said == "minifcn: interrupted\n" and not list(out.glob(".*"))
    lines = (out / "manifest.csv").read_text().splitlines()
    assert len(lines) > 3 and all((out / line.split(",")[1]).exists() for line in lines[1:])


# -- text -----------------------------------------------------------------------------------------


def test_logs_are_utf8_in_every_locale(tmp_path):
    code = ("import sys; from minifcn.training.log import Log\n"
            "from pathlib import Path\n"
            "names = 'step', 'iu stra\\u00dfe'\n"
            "Log(Path(sys.argv[1]), names).add(1, 0.5)\nLog(Path(sys.argv[1]), names, 1)\n")
    path = tmp_path / "log.csv"
    subprocess.run([sys.executable, "-W", "error::EncodingWarning", "-X", "warn_default_encoding",
                    "-X", "utf8=0", "-c", code, path], check=True,
                   env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"})
    assert path.read_text(encoding="utf-8") == "step,iu straße\n1,0.5\n"


def test_damaged_rows_of_a_log_are_left_out(tmp_path):
    from minifcn.training.log import Log

    path = tmp_path / "log.csv"
    path.write_bytes(b'step,loss\n1,0.5\nx,y\n2,0.4\n\0\0\0\n"3,0.2\n4,\xff\n3,0.3\n4,0.2\n')
    Log(path, ("step", "loss"), 3)
    assert path.read_text() == "step,loss\n1,0.5\n2,0.4\n3,0.3\n"


# -- images ---------------------------------------------------------------------------------------


def huge_png(width, height, depth, colour):
    """A few kB that claim to be a large picture, and are one."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(
            ">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(9), bytes(1 + width * depth // 8 * {2: 3, 6: 4}.get(colour, 1))
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", width, height, depth, colour, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(
            b"IEND", b"")


@UNIX
@pytest.mark.parametrize("read", ["read_image", "read_labels"])
@pytest.mark.parametrize("depth, colour", [(1, 0), (8, 6), (16, 0), (8, 2)])
def test_small_files_take_no_more_memory_than_is_foretold(tmp_path, monkeypatch, read, depth,
                                                          colour):
    import resource

    side = 2000
    (tmp_path / "a.png").write_bytes(huge_png(side, side, depth, colour))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setenv("MINIFCN_MEGABYTES", "10")
    with pytest.raises(ValueError, match=r"MB of memory, more than the limit of 10 MB"):
        getattr(data, read)(tmp_path / "a.png")
    monkeypatch.setenv("MINIFCN_MEGABYTES", "40")
    if read == "read_image":
        assert data.read_image(tmp_path / "a.png").shape == (side, side, 3)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < 80e6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_are_turned_as_the_whole_picture_is(tmp_path, orientation, monkeypatch):
    from PIL import ImageOps

    from minifcn.data import images
    monkeypatch.setattr(images, "BAND", 5)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 7, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(data.read_image(tmp_path / "a.png"), expected)
    assert images.image_size(tmp_path / "a.png") == expected.shape[:2]


@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf"])
def test_a_limit_that_is_none_is_said(tmp_path, monkeypatch, value):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    monkeypatch.setenv("MINIFCN_MEGAPIXELS", value)
    with pytest.raises(ValueError, match="MINIFCN_MEGAPIXELS is"):
        data.read_image(tmp_path / "a.png")


def test_the_limit_of_pixels_can_be_set(tmp_path, monkeypatch):
    Image.new("RGB", (400, 300)).save(tmp_path / "a.png")
    monkeypatch.setenv("MINIFCN_MEGAPIXELS", "0.1")
    with pytest.raises(ValueError, match="120,000 pixels, more than the limit of 100,000"):
        data.read_image(tmp_path / "a.png")
    assert data.read_image(tmp_path / "a.png", limit=120_000).shape == (300, 400, 3)


# -- a share of the soak --------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_every_reader_gives_a_result_or_our_own_error(reader, tmp_path):
    for number in range(4 if reader.name == "options" else 20):
        assert try_input(reader, mutated(reader, number), tmp_path) in ("result", "error")


def test_regressions_stay_mended(tmp_path):
    for path in sorted(Path(__file__).parent.glob("soak/found/*")):
        name = path.name.rpartition("-")[0]
        reader = next(each for each in READERS if each.name == name)
        assert try_input(reader, path.read_bytes(), tmp_path) in ("result", "error")


# -- SECURITY.md ----------------------------------------------------------------------------------

OPENS = re.compile(r"(?<![\w.])(open|open_file|read_text|safe_open|exec|written_whole)\("
                   r"|\.(read_bytes|read_text|write_text|write_bytes|exec_module|urlopen)\("
                   r"|\bos\.(open|fork|exec\w*)\(|Popen\(|subprocess\.run|ZipFile\(|Image\.open\("
                   r"|build_opener\(|HTTPServer\(")


@pytest.mark.skipif(not SECURITY.exists(), reason="needs the checkout")
def test_every_place_that_opens_something_stands_in_security_md():
    """By its own name, or by that of its folder; what writes whole files does so in one place."""
    package, said = Path(minifcn.__file__).parent, SECURITY.read_text(encoding="utf-8")
    for path in package.rglob("*.py"):
        place = path.relative_to(package)
        named = f"{place.as_posix()}`" in said or f"`{place.parent.as_posix()}/`" in said
        opened = {match[0] for match in OPENS.finditer(path.read_text(encoding="utf-8"))}
        assert named or opened <= {"written_whole(", ".write_text(", ".write_bytes("}, (place,
                                                                                        opened)

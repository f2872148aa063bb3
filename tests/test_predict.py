"""minifcn predict and model.predict: which pictures, which files, and that nothing is lost."""
import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

import minifcn
from minifcn import predicting
from minifcn.cli import main
from minifcn.data import images as reading
from minifcn.data import read_image, read_labels
from minifcn.models import tiling
from tests.test_cli import contents, fails

RNG = np.random.default_rng(5)
DOCS = Path(__file__).parents[1] / "docs" / "predict.md"


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def save(path, height=9, width=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width)).save(path)
    return path


@pytest.fixture(scope="module")
def model():
    """A network whose masks have many classes."""
    model = minifcn.FCN(8, 5, width=0.03, fc_channels=8, seed=1)
    rng = np.random.default_rng(2)
    for name, values in model.parameters.items():
        if name.startswith("score"):
            values[...] = rng.standard_normal(values.shape)
    return model


@pytest.fixture
def here(tmp_path, monkeypatch, model):
    """An empty folder to work in, with a checkpoint that has a packaged model's name."""
    monkeypatch.chdir(tmp_path)
    model.save("streets-8s")
    return tmp_path


def predict(*arguments):
    return main(["predict", "streets-8s", *map(str, arguments), "--quiet"])


def manifest(out="masks"):
    with open(Path(out, "manifest.csv"), newline="") as file:
        return {row["picture"]: row["mask"] for row in csv.DictReader(file)}


def mask_of(path, out="masks"):
    return read_labels(Path(out, manifest(out)[str(path)]))


# -- model.predict --------------------------------------------------------------------------------


def test_a_path_a_pillow_image_and_an_array_give_the_same_mask(model, tmp_path):
    path = save(tmp_path / "a.png", 20, 30)
    array = read_image(path)
    mask = model.predict(array)
    assert len(np.unique(mask)) > 1
    with Image.open(path) as picture:
        for each in (path, str(path), picture, picture.convert("RGBA")):
            np.testing.assert_array_equal(model.predict(each), mask)
        np.testing.assert_array_equal(model.probabilities(picture), model.probabilities(array))
        for each in model.predict([path, picture, array]):
            np.testing.assert_array_equal(each, mask)
    assert model.predict([]) == []


def test_grey_and_turned_pillow_images_are_seen_as_a_viewer_shows_them(model):
    grey = Image.fromarray(noise(12, 8)).convert("L")
    np.testing.assert_array_equal(model.predict(grey), model.predict(np.asarray(
        grey.convert("RGB"))))
    turned = Image.fromarray(noise(12, 8))
    turned.getexif()[reading.ORIENTATION] = 6
    assert model.predict(turned).shape == (8, 12)


def test_equal_pictures_go_through_together_and_get_the_same_bits(model, engine, monkeypatch):
    sizes = [(1, 1)] * 2 + [(20, 13)] * 3 + [(13, 20)] + [(20, 13)] * 2
    pictures = [noise(*size) for size in sizes]
    scores = [next(tiling.predict_scores(model, picture))[1] for picture in pictures]
    together = [scores for batch in tiling.batches(model, pictures)
                for scores in next(tiling.predict_scores(model, np.stack(batch)))[1]]
    for one, other in zip(scores, together):
        np.testing.assert_array_equal(one, other)
    passes, forward = [], model.forward
    monkeypatch.setattr(model, "forward", lambda x: passes.append(len(x)) or forward(x))
    masks = model.predict(pictures)
    assert passes == [2, 3, 1, 2]
    for mask, picture in zip(masks, pictures):
        np.testing.assert_array_equal(mask, model.predict(picture))


def test_a_batch_holds_what_fits(model):
    pictures = [noise(40, 40)] * 40
    sizes = [len(batch) for batch in tiling.batches(model, pictures)]
    assert sum(sizes) == 40 and max(sizes) == tiling.MOST
    few = tiling.batches(model, pictures, 3 * tiling.forward_bytes(model, 40, 40))
    assert {len(batch) for batch in few} == {3, 1}
    assert {len(batch) for batch in tiling.batches(model, pictures, 1)} == {1}


# -- which pictures -------------------------------------------------------------------------------


def test_frames_come_in_natural_order(tmp_path):
    for number in (10, 2, 1, "", 33):
        save(tmp_path / f"frame{number}.png")
    images, _ = predicting.find_images([str(tmp_path)], tmp_path / "masks")
    assert [path.stem for path in images] == [
        "frame", "frame1", "frame2", "frame10", "frame33"]


def test_folders_below_are_read_with_recursive_but_not_the_masks(here):
    for path in ("p/a.png", "p/below/a.png", "p/below/deep/b.jpg", "p/.hidden/c.png"):
        save(Path(path))
    assert predict("p") == 0 and list(manifest()) == ["p/a.png"]
    assert predict("p", "--recursive", "--out", "p/masks") == 0
    expected = {"p/a.png": "a.png", "p/below/a.png": "a-2.png", "p/below/deep/b.jpg": "b.png"}
    assert manifest("p/masks") == expected
    before = contents(here / "p" / "masks")
    assert predict("p", "--recursive", "--out", "p/masks") == 0
    assert contents(here / "p" / "masks") == before


def test_patterns_and_what_is_skipped(here, capsys, monkeypatch):
    for module in (reading, predicting):
        monkeypatch.setattr(module, "modern_formats", dict)
    for name in ("a.png", "b2.jpg", "b10.jpg"):
        save(Path("p", name))
    for name in ("c.txt", "d.TXT", "e.heic", "f"):
        Path("p", name).write_bytes(b"x")
    assert predict("p/*.jpg", "p/b2.jpg") == 0
    assert list(manifest()) == ["p/b2.jpg", "p/b10.jpg"]
    assert capsys.readouterr().err == ""
    assert predict("p", "--out", "m") == 0
    line = capsys.readouterr().err
    assert line.startswith("minifcn: skipped 4: 2 .txt, ") and line.count("\n") == 1
    assert "1 .heic" in line and line.endswith("to read such pictures: pip install pillow-heif\n")
    Path("q").mkdir()
    Path("q/x.txt").touch()
    assert "holds no images" in (error := fails(capsys, "predict", "streets-8s", "q"))
    assert "skipped 1: .txt" in error
    assert "holds no images" in fails(capsys, "predict", "streets-8s", "p/*.gif")


@pytest.mark.parametrize("arguments, message", [
    ([], "no model is given: minifcn predict MODEL PICTURE; MODEL is a checkpoint, or the name"),
    (["a.png"], "no model is given: minifcn predict MODEL a.png"),
    (["a.png", "b.png"], "no model is given: minifcn predict MODEL a.png"),
    (["p"], "no model is given: minifcn predict MODEL p"),
    (["streets-8s"], "no picture is given"),
    (["run", "a.png"], "run is a folder; the best model of this run is run/best.safetensors"),
    (["run"], "run is a folder; the best model of this run is run/best.safetensors"),
    (["street-8s", "a.png"], "no pretrained model of that name"),
    (["streets-8s", "nothing.png"], "neither a file nor a folder"),
    (["streets-8s", "a.png", "--scale", "0"], "--scale must be above 0"),
    (["streets-8s", "a.png", "--scale", "nan"], "--scale must be above 0"),
    (["streets-8s", "a.png", "--alpha", "1.5"], "--alpha must be 0 to 1"),
    (["streets-8s", "a.png", "--out", "a.png"], "--out a.png is not a folder"),
    (["streets-8s", "p", "--out", "p"], "is a folder of images to read"),
])
def test_mistakes_take_one_line_and_write_nothing(here, capsys, arguments, message):
    save(Path("a.png"))
    save(Path("p/b.png"))
    Path("run").mkdir()
    Path("run/best.safetensors").touch()
    before = contents(here)
    assert message in fails(capsys, "predict", *arguments)
    assert contents(here) == before


# -- what is written ------------------------------------------------------------------------------


def test_the_manifest_maps_pictures_to_masks_and_grows(here, model):
    first, second = save(Path("a, b.png"), 5, 8), save(Path("ü.jpg"), 12, 4)
    assert predict(first) == 0 and predict(second) == 0
    with open("masks/manifest.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["picture", "mask", "height", "width"],
                                          ["a, b.png", "a, b.png", "5", "8"],
                                          ["ü.jpg", "ü.png", "12", "4"]]
    np.testing.assert_array_equal(mask_of("ü.jpg"), model.predict(second))


def test_only_masks_of_the_same_picture_are_replaced(here):
    save(Path("images/a.png"))
    save(Path("masks/a.png"))                   # the user's own, the truth perhaps
    Path("masks/b_overlay.png").write_text("mine")
    truth = contents(here / "masks")
    for _ in range(2):
        assert predict("images") == 0
        assert manifest() == {"images/a.png": "a-2.png"}
    save(Path("images/b.png"))
    save(Path("other/a.png"))
    assert predict("images", "other") == 0
    assert manifest() == {"images/a.png": "a-2.png", "images/b.png": "b-2.png",
                          "other/a.png": "a-3.png"}
    assert contents(here / "masks").items() >= truth.items()


@pytest.mark.parametrize("text", [
    "image,label\n1,2\n", "", "picture,mask,height,width\na,b.png,x,1\n",
    "picture,mask,height,width\na.png,../a.png,1,1\n"])
def test_another_manifest_is_left_alone(here, capsys, text):
    save(Path("a.png"))
    Path("masks").mkdir()
    Path("masks/manifest.csv").write_text(text)
    before = contents(here)
    assert "not written by minifcn predict" in fails(capsys, "predict", "streets-8s", "a.png")
    assert contents(here) == before


def test_long_names_and_names_that_differ_in_case(here, model):
    long = ["ä" * 125 + "a.png", "ä" * 125 + "b.png"]       # 255 bytes
    for name in (*long, "cat.png", "CAT.jpg", "e\u0301.png", "\u00e9.jpg"):
        save(Path("p", name))
    assert predict("p", "--probabilities") == 0
    masks = manifest()
    assert len(masks) == 6 and len({name.casefold() for name in masks.values()}) == 6
    assert sorted(masks[f"p/{name}"] for name in ("cat.png", "CAT.jpg")) in (
        ["CAT-2.png", "cat.png"], ["CAT.png", "cat-2.png"])
    for picture in masks:
        np.testing.assert_array_equal(mask_of(picture), model.predict(picture))
    assert len(list(Path("masks").iterdir())) == 3 * 6 + 1


def test_one_unreadable_picture_does_not_stop_the_others(here, capsys):
    for name in ("a.png", "b.png", "c.png"):
        save(Path("p", name))
    Path("p/b.png").write_bytes(Path("p/a.png").read_bytes()[:70])
    Path("p/b2.png").touch()
    assert predict("p", "--json") == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 3 and "b.png" in lines[0] and "empty" in lines[1]
    assert "2 of 4 images could not be read" in lines[2]
    answer = json.loads(captured.out)
    assert [each["picture"] for each in answer["pictures"]] == ["p/a.png", "p/c.png"]
    assert [each["picture"] for each in answer["failed"]] == ["p/b.png", "p/b2.png"]
    assert manifest() == {"p/a.png": "a.png", "p/c.png": "c.png"}


def test_json_says_what_was_written(here, capsys):
    save(Path("a.png"), 6, 10)
    assert predict("a.png", "--json", "--no-overlay", "--probabilities") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "model": "streets-8s", "out": "masks", "manifest": str(Path("masks/manifest.csv")),
        "pictures": [{"picture": "a.png", "mask": str(Path("masks/a.png")),
                      "probabilities": str(Path("masks/a_probabilities.npy")),
                      "height": 6, "width": 10}],
        "failed": [], "skipped": {}}
    assert sorted(path.name for path in Path("masks").iterdir()) == [
        "a.png", "a_probabilities.npy", "manifest.csv"]


def test_probabilities_belong_to_the_mask(here, model):
    path = save(Path("a.png"), 21, 34)
    assert predict(path, "--probabilities") == 0
    found = np.load("masks/a_probabilities.npy")
    assert found.dtype == np.float16 and found.shape == (21, 34, 5)
    np.testing.assert_array_equal(found, model.probabilities(path).astype(np.float16))
    np.testing.assert_array_equal(mask_of(path), model.predict(path))


@pytest.mark.parametrize("scale, small", [("0.5", (20, 15)), ("1.5", (60, 45)), ("0.001", (1, 1))])
def test_scale_gives_masks_of_the_pictures_size(here, model, scale, small):
    path = save(Path("a.png"), 40, 30)
    with Image.open(path) as picture:
        shrunk = np.asarray(picture.resize(small[::-1], Image.Resampling.BILINEAR))
    mask = model.predict(shrunk)
    rows = ((np.arange(40) + 0.5) * small[0] / 40).astype(int)
    columns = ((np.arange(30) + 0.5) * small[1] / 30).astype(int)
    assert predict(path, "--scale", scale, "--probabilities") == 0
    np.testing.assert_array_equal(mask_of(path), mask[rows][:, columns])
    np.testing.assert_array_equal(np.load("masks/a_probabilities.npy"), model.probabilities(
        shrunk).astype(np.float16)[rows][:, columns])


def test_alpha_is_the_opacity_of_the_colours(here, model):
    save(Path("a.png"), 40, 50)
    pictures = {}
    for alpha in ("0", "1"):
        assert predict("a.png", "--alpha", alpha) == 0
        pictures[alpha] = read_image("masks/a_overlay.png")[:40, :50].reshape(-1, 3)
    classes = set(map(tuple, model.palette.tolist()))
    assert set(map(tuple, pictures["1"].tolist())) <= classes
    assert not set(map(tuple, pictures["0"].tolist())) <= classes


def test_memory_is_foretold_before_a_picture_is_read(here, model, capsys, monkeypatch):
    save(Path("large.png"), 300, 400)
    save(Path("small.png"), 10, 10)
    half = predicting.predict_bytes(model, 300, 400, 0.5, False)
    assert half < predicting.predict_bytes(model, 300, 400, 1, False)
    assert half < predicting.predict_bytes(model, 300, 400, 0.5, True)
    monkeypatch.setattr("minifcn.cli.machine.available_memory", lambda: half)
    read = []
    monkeypatch.setattr(predicting, "read_image", lambda path: read.append(path.name)
                        or read_image(path))
    assert predict("large.png", "small.png") == 2
    error = capsys.readouterr().err
    assert "large.png has 400 x 300 pixels and needs about" in error
    assert "use --scale 0.5" in error and read == ["small.png"]
    assert predict("large.png", "--scale", "0.5") == 0
    monkeypatch.setattr("minifcn.cli.machine.available_memory", lambda: None)
    assert predict("large.png") == 0
    assert predict("large.png", "--scale", "100") == 2      # 1.2 billion pixels
    assert "more than the limit of" in capsys.readouterr().err


# -- pictures of telephones -----------------------------------------------------------------------


@pytest.mark.parametrize("brand, name, package", [
    (b"heic", "HEIC", "pillow-heif"), (b"mif1", "HEIC", "pillow-heif"),
    (b"avif", "AVIF", "pillow")])
def test_what_to_install_for_telephones_pictures(here, capsys, monkeypatch, brand, name, package):
    monkeypatch.setattr(reading, "modern_formats", dict)
    Path("photo.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0" * 40)
    error = fails(capsys, "predict", "streets-8s", "photo.jpg")
    assert f"photo.jpg is {name}; to read such pictures: pip install" in error
    assert error.endswith(f"{package}\n") and not Path("masks").exists()


@pytest.mark.parametrize("suffix, module", [(".heic", "pillow_heif"), (".avif", None)])
def test_telephones_pictures_are_read_where_that_is_possible(here, suffix, module):
    if module:
        pytest.importorskip(module)
    elif "avif" not in features.modules or not features.check_module("avif"):
        pytest.skip("this Pillow knows no AVIF")
    reading.modern_formats()
    picture = Image.new("RGB", (40, 24), (200, 30, 30))
    Path("p").mkdir()
    picture.save(f"p/photo{suffix}")
    image = read_image(f"p/photo{suffix}")
    assert image.shape == (24, 40, 3) and abs(image.astype(int) - (200, 30, 30)).max() < 12
    assert predict("p") == 0 and list(manifest()) == [f"p/photo{suffix}"]


# -- the page -------------------------------------------------------------------------------------


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_commands_of_the_page_run(here, capsys):
    for path in ("photo.jpg", "photos/1.jpg", "photos/below/2.jpg", "frames/frame1.png"):
        save(Path(path), 24, 32)
    commands = [line for block in blocks("sh") for line in block.splitlines()
                if line.startswith("minifcn")]
    assert len(commands) >= 6
    for command in commands:
        assert main(shlex.split(command, comments=True)[1:]) == 0, command


def test_the_python_of_the_page_runs(here, capsys, monkeypatch):
    for path in ("a.jpg", "b.jpg"):
        save(Path(path), 24, 32)
    assert predict("a.jpg", "--probabilities") == 0
    monkeypatch.setattr(minifcn, "pretrained", minifcn.load, raising=False)
    for block in blocks("python"):
        exec(compile(block, str(DOCS), "exec"), {})

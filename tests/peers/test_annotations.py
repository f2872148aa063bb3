"""Annotations as other programs write them: run lengths of pycocotools, ids of Cityscapes."""
import json

import numpy as np
import pytest
from PIL import Image

from minifcn.data import import_annotations, open_dataset
from minifcn.data.importing import CITYSCAPES_IDS
from minifcn.palette import CITYSCAPES

pytestmark = [pytest.mark.peers,
              pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_of_pycocotools(tmp_path, compressed):
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    annotations, images, masks = [], [], []
    for k, density in enumerate((0.02, 0.5, 0.98, 0.0, 1.0)):
        height, width = (int(each) for each in rng.integers(5, 90, 2))
        mask = rng.random((height, width)) < density
        if k == 1:
            mask = np.kron(rng.random((height, width)) < density, np.ones((3, 7))) > 0
            height, width = mask.shape
        Image.new("RGB", (width, height)).save(tmp_path / f"{k}.png")
        run_lengths = coco.encode(np.asfortranarray(mask, np.uint8))
        if compressed:
            counts = run_lengths["counts"].decode()
        else:
            flat = mask.ravel(order="F").astype(int)
            edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
            counts = np.diff([0, *edges, flat.size]).tolist()
        images.append({"id": k, "file_name": f"{k}.png", "height": height, "width": width})
        annotations.append({"id": k, "image_id": k, "category_id": 1, "iscrowd": 0,
                            "segmentation": {"size": [height, width], "counts": counts}})
        masks.append(mask)
    (tmp_path / "all.json").write_text(json.dumps({
        "images": images, "annotations": annotations,
        "categories": [{"id": 1, "name": "thing"}]}))
    import_annotations(tmp_path / "all.json", tmp_path / "out", validation=0)
    data = open_dataset("folder", tmp_path / "out")
    for sample in data:
        np.testing.assert_array_equal(sample.labels == 1, masks[int(sample.name)])


def test_polygons_agree_with_pycocotools_but_for_pixels_on_the_outline(tmp_path):
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(1)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    polygon = np.stack([60 + 50 * np.cos(angles), 40 + 30 * np.sin(angles)], 1).ravel().tolist()
    Image.new("RGB", (120, 80)).save(tmp_path / "a.png")
    (tmp_path / "all.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.png", "height": 80, "width": 120}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0,
                         "segmentation": [polygon]}]}))
    import_annotations(tmp_path / "all.json", tmp_path / "out", validation=0)
    ours = open_dataset("folder", tmp_path / "out")[0].labels == 1
    theirs = coco.decode(coco.frPyObjects([polygon], 80, 120))[..., 0] > 0
    away = np.ones_like(theirs)
    for axis in (0, 1):
        for step in (-1, 1):
            away &= np.roll(theirs, step, axis) == theirs
    assert away.mean() > 0.9 and (ours == theirs)[away].all()


def test_the_classes_of_cityscapes_are_those_of_its_own_scripts():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    trained = sorted((each for each in labels if 0 <= each.trainId < 255),
                     key=lambda each: each.trainId)
    assert tuple(each.id for each in trained) == CITYSCAPES_IDS
    assert {each.name: each.color for each in trained} == CITYSCAPES

"""Packaged models: they are there, they are small, and they know streets."""
import numpy as np
import pytest

import minifcn
from minifcn.data import Streets
from minifcn.models.pretrained import names, open_model, pretrained
from minifcn.palette import CAMVID
from minifcn.training.metrics import Metrics
from minifcn.training.trainer import confusion_of


@pytest.fixture(scope="module")
def model():
    return minifcn.pretrained("streets-8s")


def test_the_names_of_the_packaged_models():
    assert "streets-8s" in names()


def test_it_is_a_float32_fcn_8s_with_the_classes_of_the_streets(model):
    assert isinstance(model, minifcn.FCN) and model.stride == 8
    assert all(array.dtype == np.float32 for array in model.parameters.values())
    assert model.class_names == list(CAMVID)
    np.testing.assert_array_equal(model.palette, Streets().palette)


@pytest.mark.parametrize("size", [(1, 1), (37, 200)])
def test_it_segments_pictures_of_any_size(model, size):
    assert model.predict(np.zeros((*size, 3), np.uint8)).shape == size


@pytest.mark.parametrize("size, floor", [((120, 160), 0.62), ((240, 320), 0.68)])
def test_it_knows_streets_that_it_has_not_seen(model, size, floor):
    scenes = Streets(12, size, seed=123_456)
    confusion = sum(confusion_of(model, scene, scenes.ignore) for scene in scenes)
    assert Metrics.from_confusion(confusion).mean_iu > floor


def test_the_nearest_name_is_offered():
    with pytest.raises(ValueError, match="no pretrained model 'street8s'; did you mean streets-8s"):
        pretrained("street8s")
    with pytest.raises(ValueError, match="there are: streets"):
        pretrained("")


def test_a_file_wins_over_a_packaged_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_model("streets-8s").classes == 11
    minifcn.FCN(8, 3, width=1 / 64, fc_channels=2).save("streets-8s")
    assert open_model("streets-8s").classes == 3


def test_neither_a_file_nor_a_name():
    with pytest.raises(FileNotFoundError, match="no such file, and no pretrained model"):
        open_model("nowhere")

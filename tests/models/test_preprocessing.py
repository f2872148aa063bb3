"""From pixels to the numbers that a set of weights was trained on."""
import numpy as np
import pytest

import minifcn
from minifcn import Preprocessing


def picture(h=5, w=7):
    return np.random.default_rng(0).integers(0, 256, (h, w, 3)).astype(np.uint8)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-5), ("float64", 1e-12)])
def test_imagenet_is_torchvisions(dtype, tolerance):
    image = picture()
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    y = Preprocessing.imagenet().apply(image, dtype)
    assert y.dtype == dtype and y.flags.c_contiguous
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("made, mean", [
    (Preprocessing.caffe(), (104.00698793, 116.66876762, 122.67891434)),
    (Preprocessing.caffe_vgg(), (103.939, 116.779, 123.68))])
def test_caffes_are_bgr_less_a_mean(made, mean):
    image = picture()
    np.testing.assert_allclose(
        made.apply(image), image[:, :, ::-1] - np.array(mean), rtol=0, atol=2e-5
    )


def test_the_image_is_left_alone_and_may_be_scattered():
    image = picture(6, 8)[::2, ::-1]
    image.flags.writeable = False
    before = image.copy()
    y = Preprocessing.caffe().apply(image)
    np.testing.assert_array_equal(y, Preprocessing.caffe().apply(before))
    np.testing.assert_array_equal(image, before)


def test_a_model_uses_its_own():
    model = minifcn.FCN(32, 2, width=1 / 64, fc_channels=1, dtype="float64")
    model.preprocessing = Preprocessing(mean=(1, 2, 3), std=(2, 4, 8))
    image = picture()
    x = model.preprocess(image)
    assert x.shape == (1, 5, 7, 3) and x.dtype == np.float64
    np.testing.assert_allclose(x[0], (image - [1.0, 2, 3]) / [2, 4, 8], rtol=1e-14)


def test_it_survives_json():
    for made in (Preprocessing.imagenet(), Preprocessing.caffe()):
        assert Preprocessing.from_dict(made.to_dict()) == made


@pytest.mark.parametrize("values, message", [
    (dict(mean=(1, 2), std=(1, 1, 1)), "mean needs 3"),
    (dict(mean=(1, 2, float("nan")), std=(1, 1, 1)), "finite"),
    (dict(mean=(1, 2, 3), std=(1, 0, 1)), "std has to be positive"),
    (dict(mean=(1, 2, 3), std=(1, 1, 1), order="GBR"), "order is")])
def test_what_cannot_be_used(values, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**values)
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_dict(values)


def test_what_is_no_image():
    with pytest.raises(ValueError, match="shape"):
        Preprocessing.imagenet().apply(np.zeros((4, 4), np.uint8))

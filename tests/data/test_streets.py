"""Generated streets: the same each time, at any size, with every class in its place."""
import random

import numpy as np
import pytest

from minifcn.data import Streets, canvas
from minifcn.data.canvas import VOID, Camera, Canvas, majority
from minifcn.data.scenery import POLE, ROAD, SKY, Street
from minifcn.palette import CAMVID


@pytest.fixture(scope="module")
def scenes():
    return list(Streets(80, seed=7))


def shares(samples):
    counts = sum(np.bincount(sample.labels.ravel(), minlength=256) for sample in samples)
    return counts / counts.sum()


def test_a_scene_is_a_function_of_seed_and_index(scenes):
    again = Streets(10 ** 9, seed=7)
    for index in (9, 3, 0):
        np.testing.assert_array_equal(scenes[index].image, again[index].image)
        np.testing.assert_array_equal(scenes[index].labels, again[index].labels)
        assert scenes[index].name == again[index].name == f"streets-7-{index}"
    assert not np.array_equal(scenes[0].image, scenes[1].image)
    assert not np.array_equal(scenes[0].image, Streets(1, seed=8)[0].image)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (61, 47), (240, 320)])
def test_a_sample_is_an_image_with_labels_at_any_size(size):
    for image, labels, _ in Streets(5, size):
        assert image.shape == (*size, 3) and image.dtype == np.uint8
        assert labels.shape == size and labels.dtype == np.uint8
        assert ((labels < 11) | (labels == VOID)).all()


@pytest.mark.slow
def test_a_scene_of_12_megapixels():
    labels = Streets(2, (3000, 4000))[1].labels
    assert (labels < 11).mean() > 0.98


def test_a_data_set_is_a_sequence_with_the_classes_of_camvid():
    streets = Streets(5, (30, 40))
    assert len(streets) == 5 and len(list(streets)) == 5
    assert streets.class_names == list(CAMVID) and streets.ignore == 255
    np.testing.assert_array_equal(streets.palette, list(CAMVID.values()))
    np.testing.assert_array_equal(streets[-1].image, streets[4].image)
    for index in (5, -6):
        with pytest.raises(IndexError):
            streets[index]


def test_every_class_occurs_often(scenes):
    share = shares(scenes)
    assert share[:11].min() > 0.005 and share[:11].max() < 0.35
    assert 0.02 < share[VOID] < 0.05
    shown = np.mean([np.isin(np.arange(11), sample.labels) for sample in scenes], axis=0)
    assert shown.min() > 0.5


def test_the_sky_is_above_and_the_road_below(scenes):
    for _, labels, _ in scenes:
        assert (labels[60:] != SKY).mean() > 0.9 and (labels[:50] != ROAD).all()
        assert (labels[-1] == ROAD).any()


def test_poles_are_thin(scenes):
    """Eroding by one pixel leaves little of a pole, and nearly all of a road."""
    left = np.zeros(11)
    for _, labels, _ in scenes:
        inner = labels[:, 1:-1]
        inner = np.where((inner == labels[:, :-2]) & (inner == labels[:, 2:]), inner, VOID)
        left += np.bincount(inner.ravel(), minlength=256)[:11]
    left /= sum(np.bincount(labels.ravel(), minlength=256)[:11] for _, labels, _ in scenes)
    assert left[POLE] < 0.25 and left[ROAD] > 0.9


def test_void_is_a_thin_line(scenes):
    void = np.stack([labels for _, labels, _ in scenes]) == VOID
    blocks = np.lib.stride_tricks.sliding_window_view(void, (3, 3), axis=(1, 2))
    assert blocks.all(axis=(3, 4)).sum() < 0.005 * void.sum()


def test_another_size_shows_the_same_street():
    agreement = [((large.labels[1::3, 1::3] == small.labels) | (small.labels == VOID)).mean()
                 for small, large in zip(Streets(10, (60, 80)), Streets(10, (180, 240)))]
    assert min(agreement) > 0.85 and np.mean(agreement) > 0.92


def test_what_is_near_is_drawn_last(monkeypatch):
    drawn = []
    for name in ("car", "tree", "pedestrian", "sign", "building"):
        monkeypatch.setattr(Street, name, lambda self, z, *_: drawn.append(z))
    Street((12, 16), random.Random(3)).draw(np.random.default_rng(0))
    assert len(drawn) > 20 and drawn == sorted(drawn, reverse=True)


def test_shadows_fall_on_the_ground_only():
    camera = Camera(200, 40, 20, 0, 1.5, 0)
    images = []
    for strength in (0, 0.8):
        drawing = Canvas((40, 40), camera, ((0, 0, 0), 0))
        drawing.front(-9, 9, -9, 9, 20, drawing.surface(SKY, (200, 200, 200)))
        drawing.floor(-9, 9, 2, 20, drawing.surface(ROAD, (100, 100, 100), ground=True))
        drawing.shadow([(-9, 2), (-9, 30), (9, 30), (9, 2)], strength)
        image, labels = drawing.finish(np.random.default_rng(0), np.ones(3, np.float32), 0)
        images.append(image)
    light, dark = images
    assert (light[labels == SKY] == dark[labels == SKY]).all()
    assert dark[-1].mean() < 0.5 * light[-1].mean()


def test_a_camera_sees_what_is_far_near_the_vanishing_point():
    camera = Camera(100, 40, 20, 0, 1.5, 0)
    assert camera.project(0, 1.5, 7) == (40, 20)
    assert camera.project(2, 0, 10) == pytest.approx((60, 35))
    assert camera.project(2, 0, 1e6) == pytest.approx((40, 20), abs=1e-3)
    assert camera.project(1, 0, -5) == camera.project(1, 0, canvas.NEAR)


def test_a_label_needs_three_of_four_quarters():
    quarters = np.array([[1, 1, 1, 1], [2, 1, 1, 1], [1, 2, 1, 1], [1, 1, 2, 1], [1, 1, 1, 2],
                         [1, 1, 2, 2], [1, 2, 1, 2], [1, 2, 2, 1], [1, 2, 3, 4]], np.uint8)
    assert majority(*quarters.T).tolist() == [1, 1, 1, 1, 1, VOID, VOID, VOID, VOID]


@pytest.mark.parametrize("values, message", [
    (dict(count=0), "count"), (dict(size=(0, 5)), "size"), (dict(seed=-1), "seed")])
def test_what_cannot_be_drawn(values, message):
    with pytest.raises(ValueError, match=message):
        Streets(**values)

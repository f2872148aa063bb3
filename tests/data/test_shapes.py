"""Generated scenes: the same each time, not solved by colour, with thin structures."""
import time

import numpy as np
import pytest

from minifcn.data import Shapes
from minifcn.data.shapes import DISTANCES


def test_a_scene_is_a_function_of_seed_and_index():
    scenes, again = Shapes(50, seed=3), Shapes(10, seed=3)
    backwards = [again[index] for index in reversed(range(10))][::-1]
    for index in range(10):
        for one, other in zip(scenes[index], backwards[index]):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(scenes[0].image, scenes[1].image)
    assert not np.array_equal(scenes[0].image, Shapes(1, seed=4)[0].image)


@pytest.mark.parametrize("size", [(96, 96), (40, 70), (1, 1), (3, 200)])
def test_a_sample_is_an_image_with_labels(size):
    scenes = Shapes(20, size, seed=1)
    for image, labels, name in scenes:
        assert image.shape == (*size, 3) and image.dtype == np.uint8
        assert labels.shape == size and labels.dtype.kind in "ui" and labels.max() < 7
        assert name.startswith("shapes-1-")
    assert len({sample.name for sample in scenes}) == 20


def test_a_data_set_is_a_sequence():
    scenes = Shapes(5)
    assert len(scenes) == 5 and len(list(scenes)) == 5
    assert len(scenes.class_names) == len(scenes.palette) == 7 and scenes.ignore == 255
    assert len(np.unique(scenes.palette, axis=0)) == 7
    np.testing.assert_array_equal(scenes[-1].image, scenes[4].image)
    for index in (5, -6):
        with pytest.raises(IndexError):
            scenes[index]
    assert len(Shapes(10 ** 9)) == 10 ** 9


def test_every_class_occurs_often():
    counts = sum(np.bincount(sample.labels.ravel(), minlength=7) for sample in Shapes(100))
    share = counts / counts.sum()
    assert 0.7 < share[0] < 0.9 and share.min() > 0.005


def test_colour_alone_does_not_give_the_class():
    """The best class for each colour, told by 300 scenes, finds next to nothing in others."""
    def cells(sample):
        return (sample.image.astype(int) // 32 @ [64, 8, 1]).ravel(), sample.labels.ravel()

    table = np.zeros((512, 7))
    for sample in Shapes(300, seed=0):
        np.add.at(table, cells(sample), 1)
    confusion = np.zeros((7, 7))
    balanced = table / table.sum(axis=0)
    for sample in Shapes(50, seed=1):
        colours, labels = cells(sample)
        np.add.at(confusion, (labels, balanced[colours].argmax(axis=1)), 1)
    hit = np.diag(confusion)
    iu = hit / (confusion.sum(axis=0) + confusion.sum(axis=1) - hit)
    assert iu.mean() < 0.25
    assert np.mean(hit / confusion.sum(axis=1)) < 0.5


def test_bars_rings_and_crosses_are_thin():
    """Eroding by one pixel leaves most of a disc, and less than half of what is thin."""
    left, all_ = np.zeros(7), np.zeros(7)
    for sample in Shapes(60):
        for label in range(7):
            own = sample.labels == label
            inner = own[1:-1, 1:-1] & own[:-2, 1:-1] & own[2:, 1:-1]
            left[label] += (inner & own[1:-1, :-2] & own[1:-1, 2:]).sum()
            all_[label] += own.sum()
    share = dict(zip(Shapes(1).class_names, left / all_))
    assert all(share[name] > 0.7 for name in ("disc", "square"))
    assert all(share[name] < 0.5 for name in ("ring", "bar", "cross"))


def test_a_distance_is_negative_inside_only():
    v, u = np.mgrid[-15:16, -15:16].astype(np.float64)
    for name, distance in DISTANCES.items():
        inside = distance(u, v, 10.0, 1.5) < 0
        assert inside.any() and not inside[[0, -1]].any() and not inside[:, [0, -1]].any(), name
    assert not (DISTANCES["ring"](u, v, 10.0, 1.5) < 0)[15, 15]


def test_a_scene_is_quick():
    scenes = Shapes(200)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        for index in range(20):
            scenes[index]
        seconds.append((time.process_time() - started) / 20)
    assert min(seconds) < 0.006      # 2 ms on the machine on which it was written


@pytest.mark.parametrize("values, message", [
    (dict(count=0), "count"), (dict(size=(0, 5)), "size"), (dict(shapes=(5, 3)), "shapes"),
    (dict(seed=-1), "seed")])
def test_what_cannot_be_drawn(values, message):
    with pytest.raises(ValueError, match=message):
        Shapes(**values)

"""Image and labels change together, driven by the generator passed in and by nothing else."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn.data import Augmentation, Sample, Shapes

augmentations = st.builds(
    Augmentation, flip=st.sampled_from([0.0, 0.5, 1.0]),
    scale=st.tuples(st.floats(0.3, 1.0), st.floats(1.0, 2.5)),
    crop=st.none() | st.tuples(st.integers(1, 60), st.integers(1, 60)),
    colour=st.just(0.0))
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
blocks = st.tuples(st.integers(1, 5), st.integers(1, 5))
seeds = st.integers(0, 10 ** 6)


def chequered(blocks, seed):
    """A sample of blocks of 12 x 12 pixels whose grey value is the label times 20."""
    labels = np.random.default_rng(seed).integers(0, 10, blocks).astype(np.uint8)
    labels = labels.repeat(12, axis=0).repeat(12, axis=1)
    return Sample(np.repeat(20 * labels[..., None], 3, axis=2), labels, "chequered")


def away_from_edges(labels):
    """Pixels whose whole neighbourhood of 7 x 7 has one label, so that no filter mixes two."""
    padded = np.pad(labels.astype(int), 3, constant_values=-1)
    around = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
    return around.min(axis=(2, 3)) == around.max(axis=(2, 3))


@settings(deadline=None, max_examples=100)
@given(augmentation=augmentations, blocks=blocks, seed=seeds)
def test_labels_stay_on_their_pixels(augmentation, blocks, seed):
    sample = chequered(blocks, seed)
    generator = np.random.default_rng(seed)
    image, labels, name = augmentation.apply(sample, generator, 255, (200, 200, 200))
    assert image.shape == (*labels.shape, 3) and image.dtype == np.uint8 and name == "chequered"
    if augmentation.crop:
        assert labels.shape == augmentation.crop
    outside = labels == 255
    assert (image[outside] == 200).all()
    inner = away_from_edges(labels) & ~outside
    np.testing.assert_array_equal(image[inner], np.repeat(20 * labels[inner][:, None], 3, axis=1))
    assert set(np.unique(labels)) <= {*np.unique(sample.labels), 255}


@settings(deadline=None, max_examples=100)
@given(size=sizes, crop=sizes, flip=st.sampled_from([0.0, 1.0]), seed=seeds)
def test_a_crop_is_a_window_of_the_padded_image(size, crop, flip, seed):
    """Pixels that are all different say where each came from: none is lost that fits."""
    ids = np.arange(size[0] * size[1]).reshape(size)
    image = np.stack([ids % 256, ids // 256, ids * 0], axis=-1).astype(np.uint8)
    augmentation = Augmentation(flip=flip, crop=crop)
    changed = augmentation.apply(Sample(image, ids, "ids"), np.random.default_rng(seed), -1)
    inside = changed.labels >= 0
    assert inside.sum() == min(size[0], crop[0]) * min(size[1], crop[1])
    came = changed.labels[inside]
    np.testing.assert_array_equal(changed.image[inside], image.reshape(-1, 3)[came])
    assert len(np.unique(came)) == came.size
    rows, columns = np.nonzero(inside)
    source_rows, source_columns = np.divmod(came, size[1])
    assert len(np.unique(rows - source_rows)) == 1
    assert len(np.unique(columns + source_columns if flip else columns - source_columns)) == 1


def test_crops_reach_every_place():
    ids = np.arange(4)[None]
    image = np.zeros((1, 4, 3), np.uint8)
    sample = Sample(image, ids, "line")
    generator = np.random.default_rng(0)
    windows = {tuple(Augmentation(crop=(1, 2)).apply(sample, generator, -1).labels[0])
               for _ in range(100)}
    assert windows == {(0, 1), (1, 2), (2, 3)}
    windows = {tuple(Augmentation(crop=(1, 6)).apply(sample, generator, -1).labels[0])
               for _ in range(100)}
    assert windows == {(0, 1, 2, 3, -1, -1), (-1, 0, 1, 2, 3, -1), (-1, -1, 0, 1, 2, 3)}


@settings(deadline=None, max_examples=50)
@given(augmentation=augmentations, colour=st.floats(0, 1), seed=seeds)
def test_the_same_generator_gives_the_same_picture(augmentation, colour, seed):
    augmentation = Augmentation(augmentation.flip, augmentation.scale, augmentation.crop, colour)
    sample = Shapes(1, (30, 40))[0]
    before = sample.image.copy(), sample.labels.copy()
    one, other = (augmentation.apply(sample, np.random.default_rng(seed)) for _ in range(2))
    for a, b in zip(one[:2], other[:2]):
        np.testing.assert_array_equal(a, b)
    for array, kept in zip(sample[:2], before):
        np.testing.assert_array_equal(array, kept)


def test_the_default_changes_nothing_and_draws_nothing():
    sample = Shapes(1)[0]
    generator = np.random.default_rng(0)
    changed = Augmentation().apply(sample, generator)
    np.testing.assert_array_equal(changed.image, sample.image)
    np.testing.assert_array_equal(changed.labels, sample.labels)
    assert generator.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_what_a_crop_adds_has_the_default_mean_colour():
    generator = np.random.default_rng(0)
    image, labels, _ = Augmentation(crop=(50, 50)).apply(Shapes(1, (8, 8))[0], generator)
    assert image.dtype == np.uint8 and labels.dtype == np.uint8
    np.testing.assert_array_equal(np.unique(image[labels == 255], axis=0), [[124, 116, 104]])


def test_colour_changes_the_image_only_and_within_its_range():
    sample = Shapes(1)[0]
    generator = np.random.default_rng(0)
    means = []
    for _ in range(60):
        image, labels, _ = Augmentation(colour=0.3).apply(sample, generator)
        np.testing.assert_array_equal(labels, sample.labels)
        means.append(image.mean(axis=(0, 1)) - sample.image.mean(axis=(0, 1)))
    means = np.array(means)
    assert (means.std(axis=0) > 10).all() and abs(means.mean()) < 15
    assert np.std(means - means.mean(axis=1, keepdims=True)) > 3      # channels on their own, too


def test_sizes_are_spread_over_the_range():
    sample = Shapes(1, (50, 50))[0]
    generator = np.random.default_rng(0)
    augmentation = Augmentation(scale=(0.5, 2))
    extents = [augmentation.apply(sample, generator).labels.shape for _ in range(200)]
    factors = np.log2(np.array(extents) / 50)
    assert (factors[:, 0] == factors[:, 1]).all()
    assert factors.min() < -0.9 and factors.max() > 0.9 and abs(np.median(factors)) < 0.2


@pytest.mark.parametrize("values, message", [
    (dict(flip=1.5), "flip"), (dict(scale=(0, 1)), "scale"), (dict(scale=(2, 1)), "scale"),
    (dict(crop=(0, 5)), "crop"), (dict(colour=-0.1), "colour")])
def test_what_is_no_augmentation(values, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**values)

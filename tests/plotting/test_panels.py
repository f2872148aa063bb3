"""A panel shows each sample in a row, and where the last prediction errs."""
import numpy as np
import pytest

from minifcn.data import Sample, Shapes, read_image
from minifcn.plotting import panel, write_panel
from minifcn.plotting.pictures import LARGEST_FILE, STRIPES, WRONG

SCENES = Shapes(4)
SAMPLES = [SCENES[index] for index in range(3)]


def predictions(samples, count=3):
    return {f"FCN-{stride}s\nmean IU {stride}.0 %": [sample.labels for sample in samples]
            for stride in (32, 16, 8)[:count]}


def share(picture, colour):
    return (np.asarray(picture) == colour).all(axis=2).mean()


def test_a_perfect_prediction_has_no_red_but_in_the_legend():
    wrong = predictions(SAMPLES)
    last = list(wrong)[-1]
    perfect = panel(SAMPLES, wrong, SCENES.palette, SCENES.class_names)
    assert 0 < share(perfect, WRONG) < 0.001
    wrong[last] = [1 - np.minimum(sample.labels, 1) for sample in SAMPLES]
    assert share(panel(SAMPLES, wrong, SCENES.palette, SCENES.class_names), WRONG) > 0.1
    swapped = {last: wrong[last], "FCN-8s again": [sample.labels for sample in SAMPLES]}
    assert share(panel(SAMPLES, swapped, SCENES.palette, SCENES.class_names), WRONG) < 0.001


def test_every_column_and_row_is_there():
    """Six columns of one mask each, in its own colour: image, truth, three masks, errors."""
    image = np.full((96, 96, 3), 99, np.uint8)
    sample = Sample(image, np.full((96, 96), 1, np.uint8), "plain")
    masks = {name: [np.full((96, 96), label)] * 2 for name, label in
             (("a", 2), ("b", 3), ("c", 4))}
    picture = np.asarray(panel([sample] * 2, masks, SCENES.palette, SCENES.class_names))
    for row in (0.25, 0.75):
        line = picture[int(row * (picture.shape[0] - 80)) + 40]
        places = [np.flatnonzero((line == colour).all(axis=1)) for colour in
                  ((99, 99, 99), *SCENES.palette[1:5], WRONG)]
        assert all(len(place) > 150 for place in places)
        starts = [place[0] for place in places]
        assert starts == sorted(starts)


@pytest.mark.parametrize("ignore", [255, -1])
def test_ignored_pixels_are_striped_and_no_errors(ignore):
    labels = np.full((96, 96), ignore, np.int32)
    labels[:2] = 0
    sample = Sample(SAMPLES[0].image, labels, "ignored")
    picture = panel([sample], {"a": [np.zeros((96, 96), int)]}, SCENES.palette, SCENES.class_names,
                    ignore)
    assert share(picture, WRONG) < 0.003
    assert all(share(picture, (grey,) * 3) > 0.1 for grey in STRIPES)
    nothing = Sample(SAMPLES[0].image, np.full((96, 96), ignore), "nothing")
    panel([nothing], {"a": [np.zeros((96, 96), int)]}, SCENES.palette, SCENES.class_names, ignore)


def test_samples_of_any_sizes_fit():
    samples = [Shapes(1, size)[0] for size in ((1, 1), (300, 40), (40, 300), (900, 1300))]
    picture = panel(samples, predictions(samples), SCENES.palette, SCENES.class_names)
    assert 900 < picture.width < 1300 and picture.height < 4 * 400 + 150


@pytest.mark.parametrize("count", [1, 3])
def test_a_file_is_small(tmp_path, count):
    samples = [Shapes(1, (360, 480), seed, noise=40)[0] for seed in range(4)]
    write_panel(tmp_path / "panel.png", samples, predictions(samples, count), SCENES.palette,
                SCENES.class_names)
    assert (tmp_path / "panel.png").stat().st_size <= LARGEST_FILE
    assert read_image(tmp_path / "panel.png").shape[1] > 700
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("samples, masks, message", [
    ([], {"a": []}, "at least one sample"),
    (SAMPLES, {"a": [SAMPLES[0].labels]}, "3 samples, but 1 masks of 'a'"),
    (SAMPLES[:1], {"a": [np.zeros((4, 4), int)]}, r"\(4, 4\)")])
def test_what_does_not_fit_together(samples, masks, message):
    with pytest.raises(ValueError, match=message):
        panel(samples, masks, SCENES.palette, SCENES.class_names)

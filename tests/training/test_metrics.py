"""The four metrics, against numbers worked out by hand."""
import numpy as np
import pytest

from minifcn.training import metrics
from minifcn.training.metrics import Metrics, baseline, confusion_matrix

TRUTH = np.array([[0, 0, 0], [1, 1, 255]])
PREDICTION = np.array([[0, 0, 1], [1, 2, 2]])


def test_rows_are_truth_and_ignored_pixels_do_not_count():
    confusion = confusion_matrix(TRUTH, PREDICTION, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0] * 4, [0] * 4]


def test_metrics_by_hand():
    m = Metrics.from_confusion(confusion_matrix(TRUTH, PREDICTION, 4))
    assert m.pixel_accuracy == 3 / 5
    assert m.mean_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    # class 2 is predicted but not there: it counts as 0; class 3 is in neither: it does not count
    np.testing.assert_allclose(m.iu, [2 / 3, 1 / 3, 0, np.nan])
    assert m.mean_iu == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)
    assert m.frequency_weighted_iu == pytest.approx((3 * 2 / 3 + 2 * 1 / 3) / 5)


def test_nothing_counted_gives_nan_and_no_warning():
    m = Metrics.from_confusion(np.zeros((3, 3), int))
    assert np.isnan(m.means()).all() and np.isnan(m.iu).all()
    assert "-" in metrics.report(np.zeros((3, 3), int), ["a", "b", "c"])


def test_counts_of_parts_add_up():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 5, (2, 6, 7, 8))
    parts = sum(confusion_matrix(t, p, 5) for t, p in zip(truth, prediction))
    assert (parts == confusion_matrix(truth, prediction, 5)).all()


def test_the_baseline_answers_the_most_frequent_class():
    answer, constant = baseline(confusion_matrix(TRUTH, PREDICTION, 4))
    assert answer == 0
    assert Metrics.from_confusion(constant).pixel_accuracy == 3 / 5
    text = metrics.report(confusion_matrix(TRUTH, PREDICTION, 4), ["sky", "road", "car", "tree"])
    assert "all-background baseline (every pixel 'sky')" in text
    assert metrics.ABSENT_RULE in text


@pytest.mark.parametrize("truth, prediction, message", [
    ([[0, 4]], [[0, 0]], r"truth is 4 at \(0, 1\)"),
    ([[0, -1]], [[0, 0]], r"truth is -1 at \(0, 1\)"),
    ([[0, 1]], [[9, 0]], r"prediction is 9 at \(0, 0\)"),
    ([[0, 1]], [[0], [1]], "shape"),
    ([[0.0, 1.0]], [[0, 1]], "class ids"),
])
def test_what_cannot_be_counted_is_refused(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(truth), np.array(prediction), 4)


def test_an_unsigned_prediction_over_many_classes_does_not_overflow():
    truth = np.full((2, 2), 200, np.uint8)
    confusion = confusion_matrix(truth, truth, 201)
    assert confusion[200, 200] == 4 and confusion.sum() == 4


def test_median_frequency_weights_by_hand():
    from minifcn.training.class_weights import median_frequency
    # class 0 has 4 of the 8 pixels of its images, classes 1 and 2 have 1 of 4, 3 is in none
    first = np.array([[0, 0, 0, 1]])
    second = np.array([[0, 255, 2, 255]])
    weights = median_frequency([first, second], 4, 255)
    np.testing.assert_allclose(weights, [0.25 / 0.5, 1, 1, 1])
    with pytest.raises(ValueError, match="no label map"):
        median_frequency([np.full((2, 2), 255)], 4, 255)

"""Curves and confusion matrices as pictures."""
import subprocess
import sys

import numpy as np
import pytest

from minifcn.data import read_image
from minifcn.plotting import (
    confusion_figure,
    draw_curves,
    loss_figure,
    run_figure,
    write_confusion,
    write_losses,
)
from minifcn.plotting.curves import smoothed
from minifcn.plotting.pictures import LARGEST_FILE, rendered

LOG = "step,epoch,rate,loss\n" + "".join(f"{i},{i / 50},{0.01},{3 / i}\n" for i in range(1, 101))
VALIDATION = "step,pixel_accuracy,mean_accuracy,mean_iu\n50,0.7,0.4,0.3\n100,0.8,0.5,nan\n"


def line(axes, label):
    return next(each for each in axes.lines if str(each.get_label()).startswith(label))


def test_a_run_is_drawn_from_its_files(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    draw_curves(tmp_path)
    alone = read_image(tmp_path / "curves.png")
    (tmp_path / "validation.csv").write_text(VALIDATION)
    draw_curves(tmp_path)
    both = read_image(tmp_path / "curves.png")
    assert both.shape[0] > alone.shape[0] > 300
    assert (tmp_path / "curves.png").stat().st_size <= LARGEST_FILE
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "validation.csv", "curves.png"}


@pytest.mark.parametrize("log", [
    "step,epoch,rate,loss\n", "step,epoch,rate,loss\n1,0.1,0.5,3.0\n",
    LOG + "101,2.0", LOG + "101,2.02,0.1,0.0", "step,epoch,rate,loss\n1,0.1,0.0,0.0\n"])
def test_short_and_half_written_logs_are_drawn(tmp_path, log):
    (tmp_path / "log.csv").write_text(log)
    (tmp_path / "validation.csv").write_text("step,pixel_accuracy,mean_iu\n")
    draw_curves(tmp_path)
    assert read_image(tmp_path / "curves.png").shape[1] == 900


def test_the_curves_are_the_numbers():
    steps = np.arange(1, 5)
    log = {"step": steps, "rate": np.array([4.0, 3, 2, 1]), "loss": np.array([9.0, 7, 8, 5])}
    validation = {"step": [2, 4], "mean_iu": np.array([0.25, 0.5]),
                  "pixel_accuracy": np.array([0.5, 0.75])}
    loss, scores, rate = run_figure(log, validation, "a $title").axes
    assert line(loss, "loss").get_ydata().tolist() == [9, 7, 8, 5]
    assert line(scores, "mean IU, last 50.0 %").get_ydata().tolist() == [25, 50]
    assert line(scores, "pixel accuracy").get_xdata().tolist() == [2, 4]
    assert rate.lines[0].get_ydata().tolist() == [4, 3, 2, 1]


def test_the_losses_of_several_runs():
    figure = loss_figure({"FCN-32s": [3.0, 2.0], "FCN-8s": [3.0, 1.0, 0.5]}, stages=[2])
    axes, = figure.axes
    assert line(axes, "FCN-32s, last 2").get_xdata().tolist() == [1, 2]
    assert line(axes, "FCN-8s, last 0.5").get_ydata().tolist() == [3, 1, 0.5]
    assert line(axes, "a new stage").get_xdata() == [2, 2]
    rendered(loss_figure({"empty": []}))


def test_losses_are_written(tmp_path):
    write_losses(tmp_path / "losses.png", {"FCN-8s": np.geomspace(3, 0.1, 2000)}, [1000])
    assert (tmp_path / "losses.png").stat().st_size <= LARGEST_FILE


def test_smoothing_is_a_mean_of_what_is_near():
    np.testing.assert_array_equal(smoothed([3.0, 1.0]), [3, 1])
    values = np.random.default_rng(0).random(400)
    smooth = smoothed(values)
    assert len(smooth) == 400
    np.testing.assert_allclose(smooth[200], values[195:206].mean())
    np.testing.assert_allclose(smooth[0], values[:6].mean())
    np.testing.assert_allclose(smooth[-1], values[-6:].mean())


def test_a_confusion_matrix_in_per_cent_of_its_rows():
    confusion = np.array([[30, 10, 0], [0, 0, 0], [1, 0, 999]])
    axes = confusion_figure(confusion, ["a", "b", "c"]).axes[0]
    drawn = axes.images[0].get_array()
    np.testing.assert_allclose(np.ma.filled(drawn, np.nan)[0], [75, 25, 0])
    assert np.ma.getmaskarray(drawn)[1].all() or np.isnan(np.asarray(drawn)[1]).all()
    assert [text.get_text() for text in axes.texts] == ["75", "25", "100"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize("classes", [1, 2, 21, 150])
def test_confusion_matrices_are_written(tmp_path, classes):
    confusion = np.random.default_rng(0).integers(0, 1000, (classes, classes))
    names = [f"class ${i}" for i in range(classes)]
    write_confusion(tmp_path / "confusion.png", confusion, names, "a $title")
    assert (tmp_path / "confusion.png").stat().st_size <= LARGEST_FILE
    with pytest.raises(ValueError, match="confusion matrix of"):
        confusion_figure(confusion, [*names, "one more"])


def test_pyplot_is_never_loaded_and_matplotlib_late():
    """A script's own backend and figures stay as they are, and importing minifcn stays quick."""
    code = ("import sys, minifcn, minifcn.data, minifcn.plotting, numpy as np\n"
            "assert 'matplotlib' not in sys.modules\n"
            "from minifcn.plotting.pictures import rendered\n"
            "rendered(minifcn.plotting.confusion_figure(np.eye(2), ['a', 'b']))\n"
            "assert 'matplotlib.pyplot' not in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

"""Runs: whatever happens to them, nothing is lost, and they continue to the same bits."""
import errno
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

import minifcn
from minifcn.data import Augmentation, Shapes
from minifcn.models import files
from minifcn.training.checkpoints import read_run
from minifcn.training.trainer import BEST, LAST, Diverged, Interrupted, Recipe, Trainer

RECIPE = Recipe(steps=7, batch=2, accumulate=2, optimizer="adam", rate=1e-2, schedule="poly",
                augmentation=Augmentation(flip=0.5, scale=(0.8, 1.2), crop=(32, 32), colour=0.3),
                evaluate_every=3)


def scenes(count=10, seed=0):
    return Shapes(count, (40, 33), seed)


def network(**changes):
    return minifcn.FCN(**{"classes": 7, "width": 1 / 32, "fc_channels": 8, **changes})


def trainer(folder=None, recipe=RECIPE, data=None, validation=None, model=None):
    return Trainer(model or network(), data or scenes(), recipe, validation or scenes(3, seed=1),
                   folder)


def resumed(folder, recipe=RECIPE, data=None, validation=None):
    model, state = read_run(folder / LAST)
    return Trainer(model, data or scenes(), recipe, validation or scenes(3, seed=1), folder, state)


def assert_same_run(one, other):
    for name in (LAST, BEST):
        first, second = files.read(one / name), files.read(other / name)
        assert first.metadata == second.metadata
        for arrays, others in ((first.parameters, second.parameters),
                               (first.tensors, second.tensors)):
            assert arrays.keys() == others.keys()
            assert all((arrays[key] == others[key]).all() for key in arrays)
    for name in ("log.csv", "validation.csv"):
        assert (one / name).read_text() == (other / name).read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    trainer(folder).run()
    return folder


class Killing(Shapes):
    """Scenes that send a signal to their own process when one of them is asked for."""

    def __init__(self, count, size, seed, after, number=signal.SIGINT):
        super().__init__(count, size, seed)
        self.left, self.number = after, number

    def __getitem__(self, index):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        return super().__getitem__(index)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_step_saves_and_resumes_to_the_same_bits(whole, tmp_path, number):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"stopped after step \d of 7") as stopped:
        trainer(tmp_path, data=Killing(10, (40, 33), 0, after=10, number=number)).run()
    assert stopped.value.signal_number == number
    assert signal.getsignal(signal.SIGINT) is before
    assert 0 < read_run(tmp_path / LAST)[1].progress.step < 7
    resumed(tmp_path).run()
    assert_same_run(whole, tmp_path)


def test_a_signal_in_an_evaluation_resumes_with_that_evaluation(whole, tmp_path):
    with pytest.raises(Interrupted):
        trainer(tmp_path, validation=Killing(3, (40, 33), 1, after=5)).run()
    progress = read_run(tmp_path / LAST)[1].progress
    assert (progress.step, progress.evaluated) == (6, 3)
    resumed(tmp_path).run()
    assert_same_run(whole, tmp_path)


def test_what_was_written_after_the_checkpoint_is_cut_when_resumed(whole, tmp_path):
    """As after SIGKILL: rows without a checkpoint, the last one cut off, half a checkpoint."""
    with pytest.raises(Interrupted):
        trainer(tmp_path, data=Killing(10, (40, 33), 0, after=14)).run()
    with open(tmp_path / "log.csv", "a") as file:
        file.write("6,2.4,0.5,9.9\n7,2.8,0.")
    with open(tmp_path / "validation.csv", "a") as file:
        file.write("6,0.5,0.5")
    (tmp_path / ".last.4242.tmp.safetensors").write_bytes(b"half")
    resumed(tmp_path).run()
    assert_same_run(whole, tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_finished_run_can_be_lengthened(whole, tmp_path):
    short = replace(RECIPE, schedule="constant", steps=3)
    trainer(tmp_path / "a", recipe=short).run()
    resumed(tmp_path / "a", recipe=replace(short, steps=6)).run()
    trainer(tmp_path / "b", recipe=replace(short, steps=6)).run()
    weights = [files.read(tmp_path / name / LAST).parameters for name in "ab"]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_the_best_checkpoint_is_the_one_with_the_best_validation(whole):
    lines = (whole / "validation.csv").read_text().splitlines()
    column = lines[0].split(",").index("mean_iu")
    scores = {int(line.split(",")[0]): float(line.split(",")[column]) for line in lines[1:]}
    assert list(scores) == [3, 6, 7]
    best = files.read(whole / BEST)
    assert best.metadata["mean_iu"] == max(scores.values())
    assert best.metadata["step"] == min(s for s in scores if scores[s] == max(scores.values()))
    assert minifcn.load(whole / BEST).predict(scenes()[0].image).shape == (40, 33)


@pytest.mark.parametrize("class_weights", [None, (0.1, 1, 2, 3, 0.5, 1, 1)])
@pytest.mark.parametrize("reduction, rate",
                         [("mean", 1e-2), ("sum", 1e-6), ("sum_per_image", 4e-6)])
def test_batches_added_up_are_one_large_batch(reduction, rate, class_weights):
    """Without dropout, whose masks differ; the images have different numbers of ignored pixels."""
    class PartlyIgnored(Shapes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            sample.labels[:4 * index] = 255
            return sample

    data, results = PartlyIgnored(8, (40, 33), 0), []
    for batch, accumulate in ((4, 1), (2, 2), (1, 4)):
        model = network(dropout=0, dtype="float64")
        made = Trainer(model, data, Recipe(steps=3, batch=batch, accumulate=accumulate, rate=rate,
                                           reduction=reduction, class_weights=class_weights))
        made.run()
        results.append((made.losses, dict(model.parameters)))
    for losses, weights in results[1:]:
        np.testing.assert_allclose(losses, results[0][0], rtol=1e-11)
        for name, weight in weights.items():
            np.testing.assert_allclose(weight, results[0][1][name], rtol=1e-9, atol=1e-15)


def test_the_loss_falls():
    made = Trainer(network(dropout=0), scenes(2), Recipe(steps=60, batch=2, optimizer="adam",
                                                         rate=1e-2))
    made.run()
    assert made.losses[0] == pytest.approx(np.log(7), rel=1e-5)
    assert made.losses[-1] < 0.8


def test_a_rate_far_too_large_stops_with_the_image_and_keeps_the_checkpoint(tmp_path):
    recipe = Recipe(steps=50, optimizer="sgd", rate=1e12)
    with pytest.raises(Diverged, match=r"(loss|gradient).* at step \d+, image shapes-0-\d+, "
                                       r"rate 1e\+12 \(the checkpoint of step 0 is kept\)"):
        trainer(tmp_path, recipe=recipe).run()
    model, state = read_run(tmp_path / LAST)
    assert state.progress.step == 0
    assert all(np.isfinite(array).all() for array in model.parameters.values())


def test_the_image_that_spoils_the_loss_is_named():
    class Spoilt(type(network().preprocessing)):
        def apply(self, image, dtype="float32"):
            x = super().apply(image, dtype)
            return x * np.float32(np.nan) if (image == 7).all() else x

    class OneBad(Shapes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return sample._replace(image=np.full_like(sample.image, 7)) if index == 2 else sample

    model = network(width=1 / 16)
    old = model.preprocessing
    model.preprocessing = Spoilt(old.mean, old.std)
    for name in model.parameters:
        if name.startswith("score"):
            model.parameters[name] += 0.1
    with pytest.raises(Diverged, match=r"loss is nan at step 1, image shapes-0-2,"):
        Trainer(model, OneBad(4, (33, 40), 0), Recipe(steps=1, batch=4)).run()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   files.SafetensorError("No space left on device")])
def test_a_full_disk_keeps_the_good_checkpoint(tmp_path, monkeypatch, error):
    trainer(tmp_path, recipe=replace(RECIPE, steps=2)).run()
    good = (tmp_path / LAST).read_bytes()

    def full(arrays, path, metadata):
        with open(path, "wb") as file:
            file.write(b"half")
        raise error

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(OSError, match=r"safetensors cannot be saved: .*No space left on device.*"
                                      r"\(the checkpoint of step 2 is kept\)"):
        resumed(tmp_path).run()
    assert (tmp_path / LAST).read_bytes() == good
    assert not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    resumed(tmp_path).run()


def test_a_broken_image_stops_the_run_without_loss(tmp_path, whole):
    class Broken(Shapes):
        left = 9

        def __getitem__(self, index):
            self.left -= 1
            if self.left < 0:
                raise ValueError("a.jpg is cut off")
            return super().__getitem__(index)

    with pytest.raises(ValueError, match=r"a\.jpg is cut off"):
        trainer(tmp_path, data=Broken(10, (40, 33), 0)).run()
    assert read_run(tmp_path / LAST)[1].progress.step == 2
    resumed(tmp_path).run()
    assert_same_run(whole, tmp_path)


def test_a_run_is_not_overwritten(whole):
    before = (whole / LAST).read_bytes()
    with pytest.raises(ValueError, match="holds a run already"):
        trainer(whole).run()
    assert (whole / LAST).read_bytes() == before


def test_a_model_without_a_run_cannot_be_resumed(whole, tmp_path):
    with pytest.raises(ValueError, match="no state of a run"):
        read_run(whole / BEST)
    (tmp_path / "cut").write_bytes((whole / LAST).read_bytes()[:1000])
    with pytest.raises(ValueError, match="cut off"):
        read_run(tmp_path / "cut")


def test_other_classes_or_other_data_are_refused(whole):
    with pytest.raises(ValueError, match="the model has 5 classes, the data set 7: background"):
        trainer(model=network(classes=5))
    with pytest.raises(ValueError, match="trained on 10 images, but the data set has 9 now"):
        resumed(whole, data=scenes(9))


def test_every_epoch_shows_every_image_once_in_another_order():
    made = trainer(recipe=replace(RECIPE, batch=5, accumulate=1))
    epochs = [[sample.name for step in (2 * epoch, 2 * epoch + 1) for sample in made.samples(step)]
              for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(f"shapes-0-{i}" for i in range(10))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("arguments, message", [
    ({"steps": 0}, "steps"), ({"batch": 0}, "batch"), ({"accumulate": 0}, "accumulate"),
    ({"seed": -1}, "seed"), ({"evaluate_every": -1}, "evaluate_every"),
    ({"optimizer": "lbfgs"}, "optimizer"), ({"schedule": "cosine"}, "schedule"),
    ({"reduction": "max"}, "reduction"),
])
def test_recipes_that_cannot_be_followed_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{"steps": 1, **arguments})


def test_a_run_stops_early_when_nothing_gets_better_also_after_resuming(tmp_path):
    said = []
    recipe = replace(RECIPE, steps=50, rate=1e-12, evaluate_every=1, patience=3)

    def run(state_of=None):
        model, state = read_run(state_of / LAST) if state_of else (network(), None)
        one = Trainer(model, scenes(), recipe, scenes(3, seed=1), tmp_path, state, say=said.append)
        one.run()
        return one

    assert run().progress.step == 4         # the first is the best, three more are no better
    assert said[-1] == "stopped early: nothing better in 3 evaluations"
    again = run(tmp_path)
    assert again.stopped_early and again.losses == []


def test_each_epoch_has_a_line_with_loss_and_metrics():
    said = []
    data = scenes(8)
    one = Trainer(network(), data, Recipe(steps=5, batch=4, rate=1e-2), scenes(2, seed=1),
                  say=said.append)
    one.run()
    mean = sum(one.losses[2:4]) / 2
    assert [line.split(":")[0] for line in said if line.startswith("epoch")] == [
        "epoch 1, step 2", "epoch 2, step 4", "epoch 2.5, step 5"]
    assert f"epoch 2, step 4: loss {mean:.4f}, mean IU " in said[-2]
    said.clear()
    Trainer(network(), data, Recipe(steps=4, batch=4, rate=1e-2), say=said.append).run()
    lines = [line for line in said if line.startswith("epoch")]
    assert len(lines) == 2 and all("loss" in line and "mean IU" not in line for line in lines)

"""What all networks share: live parameters that are never stale, copying, memory, threads."""
import gc
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minifcn
from minifcn.palette import voc_palette


def small(stride=8, seed=1, **options):
    model = minifcn.FCN(
        stride, **({"classes": 3, "width": 1 / 32, "fc_channels": 6, "seed": seed} | options)
    )
    rng = np.random.default_rng(5)
    for name in model.parameters:
        if name.startswith("score_") or name.endswith("bias"):
            weight = model.parameters[name]
            weight[...] = rng.random(weight.shape) - 0.2
    return model


def picture(h=40, w=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)


# Parameters are live: nothing is derived from them that could be stale


def scores_of_a_copy(model, image):
    """What a network that was never used before says with the same weights."""
    fresh = minifcn.FCN(**model.config)
    fresh.copy_from(model)
    return fresh.probabilities(image)


def held_array(model):
    weight = model.parameters["conv3_1.weight"]

    def write():
        weight[0, 0, 0, 0] += 5
    return write


def held_view(model):
    weight = model.parameters["fc6.weight"].reshape(-1)[3:]

    def write():
        weight[::7] *= -2
    return write


def optimizer_step(model):
    optimizer = minifcn.SGD(model.parameters, rate=1.0)
    gradients = {name: np.ones_like(array) for name, array in model.parameters.items()}
    return lambda: optimizer.step(gradients)


def assignment(model):
    values = iter((0.3, -0.1))

    def write():
        model.parameters["conv1_2.weight"] = next(values)
    return write


def in_place(model):
    def write():
        model.parameters["conv5_3.weight"] *= 2
    return write


def another_network(model):
    others = iter((small(seed=77), small(seed=78)))
    return lambda: model.copy_from(next(others))


@pytest.mark.parametrize("writer", [held_array, held_view, optimizer_step, assignment, in_place,
                                    another_network])
def test_the_next_prediction_sees_every_write(engine, writer):
    model, image = small(), picture()
    before = model.probabilities(image)
    write = writer(model)
    model.predict(image)
    model.predict(image)
    for _ in range(2):
        write()
        after = model.probabilities(image)
        assert not np.array_equal(after, before)
        np.testing.assert_array_equal(after, scores_of_a_copy(model, image))
        before = after


def test_assignment_writes_into_the_live_array():
    model = small()
    weight = model.parameters["fc7.weight"]
    model.parameters["fc7.weight"] = np.ones_like(weight)
    assert (weight == 1).all() and model.parameters["fc7.weight"] is weight
    with pytest.raises(
        ValueError, match=r"fc7.weight has shape \(1, 1, 6, 6\), the new values \(6, 6\)"
    ):
        model.parameters["fc7.weight"] = np.ones((6, 6))
    with pytest.raises(KeyError):
        model.parameters["fc9.weight"]


# Memory


def test_predict_keeps_nothing(engine):
    model, image = small(), picture(96, 128)
    x = model.preprocess(image)
    model.forward(x, training=True)
    model.predict(image)            # also forgets what the training pass remembered
    assert all(layer.remembered is None for layer in model.layers)
    model.predict(image)
    gc.collect()
    tracemalloc.start()
    try:
        mask = model.predict(image)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < mask.nbytes + 50_000      # one map of conv1_1 alone has 98,304 bytes


def test_backward_forgets_what_it_used(engine):
    model = small()
    scores = model.forward(model.preprocess(picture()), training=True)
    assert any(layer.remembered is not None for layer in model.layers)
    model.backward(np.ones_like(scores))
    assert all(layer.remembered is None for layer in model.layers)


# Threads


def test_several_python_threads_may_predict_at_once(engine):
    model = small()
    pictures = [picture(20 + 13 * k, 90 - 9 * k, seed=k) for k in range(8)]
    expected = [model.probabilities(image) for image in pictures]

    def probabilities(image):
        with minifcn.using(engine):       # `use` holds for the thread that it was called in
            return model.probabilities(image)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for got, wanted in zip(pool.map(probabilities, pictures), expected, strict=True):
                np.testing.assert_array_equal(got, wanted)


FORKED = """
import multiprocessing, sys
import numpy as np
import minifcn
model = minifcn.FCN(8, 3, width=1 / 32, fc_channels=6)
model.parameters["score_fr.weight"][...] = 1
image = np.random.default_rng(0).integers(0, 256, (70, 80, 3)).astype(np.uint8)
expected = model.probabilities(image)
with multiprocessing.get_context("fork").Pool(2) as pool:
    for got in pool.map(model.probabilities, [image] * 4):
        assert np.array_equal(got, expected)
print("survived")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_process_forked_after_a_prediction_predicts_too():
    """It has none of its parent's threads; in a fresh process, with a limit in case it hangs."""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True,
                         text=True, timeout=300)
    assert run.stdout == "survived\n", run.stderr


# Copying


@pytest.mark.parametrize("upsampling", ["frozen", "learned"])
def test_staged_initialisation(upsampling):
    """32s -> 16s -> 8s, each from the last; what is new keeps its own initial values."""
    stages = {stride: small(stride, seed=stride, upsampling=upsampling) for stride in (32, 16, 8)}
    learned = upsampling == "learned"
    for coarse, fine, new, gone in (
            (32, 16, "score_pool4", "upscore"), (16, 8, "score_pool3", "upscore16")):
        other, model = stages[coarse], stages[fine]
        other.class_names = [f"thing {stride}" for stride in "abc"]
        other.preprocessing = minifcn.Preprocessing.caffe()
        before = {name: array.copy() for name, array in model.parameters.items()}
        report = model.copy_from(other)
        kept = [name for name in model.parameters
                if name not in other.parameters]
        assert report.initial == kept and f"{new}.weight" in kept
        assert sorted(report.copied + report.initial) == sorted(model.parameters)
        assert report.unused == ([f"{gone}.weight"] if learned else [])
        for name in report.copied:
            np.testing.assert_array_equal(model.parameters[name], other.parameters[name])
            assert not np.shares_memory(model.parameters[name], other.parameters[name])
        for name in report.initial:
            np.testing.assert_array_equal(model.parameters[name], before[name])
        assert model.class_names == other.class_names
        assert model.preprocessing == minifcn.Preprocessing.caffe()
        assert new in str(report)


@pytest.mark.parametrize("other, fault", [
    (dict(width=1 / 16), "the other network has width 0.0625, this one 0.03125"),
    (dict(fc_channels=7), "the other network has fc_channels 7, this one 6"),
    (dict(classes=4), r"score_fr.weight has shape \(1, 1, 6, 3\) here and \(1, 1, 6, 4\) there"),
])
def test_a_partial_copy_is_refused_before_anything_is_changed(other, fault):
    model = small()
    before = {name: array.copy() for name, array in model.parameters.items()}
    with pytest.raises(ValueError, match=f"nothing was copied.*{fault}"):
        model.copy_from(small(**other))
    assert all(np.array_equal(model.parameters[name], array) for name, array in before.items())


def test_a_missing_layer_is_no_silent_partial_copy():
    """fc6 silently not copied: mean IU 30 instead of 63."""
    vgg = minifcn.convolutionalize(minifcn.VGG16(5, width=1 / 32, fc_channels=6))
    del vgg.fc6.parameters["weight"]
    with pytest.raises(ValueError, match=r"fc6.weight is missing in the other network"):
        small().copy_from(vgg)


@pytest.mark.parametrize("here, there", [(False, True), (True, False)])
def test_scores_stay_when_only_one_network_is_at_once(here, there):
    """pool4 was silently off by 100."""
    model, other = small(16, at_once=here), small(16, at_once=there, seed=9)
    report = model.copy_from(other)
    assert report.rescaled == ["score_pool4.weight"] and "score_pool4.weight" in report.copied
    assert "rescaled" in str(report) and "rescaled" in repr(report)
    np.testing.assert_allclose(model.probabilities(picture()), other.probabilities(picture()),
                               rtol=1e-4)
    finer = small(8, at_once=here).copy_from(other)
    assert finer.rescaled == report.rescaled
    assert not model.copy_from(small(16, at_once=here)).rescaled


def test_other_classes_on_request():
    model, other = small(classes=3), small(classes=4, seed=8)
    report = model.copy_from(other, new_layers=("score_fr", "score_pool4", "score_pool3"))
    assert {name.split(".")[0] for name in report.initial} == {
        "score_fr",
        "score_pool4",
        "score_pool3",
    }
    assert model.class_names == ["class 0", "class 1", "class 2"] and len(model.palette) == 3
    np.testing.assert_array_equal(model.parameters["fc6.weight"], other.parameters["fc6.weight"])
    with pytest.raises(ValueError, match="there is no layer score_pool5"):
        model.copy_from(other, new_layers=("score_pool5",))


def test_palette_is_that_of_pascal_voc():
    palette = voc_palette(256)
    assert palette.dtype == np.uint8
    assert palette[[0, 1, 2, 15, 20]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128]]
    assert palette[255].tolist() == [224, 224, 192]
    assert len(np.unique(palette, axis=0)) == 256

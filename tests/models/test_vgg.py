"""VGG16 as a classifier, and its surgery into a convolutional network."""
import numpy as np
import pytest

import minifcn
from minifcn.models.vgg import scaled


def small(**options):
    return minifcn.VGG16(
        **({"classes": 5, "width": 1 / 32, "fc_channels": 7, "dropout": 0.0} | options)
    )


def images(*shape, dtype="float32"):
    return np.random.default_rng(7).standard_normal((*shape, 3)).astype(dtype)


def test_parameter_counts():
    parameters = minifcn.VGG16(seed=None).parameters
    counts = {name: array.size for name, array in parameters.items()}
    assert sum(counts.values()) == 138_357_544
    for layer, count in (("conv", 14_714_688), ("fc6", 102_764_544), ("fc7", 16_781_312),
                         ("fc8", 4_097_000)):
        assert sum(size for name, size in counts.items() if name.startswith(layer)) == count


@pytest.mark.parametrize("channels, width, expected", [
    (64, 1.0, 64), (512, 1 / 8, 64), (64, 0.01, 1), (64, 1e-9, 1), (256, 0.3, 77)])
def test_width_scales_channels_and_leaves_one(channels, width, expected):
    assert scaled(channels, width) == expected


def test_the_classifier_scores_and_learns_images(engine):
    """Two images of two classes, learned by heart."""
    model = small(classes=2, seed=3)
    x, labels = images(2, 200, 200), np.array([0, 1]).reshape(2, 1, 1)
    optimizer = minifcn.SGD(model.parameters, rate=0.005, decay=0.0)
    losses = []
    for _ in range(8):
        scores = model.forward(x, training=True)
        assert scores.shape == (2, 2) and scores.dtype == np.float32
        loss, dscores = minifcn.softmax_cross_entropy(scores[:, None, None], labels)
        losses.append(loss)
        model.backward(dscores[:, 0, 0])
        optimizer.step(model.gradients)
    assert losses[-1] < 0.5 * losses[0]


def test_gradients_of_the_classifier_are_those_of_finite_differences(engine):
    model = small(dtype="float64", width=1 / 64, fc_channels=3, classes=2)
    rng = np.random.default_rng(0)
    for name in model.parameters:
        if name.endswith("bias"):
            model.parameters[name] = rng.random(model.parameters[name].shape)
    x, dscores = images(1, 200, 210, dtype="float64"), rng.standard_normal((1, 2))
    model.forward(x, training=True)
    model.backward(dscores)
    for name in (
        "conv1_1.weight",
        "conv3_2.bias",
        "conv5_3.weight",
        "fc6.weight",
        "fc7.bias",
        "fc8.weight",
    ):
        weight, gradient = model.parameters[name], model.gradients[name]
        place, h = np.unravel_index(np.abs(gradient).argmax(), gradient.shape), 1e-6
        before, sums = weight[place], []
        for step in (h, -h):
            weight[place] = before + step
            sums.append((model.forward(x) * dscores).sum())
        weight[place] = before
        assert (sums[0] - sums[1]) / (2 * h) == pytest.approx(gradient[place], rel=1e-6), name


@pytest.mark.parametrize("h, w", [(224, 224), (193, 224), (200, 194)])
def test_convolutionalize_keeps_the_numbers(engine, h, w):
    vgg = small(seed=2)
    vgg.parameters["fc6.bias"][...] = 0.1
    network = minifcn.convolutionalize(vgg)
    x = images(2, h, w)
    expected = vgg.forward(x)
    scores = network.forward(x)
    assert scores.shape == (2, 1, 1, 5)
    np.testing.assert_allclose(
        scores[:, 0, 0], expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_convolutionalize_makes_maps_of_larger_images(engine):
    """One place of the map for each 32 pixels that the image is larger."""
    network = minifcn.convolutionalize(small(seed=2))
    assert network.forward(images(1, 256, 320)).shape == (1, 2, 4, 5)


def test_convolutionalize_shares_nothing_and_changes_nothing():
    vgg = small(seed=2)
    vgg.class_names = list("abcde")
    before = {name: array.copy() for name, array in vgg.parameters.items()}
    network = minifcn.convolutionalize(vgg)
    assert network.class_names == list("abcde") and network.config["convolutional"]
    assert network.preprocessing == vgg.preprocessing
    for name in network.parameters:
        assert not np.shares_memory(network.parameters[name], vgg.parameters[name])
        network.parameters[name] = 0.0
        np.testing.assert_array_equal(vgg.parameters[name], before[name])
    with pytest.raises(ValueError, match="convolutional already"):
        minifcn.convolutionalize(network)


def test_an_fcn_starts_from_the_surgery(engine):
    vgg = small(seed=2)
    model = minifcn.FCN(32, 3, width=1 / 32, fc_channels=7, seed=9)
    with pytest.raises(
        ValueError, match=r"fc6.weight has shape \(7, 7, 16, 7\) here and \(784, 7\)"
    ):
        model.copy_from(vgg)
    report = model.copy_from(minifcn.convolutionalize(vgg))
    assert report.initial == ["score_fr.weight", "score_fr.bias"]
    assert report.unused == ["fc8.weight", "fc8.bias"]
    np.testing.assert_array_equal(model.parameters["fc6.weight"].reshape(-1, 7),
                                  vgg.parameters["fc6.weight"])


def test_the_fully_connected_form_says_which_images_it_takes():
    with pytest.raises(
        ValueError, match="7 x 7 cells of pool5, this image gives 8 x 7; use 224 x 224"
    ):
        small().forward(images(1, 225, 224))


def test_backward_needs_a_training_pass():
    with pytest.raises(ValueError, match="training=True"):
        small().backward(np.ones((1, 5), np.float32))


def test_networks_that_do_not_exist():
    for options in ({"width": 0}, {"classes": 0}, {"dropout": 1}, {"convolutional": "maybe"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            small(**options)

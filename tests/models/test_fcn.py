"""FCN-32s, 16s and 8s: counts, alignment, any size, dropout, staged and at-once training."""
import itertools
import math

import numpy as np
import pytest

import minifcn
from minifcn.models.fcn import crop
from minifcn.models.geometry import plan

STRIDES = (32, 16, 8)
NETWORKS = list(itertools.product(STRIDES, ("exact", "caffe")))


def small(stride=8, geometry="exact", **options):
    """A network of milliseconds whose scores are not zero."""
    defaults = dict(classes=3, width=1 / 32, fc_channels=6, seed=1, dtype="float32")
    model = minifcn.FCN(stride, geometry=geometry, **(defaults | options))
    rng = np.random.default_rng(5)
    for name in model.parameters:
        if name.startswith("score_") or name.endswith("bias"):
            weight = model.parameters[name]
            weight[...] = rng.random(weight.shape) - 0.2
    return model


def images(*shape, dtype="float32"):
    return np.random.default_rng(7).standard_normal((*shape, 3)).astype(dtype)


# What the paper and its release fix


@pytest.mark.parametrize("classes, stride, frozen, learned", [
    (21, 32, 134_346_581, 136_152_917), (21, 16, 134_357_354, 134_815_994),
    (21, 8, 134_362_751, 134_489_759), (11, 32, 134_305_611, 134_801_227),
    (11, 16, 134_311_254, 134_437_094), (11, 8, 134_314_081, 134_348_929)])
def test_parameter_counts(classes, stride, frozen, learned):
    for upsampling, count in (("frozen", frozen), ("learned", learned)):
        model = minifcn.FCN(stride, classes, upsampling=upsampling, seed=None)
        assert sum(array.size for array in model.parameters.values()) == count


def test_parameter_counts_of_the_layers():
    parameters = minifcn.FCN(8, seed=None).parameters
    for layer, count in (("fc6", 102_764_544), ("fc7", 16_781_312), ("score_fr", 86_037),
                         ("score_pool4", 10_773), ("score_pool3", 5_397)):
        assert sum(parameters[f"{layer}.{key}"].size for key in ("weight", "bias")) == count
    assert parameters["fc6.weight"].size == 102_760_448
    assert (
        sum(parameters[name].size for name in parameters if name.startswith("conv")) == 14_714_688
    )


@pytest.mark.parametrize(
    "stride, names",
    [
        (32, ["upscore"]),
        (16, ["upscore2", "upscore16"]),
        (8, ["upscore2", "upscore_pool4", "upscore8"]),
    ],
)
def test_names_are_those_of_the_paper(stride, names):
    model = minifcn.FCN(stride, 2, width=1 / 64, fc_channels=1, upsampling="learned")
    assert [name for name in model.parameters if name.startswith("upscore")] == \
        [f"{name}.weight" for name in names]
    scores = ["score_fr", "score_pool4", "score_pool3"][:STRIDES.index(stride) + 1]
    assert [name for name in model.parameters if name.startswith("score")] == \
        [f"{name}.{key}" for name in scores for key in ("weight", "bias")]
    assert list(model.gradients) == list(model.parameters)


def test_first_loss_of_zero_scores(engine):
    """A new network scores zero everywhere: N ln(classes), 570,847.96 for 375 x 500 and 21."""
    scores = np.zeros((1, 375, 500, 21), np.float32)
    labels = np.random.default_rng(0).integers(0, 21, (1, 375, 500)).astype(np.uint8)
    loss, _ = minifcn.softmax_cross_entropy(scores, labels, reduction="sum")
    assert round(loss, 2) == 570_847.96
    loss, _ = minifcn.softmax_cross_entropy(scores, labels)
    assert loss == pytest.approx(math.log(21), rel=1e-9)


def test_a_new_network_scores_zero_with_he_normal_weights_before():
    model = minifcn.FCN(8, 4, width=1 / 4, fc_channels=200)
    assert not model.forward(images(1, 40, 50)).any()
    for name, weight in model.parameters.items():
        if name.startswith("score") or name.endswith("bias"):
            assert not weight.any()
        else:
            expected = np.sqrt(2 / np.prod(weight.shape[:-1]))
            assert weight.std() == pytest.approx(expected, rel=4 / np.sqrt(weight.size)), name


# Alignment


@pytest.mark.parametrize("stride, geometry", NETWORKS)
@pytest.mark.parametrize("h, w", [(100, 163), (224, 90)])
def test_a_ramp_comes_through_exactly_in_the_interior(engine, stride, geometry, h, w):
    """Cells that hold the place over which they are centred: every pixel receives its own."""
    model = small(stride, geometry, classes=2, dtype="float64")
    rows, columns = plan(h, stride, geometry), plan(w, stride, geometry)
    centres = [grid.origin + grid.step * np.arange(grid.size)
               for grid in (rows.after("score_fr"), columns.after("score_fr"))]
    y = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1)[None]
    for skip in model.skips:
        y = crop(skip.upsample.forward(y), rows.fusions[skip.pool].upsampled,
                 columns.fusions[skip.pool].upsampled)
    y = crop(model.upsample.forward(y), rows.output, columns.output)[0]
    # each further upsampling loses half of its own step beyond the outermost cells: 8 + 4 pixels
    inside = tuple(slice(math.ceil(max(c[0] + 12, 0)), math.floor(min(c[-1] - 12, extent - 1)) + 1)
                   for c, extent in zip(centres, (h, w)))
    expected = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), axis=-1)[inside]
    assert expected.size
    np.testing.assert_allclose(y[inside], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("geometry, border", [("caffe", 0.609375), ("exact", 0.515625)])
def test_ones_come_through_as_ones_but_at_the_border(engine, geometry, border):
    model = minifcn.FCN(32, 1, geometry, width=1 / 64, fc_channels=1, seed=None, dtype="float64")
    model.parameters["score_fr.bias"] = 1.0
    least = 1.0
    for extent in (1, 2, 15, 16, 17, 31, 32, 33, 100, 161):
        profile = model.forward(np.zeros((1, extent, 200, 3)))[0, :, 100, 0]    # columns: interior
        centres = plan(extent, 32, geometry).after("score_fr")
        last = centres.origin + 32 * (centres.size - 1)
        inside = profile[max(math.ceil(centres.origin), 0):math.floor(last) + 1]
        np.testing.assert_array_equal(inside, 1.0)
        least = min(least, profile.min())
    assert least == border
    corner = model.forward(np.zeros((1, 161, 200, 3)))[0, 0, 0, 0]
    assert corner == border**2      # 0.371 in Caffe's geometry


# Any size


@pytest.mark.parametrize("stride, geometry", NETWORKS)
def test_scores_and_gradients_of_every_size(engine, stride, geometry):
    model = small(stride, geometry)
    for h, w in ((1, 1), (1, 9), (2, 3), (33, 31), (65, 7), (48, 64)):
        x = images(2, h, w)
        scores = model.forward(x, training=True)
        assert scores.shape == (2, h, w, 3) and scores.dtype == np.float32
        assert np.isfinite(scores).all() and scores.any()
        model.backward(np.ones_like(scores))
        assert all(gradient.shape == model.parameters[name].shape and gradient.dtype == np.float32
                   for name, gradient in model.gradients.items())


@pytest.mark.parametrize("stride, geometry", NETWORKS)
def test_a_batch_is_its_images_one_by_one(engine, stride, geometry):
    model = small(stride, geometry)
    x = images(3, 37, 50)
    np.testing.assert_array_equal(
        model.forward(x), np.concatenate([model.forward(x[n:n + 1]) for n in range(3)]))


def test_gradients_of_a_batch_are_the_sums_over_its_images(engine):
    model = small(8, "exact", dtype="float64", dropout=0.0)
    x, dscores = images(3, 20, 33, dtype="float64"), images(3, 20, 33, dtype="float64")
    model.forward(x, training=True)
    model.backward(dscores)
    whole, sums = dict(model.gradients), {name: 0.0 for name in model.gradients}
    for n in range(3):
        model.forward(x[n:n + 1], training=True)
        model.backward(dscores[n:n + 1])
        for name, gradient in model.gradients.items():
            sums[name] = sums[name] + gradient
    for name, gradient in whole.items():
        np.testing.assert_allclose(
            gradient, sums[name], rtol=0, atol=1e-11 * np.abs(gradient).max()
        )


def test_training_scores_are_the_prediction_scores_without_dropout(engine):
    model = small(dropout=0.0)
    x = images(1, 45, 31)
    np.testing.assert_array_equal(model.forward(x, training=True), model.forward(x))


# Dropout and seeds


def test_same_seed_same_weights():
    def weights(seed):
        return minifcn.FCN(8, 3, width=1 / 32, fc_channels=4, seed=seed).parameters

    one, same, other = weights(3), weights(3), weights(4)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["conv1_1.weight"], other["conv1_1.weight"])


def test_dropout_advances_by_one_a_step_and_repeats_on_request(engine):
    model = small(fc_channels=64)
    x = images(1, 20, 20)
    start = model.dropout_seed
    first, second = model.forward(x, training=True), model.forward(x, training=True)
    assert model.dropout_seed == start + 2 and not np.array_equal(first, second)
    model.forward(x)
    model.predict(np.zeros((5, 5, 3), np.uint8))
    assert model.dropout_seed == start + 2
    model.dropout_seed = start
    np.testing.assert_array_equal(model.forward(x, training=True), first)


def test_masks_of_the_two_dropouts_and_of_two_steps_differ(engine, monkeypatch):
    model, masks = small(fc_channels=64), []
    forward = minifcn.ops.dropout_forward
    monkeypatch.setattr(
        minifcn.ops,
        "dropout_forward",
        lambda *arguments: masks.append(forward(*arguments)[1]) or forward(*arguments),
    )
    for _ in range(2):
        model.forward(images(1, 40, 40), training=True)
    for one, other in itertools.combinations(masks, 2):
        assert 0.3 < (one == other).mean() < 0.7


# Variants


@pytest.mark.parametrize("stride, geometry", NETWORKS)
def test_learned_upsampling_starts_as_the_frozen_one(engine, stride, geometry):
    frozen, learned = small(stride, geometry), small(stride, geometry, upsampling="learned")
    learned.copy_from(frozen)
    x = images(2, 41, 60)
    expected = frozen.forward(x)
    np.testing.assert_allclose(learned.forward(x), expected, rtol=0,
                               atol=1e-6 * np.abs(expected).max())
    assert len(learned.parameters) == len(frozen.parameters) + STRIDES.index(stride) + 1


def test_at_once_scales_the_pools_before_their_scores(engine):
    plain, at_once = small(dtype="float64"), small(dtype="float64", at_once=True)
    plain.copy_from(at_once)
    for name, scale in (("score_pool4.weight", 0.01), ("score_pool3.weight", 0.0001)):
        plain.parameters[name] = at_once.parameters[name] * scale
    x = images(1, 50, 70, dtype="float64")
    np.testing.assert_allclose(at_once.forward(x), plain.forward(x), rtol=1e-11)
    np.testing.assert_array_equal(small(32, at_once=True).forward(images(1, 50, 70)),
                                  small(32).forward(images(1, 50, 70)))


def test_predict_gives_class_ids_of_one_image_or_of_a_list(engine):
    model = small()
    rng = np.random.default_rng(0)
    pictures = [
        rng.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((40, 33), (1, 1), (9, 64))
    ]
    masks = model.predict(pictures)
    for picture, mask in zip(pictures, masks, strict=True):
        assert mask.shape == picture.shape[:2] and mask.dtype == np.uint8
        scores = model.forward(model.preprocess(picture))[0]
        np.testing.assert_array_equal(mask, scores.argmax(axis=-1))
        np.testing.assert_array_equal(model.predict(picture), mask)
        probabilities = model.probabilities(picture)
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-6)
        np.testing.assert_array_equal(probabilities.argmax(axis=-1), mask)


def test_more_than_256_classes_need_two_bytes():
    model = minifcn.FCN(32, 300, width=1 / 64, fc_channels=1)
    model.parameters["score_fr.bias"][299] = 1
    mask = model.predict(np.zeros((3, 4, 3), np.uint8))
    assert mask.dtype == np.uint16 and (mask == 299).all()


# What it refuses


@pytest.mark.parametrize("argument, value", [
    ("stride", 4), ("geometry", "tight"), ("upsampling", "nearest"), ("dtype", "float16"),
    ("classes", 0), ("classes", 2.5), ("fc_channels", -1), ("width", 0), ("width", math.nan),
    ("dropout", 1.0), ("dropout", -0.1), ("seed", -1), ("at_once", "yes")])
def test_networks_that_do_not_exist(argument, value):
    with pytest.raises(ValueError, match=argument):
        minifcn.FCN(**{"width": 1 / 64, "fc_channels": 1, argument: value})


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((1, 5, 5, 4), np.float32), r"\(n, h, w, 3\)"),
        (np.zeros((5, 5, 3), np.float32), "batch"),
        (np.zeros((1, 0, 5, 3), np.float32), "at least one pixel"),
        ([[1]], "list"),
        (np.zeros((1, 5, 5, 3)), "float64, the network float32"),
    ],
)
def test_forward_refuses_what_is_no_batch(x, message):
    with pytest.raises(ValueError, match=message):
        small().forward(x)


@pytest.mark.parametrize("image", [
    np.zeros((5, 5, 3), np.float32), np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8),
    np.zeros((0, 5, 3), np.uint8), np.zeros((1, 5, 5, 3), np.uint8), None])
def test_predict_refuses_what_is_no_image(image):
    for use in (small().predict, small().probabilities, small().preprocess):
        with pytest.raises(ValueError, match="uint8 array"):
            use(image)


def test_backward_needs_a_training_pass_each_time():
    model = small()
    x = images(1, 20, 20)
    dscores = np.ones((1, 20, 20, 3), np.float32)
    with pytest.raises(ValueError, match="training=True"):
        model.backward(dscores)
    model.forward(x, training=True)
    with pytest.raises(ValueError, match="dscores has shape"):
        model.backward(dscores[:, 1:])
    with pytest.raises(ValueError, match="float64"):
        model.backward(dscores.astype("float64"))
    model.backward(dscores)
    with pytest.raises(ValueError, match="once for each call"):
        model.backward(dscores)
    model.forward(x, training=True)
    model.forward(x)
    with pytest.raises(ValueError, match="training=True"):
        model.backward(dscores)


def test_gradients_exist_after_backward_only():
    with pytest.raises(ValueError, match=r"fc6.weight has no gradient yet"):
        small().gradients["fc6.weight"]


@pytest.mark.parametrize("width, channels", [(1, 4096), (0.25, 1024), (0.03, 123), (0.0001, 1)])
def test_fc_channels_follow_the_width_unless_they_are_given(width, channels):
    assert minifcn.VGG16(2, width=width, seed=None).config["fc_channels"] == channels
    assert minifcn.FCN(32, 2, width=width, seed=None).config["fc_channels"] == channels
    given = minifcn.FCN(32, 2, width=width, fc_channels=5, seed=None)
    assert given.config["fc_channels"] == 5 and given.parameters["fc7.weight"].shape[-1] == 5

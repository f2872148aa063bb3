"""The three FCNs beside their PyTorch twins: scores, gradients, training steps."""
import itertools

import numpy as np
import pytest

import minifcn

torch = pytest.importorskip("torch")

from tests.peers import twin  # noqa: E402

pytestmark = pytest.mark.peers

VARIANTS = [      # every pair of values meets: size, batch, upsampling, at_once, reduction
    ((1, 1), 2, "frozen", True, "sum"),
    ((33, 47), 1, "learned", False, "mean"),
    ((61, 40), 2, "learned", True, "sum_per_image"),
    ((97, 130), 1, "frozen", False, "mean"),
    ((7, 200), 2, "frozen", False, "sum_per_image"),
]
NETWORKS = list(itertools.product((32, 16, 8), ("exact", "caffe")))


def network(stride, geometry, upsampling, at_once, dtype, width=1 / 16, classes=5):
    """A small network in which every number matters: random biases, scores and upsampling."""
    model = minifcn.FCN(stride, classes, geometry, width, fc_channels=24, upsampling=upsampling,
                        at_once=at_once, dropout=0.0, dtype=dtype)
    rng = np.random.default_rng(stride)
    for name, weight in model.parameters.items():
        if name.startswith("upscore"):
            weight += 0.1 * rng.standard_normal(weight.shape)
        elif name.startswith("score_pool") and at_once and name.endswith("weight"):
            weight[...] = rng.standard_normal(weight.shape) * (1e4 if "pool3" in name else 1e2)
        elif name.startswith("score"):
            weight[...] = rng.standard_normal(weight.shape)
        elif name.endswith("bias"):
            weight[...] = rng.random(weight.shape)      # positive: no layer is dead everywhere
    return model


def images(shape, dtype, seed=1):
    return np.random.default_rng(seed).standard_normal((*shape, 3)).astype(dtype)


def relative_error(got, expected):
    """Largest difference, in units of the largest value."""
    assert got.shape == expected.shape and got.dtype == expected.dtype
    assert np.abs(expected).max() > 0, "zeros would prove nothing"
    return np.abs(got - expected).max() / np.abs(expected).max()


def twin_of(model):
    return {name: twin.to_torch(name, array) for name, array in model.parameters.items()}


@pytest.mark.parametrize("stride, geometry", NETWORKS)
def test_scores_in_float32(engine, stride, geometry):
    for (h, w), n, upsampling, at_once, _ in VARIANTS:
        model = network(stride, geometry, upsampling, at_once, "float32")
        x = images((n, h, w), "float32")
        with torch.no_grad():
            expected = twin.scores(model.config, twin_of(model),
                                   torch.tensor(x.transpose(0, 3, 1, 2)))
        for training in (False, True):
            error = relative_error(model.forward(x, training),
                                   expected.numpy().transpose(0, 2, 3, 1))
            assert error < 2e-4, f"{h} x {w}, training={training}"


@pytest.mark.parametrize("stride, geometry", NETWORKS)
def test_scores_and_all_gradients_in_float64(engine, stride, geometry):
    for (h, w), n, upsampling, at_once, reduction in VARIANTS:
        model = network(stride, geometry, upsampling, at_once, "float64")
        x = images((n, h, w), "float64")
        rng = np.random.default_rng(2)
        labels = rng.integers(0, 5, (n, h, w)).astype(np.uint8)
        labels[rng.random(labels.shape) < 0.2] = 255
        labels[0, 0, 0] = 3     # at least one valid pixel, even in an image of one
        class_weights = rng.random(5) + 0.5 if stride != 16 else None

        weights = twin_of(model)
        expected = twin.scores(model.config, weights, torch.tensor(x.transpose(0, 3, 1, 2)))
        expected_loss = torch.nn.functional.cross_entropy(
            expected, torch.tensor(labels.astype(np.int64)), ignore_index=255,
            weight=None if class_weights is None else torch.tensor(class_weights),
            reduction="mean" if reduction == "mean" else "sum")
        if reduction == "sum_per_image":
            expected_loss = expected_loss / n
        expected_loss.backward()

        scores = model.forward(x, training=True)
        loss, dscores = minifcn.softmax_cross_entropy(scores, labels, 255, reduction, class_weights)
        model.backward(dscores)
        assert relative_error(scores, expected.detach().numpy().transpose(0, 2, 3, 1)) < 1e-10
        assert loss == pytest.approx(float(expected_loss.detach()), rel=1e-10)
        assert set(model.gradients) == set(weights)
        for name, gradient in model.gradients.items():
            wanted = twin.from_torch(name, weights[name].grad)
            assert relative_error(gradient, wanted) < 1e-10, f"{name}, {h} x {w}, {reduction}"


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_three_training_steps(engine, optimizer):
    """Forward, loss, backward and step, three times over: what the fourth forward pass sees."""
    model = network(8, "exact", "learned", False, "float64")
    weights = twin_of(model)
    biases = [weight for name, weight in weights.items() if name.endswith("bias")]
    others = [weight for name, weight in weights.items() if not name.endswith("bias")]
    if optimizer == "sgd":
        ours = minifcn.SGD(model.parameters, rate=1e-3, momentum=0.9, decay=5e-4)
        groups = [{"params": others, "weight_decay": 5e-4}, {"params": biases, "lr": 2e-3}]
        theirs = torch.optim.SGD(groups, lr=1e-3, momentum=0.9)
    else:
        ours = minifcn.Adam(model.parameters, rate=1e-3, decay=1e-2)
        groups = [{"params": others, "weight_decay": 1e-2}, {"params": biases}]
        theirs = torch.optim.Adam(groups, lr=1e-3)
    x, labels = images((2, 33, 47), "float64"), np.random.default_rng(3).integers(0, 5, (2, 33, 47))
    for _ in range(3):
        _, dscores = minifcn.softmax_cross_entropy(model.forward(x, training=True), labels)
        model.backward(dscores)
        ours.step(model.gradients)
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(
            twin.scores(model.config, weights, torch.tensor(x.transpose(0, 3, 1, 2))),
            torch.tensor(labels)).backward()
        theirs.step()
    for name, weight in model.parameters.items():
        # Adam divides by the root of squared gradients: what is nearly zero loses digits there
        assert relative_error(weight, twin.from_torch(name, weights[name])) < 1e-8, name


def test_dropout_between_the_layers_of_the_paper(engine):
    """With the masks of `dropout_seed`, training is the twin with these masks after fc6 and fc7."""
    model = network(32, "exact", "frozen", False, "float64")
    dropping = minifcn.FCN(**{**model.config, "dropout": 0.5, "seed": 11})
    dropping.copy_from(model)
    weights = twin_of(dropping)
    x = images((2, 33, 40), "float64")
    seed, kept = dropping.dropout_seed, []
    ops_forward = minifcn.ops.dropout_forward

    def spy(x, rate, seed):
        y, mask = ops_forward(x, rate, seed)
        kept.append(mask)
        return y, mask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minifcn.ops, "dropout_forward", spy)
        scores = dropping.forward(x, training=True)
    assert dropping.dropout_seed == seed + 1
    y = torch.tensor(x.transpose(0, 3, 1, 2))
    relu, convolve = torch.nn.functional.relu, torch.nn.functional.conv2d
    for stage, convolutions in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, convolutions + 1):
            name = f"conv{stage}_{number}"
            y = relu(convolve(y, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
        y = torch.nn.functional.max_pool2d(y, 2, 2, ceil_mode=True)
    for name, padding, mask in (("fc6", 3, kept[0]), ("fc7", 0, kept[1])):
        y = relu(convolve(y, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding))
        y = y * torch.tensor(mask.transpose(0, 3, 1, 2)) * 2
    y = convolve(y, weights["score_fr.weight"], weights["score_fr.bias"])
    y = torch.nn.functional.conv_transpose2d(y, twin.bilinear(5, 64, y.dtype), stride=32,
                                             padding=16)[:, :, :33, :40]
    assert relative_error(scores, y.detach().numpy().transpose(0, 2, 3, 1)) < 1e-10


@pytest.mark.slow
def test_full_width_scores_in_float32():
    """All 134 million parameters, on the engine that people run."""
    model = minifcn.FCN(8, dropout=0.0)
    rng = np.random.default_rng(0)
    for name, weight in model.parameters.items():
        if name.startswith("score") or name.endswith("bias"):
            weight[...] = 0.1 * rng.standard_normal(weight.shape)
    x = images((1, 128, 160), "float32")
    with torch.no_grad():
        expected = twin.scores(model.config, twin_of(model), torch.tensor(x.transpose(0, 3, 1, 2)))
    assert relative_error(model.forward(x), expected.numpy().transpose(0, 2, 3, 1)) < 2e-4

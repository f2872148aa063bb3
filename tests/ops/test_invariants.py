"""What must hold whatever the numbers are: linearity, batches, translation, sums."""

import numpy as np
import pytest

from minifcn import ops
from minifcn.gradcheck.cases import OPERATIONS, call
from tests.gradcheck.conftest import one_thread  # noqa: F401 (used by every test)

WITH_BACKWARD = [
    pytest.param(operation, case, id=f"{operation.name}: {case.name}")
    for operation in OPERATIONS
    if operation.backward
    for case in operation.cases
]
rng = np.random.default_rng(0)


def gradients(operation, given, dy):
    answer = call(getattr(ops, operation.forward), given)
    answer = answer if isinstance(answer, tuple) else (answer,)
    dy = dy(answer[0]) if callable(dy) else dy
    result = call(getattr(ops, operation.backward), operation.backward_arguments(given, answer, dy))
    return dy, (result if isinstance(result, tuple) else (result,))


@pytest.mark.parametrize("operation, case", WITH_BACKWARD)
def test_backward_is_linear_in_dy(engine, operation, case):
    given = case.draw(np.random.default_rng(0))
    a, first = gradients(operation, given, lambda y: rng.standard_normal(y.shape))
    b, second = gradients(operation, given, lambda y: rng.standard_normal(y.shape))
    _, both = gradients(operation, given, 2 * a - 3 * b)
    for x, y, z in zip(first, second, both):
        np.testing.assert_allclose(2 * x - 3 * y, z, rtol=0, atol=1e-11 * max(np.abs(z).max(), 1))


@pytest.mark.parametrize(
    "operation, case", [p for p in WITH_BACKWARD if p.values[0].name != "dropout"]
)
def test_a_batch_equals_its_images_one_by_one(engine, operation, case):
    given = case.draw(np.random.default_rng(0))
    answer = call(getattr(ops, operation.forward), given)
    y = answer[0] if isinstance(answer, tuple) else answer
    dy, whole = gradients(operation, given, lambda y: rng.standard_normal(y.shape))
    sums = [np.zeros_like(each) for each in whole[1:]]
    for n in range(len(y)):
        alone = {**given, "x": given["x"][n : n + 1]}
        answer = call(getattr(ops, operation.forward), alone)
        np.testing.assert_allclose(
            (answer[0] if isinstance(answer, tuple) else answer)[0], y[n], atol=1e-12
        )
        _, parts = gradients(operation, alone, dy[n : n + 1])
        np.testing.assert_allclose(parts[0][0], whole[0][n], atol=1e-12)
        for total, part in zip(sums, parts[1:]):
            total += part
    for total, right in zip(sums, whole[1:]):
        np.testing.assert_allclose(total, right, rtol=0, atol=1e-12 * max(np.abs(right).max(), 1))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_moving_the_input_by_the_stride_moves_the_output_by_one(engine, stride):
    x = np.zeros((1, 20, 23, 2))
    x[:, 6:12, 6:14] = rng.standard_normal((1, 6, 8, 2))
    moved = np.roll(x, (stride, stride), (1, 2))
    weight, bias = rng.standard_normal((3, 2, 2, 4)), rng.standard_normal(4)
    for function in (
        lambda x: ops.conv2d_forward(x, weight, bias, stride, 1),
        lambda x: ops.max_pool2d_forward(x, 2, stride)[0],
    ):
        y, y_moved = function(x), function(moved)
        np.testing.assert_allclose(y[:, :-1, :-1], y_moved[:, 1:, 1:], atol=1e-12)


@pytest.mark.parametrize("factor, size, padding", [(2, 4, 1), (3, 5, 1), (4, 8, 2)])
def test_moving_the_input_by_one_moves_the_upsampled_output_by_the_factor(
    engine, factor, size, padding
):
    x = np.zeros((1, 9, 8, 2))
    x[:, 3:5, 3:6] = rng.standard_normal((1, 2, 3, 2))
    y = ops.bilinear_upsample_forward(x, factor, size, padding)
    y_moved = ops.bilinear_upsample_forward(np.roll(x, (1, 1), (1, 2)), factor, size, padding)
    np.testing.assert_allclose(y[:, :-factor, :-factor], y_moved[:, factor:, factor:], atol=1e-12)


def test_pooling_neither_loses_nor_makes_gradient(engine):
    operation = next(each for each in OPERATIONS if each.name == "max_pool2d")
    for case in operation.cases:
        dy, (dx,) = gradients(
            operation, case.draw(np.random.default_rng(0)), lambda y: rng.standard_normal(y.shape)
        )
        np.testing.assert_allclose(dx.sum(axis=(1, 2)), dy.sum(axis=(1, 2)), atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_upsampling_keeps_constants_in_the_interior(engine, factor):
    y = ops.bilinear_upsample_forward(np.ones((1, 6, 7, 2)), factor, 2 * factor, 0)
    np.testing.assert_allclose(
        y[:, 2 * factor : -2 * factor, 2 * factor : -2 * factor], 1, atol=1e-12
    )


@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1), (3, 2)])
def test_transposed_convolution_is_the_convolutions_dx_with_exchanged_channels(
    engine, stride, padding
):
    x, weight = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal((4, 5, 3, 6))
    y = ops.conv_transpose2d_forward(x, weight, None, stride, padding)
    dx, _, _ = ops.conv2d_backward(
        x, np.zeros_like(y), weight.swapaxes(2, 3).copy(), stride, padding
    )
    np.testing.assert_allclose(y, dx, atol=1e-12)


# The loss


def scores_and_labels(scale=1.0):
    rng = np.random.default_rng(0)      # every class occurs
    labels = rng.integers(0, 5, (2, 4, 3))
    labels[0, 0, 0] = labels[-1, -1, -1] = labels[0, 2, 1] = 255
    return scale * rng.standard_normal((2, 4, 3, 5)), labels


@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_per_image"])
@pytest.mark.parametrize("weights", [None, np.array([0.2, 3, 1, 0, 0.5])])
def test_dscores_of_a_valid_pixel_add_up_to_zero_and_of_an_ignored_one_are_zero(
    engine, reduction, weights
):
    scores, labels = scores_and_labels()
    _, dscores = ops.softmax_cross_entropy(scores, labels, 255, reduction, weights)
    # each of the terms is at most the weight, and rounds
    rounding = dscores.shape[-1] * np.finfo(float).eps * (1 if weights is None else weights.max())
    np.testing.assert_allclose(dscores.sum(axis=-1), 0, atol=rounding)
    assert not dscores[labels == 255].any()
    assert np.abs(dscores[labels == 1]).min() > 0


@pytest.mark.parametrize("classes", [1, 2, 21])
def test_uniform_scores_give_the_logarithm_of_the_classes(engine, classes):
    labels = rng.integers(0, classes, (2, 3, 4))
    loss, _ = ops.softmax_cross_entropy(np.full((2, 3, 4, classes), 7.0), labels)
    assert loss == pytest.approx(np.log(classes), abs=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_per_image"])
def test_a_batch_of_ignored_pixels_has_no_loss_and_no_gradient(engine, reduction):
    scores, labels = scores_and_labels()
    loss, dscores = ops.softmax_cross_entropy(
        scores, np.full_like(labels, 255), reduction=reduction
    )
    assert loss == 0
    assert not dscores.any()


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e300])
def test_large_scores_neither_overflow_nor_lose_the_loss(engine, scale):
    scores, labels = scores_and_labels(scale)
    loss, dscores = ops.softmax_cross_entropy(scores, labels, reduction="sum")
    valid = labels != 255
    right = scores.max(axis=-1)[valid] - scores[valid, labels[valid]]
    assert loss == pytest.approx(right.sum(), rel=1e-2)
    assert np.isfinite(dscores).all()


def test_a_constant_added_to_the_scores_of_a_pixel_changes_nothing(engine):
    scores, labels = scores_and_labels()
    loss, dscores = ops.softmax_cross_entropy(scores, labels)
    other, dother = ops.softmax_cross_entropy(scores + rng.standard_normal((2, 4, 3, 1)), labels)
    assert loss == pytest.approx(other, rel=1e-13)
    np.testing.assert_allclose(dscores, dother, atol=1e-15)

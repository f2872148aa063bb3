"""Wrong arguments never reach an engine: a sentence names the axis and both numbers."""

import types

import numpy as np
import pytest

import minifcn
from minifcn import ops
from minifcn.ops import checks, reference


@pytest.fixture(autouse=True)
def no_engine():
    """Every operation of this engine fails: whatever raises ValueError here was checked before."""
    def reached(*arguments, **options):
        raise AssertionError("wrong arguments reached the engine")

    names = reference.__all__
    minifcn.register_engine("unreachable", types.SimpleNamespace(**dict.fromkeys(names, reached)))
    with minifcn.using("unreachable"):
        yield


def array(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


x, weight, bias, dy = array(2, 5, 6, 4), array(3, 3, 4, 7), array(7), array(2, 3, 4, 7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((x, array(3, 3, 3, 7), bias), "weight expects 3 input channels, x has 4"),
        ((x, weight, array(6)), "bias has 6 values, weight has 7 output channels"),
        ((x, weight, array(7, 1)), r"bias needs 1 axes \(c_out\), its shape is \(7, 1\)"),
        ((x[0], weight, bias), r"x needs 4 axes \(n, h, w, c_in\), its shape is \(5, 6, 4\)"),
        ((x, weight[0], bias), r"weight needs 4 axes \(kh, kw, c_in, c_out\)"),
        (
            (x, array(6, 3, 4, 7), bias),
            "a kernel of 6 rows does not fit 5 rows with a padding of 0",
        ),
        (
            (x, array(3, 9, 4, 7), bias, 1, (0, 1)),
            "a kernel of 9 columns does not fit 6 columns with a padding of 1",
        ),
        ((x, array(0, 3, 4, 7), bias), "a kernel of 0 rows"),
        ((x, weight, bias, 0), "stride is 0, but must be at least 1"),
        ((x, weight, bias, (1, 0)), r"stride is \(1, 0\), but must be at least 1"),
        ((x, weight, bias, 1, -1), "padding is -1, but must be at least 0"),
        ((x, weight, bias, 1.0), "stride is 1.0; give a whole number or a pair"),
        ((x, weight, bias, (1, 2, 3)), r"stride is \(1, 2, 3\); give a whole number or a pair"),
        ((x, weight, bias, (2,)), r"stride is \(2,\); give a whole number or a pair"),
        ((x, weight, bias, "2"), "stride is '2'"),
        ((x, weight, bias, None), "stride is None"),
        ((x.astype(int), weight, bias), "x has dtype int64; use float32 or float64"),
        ((x.astype("float16"), weight, bias), "x has dtype float16"),
        ((x.astype(">f4"), weight, bias), "x has dtype >f4"),
        ((x, weight.astype("float64"), bias), "weight has dtype float64, x has float32; .*astype"),
        ((x, weight, bias.astype("float64")), "bias has dtype float64, x has float32"),
        ((x.tolist(), weight, bias), "x is a list, not a NumPy array"),
        ((x, None, bias), "weight is a NoneType"),
    ],
)
def test_conv2d_forward(arguments, message):
    for forward in (ops.conv2d_forward, ops.conv2d_relu_forward):
        with pytest.raises(ValueError, match=message):
            forward(*arguments)


@pytest.mark.parametrize("arguments, message", [
    ((dy[:, 1:], x, weight), r"dy has shape \(2, 2, 4, 7\), but \(2, 3, 4, 7\) is needed"),
    ((dy, x, weight, 2), r"dy has shape \(2, 3, 4, 7\), but \(2, 2, 2, 7\) is needed"),
    ((dy, x, weight, 1, (1, 0)), r"but \(2, 5, 4, 7\) is needed"),
    ((dy[0], x, weight), "dy has shape"),
    ((dy.astype("float64"), x, weight), "dy has dtype float64, x has float32"),
    ((dy, x[..., :3], weight), "weight expects 4 input channels, x has 3"),
])
def test_conv2d_backward(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.conv2d_backward(*arguments)
    with pytest.raises(ValueError, match=message):
        ops.conv2d_relu_backward(arguments[0], arguments[0], *arguments[1:])


def test_conv2d_relu_backward_looks_at_y_too():
    with pytest.raises(ValueError, match=r"y has shape \(2, 3, 4, 6\)|dy has shape"):
        ops.conv2d_relu_backward(dy, dy[..., :6], x, weight)


@pytest.mark.parametrize("arguments, message", [
    ((x, array(4, 4, 3, 7)), "weight expects 3 input channels, x has 4"),
    ((x, array(4, 4, 4, 7), array(4)), "bias has 4 values, weight has 7"),
    ((array(1, 1, 6, 4), array(4, 4, 4, 7), None, 2, 2),
     "1 rows with a kernel of 4, a stride of 2 and a padding of 2 leave 0 rows of output"),
    ((array(1, 0, 6, 4), array(4, 4, 4, 7), None, 2, 0), "0 rows with a kernel of 4"),
    ((x, array(4, 4, 4, 7), None, 0), "stride is 0"),
])
def test_conv_transpose2d_forward(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.conv_transpose2d_forward(*arguments)


def test_conv_transpose2d_backward():
    with pytest.raises(
        ValueError, match=r"dy has shape \(2, 12, 14, 7\), but \(2, 10, 12, 7\) is needed"
    ):
        ops.conv_transpose2d_backward(array(2, 12, 14, 7), x, array(4, 4, 4, 7), 2, 1)


@pytest.mark.parametrize("arguments, message", [
    ((x[0], 2, 4, 1), "x needs 4 axes"), ((x, 0, 4, 1), "factor is 0"), ((x, 2, 0, 1), "size is 0"),
    ((x, 2, 4, -1), "padding is -1"), ((x, 2.0, 4, 1), "factor is 2.0"),
    ((array(1, 1, 1, 4), 2, 4, 2), "leave 0 rows of output")])
def test_bilinear_upsample_forward(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.bilinear_upsample_forward(*arguments)


def test_bilinear_upsample_backward():
    with pytest.raises(
        ValueError, match=r"dy has shape \(2, 10, 11, 4\), but \(2, 10, 12, 4\) is needed"
    ):
        ops.bilinear_upsample_backward(array(2, 10, 11, 4), 2, 4, 1, (2, 5, 6, 4))
    with pytest.raises(ValueError, match="x needs 4 axes"):
        ops.bilinear_upsample_backward(array(2, 10, 12, 4), 2, 4, 1, (5, 6, 4))


@pytest.mark.parametrize("arguments, message", [
    ((x[0],), "x needs 4 axes"), ((array(1, 0, 5, 2),), "x has 0 rows and 5 columns"),
    ((x, 0), "size is 0"), ((x, 2, 0), "stride is 0"), ((x, 2.0), "size is 2.0"),
    ((x.astype(int),), "x has dtype int64")])
def test_max_pool2d_forward(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.max_pool2d_forward(*arguments)


@pytest.mark.parametrize(
    "dy, argmax, x_shape, message",
    [
        (array(1, 2, 2, 3), array(1, 2, 1, 3, dtype="int64"), (1, 4, 4, 3), "argmax has shape"),
        (
            array(1, 2, 2, 3),
            array(1, 2, 2, 3, dtype="int32"),
            (1, 4, 4, 3),
            "argmax has dtype int32",
        ),
        (
            array(1, 2, 2, 3),
            array(1, 2, 2, 3, dtype="int64"),
            (1, 4, 4, 2),
            r"x_shape is \(1, 4, 4, 2\), but dy has 1 images and 3 channels",
        ),
        (array(1, 2, 2, 3), array(1, 2, 2, 3, dtype="int64"), (4, 4, 3), "x_shape"),
        (
            array(1, 2, 2, 3),
            array(1, 2, 2, 3, dtype="int64") + 16,
            (1, 4, 4, 3),
            "the positions 0 to 15",
        ),
        (
            array(1, 2, 2, 3),
            array(1, 2, 2, 3, dtype="int64") - 1,
            (1, 4, 4, 3),
            "values from -1 to -1",
        ),
    ],
)
def test_max_pool2d_backward(dy, argmax, x_shape, message):
    with pytest.raises(ValueError, match=message):
        ops.max_pool2d_backward(dy, argmax, x_shape)


def test_linear_relu_and_dropout():
    for call, message in [
            (lambda: ops.linear_forward(array(2, 3), array(4, 5), array(5)),
             "weight expects 4 input channels, x has 3"),
            (lambda: ops.linear_forward(array(2, 4), array(4, 5), array(4)), "bias has 4 values"),
            (lambda: ops.linear_forward(x, array(4, 5), array(5)), r"x needs 2 axes \(n, c_in\)"),
            (lambda: ops.linear_backward(array(2, 4), array(2, 4), array(4, 5)), "dy has shape"),
            (lambda: ops.relu_forward([1.0]), "x is a list"),
            (lambda: ops.relu_backward(array(2, 3), array(3, 2)), "dy has shape"),
            (lambda: ops.relu_backward(array(2), array(2, dtype="float64")), "y has dtype float64"),
            (lambda: ops.dropout_forward(x, 1.0, 0), "rate is 1.0"),
            (lambda: ops.dropout_forward(x, -0.1, 0), "rate is -0.1"),
            (lambda: ops.dropout_forward(x, float("nan"), 0), "rate is nan"),
            (lambda: ops.dropout_backward(x, np.ones((2, 5, 6, 3), bool), 0.5), "mask has shape")]:
        with pytest.raises(ValueError, match=message):
            call()


def wrong_label(value, dtype="int64"):
    labels = np.zeros((4, 12, 5), dtype)
    labels[3, 10, 4] = value
    return labels


@pytest.mark.parametrize(
    "labels, options, message",
    [
        (
            wrong_label(255),
            {"ignore": 250},
            r"label 255 at image 3, row 10, column 4 is neither a class \(0..20\) "
            "nor the ignore value 250",
        ),
        (wrong_label(21), {}, r"label 21 at image 3, row 10, column 4 .* nor the ignore value 255"),
        (wrong_label(-1), {}, "label -1 at image 3, row 10, column 4"),
        (wrong_label(200, "uint8"), {"ignore": -1}, "label 200 at image 3"),
        (wrong_label(0)[:, :-1], {}, r"labels has shape \(4, 11, 5\), but \(4, 12, 5\) is needed"),
        (wrong_label(0, "float32"), {}, "labels must be an array of whole numbers, not float32"),
        (wrong_label(0, bool), {}, "whole numbers, not bool"),
        ([[[0]]], {}, "whole numbers, not list"),
        (wrong_label(0), {"reduction": "average"}, "reduction is 'average'; use \"mean\""),
        (
            wrong_label(0),
            {"class_weights": np.ones(20)},
            r"class_weights has shape \(20,\), scores has 21",
        ),
        (wrong_label(0), {"class_weights": np.full(21, -1.0)}, "not negative"),
        (wrong_label(0), {"class_weights": np.full(21, np.nan)}, "finite"),
    ],
)
def test_softmax_cross_entropy(labels, options, message):
    with pytest.raises(ValueError, match=message):
        ops.softmax_cross_entropy(array(4, 12, 5, 21), labels, **options)


def test_scores_of_the_loss():
    labels = np.zeros((4, 12, 5), int)
    for scores, message in ((array(4, 12, 5), "scores needs 4 axes"),
                            (array(4, 12, 5, 0), "scores has 0 classes"),
                            (array(4, 12, 5, 2, dtype="float16"), "float16")):
        with pytest.raises(ValueError, match=message):
            ops.softmax_cross_entropy(scores, labels)


# Sizes and the bilinear kernel


@pytest.mark.parametrize("extent", range(1, 30))
@pytest.mark.parametrize("size, stride", [(1, 1), (2, 2), (3, 2), (2, 3), (3, 1), (5, 4), (1, 3)])
def test_pooling_windows_cover_what_they_should(extent, size, stride):
    """Counted: windows that start inside; without ceil_mode only those that also end there."""
    started = [start for start in range(0, extent, stride)]
    whole = [start for start in started if start + size <= extent]
    assert checks.max_pool2d_size(extent, size, stride, False) == max(len(whole), 1)
    # rounded up, one more window, if cells are left over and it starts inside
    left_over = not whole or whole[-1] + size < extent
    expected = len(whole) + (left_over and len(started) > len(whole))
    assert checks.max_pool2d_size(extent, size, stride, True) == max(expected, 1)


@pytest.mark.parametrize("size, total, peak", [
    (4, 4, 0.5625), (16, 64, 0.87890625), (32, 256, 0.9384765625), (63, 1024, 1.0),
    (64, 1024, 0.968994140625)])
def test_bilinear_kernel(size, total, peak):
    kernel = ops.bilinear_kernel(size)
    assert kernel.shape == (size, size) and kernel.dtype == np.float64
    assert kernel.sum() == total and kernel.max() == peak
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    assert ops.bilinear_kernel(size, "float32").dtype == np.float32


def test_bilinear_kernel_of_four_and_of_nothing():
    np.testing.assert_array_equal(ops.bilinear_kernel(4)[1] / 0.75, [0.25, 0.75, 0.75, 0.25])
    np.testing.assert_array_equal(ops.bilinear_kernel(1), [[1]])
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ops.bilinear_kernel(0)


def test_dense_copies_only_what_compiled_code_cannot_take():
    x = np.arange(24.0).reshape(4, 6)
    assert checks.dense(x) is x
    read_only = x.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(bytearray(25), np.uint8)[1:].view(np.float64)
    for other in (x.T, x[:, ::2], read_only, unaligned):
        dense = checks.dense(other)
        assert dense.flags.c_contiguous and dense.flags.writeable and dense.flags.aligned
        np.testing.assert_array_equal(dense, other)

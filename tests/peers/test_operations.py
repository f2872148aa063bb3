"""Single operations, forward and backward, beside PyTorch, ONNX Runtime and OpenCV."""
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minifcn
from minifcn import ops
from minifcn.ops import checks

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

pytestmark = pytest.mark.peers

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
dtypes = st.sampled_from(["float32", "float64"])


def random(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(got, expected, dtype, what="", tolerance=None):
    """Equal to the tolerance, in units of the largest value."""
    tolerance = tolerance or TOLERANCE[dtype]
    expected = np.asarray(expected)
    assert got.shape == expected.shape and got.dtype == dtype, what
    if expected.size:
        error = np.abs(got - expected).max()
        assert error <= tolerance * np.abs(expected).max(), f"{what}: off by {error}"


def nchw(x):
    """As a leaf tensor of PyTorch's layout; ``nhwc`` brings it back."""
    return torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), requires_grad=True)


def nhwc(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def tensor(array, *axes):
    array = array.transpose(*axes) if axes else array
    return torch.tensor(np.ascontiguousarray(array), requires_grad=True)


def pairs(largest):
    """A whole number, or one for rows and one for columns."""
    numbers = st.integers(1, largest)
    return numbers | st.tuples(numbers, numbers)


@st.composite
def convolutions(draw):
    """Shapes that fit, 3x3 with padding 1 (Winograd's case) and 1x1 as often as all others."""
    kernel = draw(st.one_of(st.just((3, 3)), st.just((1, 1)), st.just((7, 7)),
                            st.tuples(st.integers(1, 5), st.integers(1, 5))))
    unit = draw(st.booleans())
    stride = (1, 1) if unit else draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.one_of(st.just(tuple(k // 2 for k in kernel)),
                             st.tuples(st.integers(0, 4), st.integers(0, 4))))
    extents = [draw(st.integers(max(1, k - 2 * p), 20)) for k, p in zip(kernel, padding)]
    channels = st.one_of(st.integers(1, 5), st.sampled_from([16, 17, 64, 70]))
    return (
        draw(st.integers(1, 3)),
        *extents,
        draw(channels),
        draw(channels),
        kernel,
        stride,
        padding,
    )


@settings(max_examples=60)
@given(case=convolutions(), dtype=dtypes)
def test_conv2d(engine, case, dtype):
    n, h, w, c_in, c_out, kernel, stride, padding = case
    x, weight = random((n, h, w, c_in), dtype), random((*kernel, c_in, c_out), dtype, 1)
    bias = random(c_out, dtype, 2)
    winograd = engine == "fast" and kernel in ((3, 3), (7, 7)) and stride == (1, 1)
    tolerance = 5e-5 if winograd and dtype == "float32" else TOLERANCE[dtype]
    x_, weight_, bias_ = nchw(x), tensor(weight, 3, 2, 0, 1), tensor(bias)
    y_ = F.conv2d(x_, weight_, bias_, stride, padding)
    dy = random(nhwc(y_).shape, dtype, 3)

    y = ops.conv2d_forward(x, weight, bias, stride, padding)
    close(y, nhwc(y_), dtype, "y", tolerance)
    y_.backward(nchw(dy).detach(), retain_graph=True)
    dx, dweight, dbias = ops.conv2d_backward(dy, x, weight, stride, padding)
    close(dx, nhwc(x_.grad), dtype, "dx", tolerance)
    close(dweight, weight_.grad.numpy().transpose(2, 3, 1, 0), dtype, "dweight", tolerance)
    close(dbias, bias_.grad, dtype, "dbias")

    # with a ReLU behind it; where a sum is zero up to rounding the two may disagree about its sign
    y_ = F.relu(y_)
    y = ops.conv2d_relu_forward(x, weight, bias, stride, padding)
    close(y, nhwc(y_), dtype, "relu y", tolerance)
    if ((y > 0) == (nhwc(y_) > 0)).all():
        for leaf in (x_, weight_, bias_):
            leaf.grad = None
        y_.backward(nchw(dy).detach())
        dx, dweight, dbias = ops.conv2d_relu_backward(dy, y, x, weight, stride, padding)
        close(dx, nhwc(x_.grad), dtype, "relu dx", tolerance)
        close(dweight, weight_.grad.numpy().transpose(2, 3, 1, 0), dtype, "relu dweight", tolerance)
        close(dbias, bias_.grad, dtype, "relu dbias")
        nothing, dweight_, _ = ops.conv2d_relu_backward(dy, y, x, weight, stride, padding,
                                                        need_dx=False)
        assert nothing is None
        close(dweight_, dweight, dtype, "dweight without dx", tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape, kernel, c_out, padding", [
    ((1, 30, 45, 64), (3, 3), 128, 1), ((2, 23, 31, 128), (3, 3), 64, 1),
    ((1, 62, 50, 3), (3, 3), 64, 100), ((1, 16, 12, 128), (7, 7), 96, 3),
    ((1, 22, 25, 64), (7, 7), 64, 0), ((2, 16, 12, 256), (1, 1), 21, 0)])
def test_conv2d_in_the_shapes_of_vgg(engine, shape, kernel, c_out, padding, dtype):
    """Here the fast engine takes Winograd's way, which rounds more: 5e-5 of float64's truth."""
    x = np.maximum(random(shape, dtype), 0)
    weight = random((*kernel, shape[3], c_out), "float64", 1)
    weight = (weight / np.sqrt(kernel[0] * kernel[1] * shape[3] / 2)).astype(dtype)
    bias = random(c_out, dtype, 2)
    x_, weight_, bias_ = (leaf.double().detach().requires_grad_() for leaf in (
        nchw(x), tensor(weight, 3, 2, 0, 1), tensor(bias)))
    y_ = F.conv2d(x_, weight_, bias_, 1, padding)
    dy = random(nhwc(y_).shape, dtype, 3)
    y_.backward(nchw(dy).detach().double())
    dx, dweight, dbias = ops.conv2d_backward(dy, x, weight, 1, padding)
    winograd = engine == "fast" and dtype == "float32" and kernel != (1, 1)
    for name, got, expected in (
            ("y", ops.conv2d_forward(x, weight, bias, 1, padding), nhwc(y_)),
            ("dx", dx, nhwc(x_.grad)),
            ("dweight", dweight, weight_.grad.numpy().transpose(2, 3, 1, 0)),
            ("dbias", dbias, bias_.grad.numpy())):
        close(got, expected, dtype, name, 5e-5 if winograd else TOLERANCE[dtype])


@settings(max_examples=40)
@given(case=convolutions(), dtype=dtypes, with_bias=st.booleans())
def test_conv_transpose2d(engine, case, dtype, with_bias):
    n, h, w, c_in, c_out, kernel, stride, padding = case
    padding = tuple(min(p, (k - 1) // 2) for p, k in zip(padding, kernel))     # leaves an output
    x, weight = random((n, h, w, c_in), dtype), random((*kernel, c_in, c_out), dtype, 1)
    bias = random(c_out, dtype, 2) if with_bias else None
    x_, weight_ = nchw(x), tensor(weight, 2, 3, 0, 1)
    bias_ = tensor(bias) if with_bias else None
    y_ = F.conv_transpose2d(x_, weight_, bias_, stride, padding)
    dy = random(nhwc(y_).shape, dtype, 3)
    y_.backward(nchw(dy).detach())
    close(ops.conv_transpose2d_forward(x, weight, bias, stride, padding), nhwc(y_), dtype, "y")
    dx, dweight, dbias = ops.conv_transpose2d_backward(dy, x, weight, stride, padding)
    close(dx, nhwc(x_.grad), dtype, "dx")
    close(dweight, weight_.grad.numpy().transpose(2, 3, 0, 1), dtype, "dweight")
    close(dbias, dy.sum(axis=(0, 1, 2)) if bias_ is None else bias_.grad, dtype, "dbias")


@settings(max_examples=40)
@given(shape=st.tuples(*[st.integers(1, n) for n in (2, 6, 6, 20)]),
       factor_and_padding=st.sampled_from([(2, 1), (2, 0), (8, 4), (16, 8), (32, 16), (4, (0, 1))]),
       dtype=dtypes)
def test_bilinear_upsample(engine, shape, factor_and_padding, dtype):
    factor, padding = factor_and_padding
    x = random(shape, dtype)
    x_, kernel = nchw(x), minifcn.ops.bilinear_kernel(2 * factor, dtype)
    y_ = F.conv_transpose2d(x_, torch.tensor(np.tile(kernel, (shape[3], 1, 1, 1))),
                            stride=factor, padding=padding, groups=shape[3])
    dy = random(nhwc(y_).shape, dtype, 1)
    y_.backward(nchw(dy).detach())
    close(ops.bilinear_upsample_forward(x, factor, 2 * factor, padding), nhwc(y_), dtype, "y")
    close(ops.bilinear_upsample_backward(dy, factor, 2 * factor, padding, shape),
          nhwc(x_.grad), dtype, "dx")


@settings(max_examples=60)
@given(shape=st.tuples(*[st.integers(1, n) for n in (3, 13, 13, 20)]), size=pairs(4),
       stride=pairs(3), ceil_mode=st.booleans(), dtype=dtypes, ties=st.booleans())
def test_max_pool2d(engine, shape, size, stride, ceil_mode, dtype, ties):
    # PyTorch refuses an image smaller than the first window; here there is at least one window
    assume(all(extent > k - (s if ceil_mode else 1) for extent, k, s in zip(
        shape[1:3], checks.pair(size), checks.pair(stride))))
    x = random(shape, dtype)
    x = np.round(x) if ties else x
    y, argmax = ops.max_pool2d_forward(x, size, stride, ceil_mode)
    x_ = nchw(x)
    y_, argmax_ = F.max_pool2d(x_, size, stride, ceil_mode=ceil_mode, return_indices=True)
    assert np.array_equal(y, nhwc(y_)) and np.array_equal(argmax, nhwc(argmax_))
    dy = random(y.shape, dtype, 1)
    y_.backward(nchw(dy).detach())
    close(ops.max_pool2d_backward(dy, argmax, shape), nhwc(x_.grad), dtype, "dx")


@settings(max_examples=40)
@given(shape=st.tuples(*[st.integers(1, n) for n in (3, 9, 9)]), classes=st.integers(1, 25),
       dtype=dtypes, reduction=st.sampled_from(["mean", "sum", "sum_per_image"]),
       ignore=st.sampled_from([255, -1, 0]), weighted=st.booleans(), scale=st.sampled_from([1, 50]))
def test_softmax_cross_entropy(engine, shape, classes, dtype, reduction, ignore, weighted, scale):
    scores = random((*shape, classes), dtype) * np.dtype(dtype).type(scale)
    rng = np.random.default_rng(1)
    labels = rng.integers(0, classes, shape)
    labels[rng.random(shape) < 0.3] = ignore
    weights = rng.random(classes) + 0.1 if weighted else None
    loss, dscores = ops.softmax_cross_entropy(scores, labels, ignore, reduction, weights)
    if (labels == ignore).all():
        assert loss == 0 and not dscores.any()      # PyTorch's mean is NaN there
        return
    scores_ = nchw(scores.astype("float64"))        # the truth, for float32 too
    loss_ = F.cross_entropy(scores_, torch.tensor(labels), ignore_index=ignore,
                            weight=None if weights is None else torch.tensor(weights),
                            reduction="mean" if reduction == "mean" else "sum")
    loss_ = loss_ / shape[0] if reduction == "sum_per_image" else loss_
    loss_.backward()
    assert loss == pytest.approx(float(loss_.detach()), rel=TOLERANCE[dtype], abs=TOLERANCE[dtype])
    # gradients are differences p - 1: their rounding is that of 1, in units of the pixel's factor
    factor = np.abs(nhwc(scores_.grad)).max() or 1
    largest_weight = 1 if weights is None else weights.max()
    assert dscores.dtype == dtype and dscores.shape == scores.shape
    np.testing.assert_allclose(dscores, nhwc(scores_.grad), rtol=0,
                               atol=TOLERANCE[dtype] * max(factor, largest_weight * (
                                   reduction != "mean")))


@settings(max_examples=20)
@given(sizes=st.tuples(*[st.integers(1, n) for n in (5, 200, 70)]), dtype=dtypes)
def test_linear(engine, sizes, dtype):
    n, c_in, c_out = sizes
    x, weight, bias = (
        random((n, c_in), dtype),
        random((c_in, c_out), dtype, 1),
        random(c_out, dtype, 2),
    )
    x_, weight_, bias_ = tensor(x), tensor(weight, 1, 0), tensor(bias)
    y_ = F.linear(x_, weight_, bias_)
    dy = random((n, c_out), dtype, 3)
    y_.backward(torch.tensor(dy))
    close(ops.linear_forward(x, weight, bias), y_.detach(), dtype, "y")
    dx, dweight, dbias = ops.linear_backward(dy, x, weight)
    close(dx, x_.grad, dtype, "dx")
    close(dweight, weight_.grad.numpy().T, dtype, "dweight")
    close(dbias, bias_.grad, dtype, "dbias")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu(engine, dtype):
    x = random((3, 5, 7), dtype)
    x[0, 0, :2] = 0.0, -0.0
    x_, dy = tensor(x), random(x.shape, dtype, 1)
    y_ = F.relu(x_)
    y_.backward(torch.tensor(dy))
    y = ops.relu_forward(x)
    assert np.array_equal(y, y_.detach()) and np.array_equal(ops.relu_backward(dy, y), x_.grad)


def test_sgd_is_caffes_for_a_changing_rate():
    """v = momentum v + rate g; PyTorch multiplies by the rate afterwards: it is no judge here."""
    parameters = {"a.weight": random((3, 4), "float64"), "a.bias": random(4, "float64", 1)}
    expected = {name: array.copy() for name, array in parameters.items()}
    velocity = {name: np.zeros_like(array) for name, array in parameters.items()}
    optimizer = minifcn.SGD(parameters, rate=0.1, momentum=0.99, decay=5e-4)
    for step in range(5):
        gradients = {
            name: random(array.shape, "float64", step) for name, array in parameters.items()
        }
        optimizer.step(gradients, factor=0.5**step)
        for name, multiple, decay in (("a.weight", 1, 5e-4), ("a.bias", 2, 0)):
            rate = 0.1 * 0.5**step * multiple
            velocity[name] = 0.99 * velocity[name] + rate * (
                gradients[name] + decay * expected[name]
            )
            expected[name] = expected[name] - velocity[name]
            np.testing.assert_allclose(parameters[name], expected[name], rtol=1e-13)


# ONNX Runtime and OpenCV: other people's code, from other formulas


def run_onnx(operator, inputs, **attributes):
    """One operator in ONNX Runtime; the first input is the image, the others are weights."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    kind = onnx.TensorProto.FLOAT
    names = [f"input{index}" for index in range(len(inputs))]
    node = onnx.helper.make_node(operator, names, ["y"], **attributes)
    graph = onnx.helper.make_graph(
        [node], "one", [onnx.helper.make_tensor_value_info(name, kind, array.shape)
                        for name, array in zip(names, inputs)],
        [onnx.helper.make_tensor_value_info("y", kind, None)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)],
                                   ir_version=8)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 2
    session = runtime.InferenceSession(model.SerializeToString(), options,
                                       providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, map(np.ascontiguousarray, inputs))))[0]


@pytest.mark.parametrize("h, w, kernel, stride, padding", [
    (11, 14, 3, 1, 1), (9, 9, 7, 1, 3), (12, 10, 1, 1, 0), (13, 8, 5, 2, 2), (1, 1, 3, 1, 100)])
def test_conv2d_beside_onnx_runtime(engine, h, w, kernel, stride, padding):
    x, weight, bias = (
        random((2, h, w, 6), "float32"),
        random((kernel, kernel, 6, 9), "float32", 1),
        random(9, "float32", 2),
    )
    y = run_onnx("Conv", [x.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1), bias],
                 strides=[stride] * 2, pads=[padding] * 4)
    close(ops.conv2d_forward(x, weight, bias, stride, padding), y.transpose(0, 2, 3, 1), "float32")


@pytest.mark.parametrize("factor, padding", [(2, 0), (2, 1), (8, 4), (32, 16)])
def test_conv_transpose2d_beside_onnx_runtime(engine, factor, padding):
    x = random((1, 3, 4, 5), "float32")
    weight = random((2 * factor, 2 * factor, 5, 3), "float32", 1)
    y = run_onnx("ConvTranspose", [x.transpose(0, 3, 1, 2), weight.transpose(2, 3, 0, 1)],
                 strides=[factor] * 2, pads=[padding] * 4)
    close(ops.conv_transpose2d_forward(x, weight, None, factor, padding),
          y.transpose(0, 2, 3, 1), "float32")


@pytest.mark.parametrize("h, w", [(1, 1), (7, 8), (33, 2)])
def test_max_pool2d_in_ceil_mode_beside_onnx_runtime(engine, h, w):
    x = random((2, h, w, 5), "float32")
    y = run_onnx("MaxPool", [x.transpose(0, 3, 1, 2)], kernel_shape=[2, 2], strides=[2, 2],
                 ceil_mode=1)
    assert np.array_equal(ops.max_pool2d_forward(x)[0], y.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
def test_bilinear_upsample_is_opencvs_resize_in_the_interior(engine, factor):
    """In exact geometry: half-pixel centres, as image libraries have them."""
    cv2 = pytest.importorskip("cv2")
    x = random((1, 6, 9, 3), "float32")
    y = ops.bilinear_upsample_forward(x, factor, 2 * factor, factor // 2)[0]
    resized = cv2.resize(x[0], None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    assert y.shape == resized.shape
    interior = np.s_[factor // 2:-factor // 2, factor // 2:-factor // 2]
    np.testing.assert_allclose(y[interior], resized[interior], rtol=0, atol=2e-6)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 3), (7, 7)])
def test_conv2d_is_opencvs_filter(engine, kernel):
    cv2 = pytest.importorskip("cv2")
    x, weight = random((1, 15, 18, 1), "float64"), random((*kernel, 1, 4), "float64", 1)
    y = ops.conv2d_forward(x, weight, np.zeros(4), 1, (kernel[0] // 2, kernel[1] // 2))
    for f in range(4):
        filtered = cv2.filter2D(
            x[0, :, :, 0], -1, weight[:, :, 0, f], borderType=cv2.BORDER_CONSTANT
        )
        np.testing.assert_allclose(y[0, :, :, f], filtered, rtol=0, atol=1e-12)

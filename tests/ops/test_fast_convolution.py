"""Convolution and linear layers of the fast engine, against plain NumPy in float64."""
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn.ops.checks import pair
from minifcn.ops.compiling import JIT_ENABLED
from minifcn.ops.reference import conv_transpose2d as transposed_reference

if not JIT_ENABLED:
    pytest.skip("the fast engine exists only as compiled code", allow_module_level=True)

from minifcn import ops
from minifcn.ops import fast, memory
from minifcn.ops.fast import direct, gemm, transforms, winograd

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}     # of the largest value
WINOGRAD_TOLERANCE = {"float32": 5e-5, "float64": 1e-12}


def random(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(got, expected, tolerance=TOLERANCE):
    """Within the dtype's share of the largest value."""
    assert got.shape == expected.shape
    largest = max(1e-30, abs(expected).max(initial=0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance[str(got.dtype)] * largest)


def windows(x, kernel, stride, padding):
    """(n, oh, ow, c, kh, kw) of the padded image, in float64."""
    (rows, columns), (down, across) = pair(padding), pair(stride)
    x = np.pad(x.astype(float), ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))[:, ::down, ::across]


def forward(x, weight, bias, stride=1, padding=0):
    return np.einsum("nijcab,abcf->nijf", windows(x, weight.shape[:2], stride, padding), weight,
                     optimize=True) + bias


def backward(dy, x, weight, stride=1, padding=0):
    (rows, columns), (down, across) = pair(padding), pair(stride)
    kh, kw = weight.shape[:2]
    dweight = np.einsum("nijcab,nijf->abcf", windows(x, (kh, kw), stride, padding), dy,
                        optimize=True)
    dx = np.zeros((x.shape[0], x.shape[1] + 2 * rows, x.shape[2] + 2 * columns, x.shape[3]))
    for a in range(kh):
        for b in range(kw):
            here = (slice(a, a + down * (dy.shape[1] - 1) + 1, down),
                    slice(b, b + across * (dy.shape[2] - 1) + 1, across))
            dx[(slice(None), *here)] += dy.astype(float) @ weight[a, b].astype(float).T
    return dx[:, rows:rows + x.shape[1], columns:columns + x.shape[2]], dweight, dy.sum((0, 1, 2))


CASES = [   # n, h, w, c_in, c_out, kernel, stride, padding
    (1, 5, 6, 3, 4, (3, 2), 1, 0),
    (2, 9, 7, 5, 21, (3, 3), (2, 1), (1, 2)),       # every extent another one
    (1, 4, 4, 2, 3, (1, 1), 2, 1),
    (2, 5, 7, 33, 21, (1, 1), 1, 0),                # a product
    (1, 1, 1, 1, 1, (1, 1), 1, 0),
    (1, 9, 13, 3, 64, (3, 3), 1, 4),                # the first layer
    (1, 20, 21, 16, 33, (3, 3), 1, 1),              # Winograd, a narrow panel of filters
    (2, 12, 19, 64, 16, (3, 3), 1, (4, 0)),         # Winograd, dx leaves rows out
    (1, 8, 8, 513, 40, (3, 3), 1, 1),               # more channels than a superblock
    (2, 14, 13, 32, 17, (7, 7), 1, 3),              # fc6
    (1, 6, 6, 40, 50, (3, 3), 3, 2),
]
NAMES = [f"{c}to{f}k{k[0]}x{k[1]}s{s}p{p}" for *_, c, f, k, s, p in CASES]


def arguments(case, dtype):
    n, h, w, c, f, kernel, stride, padding = case
    x, weight = random((n, h, w, c), dtype), random((*kernel, c, f), dtype, 1)
    return x, weight, random(f, dtype, 2), stride, padding


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_convolution_equals_plain_numpy(case, dtype):
    x, weight, bias, stride, padding = arguments(case, dtype)
    expected = forward(x, weight, bias, stride, padding)
    tolerance = WINOGRAD_TOLERANCE if min(case[3:5]) >= 8 else TOLERANCE
    y = fast.conv2d_forward(x, weight, bias, stride, padding)
    assert y.dtype == dtype
    close(y, expected, tolerance)
    dy = random(y.shape, dtype, 3)
    for got, right in zip(fast.conv2d_backward(dy, x, weight, stride, padding),
                          backward(dy, x, weight, stride, padding)):
        assert got.dtype == dtype
        close(got, right, tolerance)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_relu_is_fused_without_changing_anything(case):
    x, weight, bias, stride, padding = arguments(case, "float32")
    y = fast.conv2d_forward(x, weight, bias, stride, padding)
    rectified = fast.conv2d_relu_forward(x, weight, bias, stride, padding)
    np.testing.assert_array_equal(rectified, np.maximum(y, 0))
    dy = random(y.shape, "float32", 3)
    dx, dweight, dbias = fast.conv2d_relu_backward(dy, rectified, x, weight, stride, padding)
    masked = np.where(rectified > 0, dy, np.float32(0))
    expected = fast.conv2d_backward(masked, x, weight, stride, padding)
    for got, right in zip((dx, dweight, dbias), expected):
        close(got, right, {"float32": 1e-6})
    nothing, same, _ = fast.conv2d_relu_backward(dy, rectified, x, weight, stride, padding,
                                                 need_dx=False)
    assert nothing is None
    np.testing.assert_array_equal(same, dweight)


@settings(max_examples=60)
@given(n=st.integers(1, 2), h=st.integers(1, 15), w=st.integers(1, 15), c=st.integers(1, 40),
       f=st.integers(1, 40), kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
       stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
       padding=st.tuples(st.integers(0, 3), st.integers(0, 3)), seed=st.integers(0, 99))
def test_any_kernel_stride_and_padding(n, h, w, c, f, kernel, stride, padding, seed):
    h, w = max(h, kernel[0] - 2 * padding[0]), max(w, kernel[1] - 2 * padding[1])
    x, weight, bias = random((n, h, w, c), seed=seed), random((*kernel, c, f)), random(f)
    y = fast.conv2d_forward(x, weight, bias, stride, padding)
    close(y, forward(x, weight, bias, stride, padding))
    dy = random(y.shape, seed=seed + 1)
    for got, right in zip(fast.conv2d_backward(dy, x, weight, stride, padding),
                          backward(dy, x, weight, stride, padding)):
        close(got, right)


@settings(max_examples=40)
@given(taps=st.sampled_from([3, 7]), n=st.integers(1, 2), h=st.integers(1, 20),
       w=st.integers(1, 20), c=st.integers(1, 70), f=st.integers(1, 70),
       padding=st.tuples(st.integers(0, 8), st.integers(0, 8)),
       floor=st.sampled_from([0.0, -np.inf]), shallow=st.booleans(), seed=st.integers(0, 99))
def test_winograd_is_a_convolution_in_both_schedules(taps, n, h, w, c, f, padding, floor, shallow,
                                                     seed):
    h, w = max(h, taps - 2 * padding[0]), max(w, taps - 2 * padding[1])
    x, weight, bias = random((n, h, w, c), seed=seed), random((taps, taps, c, f)), random(f)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "SHALLOW", winograd.SHALLOW if shallow else 0)
        y = winograd.convolve(x, weight, bias, padding, floor)
        close(y, np.maximum(forward(x, weight, bias, 1, padding), floor))
        dy = random(y.shape, seed=seed + 1)
        beyond = taps - 1 - padding[0], taps - 1 - padding[1]
        dx, dweight, _ = backward(dy, x, weight, 1, padding)
        close(winograd.convolve(dy, weight, None, beyond, turned=True), dx)
        close(winograd.gradient(dy, x, padding, taps), dweight)


@pytest.mark.parametrize(("taps", "channels"), [(3, 16), (3, 64), (3, 512), (7, 64), (7, 512)])
def test_winograd_in_float32_stays_near_float64(taps, channels):
    x = np.maximum(random((1, 20, 20, channels), "float32"), 0)     # as after a ReLU
    weight = random((taps, taps, channels, 64), "float32", 1)
    bias = random(64, "float32", 2)
    y = winograd.convolve(x, weight, bias, (taps // 2, taps // 2))
    close(y, forward(x, weight, bias, 1, taps // 2), WINOGRAD_TOLERANCE)
    dy, padding = random(y.shape, "float32", 3), (taps // 2, taps // 2)
    close(winograd.gradient(dy, x, padding, taps), backward(dy, x, weight, 1, taps // 2)[1],
          WINOGRAD_TOLERANCE)


@pytest.mark.parametrize("taps", range(2, 8))
def test_cook_toom_is_exact(taps):
    at, g, bt = transforms.cook_toom(taps)
    rng = np.random.default_rng(taps)
    inputs = [Fraction(int(k), 7) for k in rng.integers(-50, 50, transforms.N)]
    weights = [Fraction(int(k), 5) for k in rng.integers(-50, 50, taps)]

    def times(matrix, vector):
        return [sum(a * b for a, b in zip(row, vector)) for row in matrix]

    products = [a * b for a, b in zip(times(g, weights), times(bt, inputs))]
    assert times(at, products) == [sum(weights[k] * inputs[i + k] for k in range(taps))
                                   for i in range(transforms.N + 1 - taps)]


@pytest.mark.parametrize("case", CASES[5:10], ids=NAMES[5:10])
def test_nan_comes_through(case):
    x, weight, bias, stride, padding = arguments(case, "float32")
    x[0, 4, 5, 1] = np.nan
    touched = np.isnan(forward(x, weight, bias, stride, padding))
    assert touched.any()
    for convolve in (fast.conv2d_forward, fast.conv2d_relu_forward):
        assert np.isnan(convolve(x, weight, bias, stride, padding)[touched]).all()


TRANSPOSED = [  # n, h, w, c_in, c_out, kernel, stride, padding
    (1, 3, 4, 2, 3, (4, 4), 2, 1),
    (2, 5, 4, 21, 21, (16, 16), 8, 4),
    (1, 2, 3, 3, 5, (3, 2), (1, 3), (0, 1)),
    (1, 1, 1, 2, 2, (5, 5), 3, 1),
    (1, 2, 2, 5, 5, (64, 64), 32, 16),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", TRANSPOSED, ids=[str(case[5][0]) for case in TRANSPOSED])
def test_transposed_convolution_equals_the_reference(case, dtype):
    x, weight, bias, stride, padding = arguments(case, dtype)
    wide = x.astype(float), weight.astype(float)
    y = fast.conv_transpose2d_forward(x, weight, bias, stride, padding)
    close(y, transposed_reference.conv_transpose2d_forward(*wide, bias.astype(float), stride,
                                                           padding))
    close(fast.conv_transpose2d_forward(x, weight, None, stride, padding), y - bias,
          {"float32": 1e-6, "float64": 1e-14})
    dy = random(y.shape, dtype, 3)
    right = transposed_reference.conv_transpose2d_backward(dy.astype(float), *wide, stride, padding)
    for got, expected in zip(fast.conv_transpose2d_backward(dy, x, weight, stride, padding), right):
        assert got.dtype == dtype
        close(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40)
@given(m=st.integers(0, 300), k=st.integers(0, 600), n=st.integers(1, 300), seed=st.integers(0, 99),
       turned_a=st.booleans(), turned_b=st.booleans())
def test_products_of_any_size(m, k, n, seed, turned_a, turned_b, dtype):
    a = random((k, m) if turned_a else (m, k), dtype, seed)
    b = random((n, k) if turned_b else (k, n), dtype, seed + 1)
    a, b, bias = a.T if turned_a else a, b.T if turned_b else b, random(n, dtype)
    expected = np.maximum(a.astype(float) @ b.astype(float) + bias, 0)
    close(gemm.multiply(a, b, bias, floor=0.0), expected)


def test_linear_layers_equal_plain_numpy():
    x, weight, bias, dy = random((3, 50)), random((50, 21)), random(21), random((3, 21), seed=1)
    close(fast.linear_forward(x, weight, bias), x @ weight + bias)
    expected = dy @ weight.T, x.T @ dy, dy.sum(0)
    for got, right in zip(fast.linear_backward(dy, x, weight), expected):
        close(got, right)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stream", [False, True])
def test_the_micro_kernel_writes_nothing_but_its_tile(dtype, stream):
    tile = gemm.tile_of(dtype)
    a, b = random((40, 9), dtype), random((9, tile.columns), dtype, 1)
    room = memory.empty((60, 3 * tile.columns), dtype)
    for rows in (1, 2, 3, 5, 7, 12, 13, 17, 25, 40):
        for columns in (1, tile.lanes - 1, tile.lanes, tile.columns - 1, tile.columns):
            room[:] = np.nan
            zeros = np.zeros(tile.columns, dtype)
            goal = gemm.Matrix(room.reshape(-1), 10 * room.shape[1] + tile.columns,
                               room.shape[1], 1)
            result = gemm.Result(goal, gemm.Matrix(zeros, 0, 0, 1),
                                 np.dtype(dtype).type(-np.inf), stream)
            gemm.multiply_panel(rows, columns, 9, gemm.matrix(a), gemm.matrix(b), gemm.matrix(b),
                                result)
            inside = room[10:10 + rows, tile.columns:tile.columns + columns]
            close(inside, (a[:rows].astype(float) @ b)[:, :columns])
            inside[:] = np.nan
            assert np.isnan(room).all()


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_same_bits_for_any_number_of_threads(case):
    x, weight, bias, stride, padding = arguments(case, "float32")
    threads = ops.get_threads()

    def results(count):
        ops.set_threads(count)
        try:
            y = fast.conv2d_forward(x, weight, bias, stride, padding)
            dy = random(y.shape, "float32", 3)
            return y, *fast.conv2d_relu_backward(dy, y, x, weight, stride, padding)
        finally:
            ops.set_threads(threads)

    one = results(1)
    for count in (2, 4, 5):
        for _ in range(5):
            for got, expected in zip(results(count), one):
                np.testing.assert_array_equal(got, expected)


def test_python_threads_may_convolve_at_once():
    """Each has its own scratch."""
    inputs = [arguments(case, "float32") for case in CASES] * 4
    expected = [fast.conv2d_forward(*each) for each in inputs]
    with ThreadPoolExecutor(4) as pool:
        for got, right in zip(pool.map(lambda each: fast.conv2d_forward(*each), inputs), expected):
            np.testing.assert_array_equal(got, right)


def test_inputs_may_be_strided_and_read_only():
    x, weight, bias, stride, padding = arguments(CASES[6], "float32")
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    wide.flags.writeable = weight.flags.writeable = False
    expected = fast.conv2d_forward(x.copy(), weight.copy(), bias, stride, padding)
    y = fast.conv2d_forward(wide, weight, bias, stride, padding)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[-1]])
def test_large_weights_are_packed_piece_by_piece(case, monkeypatch):
    x, weight, bias, stride, padding = arguments(case, "float64")
    y = forward(x, weight, bias, stride, padding)
    dy = random(y.shape, seed=3)
    for limit in (0, 3 * weight.size // 4):     # of one place at a time, or of some
        monkeypatch.setattr(direct, "WEIGHTS", limit)
        close(fast.conv2d_forward(x, weight, bias, stride, padding), y)
        close(fast.conv2d_backward(dy, x, weight, stride, padding)[0],
              backward(dy, x, weight, stride, padding)[0])


def test_many_places_are_summed_in_chunks(monkeypatch):
    """The direct weight gradient, with partial sums and with more places than are taken at once."""
    x, dy = random((2, 40, 30, 3)), random((2, 40, 30, 5), seed=1)
    plan = direct.extents_of(x.shape, dy.shape, (3, 3), pair(1), pair(1))
    right = backward(dy, x, np.zeros((3, 3, 3, 5)), 1, 1)[1]
    close(direct.gradient(plan, dy, x), right)
    monkeypatch.setattr(direct, "WEIGHT_SUMS", 1)
    close(direct.gradient(plan, dy, x), right)


@pytest.mark.parametrize("case", [CASES[5], CASES[7], CASES[9]])
def test_results_stored_past_the_caches_are_the_same(case, monkeypatch):
    x, weight, bias, stride, padding = arguments(case, "float32")
    dy = random(forward(x, weight, bias, stride, padding).shape, "float32", 3)

    def results():
        return (fast.conv2d_relu_forward(x, weight, bias, stride, padding),
                *fast.conv2d_backward(dy, x, weight, stride, padding))

    expected = results()
    monkeypatch.setattr(gemm, "STREAM", 0)
    for got, right in zip(results(), expected):
        np.testing.assert_array_equal(got, right)

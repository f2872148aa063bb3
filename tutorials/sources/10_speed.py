# %% [markdown] lang="en"
# # 10 · How the fast engine works
#
# The loops that you stepped through in notebook 1 are right, and compiled, and still far from what
# a processor can do. minifcn's default engine has the same functions and is many times faster. Not
# because of a better compiler: because the work is put into another order, and because some of it
# is not done at all. Four ideas do most of it, and each fits into a few lines of NumPy.
#
# Times differ from machine to machine. What you should remember are the reasons and the ratios.

# %%
try:
    import minifcn
except ModuleNotFoundError:     # Colab and the like: put the wheel of minifcn beside this notebook
    get_ipython().run_line_magic("pip", "install --quiet minifcn-*.whl")  # noqa: F821
    import minifcn

import time

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from minifcn import gradcheck
from minifcn.ops import reference
from minifcn.teaching import grid, question, show


def seconds(function, *arguments, repeat=3):
    """The best of a few runs; the first one compiles, and is not counted."""
    function(*arguments)
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - started)
    return min(times)


# %% [markdown] lang="en"
# ## Idea 1: what is near is fast
#
# A multiplication takes less than a nanosecond. Fetching a number from memory can take a hundred
# times as long, unless it lies in the **cache**, a small and fast memory beside the core. Data come
# in lines of 64 bytes, 8 numbers of float64. Reading along memory uses all 8; jumping uses one, and
# throws the rest away. The sum below is the same both ways.

# %% tags=["timing"]
a = np.ones((4000, 4000))                       # (4000, 4000), 128 MB, rows lie in memory


def by_rows(a):
    return sum(float(a[i, :].sum()) for i in range(4000))


def by_columns(a):
    return sum(float(a[:, j].sum()) for j in range(4000))


ratio = seconds(by_columns, a) / seconds(by_rows, a)
print(f"down the columns takes {ratio:.1f} times as long as along the rows")

# %% [markdown] lang="en"
# This is why minifcn keeps channels last, `(n, h, w, c)`: the innermost sum of a convolution runs
# over channels, and they lie side by side.
#
# ## Idea 2: a convolution is a matrix product
#
# Each output pixel is the product of its window, written as one row, with the weights, written as a
# matrix. All windows together make a matrix, too (`im2col`). A product of matrices is the best
# understood computation there is.

# %%
x = np.arange(16.0).reshape(1, 4, 4, 1)         # (1, 4, 4, 1)


def im2col(x, k):
    """x (n, h, w, c) -> (n·oh·ow, k·k·c), a row for each window"""
    n, h, w, c = x.shape
    oh, ow = h - k + 1, w - k + 1
    rows = np.empty((n, oh, ow, k, k, c), x.dtype)
    for ki in range(k):
        for kj in range(k):
            rows[:, :, :, ki, kj] = x[:, ki:ki + oh, kj:kj + ow]
    return rows.reshape(n * oh * ow, k * k * c)


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8), width_ratios=[1, 2])
grid(left, x[0, :, :, 0], "x (1, 4, 4, 1)", marks=[(0, 0, 3, 3), (1, 1, 3, 3)])
grid(right, im2col(x, 3), "windows of 3 x 3: (4, 9)", marks=[(0, 0, 1, 9), (3, 0, 1, 9)])
show(figure, alt="Left: an image with the numbers 0 to 15 and two framed 3 by 3 windows. Right: a "
     "matrix of 4 rows and 9 columns; the first and the last row are the two windows, written out.")

# %% tags=["question"]
display(question("matrix-shape", None),
        question("im2col-memory", None))

# %% tags=["answer"]
display(question("matrix-shape", reveal=True),
        question("im2col-memory", reveal=True))

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(1, 12, 14, 5))             # (1, 12, 14, 5)
weight, bias = rng.normal(size=(3, 3, 5, 7)), rng.normal(size=7)
y = im2col(x, 3) @ weight.reshape(-1, 7) + bias
print(np.allclose(y.reshape(1, 10, 12, 7), reference.conv2d_forward(x, weight, bias)))

# %% [markdown] lang="en"
# Simple and fast, and greedy: every pixel is copied into as many rows as there are windows that see
# it.
#
# So the fast engine never makes the whole matrix. It cuts it into blocks that fit the caches, makes
# one block, multiplies it while it is still near, and goes on. Within a block, a small tile of the
# result stays in the **registers**, the dozens of numbers that a core can hold in its hands. Here
# is a tile, number by number. Watch how often each number of `a` and `b` is used once it is read.

# %%
def tile(a, b, c):
    """c (2, 3) += a (2, k) @ b (k, 3), one k after the other"""
    for k in range(a.shape[1]):
        for i in range(c.shape[0]):
            for j in range(c.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


minifcn.trace(tile, rng.integers(-3, 4, (2, 4)).astype(float),
              rng.integers(-3, 4, (4, 3)).astype(float), np.zeros((2, 3)))

# %% [markdown] lang="en"
# A tile of 2 x 3 reads 5 numbers for 6 products. A tile of 12 x 32, which fits the registers of a
# large processor, reads 44 numbers for 384 products. That is the whole secret of fast matrix
# products.

# %%
for rows, columns in ((1, 1), (2, 3), (6, 16), (12, 32)):
    products, reads = rows * columns, rows + columns
    print(f"tile {rows:2} x {columns:2}: {products:3} products for {reads:2} reads, "
          f"{products / reads:4.1f} each")

# %% [markdown] lang="en"
# ## Idea 3: fewer multiplications
#
# Take one row, two neighbouring outputs and a kernel of three: six products. Winograd's algorithm
# needs four. It adds first, multiplies then, and adds again:
#
# ```
# y0 = d0·g0 + d1·g1 + d2·g2             m1 = (d0 - d2) · g0
# y1 = d1·g0 + d2·g1 + d3·g2             m2 = (d1 + d2) · (g0 + g1 + g2) / 2
#                                        m3 = (d2 - d1) · (g0 - g1 + g2) / 2
# y0 = m1 + m2 + m3                      m4 = (d1 - d3) · g2
# y1 = m2 - m3 - m4
# ```
#
# The sums of weights are made once. The sums of pixels cost additions only, and serve all filters.

# %%
d, g = np.array([1.0, 4, 2, 7]), np.array([2.0, 0, -1])
m = np.array([(d[0] - d[2]) * g[0], (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2,
              (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2, (d[1] - d[3]) * g[2]])
print("four products:", m)
print("outputs:", [float(m[0] + m[1] + m[2]), float(m[1] - m[2] - m[3])],
      "directly:", np.correlate(d, g).tolist())

# %% tags=["question"]
# In two dimensions the savings multiply. The second question is for later, when we come to fc6.
display(question("winograd", None),
        question("weights-reused", None))

# %% tags=["answer"]
display(question("winograd", reveal=True),
        question("weights-reused", reveal=True))

# %% [markdown] lang="en"
# The fast engine takes tiles of 6 x 6 outputs: 64 products in place of 324. Nothing is free. The
# sums round off more, and the error grows with the size of the tile, so it stops there:

# %%
x = np.maximum(rng.normal(size=(1, 48, 48, 64)), 0).astype(np.float32)      # (1, 48, 48, 64)
weight = (rng.normal(size=(3, 3, 64, 64)) / 17).astype(np.float32)
bias = np.zeros(64, np.float32)
exact = reference.conv2d_forward(*(each.astype(np.float64) for each in (x, weight, bias)))
with minifcn.using("fast"):
    y = minifcn.ops.conv2d_forward(x, weight, bias)
print("products for a tile:", 8 * 8, "in place of", 6 * 6 * 9)
print("error below 1e-5 of the largest value:", abs(y - exact).max() / abs(exact).max() < 1e-5)

# %% [markdown] lang="en"
# ## Idea 4: all cores, and the same bits
#
# Rows of the output can be computed by several threads at once, as long as no two write to the same
# number. `y += product` is three things: read, add, write. If two threads do them at once, one sum
# is lost. That is a **race**. It happens rarely, so tests do not see it; and floating-point sums
# depend on their order, so even without a loss the last bits would differ from run to run.
#
# The rule in minifcn is simple: whoever computes a number owns it, from the first term to the last.
# Then the bits do not depend on how many threads there are.

# %%
def two_threads(value, order):
    """value += 1 by two threads, each of which reads and writes in the given order"""
    seen = {}
    for thread, what in order:
        if what == "read":
            seen[thread] = value
        else:
            value = seen[thread] + 1
    return value


one_by_one = [(0, "read"), (0, "write"), (1, "read"), (1, "write")]
at_once = [(0, "read"), (1, "read"), (0, "write"), (1, "write")]
print("one after the other:", two_threads(0, one_by_one), "  at once:", two_threads(0, at_once))
numbers = rng.normal(size=1000).astype(np.float32)
print("the same sum in two orders:", np.add.reduce(numbers) == sum(numbers[::-1].tolist()))

# %% [markdown] lang="en"
# ## What it adds up to
#
# The textbook and the fast engine, side by side, on this machine:

# %% tags=["timing"]
photo = rng.normal(size=(1, 64, 64, 64)).astype(np.float32)
for name in ("reference", "fast"):
    with minifcn.using(name):
        taken = seconds(minifcn.ops.conv2d_forward, photo, weight, bias)
    print(f"{name:9} {62 * 62 * weight.size / taken / 1e9:7.1f} billion products a second")

# %% [markdown] lang="en"
# Not every layer gains. `fc6` of the full network has more than a hundred million weights, and each
# must be fetched from memory at least once. What decides is how often it is used then: you computed
# it above.
#
# ## A bug to find
#
# Somebody made the backward pass of a convolution faster with `im2col`. It passes on their machine.

# %%
class Mine:
    """The gradient by matrix products, stride 1 without padding."""

    @staticmethod
    def conv2d_backward(dy, x, weight, stride=1, padding=0):
        k, (n, oh, ow, c_out) = weight.shape, dy.shape
        windows = np.lib.stride_tricks.sliding_window_view(x, k[:2], (1, 2))
        windows = windows.transpose(0, 1, 2, 4, 5, 3)           # (n, oh, ow, kh, kw, c)
        dweight = np.tensordot(windows, dy, ((0, 1, 2), (0, 1, 2)))
        rows = (dy.reshape(-1, c_out) @ weight.reshape(-1, c_out).T).reshape(n, oh, ow, *k[:3])
        dx = np.zeros_like(x)
        for ki in range(k[0]):
            for kj in range(k[1]):
                dx[:, ki:ki + oh, kj:kj + ow] = rows[:, :, :, ki, kj]
        return dx, dweight, dy.sum((0, 1, 2))


def forward(x, weight, bias):
    return reference.conv2d_forward(x, weight, bias)


def backward(dy, x, weight, bias):
    return Mine.conv2d_backward(dy, x, weight)


inputs = [rng.normal(size=shape) for shape in ((2, 5, 6, 3), (3, 2, 3, 4), (4,))]
report = gradcheck.check(forward, backward, inputs, strict=False, like="conv2d")
print("right:", report.ok)

# %% tags=["answer"]
print(report.diagnosis)
# Windows overlap. Their shares of dx add up: += in the innermost line.

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* `question("conv-macs")`: the products of one layer. How many does FCN-8s need for a
#    picture of 500 x 500 pixels, and how long would a core take that does 100 billion a second?
#    (`FCN(seed=None).summary(500, 500)`)
# 2. *A step further.* Write `y` of idea 3 for a whole row with the four products per pair of
#    outputs, and compare with `np.correlate`.
# 3. *With thought.* `dweight` is a sum over all pixels. Cut the image into two halves, give each to
#    a thread, add the two results: no race. Why are the bits still not those of one thread?

# %% tags=["answer"]
# 1.
macs = minifcn.FCN(seed=None).summary(500, 500).macs
print(f"{macs / 1e9:.1f} billion: {macs / 1e9 / 100:.2f} s")


# 2.
def winograd_row(d, g):
    y = np.zeros(len(d) - 2)
    for k in range(0, len(y), 2):
        a, b, c, e = d[k:k + 4]
        m = ((a - c) * g[0], (b + c) * (g[0] + g[1] + g[2]) / 2,
             (c - b) * (g[0] - g[1] + g[2]) / 2, (b - e) * g[2])
        y[k:k + 2] = m[0] + m[1] + m[2], m[1] - m[2] - m[3]
    return y


row = rng.normal(size=20)
print(np.allclose(winograd_row(row, g), np.correlate(row, g)))

# 3. (a + b) + (c + d) is rounded in other places than ((a + b) + c) + d. minifcn gives each thread
#    some of the *weights* instead, and lets it go over all pixels.
halves = numbers[:500].sum(dtype=np.float32) + numbers[500:].sum(dtype=np.float32)
print(abs(float(halves) - float(numbers.astype(np.float64).sum())) < 1e-4)

# %% [markdown] lang="en"
# ## What you can now do
#
# - write a convolution as a matrix product, and say what it costs in memory;
# - explain why a tile in registers and a block in the cache make it fast;
# - do Winograd's smallest case on paper;
# - recognise a race, and say why sums in another order have other bits.
#
# **Where this stands in an FCN.** `minifcn/ops/fast/` is the code, with each block size and its
# reason; `docs/fast-engine.md` has the measurements.

# %% [markdown] lang="en"
# # 1 · Convolution, step by step
#
# A network that labels every pixel of a street does one thing, millions of times: it lays a small
# window of weights on the image, multiplies number by number, and adds up. Everything else in these
# notebooks is built on that sum. So we begin with a single one, do it by hand, and let it grow:
# one output pixel, then all, then channels, stride and padding, and at the end the speed.
#
# You need NumPy, and nothing else. Where you meet a question, put your guess in place of `None` and
# run the cell. A wrong guess is worth more than none: it gets an answer of its own. (Without a
# guess you get a hint. The cell behind the fold shows the answer.)

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

# %% [markdown] lang="en"
# ## One window
#
# Here is a small image with a bright bar in it, and a kernel: three rows, three columns of weights.
# The kernel answers one question about the place where it lies: *is it brighter on the right than
# on the left?*

# %%
image = np.zeros((5, 6))                        # (5, 6): rows, columns
image[:, 2:4] = [[1, 2], [1, 2], [3, 2], [1, 2], [1, 2]]
kernel = np.array([[-1.0, 0, 1]] * 3)           # (3, 3)

figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3), width_ratios=[2, 1])
grid(left, image, "image (5, 6), and one window", marks=[(1, 1, 3, 3)])
grid(right, kernel, "kernel (3, 3)")
show(figure, alt="Left: an image of 5 rows and 6 columns, zero but for the two columns 2 and 3; a "
     "3 by 3 window is framed whose top left cell is row 1, column 1. Right: the kernel, -1 in the "
     "left column, 0 in the middle, 1 on the right.")

# %% [markdown] lang="en"
# The window begins at row 1, column 1. Multiply each of its nine pixels by the weight that lies on
# it, and add. Do it on paper first: six of the nine products are easy.

# %%
window = image[1:4, 1:4]                        # (3, 3)
terms = [f"{w:g}·{x:g}" for x, w in zip(window.ravel(), kernel.ravel())]
print(" + ".join(terms).replace("+ -", "- "), "=", (window * kernel).sum())

# %% [markdown] lang="en"
# That is a convolution's whole arithmetic. (Mathematicians would flip the kernel first and call
# ours a correlation. Networks learn their weights, so nobody flips.) Is it clear how the kernel
# lies on the row? Then this one is easy:

# %% tags=["question"]
question("conv-order", None)

# %% tags=["answer"]
question("conv-order", reveal=True)

# %% [markdown] lang="en"
# ## All windows
#
# Slide the window to every place where it fits. How many places are there? In 6 columns a window of
# 3 can start at column 0, 1, 2 or 3. In general, `(w - k) + 1`. Four loops do it: two for the place
# of the window, two for the place within it.

# %%
def convolve(image, kernel):
    """image (h, w), kernel (kh, kw) -> y (h - kh + 1, w - kw + 1)"""
    kh, kw = kernel.shape
    y = np.zeros((image.shape[0] - kh + 1, image.shape[1] - kw + 1))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            for ki in range(kh):
                for kj in range(kw):
                    y[i, j] += image[i + ki, j + kj] * kernel[ki, kj]
    return y


y = convolve(image, kernel)                     # (3, 4)
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3), width_ratios=[6, 4])
grid(left, image, "image (5, 6)", marks=[(1, 1, 3, 3), (2, 3, 3, 3)])
grid(right, y, "y (3, 4)", marks=[(1, 1, 1, 1), (2, 3, 1, 1)])
show(figure, alt="Two windows of the image in two colours, and the two output pixels that they "
     f"become. The output is {y.tolist()}: positive where it gets brighter to the right, negative "
     "where it gets darker.")

# %% [markdown] lang="en"
# Orange, above 0, where brightness rises; blue, below 0, where it falls: the kernel has found the
# two edges of the bar.
#
# ## Channels
#
# A colour image has three numbers at each place, a layer inside a network hundreds. So the arrays
# get their real axes, here and everywhere in minifcn:
#
# ```
# x       (n, h, w, c_in)          images, rows, columns, channels
# weight  (kh, kw, c_in, c_out)    a window as deep as the image; c_out of them, the filters
# bias    (c_out,)
# y       (n, oh, ow, c_out)       one channel for each filter
#
# y[n, i, j, f] = bias[f] + sum over ki, kj, c of x[n, i + ki, j + kj, c] · weight[ki, kj, c, f]
# ```
#
# One filter looks at *all* channels of its window and gives one number. Two guesses before you go
# on:

# %% tags=["question"]
display(question("conv-one-pixel", None),
        question("conv-weights", None))

# %% tags=["answer"]
display(question("conv-one-pixel", reveal=True), question("conv-weights", reveal=True))

# %% [markdown] lang="en"
# ## Every number of it
#
# This is the textbook function of minifcn, the one that its other code is tested against, run as
# plain Python on a tiny input: 3 x 3 pixels, two channels, one 2 x 2 filter. Press **Step**, then
# the arrow keys. Each step shows the line, the cells that it reads and writes, and the product with
# its numbers. (In the code, `a` and `b` are the row and the column of x under place `ki, kj` of the
# window.)

# %%
x = np.arange(1.0, 19).reshape(1, 3, 3, 2)      # (1, 3, 3, 2)
weight = np.array([1.0, 0, 0, -1, 2, 0, 0, 1]).reshape(2, 2, 2, 1)
bias = np.array([10.0])                         # (1,)
minifcn.trace(reference.conv2d_forward, x, weight, bias)

# %% [markdown] lang="en"
# ## Stride and padding
#
# Two numbers decide where windows may lie. With **stride** s, windows start s pixels apart: fewer
# output pixels. With **padding** p, the image gets p rows and columns of zeros on every side:
# windows may hang over the border, and the output does not shrink.
#
# ```
# oh = (h + 2p - kh) // s + 1
# ```
#
# (`//` divides and drops the rest.) A window that hangs over the border sees less of the image. How
# much less, in a corner? And two guesses about sizes:

# %% tags=["question"]
display(question("conv-corner", None),
        question("conv-same", None),
        question("conv-rest", None))

# %% tags=["answer"]
display(question("conv-corner", reveal=True), question("conv-same", reveal=True),
        question("conv-rest", reveal=True))

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6))
for axis, (s, p) in zip(axes, [(1, 0), (2, 0), (2, 1)]):
    y = reference.conv2d_forward(np.ones((1, 5, 5, 1)), np.ones((3, 3, 1, 1)), np.zeros(1), s, p)
    grid(axis, y[0, :, :, 0], f"stride {s}, padding {p}: y {y.shape[1:3]}")
show(figure, alt="A 5 by 5 image of ones under a 3 by 3 kernel of ones. Stride 1, padding 0: "
     "3 by 3 outputs, all 9. Stride 2, padding 0: 2 by 2, all 9. Stride 2, padding 1: 3 by 3, with "
     "smaller numbers at edges and corners, where the window lies partly on zeros.")

# %% tags=["question"]
# Images, channels, stride, padding: all of it together.
question("conv-size", None)

# %% tags=["answer"]
question("conv-size", reveal=True)

# %% [markdown] lang="en"
# ## The same loops, compiled
#
# Python takes its time: about a microsecond for each product of the loops above. minifcn does not
# rewrite the loops to avoid that, it compiles them with Numba. The file that you stepped through
# above *is* the compiled code. Together with the other textbook functions it is one **engine**,
# `reference`. The default engine, `fast`, has functions of the same names that do the work in
# another order; notebook 10 opens it.

# %% tags=["timing"]
photo = np.random.default_rng(0).normal(size=(1, 64, 64, 64))
filters = np.random.default_rng(1).normal(size=(3, 3, 64, 64))
bias = np.zeros(64)
products = 62 * 62 * filters.size               # 62 windows fit along each axis


def seconds(function, *arguments):
    """Of the fastest of four calls; the first one may compile."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - started)
    return min(times)


plain = seconds(convolve, photo[0, :, :, 0], filters[:, :, 0, 0]) * 64 * 64
for name in ("reference", "fast"):
    with minifcn.using(name):
        compiled = seconds(minifcn.ops.conv2d_forward, photo, filters, bias)
    print(f"{name:9} {plain / compiled:8,.0f} times as fast as plain Python, "
          f"{products / compiled / 1e6:,.0f} million products a second")

# %% [markdown] lang="en"
# ## A bug to find
#
# Somebody wrote this layer, it runs, and it is wrong. Find the line before you open the fold, where
# the checker says what it thinks: it compares with the textbook on many shapes.

# %%
class Mine:
    """A module with one operation, as a file of yours would be."""

    @staticmethod
    def conv2d_forward(x, weight, bias, stride=1, padding=0):
        s, p = np.broadcast_to(stride, 2), np.broadcast_to(padding, 2)
        padded = np.pad(x, ((0, 0), (p[0], p[0]), (p[1], p[1]), (0, 0)))
        kh, kw, _, c_out = weight.shape
        oh = (padded.shape[1] - kh) // s[0] + 1
        ow = (padded.shape[2] - kw) // s[1] + 1
        y = np.zeros((len(x), oh, ow, c_out), x.dtype)
        for i in range(oh):
            for j in range(ow):
                window = padded[:, i:i + kh, j:j + kw]
                y[:, i, j] = np.tensordot(window, weight, 3) + bias
        return y


report = gradcheck.check_module(Mine)["conv2d_forward"]
print("right on all cases:", report.ok)

# %% tags=["answer"]
print(report.diagnosis)


# The sizes know the stride, the place of the window does not: window i starts at row i * s[0].
# At stride 1 nobody notices.
class Repaired(Mine):
    @staticmethod
    def conv2d_forward(x, weight, bias, stride=1, padding=0):
        s, p = np.broadcast_to(stride, 2), np.broadcast_to(padding, 2)
        padded = np.pad(x, ((0, 0), (p[0], p[0]), (p[1], p[1]), (0, 0)))
        kh, kw, _, c_out = weight.shape
        oh = (padded.shape[1] - kh) // s[0] + 1
        ow = (padded.shape[2] - kw) // s[1] + 1
        y = np.zeros((len(x), oh, ow, c_out), x.dtype)
        for i in range(oh):
            for j in range(ow):
                a, b = i * s[0], j * s[1]
                y[:, i, j] = np.tensordot(padded[:, a:a + kh, b:b + kw], weight, 3) + bias
        return y


print(gradcheck.check_module(Repaired)["conv2d_forward"].ok)

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* Which 3 x 3 kernel leaves an image as it is, with padding 1? Which one shifts it one
#    pixel to the right?
# 2. *A step further.* Blur an image of ones, 5 x 6 pixels, with the mean of each 3 x 3 window and
#    padding 1. Why do the corners get darker?
# 3. *With thought.* Write a convolution of a whole batch **without** the loops over the image: loop
#    over `ki` and `kj` only, and let NumPy multiply matrices.

# %% tags=["answer"]
# 1. A 1 in the middle; a 1 left of the middle (each output pixel takes what lies to its left).
here, leftwards = np.zeros((3, 3, 1, 1)), np.zeros((3, 3, 1, 1))
here[1, 1], leftwards[1, 0] = 1, 1
batch = image[None, :, :, None]                 # (1, 5, 6, 1)
same = reference.conv2d_forward(batch, here, np.zeros(1), padding=1)
shifted = reference.conv2d_forward(batch, leftwards, np.zeros(1), padding=1)
print(np.array_equal(same, batch), np.array_equal(shifted[:, :, 1:], batch[:, :, :-1]))

# 2. Padding is zeros, and they are averaged in: five of nine in a corner, three on an edge.
blurred = reference.conv2d_forward(np.ones((1, 5, 6, 1)), np.full((3, 3, 1, 1), 1 / 9),
                                   np.zeros(1), padding=1)
print(blurred[0, :2, :2, 0].round(3))


# 3. For each place in the kernel, all windows at once: one matrix product.
def convolve_batch(x, weight, bias):
    kh, kw, _, c_out = weight.shape
    oh, ow = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    y = np.zeros((len(x), oh, ow, c_out)) + bias
    for ki in range(kh):
        for kj in range(kw):
            y += x[:, ki:ki + oh, kj:kj + ow] @ weight[ki, kj]
    return y


print(np.allclose(convolve_batch(photo, filters, bias),
                  reference.conv2d_forward(photo, filters, bias)))

# %% [markdown] lang="en"
# ## What you can now do
#
# - compute an output pixel by hand, and say which pixels it depends on;
# - name the shape of every array of a convolution, and the size of its output for any stride and
#   padding;
# - read `minifcn/ops/reference/conv2d.py`, its forward half.
#
# **Where this stands in an FCN.** VGG16, the backbone, is thirteen such layers of 3 x 3; its fully
# connected layers become convolutions, too ([notebook 6](06_heat_map.ipynb)). How a
# network learns its kernels needs the way back: [notebook 2](02_backwards.ipynb).

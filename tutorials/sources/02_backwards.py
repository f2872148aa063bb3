# %% [markdown] lang="en"
# # 2 · Backwards through a convolution
#
# A network has looked at a street and called a car a bush. One number, the loss, says how bad that
# is. A million weights took part. Which of them should change, in which direction, and how much?
#
# The backward pass answers that for all of them at once, and it costs about twice what the forward
# pass costs. Its rule fits in a line: *what went forward along a product goes backward along the
# same product.* This notebook takes that line seriously, first for one row of pixels, then for the
# whole layer.

# %%
try:
    import minifcn
except ModuleNotFoundError:     # Colab and the like: put the wheel of minifcn beside this notebook
    get_ipython().run_line_magic("pip", "install --quiet minifcn-*.whl")  # noqa: F821
    import minifcn

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from minifcn import gradcheck
from minifcn.ops import reference
from minifcn.teaching import grid, question, show

# %% [markdown] lang="en"
# ## One output pixel
#
# Take a row of five pixels, the kernel `[1, 2, 3]`, and padding 1. The middle output pixel is
#
# ```
# y[2] = 1·x[1] + 2·x[2] + 3·x[3]
# ```
#
# Suppose the loss L grows by `dy[2]` when `y[2]` grows by 1. (We write `dy` for the slope of the
# loss by y; `dx`, `dweight` and `dbias` likewise.) Then, by the chain rule,
#
# ```
# x[1] grows by 1  ->  y[2] grows by 1  ->  L grows by 1·dy[2]
# x[3] grows by 1  ->  y[2] grows by 3  ->  L grows by 3·dy[2]
# ```
#
# So each pixel gets back `dy[2]` times *the weight with which it entered*. Before you go on: people
# say that the kernel is flipped in the backward pass. Is it, here?

# %% tags=["question"]
# Your guess in place of None, then run. The folded cell below has the answer.
question("dx-flip", None)

# %% tags=["answer"]
question("dx-flip", reveal=True)

# %% [markdown] lang="en"
# ## All outputs: the matrix
#
# Every output is such a sum, so the layer is a matrix: row i holds the kernel, shifted to window i.
# Forward, `y = M x`. Backward, each output sends back along its row, and what arrives at a pixel is
# summed: that is the matrix read by columns, `dx = Mᵀ dy`.

# %%
kernel = np.array([1.0, 2, 3])
# np.convolve flips its kernel; of a row with a single 1 it therefore makes the kernel, as it is
M = np.array([np.convolve(np.eye(5)[i], kernel, "same") for i in range(5)])        # (5, 5)
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2))
grid(left, M, "M (5, 5): row i makes y[i]", marks=[(2, 0, 1, 5)])
grid(right, M.T, "M transposed: row a makes dx[a]", marks=[(2, 0, 1, 5)])
show(figure, alt="Left: the matrix M, whose row i holds 1, 2, 3 around the diagonal. Right: its "
     "transpose, whose rows hold 3, 2, 1 around the diagonal.")

# %% [markdown] lang="en"
# Look at the framed rows. Forwards, window 2 reads `1, 2, 3`. Backwards, pixel 2 collects `3, 2, 1`
# from outputs 1, 2 and 3. Nothing was flipped on purpose: a column of M read from top to bottom
# meets the kernel from its other end. That is the famous flip.
#
# ## Scatter and gather
#
# So there are two ways to write the same backward pass. **Scatter**: go through the outputs, each
# adds to its window. **Gather**: go through the pixels, each asks which outputs used it; with
# stride s and padding p, pixel a is used by output i with weight `ki = a + p - i·s`, if there is
# such a weight.

# %%
def dx_by_scatter(dy, kernel, width, s=1, p=0):
    dx = np.zeros(width)
    for i in range(len(dy)):
        for ki in range(len(kernel)):
            a = i * s - p + ki
            if 0 <= a < width:
                dx[a] += dy[i] * kernel[ki]
    return dx


def dx_by_gather(dy, kernel, width, s=1, p=0):
    dx = np.zeros(width)
    for a in range(width):
        for i in range(len(dy)):
            ki = a + p - i * s
            if 0 <= ki < len(kernel):
                dx[a] += dy[i] * kernel[ki]
    return dx


dy = np.array([1.0, 0, 2, 0, 5])                # (5,)
print(dx_by_scatter(dy, kernel, 5, p=1), dx_by_gather(dy, kernel, 5, p=1), M.T @ dy)

# %% [markdown] lang="en"
# Three ways, one result. Scatter is the natural way to write it down, and gather the better one for
# several threads: no two of them ever add to the same pixel.
#
# Now with a stride. Windows overlap less, but where they do, something has to happen to the pixel
# that two of them share:

# %% tags=["question"]
question("dx-stride", None)

# %% tags=["answer"]
question("dx-stride", reveal=True)

# %% tags=["question"]
# The same in two dimensions, in the words of many libraries: im2col copies all windows into the
# rows of a matrix, so that a convolution is one matrix product; col2im brings gradients back.
question("col2im", None)

# %% tags=["answer"]
question("col2im", reveal=True)

# %% [markdown] lang="en"
# ## The whole layer
#
# With images, channels and filters, the forward pass is a sum over `ki, kj, c`. A value
# `x[n, a, b, c]` enters every output whose window holds it, so its gradient is a sum over those; a
# weight is used at every place of every image, so its gradient is a sum over all of them.
#
# ```
# with a = i s - p + ki and b = j s - p + kj:
#
# y[n, i, j, f]  =  bias[f] + sum over ki, kj, c of  x[n, a, b, c] · weight[ki, kj, c, f]
#
# dx[n, a, b, c]  =  sum over f and all i, j, ki, kj that give this a, b
#                                                of  dy[n, i, j, f] · weight[ki, kj, c, f]
# dweight[ki, kj, c, f]  =  sum over n, i, j     of  x[n, a, b, c] · dy[n, i, j, f]
# dbias[f]               =  sum over n, i, j     of  dy[n, i, j, f]
# ```
#
# In code it is one nest of loops, the forward one, with two lines inside: every product of the
# forward pass is used twice. Step through it, and watch one pixel of `dx` collect from two windows.

# %%
x = np.arange(1.0, 10).reshape(1, 3, 3, 1)      # (1, 3, 3, 1)
weight = np.array([1.0, 2, 3, 4]).reshape(2, 2, 1, 1)
dy = np.array([1.0, 0, 0, 10]).reshape(1, 2, 2, 1)
minifcn.trace(reference.conv2d_backward, dy, x, weight)

# %% [markdown] lang="en"
# ## dx is a transposed convolution
#
# Every cell of dy lays a copy of the kernel, a stamp, into dx; the stamps lie s cells apart. This
# has a name of its own when a network does it *forwards*: transposed convolution, the layer with
# which FCNs enlarge their scores. Same stamps, same sums; only the channels run the other way.

# %% tags=["question"]
question("dx-weight-layout", None)

# %% tags=["answer"]
question("dx-weight-layout", reveal=True)

# %%
rng = np.random.default_rng(0)
x, weight = rng.normal(size=(2, 9, 9, 3)), rng.normal(size=(3, 3, 3, 8))
y = reference.conv2d_forward(x, weight, np.zeros(8), stride=2)                  # (2, 4, 4, 8)
dy = rng.normal(size=y.shape)
dx, dweight, dbias = reference.conv2d_backward(dy, x, weight, stride=2)
stamped = reference.conv_transpose2d_forward(dy, weight.transpose(0, 1, 3, 2), stride=2)
print("dx", dx.shape, "is the transposed convolution of dy:", np.allclose(dx, stamped))

# %% [markdown] lang="en"
# ## dweight is a correlation
#
# `dweight[ki, kj]` multiplies x, shifted by `ki, kj`, with dy, and sums: x is correlated with dy,
# as if dy were the kernel. Images play the part of channels, since one sums over them.

# %% tags=["question"]
question("dweight-shape", None)

# %% tags=["answer"]
question("dweight-shape", reveal=True)

# %%
x1, dy1 = x[:, :8, :8], rng.normal(size=(2, 6, 6, 8))                           # stride 1
_, dweight, _ = reference.conv2d_backward(dy1, x1, weight)
correlated = reference.conv2d_forward(x1.transpose(3, 1, 2, 0),                 # (c, h, w, n)
                                      dy1.transpose(1, 2, 0, 3), np.zeros(8))   # (oh, ow, n, f)
print("a correlation of x with dy:", np.allclose(correlated.transpose(1, 2, 0, 3), dweight))

# %% [markdown] lang="en"
# ## A bug to find
#
# This backward pass was written by somebody in a hurry. The shapes are right, and a first look at
# the numbers tells nothing. `gradcheck.check` moves single numbers of the input up and down, and
# compares the slopes with what `backward` says. One of the three gradients is wrong. Decide which
# line it is before you run the cell.

# %%
def forward(x, weight, bias):
    return reference.conv2d_forward(x, weight, bias)


def backward(dy, x, weight, bias):
    kh, kw, _, _ = weight.shape
    oh, ow = dy.shape[1:3]
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for ki in range(kh):
        for kj in range(kw):
            window = x[:, ki:ki + oh, kj:kj + ow]
            dx[:, ki:ki + oh, kj:kj + ow] = dy @ weight[ki, kj].T
            dweight[ki, kj] = np.tensordot(window, dy, ([0, 1, 2], [0, 1, 2]))
    return dx, dweight, dy.sum(axis=(0, 1, 2))


small = rng.normal(size=(2, 5, 4, 2)), rng.normal(size=(3, 2, 2, 3)), rng.normal(size=3)
report = gradcheck.check(forward, backward, small, strict=False, like="conv2d")
print("right:", report.ok, "· the worst is in", report.worst.array)

# %% tags=["answer"]
print(report.diagnosis)


# Each (ki, kj) writes over most of what the last one left in dx. dweight may be assigned, since
# each of its cells is visited once.
def repaired(dy, x, weight, bias):
    kh, kw, _, _ = weight.shape
    oh, ow = dy.shape[1:3]
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for ki in range(kh):
        for kj in range(kw):
            window = x[:, ki:ki + oh, kj:kj + ow]
            dx[:, ki:ki + oh, kj:kj + ow] += dy @ weight[ki, kj].T
            dweight[ki, kj] = np.tensordot(window, dy, ([0, 1, 2], [0, 1, 2]))
    return dx, dweight, dy.sum(axis=(0, 1, 2))


print(gradcheck.check(forward, repaired, small, strict=False).ok)

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* First `question("dbias")`. Then draw `dx` of a 6 x 6 image as a picture (3 x 3
#    kernel of ones, no padding, `dy` 1 everywhere), and explain its frame.
# 2. *A step further.* Check without any differences that your picture's `dx` belongs to the layer:
#    sum(dx · x) must equal sum(dy · y) for every x. Why? (`question("adjoint")` helps.)
# 3. *With thought.* Write `dx` and `dweight` with `im2col`: two matrix products, and one `col2im`.

# %% tags=["answer"]
# 1. Each pixel counts the windows that hold it: fewer towards the border.
ones = np.ones((3, 3, 1, 1))
counts, _, _ = reference.conv2d_backward(np.ones((1, 4, 4, 1)), np.zeros((1, 6, 6, 1)), ones)
figure, axis = plt.subplots(figsize=(2.8, 2.8))
grid(axis, counts[0, :, :, 0], "dx (6, 6)")
display(show(figure, alt="dx: 1 in the corners, then 2 and 3 along the edges, 9 in the middle."))

# 2. Both sums run over the same products x · weight · dy.
y = reference.conv2d_forward(x, weight, np.zeros(8), stride=2)
print(f"{(dx * x).sum():.6f} {(dy * y).sum():.6f}")


# 3. Rows are windows; the weight is a matrix (kh kw c, f).
def im2col(x, kh, kw):
    oh, ow = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    cells = [x[:, ki:ki + oh, kj:kj + ow] for ki in range(kh) for kj in range(kw)]
    return np.stack(cells, axis=3).reshape(len(x) * oh * ow, -1)        # (n oh ow, kh kw c)


def backward_by_matrices(dy, x, weight):
    kh, kw, c, f = weight.shape
    oh, ow = dy.shape[1:3]
    rows = dy.reshape(-1, f)                                            # (n oh ow, f)
    dweight = (im2col(x, kh, kw).T @ rows).reshape(weight.shape)
    dcolumns = (rows @ weight.reshape(-1, f).T).reshape(len(x), oh, ow, kh, kw, c)
    dx = np.zeros_like(x)                                               # col2im: it adds
    for ki in range(kh):
        for kj in range(kw):
            dx[:, ki:ki + oh, kj:kj + ow] += dcolumns[:, :, :, ki, kj]
    return dx, dweight


mine, theirs = backward_by_matrices(dy1, x1, weight), reference.conv2d_backward(dy1, x1, weight)
print(np.allclose(mine[0], theirs[0]), np.allclose(mine[1], theirs[1]))

# %% [markdown] lang="en"
# ## What you can now do
#
# - derive each gradient of a convolution from its forward sum, and say its shape beforehand;
# - write the backward pass as scatter or as gather, and say where the flip comes from;
# - recognise a transposed convolution in `dx` and a correlation in `dweight`.
#
# **Where this stands in an FCN.** All of its layers learn through these lines, fc6 as a 7 x 7
# convolution included. The transposed convolution comes back as upsampling
# ([notebook 5](05_upsampling.ipynb)). First, though: how do you know that a gradient is right?
# [Notebook 3](03_gradient_checks.ipynb).

# %% [markdown] lang="en"
# # 5 · Upsampling: transposed convolution, and what it is not
#
# Five poolings have made a map of scores so coarse that a bicycle is two cells wide. We want a
# label for every pixel. The layer that goes from coarse to fine has several names, and the worst of
# them, "deconvolution", has misled a generation: it undoes nothing.
#
# You have met it already. In [notebook 2](02_backwards.ipynb) it was `dx` of a convolution. Here it
# runs forwards.

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
from minifcn.layers import BilinearUpsample, ConvTranspose2d
from minifcn.ops import bilinear_kernel, reference
from minifcn.teaching import grid, question, show

# %% [markdown] lang="en"
# ## Stamps
#
# Every input cell stamps the kernel onto the output, scaled by its value; the stamps lie s cells
# apart, and where they overlap, they add. That is all. (There is a padding, too: it is the padding
# of the convolution whose `dx` this is.)

# %%
x = np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)            # (1, 2, 2, 1): the small map
kernel = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).reshape(3, 3, 1, 1)
y = reference.conv_transpose2d_forward(x, kernel, stride=2)     # (1, 5, 5, 1): the large map
figure, axes = plt.subplots(1, 3, figsize=(9, 3), width_ratios=[2, 3, 5])
for axis, array, name, marks in (
        (axes[0], x[0, :, :, 0], "x (2, 2)", [(0, 0, 1, 1), (0, 1, 1, 1)]),
        (axes[1], kernel[:, :, 0, 0], "kernel (3, 3)", []),
        (axes[2], y[0, :, :, 0], "y (5, 5), stride 2", [(0, 0, 3, 3), (0, 2, 3, 3)])):
    grid(axis, array, name, marks)
show(figure, alt="A small map x of 2 by 2 holding 1 to 4, a kernel of 3 by 3, and the large map y "
     "of 5 by 5. Two cells of x are framed, and the two stamps in y that they make; the stamps "
     "share a column, where their numbers add up.")

# %% tags=["question"]
# Your guess in place of None, then run. The folded cell below has the answer.
# One axis is enough to see it. Which five values? And think of `dx`: what does a padding do?
display(question("transposed-stamp", None),
        question("transposed-padding", None))

# %% tags=["answer"]
display(question("transposed-stamp", reveal=True), question("transposed-padding", reveal=True))

# %%
# Watch the stamps fall, product by product. Which output cell is written twice?
minifcn.trace(reference.conv_transpose2d_forward, np.array([1.0, 10]).reshape(1, 1, 2, 1),
              np.array([1.0, 2, 1]).reshape(1, 3, 1, 1), stride=(1, 2))

# %% [markdown] lang="en"
# ## Sizes
#
# With h input cells the last stamp starts at `(h - 1) s` and is k long. What would lie on the
# border of zeros of the convolution that this layer mirrors is cut off, p cells on each side.
#
# ```
# oh = (h - 1) s + k - 2p
# ```

# %% tags=["question"]
display(question("transposed-larger", None),
        question("transposed-size", None))

# %% tags=["answer"]
display(question("transposed-larger", reveal=True),
        question("transposed-size", reveal=True))

# %% [markdown] lang="en"
# ## The transpose, not the inverse
#
# Take the matrix M of a convolution. Its transposed convolution is `Mᵀ`. Sizes come back; do the
# values?

# %% tags=["question"]
question("transposed-inverse", None)

# %% tags=["answer"]
question("transposed-inverse", reveal=True)

# %%
def matrix(kernel, size):
    """The matrix of a convolution of (size, size) images: column a is the image of pixel a."""
    pixels = np.eye(size * size).reshape(-1, size, size, 1)
    return reference.conv2d_forward(pixels, kernel, np.zeros(1)).reshape(size * size, -1).T


M = matrix(np.ones((3, 3, 1, 1)), 4)                            # (4, 16)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), width_ratios=[16, 8])
grid(left, M, "M (4, 16): 16 pixels to 4", numbers=False)
grid(right, M.T @ M, "M transposed times M (16, 16)", numbers=False)
print("M has", M.shape[1], "columns, its rank is", np.linalg.matrix_rank(M))
show(figure, alt="Left: a matrix of 4 rows and 16 columns, each row with nine ones. Right: its "
     "transpose times itself, 16 by 16, which is far from a diagonal of ones.")

# %% [markdown] lang="en"
# Sixteen pixels went through four numbers: what is lost cannot be computed back by any layer. A
# *learned* transposed convolution can put something sensible in its place. It guesses, and well.
#
# ## Bilinear interpolation as a transposed convolution
#
# The plainest sensible guess: between two cells, a straight line. FCNs begin with it. The kernel is
# a tent, and `bilinear_kernel` makes it. Where do its numbers come from? Upsampling by 2 puts two
# output pixels on each cell, a quarter of a cell left and right of its centre.

# %% tags=["question"]
display(question("bilinear-line", None),
        question("bilinear-sum", None))

# %% tags=["answer"]
display(question("bilinear-line", reveal=True),
        question("bilinear-sum", reveal=True))

# %%
ramp = np.broadcast_to(np.arange(2.0, 7).reshape(1, 1, 5, 1), (1, 3, 5, 1)).copy()
y = reference.bilinear_upsample_forward(ramp, factor=2, size=4, padding=1)      # (1, 6, 10, 1)
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.4), width_ratios=[5, 10])
grid(left, bilinear_kernel(4), "bilinear kernel (4, 4)")
grid(right, y[0, :, :, 0], "a ramp 2 to 6, upsampled (6, 10)")
show(figure, alt="Left: the bilinear kernel of 4 by 4, largest in the middle. Right: a ramp of "
     "five columns, upsampled to ten: in the interior it rises evenly, by a half from pixel to "
     "pixel; along the border the numbers are too small.")

# %% tags=["question"]
# In the interior the ramp goes on rising evenly. At the border something is missing: beyond it the
# input counts as 0. An image viewer would repeat the last cell instead. An FCN keeps this kernel
# ("frozen"), or starts with it and learns; then every class has a kernel for every class.
display(question("bilinear-corner", None),
        question("bilinear-channels", None),
        question("bilinear-parameters", None))

# %% tags=["answer"]
display(question("bilinear-corner", reveal=True),
        question("bilinear-channels", reveal=True),
        question("bilinear-parameters", reveal=True))

# %% [markdown] lang="en"
# ## Checkerboards
#
# A learned kernel may do worse than a tent. Stamps that overlap unevenly leave a pattern, which in
# two dimensions looks like a checkerboard.

# %% tags=["question"]
display(question("checkerboard-count", None),
        question("checkerboard-divisible", None))

# %% tags=["answer"]
display(question("checkerboard-count", reveal=True),
        question("checkerboard-divisible", reveal=True))

# %%
ones = np.ones((1, 5, 5, 1))
uneven = np.array([[9.0, 3, 3, 3], [3, 1, 1, 1], [3, 1, 1, 1], [3, 1, 1, 1]]).reshape(4, 4, 1, 1)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2))
for axis, weight, name in ((axes[0], np.ones((3, 3, 1, 1)), "3 x 3 ones, stride 2"),
                           (axes[1], uneven, "4 x 4 uneven, stride 2"),
                           (axes[2], bilinear_kernel(4)[:, :, None, None], "4 x 4 bilinear")):
    y = reference.conv_transpose2d_forward(ones, weight, stride=2)
    grid(axis, y[0, :, :, 0], f"{name} {y.shape[1:3]}", numbers=False)
    print(f"{name}: {np.unique(y[0, 3:-3, 3:-3, 0])} in the interior")
show(figure, alt="A constant map, upsampled with three kernels. With 3 by 3 ones and with an "
     "uneven 4 by 4 kernel the interior is a regular pattern of lighter and darker cells; with the "
     "bilinear kernel it is even, and only the border fades.")

# %% [markdown] lang="en"
# ## A bug to find
#
# Somebody builds the bilinear kernel by hand, for learned upsampling of three classes. The output
# has the right shape. Feed it a map where only class 0 has a score, look at the three channels, and
# find the line.

# %%
def bilinear_weight(size, classes):
    weight = np.zeros((size, size, classes, classes))
    weight[...] = bilinear_kernel(size)[:, :, None, None]
    return weight


scores = np.zeros((1, 4, 4, 3))
scores[..., 0] = 1                                              # class 0 everywhere
y = reference.conv_transpose2d_forward(scores, bilinear_weight(4, 3), stride=2, padding=1)
print("scores of the three classes in the middle:", y[0, 4, 4])

small = np.random.default_rng(0).normal(size=(1, 3, 3, 2)), bilinear_weight(4, 2)
report = gradcheck.check(
    lambda x, weight: reference.conv_transpose2d_forward(x, weight, None, 2, 1),
    lambda dy, x, weight: reference.conv_transpose2d_backward(dy, x, weight, 2, 1)[:2],
    small, strict=False)
print("the layer's gradients are right:", report.ok)

# %% tags=["answer"]
# The layer is fine; its weight is not: all pairs of classes are filled, so every class gets the sum
# of all. A gradient check cannot know what you wanted, only whether forward and backward agree.
def repaired_weight(size, classes):
    weight = np.zeros((size, size, classes, classes))
    weight[:, :, range(classes), range(classes)] = bilinear_kernel(size)[:, :, None]
    return weight


y = reference.conv_transpose2d_forward(scores, repaired_weight(4, 3), stride=2, padding=1)
print(y[0, 4, 4])
learned = ConvTranspose2d("upscore2", 3, 2, 1).parameters["weight"]
print("as minifcn starts it:", np.allclose(learned, repaired_weight(4, 3)),
      "· frozen, it has", sum(p.size for p in BilinearUpsample("u", 2, 1).parameters.values()),
      "parameters")

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* Repeat every cell 2 x 2 times with a transposed convolution. Which kernel?
# 2. *A step further.* Upsample a map of ones. Then divide an upsampled image by the result, for
#    example the ramp. What does that repair, and what does the border look like now?
# 3. *With thought.* FCN-32s upsamples once by 32, with one kernel; five times by 2 would be
#    cheaper. Is the result the same? Compare on a random map, away from the border.

# %% tags=["answer"]
# 1. Ones, as large as the stride.
print(reference.conv_transpose2d_forward(x, np.ones((2, 2, 1, 1)), stride=2)[0, :, :, 0])

# 2. It repeats the border, then.
y = reference.bilinear_upsample_forward(ramp, 2, 4, 1)
weights = reference.bilinear_upsample_forward(np.ones_like(ramp), 2, 4, 1)
print((y / weights)[0, 0, :, 0])

# 3. No. Each step by 2 interpolates between pixels that are interpolated already, and cuts the
# corners once more: peaks are rounded off. Along a straight ramp there is nothing to cut.
noise = np.random.default_rng(0).normal(size=(1, 6, 6, 1))
once = reference.bilinear_upsample_forward(noise, 32, 64, 16)
steps = noise
for _ in range(5):
    steps = reference.bilinear_upsample_forward(steps, 2, 4, 1)
inside = np.s_[0, 64:-64, 64:-64, 0]
print(once.shape, steps.shape, f"largest difference {np.abs(once - steps)[inside].max():.2f}, "
      f"largest value {np.abs(once)[inside].max():.2f}")

# %% [markdown] lang="en"
# ## What you can now do
#
# - compute a transposed convolution by stamping, and its size for any kernel, stride and padding;
# - explain why it is a gradient and no inverse, and what a learned one can do nevertheless;
# - write down the bilinear kernel, say what it sums to and why, and where it fades;
# - predict a checkerboard from a kernel.
#
# **Where this stands in an FCN.** FCN-32s has one such layer with a kernel of 64, FCN-8s has three.
# They start bilinear and stay so ("frozen") or go on learning: [notebook 9](09_training.ipynb).
# First, how does a classifier come to give a map of scores at all?
# [Notebook 6](06_heat_map.ipynb).

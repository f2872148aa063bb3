# %% [markdown] lang="en"
# # 4 · Pooling, ReLU, dropout: the layers that forget
#
# Three layers of an FCN have no weights. They throw something away, each in its own manner: ReLU
# the sign, max pooling three of four pixels, dropout whatever the dice say. What is thrown away
# forwards gets no gradient backwards, and that is the whole theory. The details, though, are where
# people lose an afternoon: ties, windows that overlap, borders, a factor of two.

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
from minifcn.ops.reference.dropout import dropout_mask
from minifcn.teaching import grid, question, show

# %% [markdown] lang="en"
# ## ReLU
#
# `y = max(x, 0)`. Where x is positive, y moves with it; where x is negative, y stands at 0 whatever
# x does. So which gradient goes back?

# %% tags=["question"]
# Your guess in place of None, then run. The folded cell below has the answer.
question("relu-mask", None)

# %% tags=["answer"]
question("relu-mask", reveal=True)

# %% [markdown] lang="en"
# The backward pass needs no x: `y > 0` is mask enough, which saves the memory of one array. At x =
# 0 there is no derivative, and the code must choose. And does it matter whether a ReLU stands
# before or behind a convolution?

# %% tags=["question"]
display(question("relu-zero", None),
        question("conv-relu-order", None))

# %% tags=["answer"]
display(question("relu-zero", reveal=True), question("conv-relu-order", reveal=True))

# %%
rng = np.random.default_rng(3)
x = rng.integers(-5, 6, (1, 4, 6, 1)).astype(float)             # (1, 4, 6, 1)
y = reference.relu_forward(x)
dy = np.ones_like(y)
dx = reference.relu_backward(dy, y)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6))
for axis, array, name in zip(axes, (x, y, dx), ("x", "y", "dx, where dy is 1")):
    grid(axis, array[0, :, :, 0], f"{name} {array.shape[1:3]}")
show(figure, alt="Three grids of 4 by 6. x has positive and negative numbers; y has zeros "
     "in place of the negative ones; dx is 1 where y is positive and 0 elsewhere.")

# %% [markdown] lang="en"
# ## Max pooling
#
# A 2 x 2 window every 2 pixels, and of each window the largest number. VGG16 does that five times.
# The map gets smaller, each cell knows about a larger piece of the image, and *where* in its window
# the maximum was is forgotten: the reason why FCNs need skips later. Only `argmax` remembers the
# place, for the gradient.

# %%
y, argmax = reference.max_pool2d_forward(x)                     # (1, 2, 3, 1) and its places
dy = np.arange(1.0, 7).reshape(y.shape)
dx = reference.max_pool2d_backward(dy, argmax, x.shape)
figure, axes = plt.subplots(1, 4, figsize=(11, 2.4), width_ratios=[6, 3, 3, 6])
windows = [(0, 0, 2, 2), (0, 2, 2, 2)]
for axis, array, name, marks in zip(axes, (x, y, dy, dx), ("x", "y", "dy", "dx"),
                                    (windows, [(0, 0, 1, 1), (0, 1, 1, 1)],
                                     [(0, 0, 1, 1), (0, 1, 1, 1)], windows)):
    grid(axis, array[0, :, :, 0], f"{name} {array.shape[1:3]}", marks)
show(figure, alt="x of 4 by 6 with two windows framed; y of 2 by 3 holds the largest number of "
     "each window; dy holds 1 to 6; dx holds each of these at the place of its window's maximum, "
     "and 0 elsewhere.")

# %% [markdown] lang="en"
# Follow one frame from left to right. Then three predictions: how many pixels get nothing, what
# happens to a column without a partner, and to a tie.

# %% tags=["question"]
display(question("pool-lost", None),
        question("pool-ceil", None),
        question("pool-tie", None))

# %% tags=["answer"]
display(question("pool-lost", reveal=True), question("pool-ceil", reveal=True),
        question("pool-tie", reveal=True))

# %% [markdown] lang="en"
# ## Overlapping windows
#
# Windows of 3 every 2 pixels overlap. A pixel that is the largest of both then belongs to both.

# %% tags=["question"]
question("pool-overlap", None)

# %% tags=["answer"]
question("pool-overlap", reveal=True)

# %%
# Step through it: what does dx hold at the large pixel after the first window, what in the end?
row = np.array([0.0, 1, 9, 1, 0]).reshape(1, 1, 5, 1)
_, argmax = reference.max_pool2d_forward(row, size=(1, 3), stride=(1, 2))
minifcn.trace(reference.max_pool2d_backward, np.array([1.0, 10]).reshape(1, 1, 2, 1), argmax,
              row.shape)

# %% [markdown] lang="en"
# ## Dropout
#
# In training each value is dropped with probability `rate`, so that no unit can rely on a single
# other one. FCNs do it after fc6 and fc7 (two layers near their end, notebook 6), with a rate of
# one half. At prediction all values stay.

# %% tags=["question"]
question("dropout-scale", None)

# %% tags=["answer"]
question("dropout-scale", reveal=True)

# %%
ones = np.ones((1, 24, 24, 4))
y, mask = reference.dropout_forward(ones, rate=0.5, seed=0)
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8))
for channel, axis in enumerate(axes):
    grid(axis, y[0, :, :, channel], f"channel {channel} of y (24, 24)", numbers=False)
    axis.set_xticks([])
    axis.set_yticks([])
print(f"mean of x {ones.mean():.3f}, mean of y {y.mean():.3f}")
show(figure, alt="Four channels of a map of ones after dropout: in each about half of the cells "
     "are 0, in another pattern each time, and the others have the same larger value.")

# %% tags=["question"]
# The mask is a function of a seed and of the place, nothing else: the same seed drops the same
# values on every machine, with any number of threads. Look at the four channels, then guess:
question("dropout-channels", None)

# %% tags=["answer"]
question("dropout-channels", reveal=True)

# %% [markdown] lang="en"
# ## A bug to find
#
# A max pooling that somebody wrote from memory. On random input it agrees with the differences, and
# still the checker is not content: it also tries inputs that occur in real networks. Which line is
# it? (Think of what a ReLU leaves of a dark region.)

# %%
class Mine:
    """As a file of yours."""

    max_pool2d_backward = staticmethod(reference.max_pool2d_backward)

    @staticmethod
    def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
        _, h, w, _ = x.shape
        (kh, kw), (sh, sw) = np.broadcast_to(size, 2), np.broadcast_to(stride, 2)
        shape = reference.max_pool2d_forward(x, size, stride, ceil_mode)[0].shape
        y, argmax = np.full(shape, -np.inf, x.dtype), np.zeros(shape, np.int64)
        for image, i, j, f in np.ndindex(shape):
            for a in range(i * sh, min(i * sh + kh, h)):
                for b in range(j * sw, min(j * sw + kw, w)):
                    if x[image, a, b, f] >= y[image, i, j, f]:
                        y[image, i, j, f] = x[image, a, b, f]
                        argmax[image, i, j, f] = a * w + b
        return y, argmax


def backward(dy, x):
    return Mine.max_pool2d_backward(dy, Mine.max_pool2d_forward(x)[1], x.shape),


noise = rng.normal(size=(1, 4, 4, 2))
alone = gradcheck.check(lambda x: Mine.max_pool2d_forward(x)[0], backward, [noise], strict=False)
report = gradcheck.check_module(Mine)["max_pool2d_forward"]
print("random input, right:", alone.ok, "· all cases, right:", report.ok)

# %% tags=["answer"]
# `>=`: among equals the last wins, where the textbook takes the first. The gradient still goes to
# one of them, so differences cannot object; but two engines would train two different networks.
print(report.diagnosis)
windows = np.sort(np.maximum(rng.normal(size=(1000, 4)), 0), axis=1)
print(f"windows with a tie after ReLU: {np.mean(windows[:, -1] == windows[:, -2]):.1%}")

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* Shift an image by one pixel and pool it. Does the result shift by half a cell?
# 2. *A step further.* Write mean pooling of 2 x 2, forward and backward, and check it.
# 3. *With thought.* Show that dropout of rate r and division by `1 - r` keeps the mean, and that it
#    multiplies the mean of the squares by `1 / (1 - r)`. Where might that matter?

# %% tags=["answer"]
# 1. It cannot: some maxima stay in their window, others change it.
picture = rng.integers(0, 9, (1, 4, 8, 1)).astype(float)
moved = np.roll(picture, 1, axis=2)
for image in (picture, moved):
    print(reference.max_pool2d_forward(image)[0][0, :, :, 0])


# 2. Each pixel has a quarter of the gradient.
def mean_forward(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


def mean_backward(dy, x):
    return dy.repeat(2, axis=1).repeat(2, axis=2) / 4,


print(gradcheck.check(mean_forward, mean_backward, [noise], strict=False).ok)

# 3. E[y] = (1 - r) · x / (1 - r) = x;  E[y²] = (1 - r) · (x / (1 - r))² = x² / (1 - r).
#    It matters before whatever looks at the spread, such as a layer that divides by it: in training
#    it sees a larger one than at prediction.
rate = 0.25
values = rng.normal(size=(1000, 1000))
kept = values * dropout_mask(values.shape, rate, 1) / (1 - rate)
print(f"{np.mean(kept**2) / np.mean(values**2):.2f} {1 / (1 - rate):.2f}")

# %% [markdown] lang="en"
# ## What you can now do
#
# - say for each of these layers which inputs get a gradient, and how much;
# - predict what pooling does to a size, to a tie, and to a pixel in two windows;
# - explain why dropout divides, and why it does not drop channels here.
#
# **Where this stands in an FCN.** Five poolings halve the size five times: the scores are coarse.
# To get back to pixels, one has to go the other way:
# [notebook 5](05_upsampling.ipynb). Two of the five, pool3 and pool4, are where the skips of FCN-8s
# begin ([notebook 7](07_fcn.ipynb)).

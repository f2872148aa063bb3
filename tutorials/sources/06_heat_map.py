# %% [markdown] lang="en"
# # 6 · From classifier to heat map
#
# A classifier looks at 224 x 224 pixels and says "bicycle". It cannot say where, and it accepts no
# other size. The idea that started fully convolutional networks is that both are illusions: inside
# the classifier sits a detector that can be laid on any place of any image. Nothing has to be
# trained for that, not a single weight changes. One has to call `reshape`.

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
from minifcn.models.geometry import plan
from minifcn.ops import reference
from minifcn.teaching import question, show
from minifcn.teaching.pictures import NEGATIVE_TO_POSITIVE

# %% [markdown] lang="en"
# ## A classifier of our own
#
# To see the idea we need no large network. Our images have 28 x 28 pixels and show a disc, a square
# or a cross in the middle, or else nothing there. Eight fixed edge filters, ReLU, one pooling by 4,
# and a fully connected layer over the 7 x 7 cells that remain. Its weights come from least squares,
# in a second or two.

# %%
KINDS = ("disc", "square", "cross", "nothing")


def draw(canvas, kind, row, column):
    """Draw a shape about 16 pixels wide on canvas (h, w), around a pixel."""
    i, j = np.mgrid[:canvas.shape[0], :canvas.shape[1]]
    i, j = abs(i - row), abs(j - column)
    canvas[{"disc": i**2 + j**2 <= 64, "square": (i <= 7) & (j <= 7),
            "cross": (i <= 8) & (j <= 8) & (np.minimum(i, j) <= 2)}[kind]] = 1


def features(x):
    """Edges in 8 directions, then pooling by 4: (n, h, w, 1) -> (n, h / 4, w / 4, 8)"""
    angles = np.arange(8) * np.pi / 4
    i, j = np.mgrid[-1:2, -1:2]
    edges = (i[..., None] * np.sin(angles) + j[..., None] * np.cos(angles))[:, :, None]
    y = reference.relu_forward(reference.conv2d_forward(x, edges, np.zeros(8), padding=1))
    return reference.max_pool2d_forward(y, 4, 4)[0]


rng = np.random.default_rng(0)
images, targets = np.zeros((3000, 28, 28)), rng.integers(0, 4, 3000)
for image, target in zip(images, targets):
    place = rng.integers(12, 16, 2)
    if KINDS[target] == "nothing":              # a shape that is not in the middle
        while abs(place - 13.5).max() < 6:
            place = rng.integers(-6, 34, 2)
    draw(image, KINDS[target] if target < 3 else KINDS[rng.integers(3)], *place)
flat = features(images[:, :, :, None]).reshape(3000, -1)        # (3000, 392): 7 x 7 x 8
seen, wanted = np.c_[flat, np.ones(3000)][:2500], 2 * np.eye(4)[targets[:2500]] - 1
solved = np.linalg.solve(seen.T @ seen + 30 * np.eye(393), seen.T @ wanted)     # 30: small weights
weight, bias = solved[:-1].copy(), solved[-1].copy()            # (392, 4) and (4,)
scores = reference.linear_forward(flat[2500:], weight, bias)    # (500, 4)
print(f"right on 500 images that it never saw: {np.mean(scores.argmax(1) == targets[2500:]):.0%}")

# %% [markdown] lang="en"
# ## The same weights on a larger image
#
# The fully connected layer takes 392 numbers: 7 rows, 7 columns, 8 channels, in this order. So each
# of its columns *is* a 7 x 7 kernel of 8 channels that has been written in one line. Write it as a
# kernel again, and it can be laid on more than one place.

# %%
canvas = np.zeros((96, 160))
for kind, row, column in (("disc", 20, 30), ("square", 30, 80), ("cross", 60, 50),
                          ("disc", 70, 120), ("cross", 25, 135), ("square", 75, 20)):
    draw(canvas, kind, row, column)
kernel = weight.reshape(7, 7, 8, 4)             # not a number changes
heat = reference.conv2d_forward(features(canvas[None, :, :, None]), kernel, bias)  # (1, 18, 34, 4)

figure, axes = plt.subplots(1, 5, figsize=(13, 2.2), width_ratios=[1.3, 1, 1, 1, 1])
axes[0].imshow(canvas, cmap="gray")
axes[0].set_title(f"image {canvas.shape}")
for k, axis in enumerate(axes[1:]):
    axis.imshow(heat[0, :, :, k], cmap=NEGATIVE_TO_POSITIVE, vmin=-1, vmax=1)
    axis.set_title(f"{KINDS[k]} {heat.shape[1:3]}")
for axis in axes:
    axis.set_xticks([])
    axis.set_yticks([])
found = [KINDS[k] for k in heat[0].argmax(-1).ravel() if k < 3]
print({kind: found.count(kind) for kind in KINDS[:3]}, "cells of", heat[0, :, :, 0].size)
show(figure, alt="A black image with six white shapes, and four maps of scores, one for each "
     "class. In the maps of disc, square and cross, single cells are orange, that is positive, "
     "just where such a shape is; the map of nothing is positive everywhere else.")

# %% [markdown] lang="en"
# A classifier that was trained on single shapes has found all six, each in two or three
# neighbouring cells, in one pass. That is the paper's first step. VGG16 has 7 x 7 cells too, of 512
# channels, and 4096 outputs in its first fully connected layer, which is called fc6. How large is
# that layer?

# %% tags=["question"]
# Your guess in place of None, then run. The folded cell below has the answer.
display(question("fc6-weights", None),
        question("fc6-kernel", None))

# %% tags=["answer"]
display(question("fc6-weights", reveal=True),
        question("fc6-kernel", reveal=True))

# %%
linear = minifcn.VGG16(seed=None).parameters.shapes()
convolutional = minifcn.VGG16(seed=None, convolutional=True).parameters.shapes()
for name in ("fc6", "fc7", "fc8"):
    one, other = linear[f"{name}.weight"], convolutional[f"{name}.weight"]
    print(f"{name}  {one!s:14} {np.prod(one):>12,}    {other!s:20} {np.prod(other):>12,}")

# %% [markdown] lang="en"
# ## The same scores, to the bit
#
# `convolutionalize` does this to a whole VGG16. For an image of 224 x 224 the kernel of fc6 fits in
# one place, and the sum there has the same terms in the same order. (Here at a twentieth of VGG16's
# width, with random weights: it is about arithmetic, not about bicycles.)

# %%
vgg = minifcn.VGG16(classes=5, width=0.05, fc_channels=16, seed=1)
fully = minifcn.convolutionalize(vgg)
x = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype(np.float32)
for engine in ("reference", "fast"):
    with minifcn.using(engine):
        a, b = vgg.forward(x), fully.forward(x)                 # (1, 5) and (1, 1, 1, 5)
    same = np.array_equal(a, b[:, 0, 0]) if engine == "reference" else "it depends"
    print(f"{engine:9}  {a.shape} {b.shape}  nearly equal: {np.allclose(a, b[:, 0, 0], atol=1e-5)},"
          f"  to the bit: {same}")

# %% [markdown] lang="en"
# The textbook adds in the same order both times, so every bit agrees. The fast engine multiplies
# matrices of other shapes and adds in another order: floating-point sums then may differ in their
# last digits, as they do from machine to machine, and nothing else does.
#
# On a larger image there is a map:

# %% tags=["question"]
question("heatmap-size", None)

# %% tags=["answer"]
print(fully.forward(np.zeros((1, 384, 512, 3), np.float32)).shape)
question("heatmap-size", reveal=True)

# %% [markdown] lang="en"
# ## One layer, two places
#
# A tiny fc6: a kernel of 2 x 2 on a map of 2 x 3. On the first place it is the fully connected
# layer of the left four cells. Then it takes one step.

# %%
pool5 = np.array([[1.0, 2, 3], [4, 5, 6]]).reshape(1, 2, 3, 1)
fc6 = np.array([1.0, 10, 100, 1000]).reshape(4, 1)              # (4, 1): fully connected
minifcn.trace(reference.conv2d_forward, pool5, fc6.reshape(2, 2, 1, 1), np.zeros(1))

# %% [markdown] lang="en"
# ## Any padding will do?
#
# There are two ways to pad an FCN ([notebook 7](07_fcn.ipynb) derives both). In the one of the
# paper's release, "Caffe geometry", fc6 pads 0; in minifcn's default, "exact geometry", it pads 3,
# so that scores reach to the border of the image. Is that the classifier still?

# %% tags=["question"]
question("fc6-padding", None)

# %% tags=["answer"]
question("fc6-padding", reveal=True)

# %% [markdown] lang="en"
# ## What one score has seen
#
# Scores lie some pixels apart, and each depends on a large window of the image, its receptive
# field. Both follow from kernel, stride and nothing else. Walk from the image to the score: a layer
# with kernel k adds `k - 1` cells *of its input*, and these lie further apart after every stride.

# %% tags=["question"]
display(question("score-stride", None),
        question("receptive-field", None))

# %% tags=["answer"]
display(question("score-stride", reveal=True),
        question("receptive-field", reveal=True))

# %%
steps = [step for step in plan(500, 32, "exact").steps if step.kernel][:19]     # to fc6
field, apart, fields = 1, 1, {}
for step in steps:
    field += (step.kernel - 1) * apart
    apart *= step.stride
    fields[step.name] = field
first, last = 0, 0                              # the same, walked back from one score
for step in reversed(steps):
    first, last = first * step.stride, last * step.stride + step.kernel - 1
names = ("pool1", "pool2", "pool3", "pool4", "pool5", "fc6")
figure, axis = plt.subplots(figsize=(5, 4.2))
for name in names:
    half = fields[name] / 2
    axis.add_patch(plt.Rectangle((-half, -half), 2 * half, 2 * half, fill=False, linewidth=2))
    if half > 20:
        axis.text(0, half + 4, f"{name}: {fields[name]}", ha="center", fontsize=9)
axis.add_patch(plt.Rectangle((-250, -250), 500, 500, color="#92c5de", alpha=0.4))
axis.set(xlim=(-260, 260), ylim=(-260, 260), aspect="equal", title="on an image of 500 x 500")
print(f"there {field}, and back {last - first + 1}; cells {apart} pixels apart")
show(figure, alt="Nested squares on an image of 500 by 500, the receptive fields of a cell after "
     + ", ".join(f"{name} ({fields[name]})" for name in names) + ".")

# %% [markdown] lang="en"
# ## A bug to find
#
# fc6 as a convolution, written as a fully connected layer on every window. The numbers are
# plausible, the shapes are right, and for a kernel of 1 x 1 it passes every test. People meet this
# one when they bring weights from another framework. Which line is it?

# %%
class Mine:
    """As a file of yours."""

    @staticmethod
    def conv2d_forward(x, weight, bias, stride=1, padding=0):
        s, p = np.broadcast_to(stride, 2), np.broadcast_to(padding, 2)
        x = np.pad(x, ((0, 0), (p[0], p[0]), (p[1], p[1]), (0, 0)))
        kh, kw, _, f = weight.shape
        oh, ow = (x.shape[1] - kh) // s[0] + 1, (x.shape[2] - kw) // s[1] + 1
        y = np.empty((len(x), oh, ow, f), x.dtype)
        for i, j in np.ndindex(oh, ow):
            window = x[:, i * s[0]:i * s[0] + kh, j * s[1]:j * s[1] + kw]
            flat = window.transpose(0, 3, 1, 2).reshape(len(x), -1)
            y[:, i, j] = flat @ weight.reshape(-1, f) + bias
        return y


report = gradcheck.check_module(Mine)["conv2d_forward"]
print("right:", report.ok)

# %% tags=["answer"]
print(report.diagnosis)


# The window is flattened as c, h, w, the weight as h, w, c. With one channel or a 1 x 1 kernel the
# two orders are the same. (PyTorch's and Caffe's fc6 is flattened c, h, w, Keras' h, w, c.)
class Repaired(Mine):
    @staticmethod
    def conv2d_forward(x, weight, bias, stride=1, padding=0):
        swapped = weight.transpose(2, 0, 1, 3).reshape(weight.shape)    # now both are c, h, w
        return Mine.conv2d_forward(x, swapped, bias, stride, padding)


print(gradcheck.check_module(Repaired)["conv2d_forward"].ok)

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* Which cell of the heat map of our small classifier belongs to the cross at row 60,
#    column 50? Cells lie 4 pixels apart and see 28.
# 2. *A step further.* Shift the canvas by one pixel. Does the heat map shift by a quarter of a
#    cell?
# 3. *With thought.* Fully connected layers on all windows of 28 x 28, every 4 pixels, against one
#    convolution: count the multiplications of the edge filters in both.

# %% tags=["answer"]
# 1. Cell i sees pixels 4i to 4i + 27, its middle is 4i + 13.5.
print("cell", round((60 - 13.5) / 4), round((50 - 13.5) / 4),
      "says", KINDS[heat[0, round((60 - 13.5) / 4), round((50 - 13.5) / 4)].argmax()])

# 2. Pooling rounds: shifted by 4 pixels it is the same map, shifted by 1 it is another one.
for pixels in (1, 4):
    moved = np.roll(canvas, pixels, axis=1)
    again = reference.conv2d_forward(features(moved[None, :, :, None]), kernel, bias)
    print(pixels, "pixels:", np.allclose(again[:, :, 2:-1], heat[:, :, 1:-2]))

# 3. Windows overlap, so each pixel is worked on again and again.
windows, one = heat[0, :, :, 0].size, 9 * 8
print(f"windows {windows * 28 * 28 * one:,}, convolution {canvas.size * one:,}: "
      f"{windows * 28 * 28 / canvas.size:.1f} times as many")

# %% [markdown] lang="en"
# ## What you can now do
#
# - turn any fully connected layer into a convolution, and say which order of flattening it needs;
# - predict the size of a heat map, the distance of its cells, and what each cell has seen;
# - say when two ways of computing the same sum agree to the bit, and when only nearly.
#
# **Where this stands in an FCN.** With fc6 and fc7 as convolutions and a new 1 x 1 score layer for
# 21 classes in place of fc8, this is FCN-32s, but for its upsampling. Its map is coarse. How skips
# from pool4 and pool3 sharpen it, and where the crops come from:
# [notebook 7](07_fcn.ipynb).

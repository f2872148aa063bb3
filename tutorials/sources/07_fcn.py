# %% [markdown] lang="en"
# # 7 · FCN-32s, 16s and 8s
#
# Notebook 6 ended with a map of scores: one vote every so many pixels, and very sure of itself. A
# map of votes is not a segmentation. This notebook makes one of it. You will see where the detail
# is lost, how two shortcuts bring it back, and derive every size and every offset on the way. The
# numbers that puzzle readers of the paper most (why pad by 100, why cut off just so many rows) are
# yours at the end.

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
from minifcn.data import Streets
from minifcn.models.geometry import explain, plan
from minifcn.ops import reference
from minifcn.teaching import question, show

# %% [markdown] lang="en"
# The votes lie 32 pixels apart (notebook 6). But *where* do they lie? Begin with a single pooling:
# its first cell stands for pixels 0 and 1.

# %% tags=["question"]
question("pool-position", None)

# %% tags=["answer"]
question("pool-position", reveal=True)

# %% [markdown] lang="en"
# ## What gets lost
#
# Let us be generous, and give the coarse network perfect votes: each cell gets the class that most
# of its pixels have. Then we make every cell as large as its pixels again. The mask that comes out
# is the best that a network without shortcuts could hope for, at three distances between its votes.

# %%
data = Streets(1, (128, 192), seed=3)
image, labels, _ = data[0]                      # (128, 192, 3) and (128, 192)


def coarse(labels, stride):
    """The commonest class of each stride x stride block, at full size again."""
    mask = np.empty_like(labels)
    for i in range(0, labels.shape[0], stride):
        for j in range(0, labels.shape[1], stride):
            block = labels[i:i + stride, j:j + stride]
            mask[i:i + stride, j:j + stride] = np.bincount(block.ravel(), minlength=256).argmax()
    return mask


colours = np.vstack([data.palette, np.zeros((256 - len(data.palette), 3), np.uint8)])
figure, axes = plt.subplots(1, 5, figsize=(14, 2.2))
agreement = {}
for axis, (title, picture) in zip(axes, [
        ("image", image), ("labels", colours[labels]),
        *((f"votes every {s} pixels", colours[coarse(labels, s)]) for s in (32, 16, 8))]):
    axis.imshow(picture)
    axis.set_title(title)
    axis.axis("off")
for s in (32, 16, 8):
    agreement[s] = np.mean(coarse(labels, s) == labels)
    print(f"votes every {s:2} pixels: {agreement[s]:.1%} of the pixels are right")
show(figure, alt="A street scene, its labels, and the labels rebuilt from one vote for each square "
     "of 32, 16 and 8 pixels. At 32 poles, signs and people have vanished and all outlines are "
     "steps; at 16 the larger objects have a shape; at 8 most thin things are there again.")

# %% [markdown] lang="en"
# ## Three networks
#
# **FCN-32s** takes the votes and enlarges them in one go (a transposed convolution, notebook 5).
# But two earlier maps, after the third and the fourth pooling, are finer, and still in memory.
# **FCN-16s** gives `pool4` a score layer of its own, enlarges the coarse votes by 2, *adds*, and
# enlarges the sum. **FCN-8s** does it once more with `pool3`.
#
# ```
# pool5 -> fc6 -> fc7 -> score_fr  --x2-->  +  --x2-->  +  --x8-->  scores of every pixel
#                                           |           |
#                     pool4 -> score_pool4 -'           |
#                     pool3 -> score_pool3 -------------'
# ```

# %%
model = minifcn.FCN(stride=8, classes=11, width=0.125)
model

# %% tags=["question"]
# What is added: features, or scores? How many channels has the sum? Could one add first?
display(question("fusion-channels", None),
        question("fusion-order", None),
        question("skip-parameters", None))

# %% tags=["answer"]
display(question("fusion-channels", reveal=True), question("fusion-order", reveal=True),
        question("skip-parameters", reveal=True))

# %% [markdown] lang="en"
# ## Where does a cell lie?
#
# Before two maps are added, they have to lie on one another. So we need to know over which pixel of
# the image each cell is centred. Three numbers describe a map along one axis:
#
# ```
# size    its cells
# step    pixels from one cell to the next
# origin  the pixel under the centre of cell 0
# ```
#
# A window of k cells that starts p cells before the border is centred (k - 1) / 2 - p cells behind
# it. That gives all rules that there are:
#
# ```
# convolution, pooling    origin += ((k - 1) / 2 - p) · step      step *= stride
# transposed convolution  step /= stride      origin -= ((k - 1) / 2 - p) · step
# crop by o               origin += o · step
# ```
#
# Here they are, applied to the whole of FCN-32s in **Caffe geometry**, the one of the released
# weights. (The two or three 3 x 3 convolutions of a stage are written as one: two of them see 5
# cells, three see 7, and their paddings add up.) Step through, and stop before the last line.

# %%
kernel = np.array([5, 2, 5, 2, 7, 2, 7, 2, 7, 2, 7])
stride = np.array([1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1])
padding = np.array([101, 0, 2, 0, 3, 0, 3, 0, 3, 0, 0])     # conv1_1 pads by 100


def follow(kernel, stride, padding, origin, step):
    for k in range(len(kernel)):
        origin[k + 1] = origin[k] + ((kernel[k] - 1) / 2 - padding[k]) * step[k]
        step[k + 1] = step[k] * stride[k]
    return origin, step


minifcn.trace(follow, kernel, stride, padding, np.zeros(12), np.ones(12))

# %% tags=["question"]
# Cell 0 of score_fr is the last entry of origin, and the last step is the distance to cell 1.
question("cell-position", None)

# %% tags=["answer"]
question("cell-position", reveal=True)

# %% [markdown] lang="en"
# Now enlarge by 32 with a kernel of twice that size, as FCN-32s does: the step becomes 1, and the
# origin moves by half the kernel. It becomes negative: pixel 0 of the upsampled scores lies
# *before* the image. What is to be cut off? For FCN-16s and 8s you need the origins of `pool4` and
# `pool3`, which are among the steps above, and the two smaller upsamplings, with kernels of 4.

# %% tags=["question"]
display(question("crop-32s", None),
        question("crop-pool4", None),
        question("crop-16s", None),
        question("crop-8s", None))

# %% tags=["answer"]
display(question("crop-32s", reveal=True), question("crop-pool4", reveal=True),
        question("crop-16s", reveal=True), question("crop-8s", reveal=True))

# %% [markdown] lang="en"
# ## Why pad by 100 at all?
#
# It is not needed for the arithmetic. It is there so that small images still have an output. How
# much of it is really needed?

# %% tags=["question"]
display(question("pad-100", None),
        question("pad-one-pixel", None))

# %% tags=["answer"]
display(question("pad-100", reveal=True), question("pad-one-pixel", reveal=True))

# %% [markdown] lang="en"
# The price is high: the network computes a frame of zeros around every picture. In **exact
# geometry** `conv1_1` pads by 1, `fc6` by 3 and each transposed convolution by half its factor.
# Every map then lies on the image, no offset is left, and any size works. It is minifcn's default.
# First the whole derivation of FCN-8s in Caffe geometry, line by line; then the price.

# %%
print(explain(500, 500, 8, "caffe"), "\n")
for geometry in ("exact", "caffe"):
    network = minifcn.FCN(stride=8, geometry=geometry, seed=None)
    print(f"{geometry:6} {network.summary(500, 500).macs / 1e9:6.1f} billion multiplications; "
          f"output cut off at row {plan(500, 8, geometry).output.offset}")
pixel = np.zeros((1, 1, 1, 3), np.float32)
print("one pixel in,", minifcn.FCN(classes=4, width=0.02).forward(pixel).shape, "out")

# %% [markdown] lang="en"
# ## A bug to find
#
# This student crops in the middle, as one does with pictures. For some image sizes it even works.

# %%
def fuse(skip, upsampled):
    """skip (n, a, b, c), upsampled (n, h, w, c), both scores -> their sum (n, h, w, c)"""
    top = (skip.shape[1] - upsampled.shape[1]) // 2
    left = (skip.shape[2] - upsampled.shape[2]) // 2
    return skip[:, top:top + upsampled.shape[1], left:left + upsampled.shape[2]] + upsampled


wrong = {}
for side in range(200, 520, 40):
    geometry = plan(side, 16, "caffe")
    skip, upsampled = geometry.after("score_pool4"), geometry.after("upscore2")
    centred = (skip.size - upsampled.size) // 2
    wrong[side] = centred - geometry.fusions["pool4"].skip.offset
print("cells by which the crop is off:", wrong)

# %% tags=["answer"]
# The border is not shared out evenly: the upsampled map ends where the last window of fc6 ended,
# which depends on the size of the image. Only the top left corner is fixed. So crop there:
def fuse_repaired(skip, upsampled, offset=5):
    rows, columns = upsampled.shape[1:3]
    return skip[:, offset:offset + rows, offset:offset + columns] + upsampled


# The checker sees it too: a crop that moves the sum moves the gradient.
def backward_of_fuse(dy, skip, upsampled):
    dskip = np.zeros_like(skip)
    dskip[:, 5:5 + dy.shape[1], 5:5 + dy.shape[2]] = dy
    return dskip, dy.copy()


rng = np.random.default_rng(0)
maps = [rng.normal(size=(1, 16, 17, 2)), rng.normal(size=(1, 5, 4, 2))]
print(gradcheck.check(fuse_repaired, backward_of_fuse, maps).ok)

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* In exact geometry, show for ten image sizes that all offsets of FCN-8s are 0.
# 2. *A step further.* The release pads `conv1_1` by 100. Derive the offset of the output of FCN-8s
#    for any padding p, and check your formula against `plan`.
# 3. *With thought.* "At once": `pool4` is multiplied by 0.01 before its score layer, `pool3` by
#    0.0001. Why does that let all three be trained together? (`question("at-once")` has the
#    arithmetic.) Compare the sizes of the activations of a network with its initial weights.

# %% tags=["answer"]
# 1.
sizes = np.random.default_rng(1).integers(1, 700, 10).tolist()
print({plan(size, 8).output.offset for size in sizes},
      {fusion.skip.offset for size in sizes for fusion in plan(size, 8).fusions.values()})

# 2. Padding more by one moves every map up by one pixel, and the offset with it: p - 69.
from minifcn.models.geometry import Geometry

print({padding - plan(500, 8, Geometry(padding, 0, False)).output.offset
       for padding in (81, 90, 100, 120)})

# 3. (0.01 and 0.0001.) The gradient of a score layer's weights is as large as its input. He
#    initialisation keeps the activations' size through ReLUs, but VGG16 as it was trained has far
#    larger ones at pool3 than at fc7. The factors make all three score layers learn at a similar
#    pace with one rate.
x = rng.normal(size=(1, 64, 64, 3)).astype(np.float32)
with minifcn.using("reference"):
    conv = reference.conv2d_forward(x, model.parameters["conv1_1.weight"],
                                    model.parameters["conv1_1.bias"], padding=1)
print(f"image {x.std():.2f}, conv1_1 {conv.std():.2f}: the same order of magnitude")

# %% [markdown] lang="en"
# ## What you can now do
#
# - say what FCN-32s, 16s and 8s share, and what tells them apart;
# - derive the size, the step and the origin of every map, in either geometry;
# - explain each offset to somebody who asks "why just so many?".
#
# **Where this stands in an FCN.** This was the FCN. `minifcn/models/fcn.py` is its code,
# `geometry.py` beside it the derivation. What it learns from is [notebook 8](08_loss.ipynb); that
# it learns, [notebook 9](09_training.ipynb). Short answers stand in
# `docs/why/crop-offset.md` and `docs/why/pad-100.md`.

# %% [markdown]
# # Homework 3 · Back to full size
#
# A network that has pooled five times knows *what* it sees, and only roughly *where*. This
# homework is about the way back: the layer that enlarges a map, the kernel that it starts with,
# and the question on which the most hours have been lost of all in FCN: where does a cell of the
# enlarged map lie in the image, and how many rows must be cut off?
#
# **What you learn**
#
# - to compute a transposed convolution and its gradients, and to say what it has in common with a
#   convolution;
# - to make the kernel that interpolates, for every class;
# - to follow the place of a cell through any sequence of layers, and so to derive every crop.
#
# **What you need**: notebooks 5 and 7, and NumPy. Plan a week: about eight hours in all.
#
# | part | | points | about |
# | --- | --- | --- | --- |
# | 1 | transposed convolution, forwards | 18 | 1.5 h |
# | 2 | transposed convolution, backwards | 22 | 2 h |
# | 3 | extra rows and columns | 8 | 30 min |
# | 4 | the kernel that interpolates | 10 | 45 min |
# | 5 | where a cell lies | 12 | 1 h |
# | 6 | crops | 14 | 1 h |
# | 7 | inside an FCN | | 20 min |
# | 8 | two questions in words | 16 | 45 min |
# | | | **100** | |
#
# **Rules.** Your functions use NumPy and nothing else. Each is judged alone, and none needs
# another: if you are stuck, go on. (Calling one of your own functions in another is fine, but
# then its mistakes come along.) The points of a layer are shared out over values, gradients,
# manners (your function changes none of its arguments, and returns the dtype that it was given),
# and hidden cases of other sizes, which are judged after you hand in. A textbook version of the
# layer is open to everybody in `minifcn/ops/reference`, and of the geometry in `minifcn/models`.
# Read them, and then close them: what you hand in is your own code. Copies are noticed.

# %% minifcn="setup"
from minifcn.course import notebook

judge = notebook("hw3", globals())

# %% minifcn="given" id="imports"
import numpy as np

# %% [markdown]
# ## Part 1: Forwards (18 points)
#
# Every cell of x stamps the kernel onto the output, multiplied by its value. The stamps of
# neighbours lie `stride` cells apart, and where they overlap, they add. At last `padding` rows
# and columns are cut off on every side: the padding of a transposed convolution takes away what
# that of a convolution would add.

# %% minifcn="try" id="try-1"
import types

import matplotlib.pyplot as plt

import minifcn
from minifcn import gradcheck
from minifcn.data import Shapes, make_batch
from minifcn.teaching import grid, show

cells = np.array([[1.0, 0], [0, 2]])
stamps = np.zeros((5, 5))
stamps[0:3, 0:3] += 1
stamps[2:5, 2:5] += 2
figure, (left, right) = plt.subplots(1, 2, figsize=(6.5, 3), width_ratios=[2, 5])
grid(left, cells, "x (2, 2)", marks=[(0, 0, 1, 1), (1, 1, 1, 1)])
grid(right, stamps, "y (5, 5): 3 x 3 ones, stride 2", marks=[(0, 0, 3, 3), (2, 2, 3, 3)])
show(figure, alt="Left: x, 1 at the top left, 2 at the bottom right, else 0. Right: y, 5 by 5, a "
     "stamp of 3 by 3 ones at the top left and one of twos at the bottom right. They share the "
     "middle cell, which holds 3.")

# %% [markdown]
# Axes are as in a convolution: `weight[ki, kj, c, f]` takes channel c of x to channel f of y. The
# textbook goes over the cells of x. A suggestion that needs two loops only: the place (ki, kj) of
# all stamps together is a regular grid in the output. Make the output large enough for all stamps
# first, and cut at the end. A layer without bias gets `bias=None`.
#
# Leave `extra` alone for now: part 3 asks for it.

# %% minifcn="solution" id="conv_transpose2d_forward"
def conv_transpose2d_forward(x, weight, bias=None, stride=1, padding=0, extra=0):
    """Transposed convolution.

    x (n, h, w, c_in), weight (kh, kw, c_in, c_out), bias (c_out,) or None
    -> y (n, oh, ow, c_out), oh = (h - 1) * stride + kh - 2 * padding + extra

    stride, padding, extra: whole numbers, the same for rows and columns; extra < stride
    """
    ### BEGIN SOLUTION
    (n, h, w, _), (kh, kw, _, c_out) = x.shape, weight.shape
    oh = (h - 1) * stride + kh - 2 * padding + extra
    ow = (w - 1) * stride + kw - 2 * padding + extra
    everything = np.zeros((n, oh + 2 * padding, ow + 2 * padding, c_out), x.dtype)
    for ki in range(kh):
        for kj in range(kw):
            everything[:, ki:ki + stride * (h - 1) + 1:stride,
                       kj:kj + stride * (w - 1) + 1:stride] += x @ weight[ki, kj]
    y = everything[:, padding:padding + oh, padding:padding + ow]
    return y.copy() if bias is None else y + bias
    ### END SOLUTION


# %% minifcn="try" id="try-2"
try:
    y = conv_transpose2d_forward(cells[None, :, :, None], np.ones((3, 3, 1, 1)), None, 2, 1)
    print(y[0, :, :, 0].tolist(), "should be [[1, 1, 0], [1, 3, 2], [0, 2, 2]]")
except NotImplementedError:
    print("conv_transpose2d_forward is not written yet")

# %% minifcn="test" part="conv-transpose-forward"
judge("conv-transpose-forward")

# %% minifcn="hidden" part="conv-transpose-forward"
judge("conv-transpose-forward", hidden=True)

# %% [markdown]
# ## Part 2: Backwards (22 points)
#
# Each product `x[n, i, j, c] · weight[ki, kj, c, f]` has landed in one cell of y, or outside, and
# then it is lost. On the way back, `dx` and `dweight` use the same products. Do it on paper for
# one axis: x has two cells, the kernel three weights, stride 2, padding 1. Which three cells is y
# made of? Which `dy` does `dx[0]` depend on?
#
# Then look at your formula for `dx`. You have seen it before: which layer is it?

# %% minifcn="solution" id="conv_transpose2d_backward"
def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0, extra=0):
    """Gradients of a transposed convolution.

    dy (n, oh, ow, c_out) -> dx like x, dweight like weight, dbias (c_out,)
    """
    ### BEGIN SOLUTION
    (_, h, w, _), (kh, kw, _, _) = x.shape, weight.shape
    sides = (padding, padding)
    everything = np.pad(dy, ((0, 0), sides, sides, (0, 0)))     # what was cut off has no influence
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for ki in range(kh):
        for kj in range(kw):
            met = everything[:, ki:ki + stride * (h - 1) + 1:stride,
                             kj:kj + stride * (w - 1) + 1:stride]
            dx += met @ weight[ki, kj].T
            dweight[ki, kj] = np.tensordot(x, met, ([0, 1, 2], [0, 1, 2]))
    return dx, dweight, dy.sum(axis=(0, 1, 2))
    ### END SOLUTION

# %% minifcn="test" part="conv-transpose-backward"
judge("conv-transpose-backward")

# %% minifcn="hidden" part="conv-transpose-backward"
judge("conv-transpose-backward", hidden=True)

# %% [markdown]
# ## Part 3: Extra rows and columns (8 points)
#
# With a stride of 2, images of 7 and of 8 rows both become maps of 4 rows (kernel 3, padding 1).
# Their way back is ambiguous: a transposed convolution of 4 rows gives 7. To get 8, add a row.
# With `extra`, the output has that many rows more at the bottom, and as many columns more at the
# right. They are not simply zeros: what has been cut off there may come back.
#
# ```
# one axis: x = [1, 2], kernel [1, 1, 1], stride 2       all stamps   1 1 3 2 2
#           padding 1                 -> 1 3 2           (one cut off on each side)
#           padding 1 and extra 1     -> 1 3 2 2         (the right one is back)
#           padding 0 and extra 1     -> 1 1 3 2 2 0     (here there is nothing to come back)
# ```
#
# A bias is added to the extra rows as well. Change both functions above. The backward pass gets a
# `dy` of the larger size. (4 points forwards, 4 backwards.)

# %% minifcn="test" part="extra"
judge("extra")

# %% minifcn="hidden" part="extra"
judge("extra", hidden=True)

# %% [markdown]
# ## Part 4: The kernel that interpolates (10 points)
#
# FCNs start their upsampling as bilinear interpolation. For a factor s along one axis, the kernel
# is a tent: with its middle at m, the weight of place i is `1 - |i - m| / s`. It has k = 2s
# places if s is even, 2s − 1 if s is odd, and m lies in the middle of them: at s − 1/2 or s − 1.
# In two dimensions the weight of a place is that of its row times that of its column.
#
# And for several classes? The weight has the axes (k, k, c, f). Scores of class c must only end
# up in class c.

# %% minifcn="solution" id="bilinear_weight"
def bilinear_weight(factor, classes):
    """Weight of a transposed convolution that interpolates by a factor: float64.

    returns (k, k, classes, classes), k = 2 * factor - factor % 2
    """
    ### BEGIN SOLUTION
    k = 2 * factor - factor % 2
    tent = 1 - abs(np.arange(k) - (k - 1) / 2) / factor
    return tent[:, None, None, None] * tent[:, None, None] * np.eye(classes)
    ### END SOLUTION


# %% minifcn="try" id="try-3"
try:
    print(bilinear_weight(2, 1)[1, :, 0, 0], "should be 0.1875 0.5625 0.5625 0.1875")
    print(bilinear_weight(3, 4).shape, "should be (5, 5, 4, 4)")
except NotImplementedError:
    print("bilinear_weight is not written yet")

# %% minifcn="test" part="bilinear-weight"
judge("bilinear-weight")

# %% minifcn="hidden" part="bilinear-weight"
judge("bilinear-weight", hidden=True)

# %% [markdown]
# ## Part 5: Where a cell lies (12 points)
#
# Along one axis, a map is described by three numbers: its `size` in cells, the `step` from cell
# to cell in pixels of the image, and the `origin`, the pixel over which cell 0 is centred. The
# image itself is `(h, 1.0, 0.0)`. (Notebook 7 has the rules.) Write a function that follows these
# numbers through a list of layers:
#
# ```
# ("conv", kernel, stride, padding, dilation)     as in homework 1; dilation 1 is the ordinary one
# ("pool", kernel, stride)                        rounded up: windows may hang over the border
# ("up", kernel, stride, padding)                 transposed convolution
# ("crop", offset, size)                          drops the first `offset` cells, keeps `size`
# ```
#
# Sizes: a window of k cells with dilation d is d(k − 1) + 1 long. Pooling drops a window that
# would start outside; a map smaller than the window has one window. A window that hangs over the
# border has its centre where it would be on a larger map.

# %% minifcn="solution" id="place_of_cells"
def place(layers, size):
    """(size, step, origin) of the map after the layers, for an image of ``size`` pixels."""
    ### BEGIN SOLUTION
    step, origin = 1.0, 0.0
    for kind, *numbers in layers:
        if kind == "crop":
            offset, size = numbers
            origin += offset * step
        elif kind == "up":
            kernel, stride, padding = numbers
            size = (size - 1) * stride + kernel - 2 * padding
            step /= stride
            origin -= ((kernel - 1) / 2 - padding) * step
        elif kind == "pool":
            kernel, stride = numbers
            count = -(-max(size - kernel, 0) // stride) + 1
            size = min(count, (size - 1) // stride + 1)
            origin += (kernel - 1) / 2 * step
            step *= stride
        else:
            kernel, stride, padding, dilation = numbers
            window = dilation * (kernel - 1) + 1
            size = (size + 2 * padding - window) // stride + 1
            origin += ((window - 1) / 2 - padding) * step
            step *= stride
    return size, step, origin
    ### END SOLUTION


# %% minifcn="try" id="try-4"
try:
    print(place([("conv", 3, 1, 1, 1), ("pool", 2, 2)], 9), "should be (5, 2.0, 0.5)")
    print(place([("pool", 2, 2), ("up", 4, 2, 1)], 9), "should be (10, 1.0, 0.0)")
except NotImplementedError:
    print("place is not written yet")

# %% minifcn="test" part="place"
judge("place")

# %% minifcn="hidden" part="place"
judge("place", hidden=True)

# %% [markdown]
# ## Part 6: Crops (14 points)
#
# Two maps can be added if their cells lie on one another: the same step, the same origin, the
# same size. If only the origin and the size differ, the finer one is cropped. **`crop_offset`**
# (8 points) says by how many cells: what is the first cell of `fine` that lies on cell 0 of
# `coarse`? Both are `(size, step, origin)`. If there is no such cell (the steps differ, the
# offset is not whole, or it lies outside of `fine`), it raises a `ValueError` with a sentence
# that says why. Two kinds of maps are compared with it: a skip with the upsampled scores, and the
# last scores with the image itself.
#
# **`crop_forward` and `crop_backward`** (6 points) do it: `rows` and `columns` are the offsets,
# `height` and `width` the size that is left. What is the gradient of a cell that was cut off?

# %% minifcn="solution" id="crop_offset"
def crop_offset(fine, coarse):
    """Index of the cell of ``fine`` that lies on cell 0 of ``coarse``; an int."""
    ### BEGIN SOLUTION
    (size, step, origin), (_, other_step, other_origin) = fine, coarse
    if step != other_step:
        raise ValueError(f"cells lie {step:g} and {other_step:g} pixels apart")
    offset = (other_origin - origin) / step
    if offset != int(offset):
        raise ValueError(f"cells are {offset:g} cells apart, which is no whole number")
    if not 0 <= offset < size:
        raise ValueError(f"cell {offset:g} does not exist: there are {size}")
    return int(offset)
    ### END SOLUTION


def crop_forward(x, rows, columns, height, width):
    """x (n, h, w, c) -> y (n, height, width, c)"""
    ### BEGIN SOLUTION
    return x[:, rows:rows + height, columns:columns + width].copy()
    ### END SOLUTION


def crop_backward(dy, rows, columns, x_shape):
    """dy (n, height, width, c) -> dx of shape x_shape"""
    ### BEGIN SOLUTION
    dx = np.zeros(x_shape, dy.dtype)
    dx[:, rows:rows + dy.shape[1], columns:columns + dy.shape[2]] = dy
    return dx
    ### END SOLUTION

# %% [markdown]
# The released FCN-32s pads its first convolution by 100, and its last large one, fc6, by 0. Here
# is all of it, for an image of 500 rows. If parts 5 and 6 are right, you have just derived the
# most famous number of the release.

# %% minifcn="try" id="try-5"
def stage(convolutions, padding=1):
    later = [("conv", 3, 1, 1, 1)] * (convolutions - 1)
    return [("conv", 3, 1, padding, 1), *later, ("pool", 2, 2)]


trunk = [*stage(2, padding=100), *stage(2), *stage(3), *stage(3), *stage(3)]
fcn32s = [*trunk, ("conv", 7, 1, 0, 1), ("up", 64, 32, 0)]
try:
    scores, image = place(fcn32s, 500), (500, 1.0, 0.0)
    print("scores", scores, "crop by", crop_offset(scores, image))
except NotImplementedError:
    print("parts 5 and 6 are not written yet")

# %% minifcn="test" part="crop-offset"
judge("crop-offset")

# %% minifcn="hidden" part="crop-offset"
judge("crop-offset", hidden=True)

# %% minifcn="test" part="crop"
judge("crop")

# %% minifcn="hidden" part="crop"
judge("crop", hidden=True)

# %% [markdown]
# ## Part 7: Inside an FCN (no points, but the reason for it all)
#
# minifcn lets you plug in layers. Whatever you have, it uses; what you lack, its reference
# supplies. The cell takes those of your functions that are right, and trains a narrow FCN-16s
# with *learned* upsampling with them on two pictures of coloured shapes, for 25 steps. It starts
# with your bilinear weight, if that is right.

# %% minifcn="try" id="try-6"
reports = gradcheck.check_module(globals())
print({name: "right" if report.ok else report.diagnosis for name, report in reports.items()})
right = {name: globals()[name] for name, report in reports.items() if report.ok}
engine = "reference"                            # stands in, until something of yours is right
if right:
    engine = "mine"
    minifcn.register_engine(engine, types.SimpleNamespace(**right))

scenes = Shapes(2, (48, 64), seed=1)
classes = len(scenes.class_names)
model = minifcn.FCN(stride=16, classes=classes, width=1 / 16, fc_channels=16, dropout=0,
                    upsampling="learned")
try:
    for name, factor in (("upscore2", 2), ("upscore16", 16)):
        weight = model.parameters[f"{name}.weight"]
        print(f"{name}: your weight is minifcn's:",
              np.allclose(weight, bilinear_weight(factor, classes)))
except (NotImplementedError, ValueError, TypeError) as error:
    print(f"minifcn's bilinear weights stand in ({type(error).__name__})")
optimizer = minifcn.Adam(model.parameters, rate=3e-3)
images, labels = make_batch([scenes[0], scenes[1]], model.preprocessing)
losses = []
with minifcn.using(engine):
    for _ in range(25):
        scores = model.forward(images, training=True)
        loss, dscores = minifcn.softmax_cross_entropy(scores, labels)
        model.backward(dscores)
        optimizer.step(model.gradients)
        losses.append(loss)
print(f"engine {engine}: loss {losses[0]:.3f} -> {losses[-1]:.3f}")

# %% [markdown]
# ## Part 8: In words (16 points)
#
# Five to eight sentences for each. No code, but numbers and small sketches are welcome.
#
# **Question A (8 points).** A blog calls the layer "deconvolution", and says that it "undoes the
# convolution". Take a convolution with a 3 x 3 kernel and stride 2 that makes 4 x 4 numbers of 9
# x 9. In which sense does the transposed convolution with the same weight go back, and in which
# sense not? Give an argument that needs no computation why *no* layer could undo this
# convolution. How, then, can a trained FCN have sharp outlines in its output?

# %% [markdown] minifcn="words" part="not-an-inverse"
# ### BEGIN SOLUTION
# It goes back in shape and in connections: from 4 x 4 to 9 x 9, and every number goes to just
# those nine pixels from which it came, with the same weights. As a matrix it is the transpose,
# which is why it is also the convolution's `dx`. It does not give the values back: the transpose
# of a matrix is not its inverse, and pixels where stamps overlap get sums of several numbers. No
# layer could undo this convolution, because it maps 81 numbers to 16. There are many different
# images with the same 16 numbers, and no function can know which of them it was. An FCN has sharp
# outlines because it need not undo anything. The coarse map has many channels, so that more than
# one number per cell survives; learned kernels put in what is plausible; and above all the skips
# bring in finer maps, in which the outlines have never been lost.
# ### END SOLUTION

# %% [markdown]
# **Question B (8 points).** In Caffe geometry a classmate crops the scores in the middle, as one
# crops a photograph, instead of by `crop_offset`. On images of 500 x 500 that is off by a few
# pixels only. Nothing crashes, and every gradient check passes. Why do they pass? What would you
# expect to see in the training loss and in the mean IU, and for which objects? How would you find
# the mistake with one image made for the purpose?

# %% [markdown] minifcn="words" part="centred-crop"
# ### BEGIN SOLUTION
# A crop in the middle is a linear function like any other, and its backward pass puts the
# gradient back where it was taken from. Forward and backward agree, and a gradient check asks
# nothing else. It cannot know which pixel a score was meant for. In training the scores are
# compared with labels some pixels away. The loss still falls, a little less far. Large regions
# overlap with themselves after a shift of three pixels, so pixel accuracy hardly changes; thin
# and small things, poles, signs, the rings and bars of our shapes, lose most of their IU, and the
# mean IU with them. The network may learn a constant shift, but here it depends on the size of
# the image, so it cannot. To find it, give the last layer a map whose value is its own place: a
# ramp of the cell centres in pixels. Upsampled and cropped, the ramp must say at pixel i the
# number i, away from the border. Off by three everywhere is off by three rows.
# ### END SOLUTION

# %% [markdown]
# ## An open question (no points; for the ambitious)
#
# Upsampling a constant map should give a constant map, away from the border. For one axis and a
# stride of s, which kernels of k places do that? Find the condition, for any k and s, and count
# how many free numbers are left. Does it matter whether k is a multiple of s? Then take learned
# upsampling (part 7), train it for longer, and measure how far its kernels have left your
# condition. Can you add one line to the training loop that keeps them on it?

# %% [markdown]
# ## Check yourself
#
# You are done when you can say yes to these, without looking:
#
# - I can draw the stamps of a row of three cells for any stride and kernel, and say the size.
# - I know which of forward, `dx` and `dweight` is a convolution, and of what with what.
# - I can say why a cell that was cut off gets no gradient, and gives none.
# - I know the sum of the bilinear kernel without adding it up, and what it has to do with the
#   factor.
# - I can derive the 19 of FCN-32s on a sheet of paper.
# - My functions work for a kernel that is not square, a stride larger than the kernel, a padding
#   larger than the kernel, and float32.
# - My functions leave their arguments as they were, and return arrays of their own.
# - I restarted the kernel and ran the notebook from top to bottom.

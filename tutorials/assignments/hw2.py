# %% [markdown]
# # Homework 2 · Layers that choose, and a loss for every pixel
#
# Between its convolutions an FCN throws things away: ReLU the negative numbers, max pooling three
# of four pixels. At its end stands the loss, at every pixel, except for those that nobody could
# label. These layers have no weights and fit on half a page each. Yet more homework has been lost
# in them than in convolutions: on ties, on borders, on a division by the wrong number.
#
# **What you learn**
#
# - to send a gradient back through a choice: a maximum, a sign;
# - to compute a softmax and its logarithm that never overflow;
# - to derive the gradient of the loss with respect to the scores, and to leave pixels out of it.
#
# **What you need**: notebooks 4 and 8, and NumPy. Plan a week: about eight hours in all.
#
# | part | | points | about |
# | --- | --- | --- | --- |
# | 1 | ReLU, and a leaky one | 14 | 45 min |
# | 2 | max pooling, forwards | 18 | 2 h |
# | 3 | max pooling, backwards | 14 | 1 h |
# | 4 | the logarithm of the softmax | 6 | 30 min |
# | 5 | the loss and its gradient | 20 | 2 h |
# | 6 | class weights, and smooth labels | 12 | 1 h |
# | 7 | inside an FCN | | 20 min |
# | 8 | two questions in words | 16 | 45 min |
# | | | **100** | |
#
# **Rules.** Your functions use NumPy and nothing else. Each is judged alone, and none needs
# another: if you are stuck, go on. (Calling one of your own functions in another is fine, but
# then its mistakes come along.) The points of a layer are shared out over values, gradients,
# manners (your function changes none of its arguments, and returns the dtype that it was given),
# and hidden cases of other sizes, which are judged after you hand in. A textbook version of these
# layers is open to everybody in `minifcn/ops/reference`. Read it, and then close it: what you
# hand in is your own code. Copies are noticed.

# %% minifcn="setup"
from minifcn.course import notebook

judge = notebook("hw2", globals())

# %% minifcn="given" id="imports"
import numpy as np

# %% [markdown]
# ## Part 1: ReLU (14 points)
#
# `y = max(x, 0)`, for arrays of any shape. The backward pass gets `y`, not `x`: a network keeps
# one array less that way. At x = 0 the gradient is 0.
#
# Then a relative, the **leaky** ReLU: x where x is positive, `slope · x` elsewhere, with a slope
# above 0 and below 1. Its backward pass also gets `y` alone. Is that enough? At x = 0 the
# gradient is `slope · dy`. (8 points for ReLU, 6 for the leaky one.)

# %% minifcn="solution" id="relu_forward"
def relu_forward(x):
    """max(x, 0), of an array of any shape."""
    ### BEGIN SOLUTION
    return np.maximum(x, 0)
    ### END SOLUTION


def relu_backward(dy, y):
    """dx, from the gradient and the value of the output."""
    ### BEGIN SOLUTION
    return np.where(y > 0, dy, np.zeros_like(dy))
    ### END SOLUTION


def leaky_relu_forward(x, slope):
    """x where x > 0, else slope * x."""
    ### BEGIN SOLUTION
    return np.where(x > 0, x, x * x.dtype.type(slope))
    ### END SOLUTION


def leaky_relu_backward(dy, y, slope):
    """dx, from the gradient and the value of the output."""
    ### BEGIN SOLUTION
    return np.where(y > 0, dy, dy * dy.dtype.type(slope))
    ### END SOLUTION

# %% [markdown]
# A first look, with numbers that you can verify by eye:

# %% minifcn="try" id="try-1"
import types

import matplotlib.pyplot as plt

import minifcn
from minifcn import gradcheck
from minifcn.data import Shapes, make_batch
from minifcn.teaching import grid, show

x = np.array([-2.0, 0, 3])
try:
    print(relu_forward(x), "should be [0. 0. 3.]")
    print(relu_backward(np.array([5.0, 6, 7]), np.array([0.0, 0, 3])), "should be [0. 0. 7.]")
    print(leaky_relu_forward(x, 0.5), "should be [-1. 0. 3.]")
except NotImplementedError:
    print("something of part 1 is not written yet")

# %% minifcn="test" part="relu"
judge("relu")

# %% minifcn="hidden" part="relu"
judge("relu", hidden=True)

# %% minifcn="test" part="leaky-relu"
judge("leaky-relu")

# %% minifcn="hidden" part="leaky-relu"
judge("leaky-relu", hidden=True)

# %% [markdown]
# ## Part 2: Max pooling, forwards (18 points)
#
# Of each window of `size` by `size`, the largest value. Windows start every `stride` cells. Each
# channel is on its own.
#
# **Where windows end.** In an FCN an odd column must not be lost. So with `ceil_mode=True` the
# number of windows is rounded up: the last one may hang over the border, and sees fewer cells.
# Nothing is padded, and a window of only negative numbers has a negative maximum. With
# `ceil_mode=False` the number is rounded down, and every window lies inside. Two special cases,
# for either mode:
#
# - a window that would *start* outside of the image is dropped;
# - an image smaller than the window has one window, which sees all of it.
#
# ```
# h = 5, size 2, stride 2     ceil: windows start at 0, 2, 4 -> 3      floor: 0, 2 -> 2
# h = 5, size 1, stride 3     ceil: (0, 3, 6) 6 is outside   -> 2      floor: 0, 3 -> 2
# h = 1, size 2, stride 2     either: one window, of one row
# ```
#
# **Where the maximum was.** The second result, `argmax`, says for each window where in the image
# its maximum lies: row times w plus column, in int64. Of equal values the first in reading order
# wins: the uppermost, and in its row the leftmost.

# %% minifcn="try" id="try-2"
picture = np.array([[1.0, 5, 2, 2, 0], [5, 3, 2, 1, 4], [-1, -3, 0, 7, -6]])
figure, axis = plt.subplots(figsize=(4.4, 2.8))
grid(axis, picture, "x (3, 5), windows of 2 every 2",
     marks=[(0, 0, 2, 2), (0, 2, 2, 2), (2, 4, 1, 1)])
show(figure, alt=f"An image of 3 rows and 5 columns, {picture.tolist()}. Three of its six windows "
     "are framed: rows 0 and 1 of columns 0 and 1, the same rows of columns 2 and 3, and the last "
     "one, which sees a single cell, row 2 and column 4.")

# %% [markdown]
# What are `y` and `argmax` of this picture? Fill in a 2 x 3 table for each on paper. The first
# window has two fives, the second three twos.
#
# The textbook has six loops. A suggestion that needs two: go over the *places in the window*. For
# the place (ki, kj), take that cell of every window at once, and compare it with the best so far.
# What does a window see that hangs over the border?

# %% minifcn="solution" id="max_pool2d_forward"
def max_pool2d_forward(x, size=2, stride=2, ceil_mode=True):
    """The largest value of each window, and where it is.

    x (n, h, w, c) -> y (n, oh, ow, c), argmax (n, oh, ow, c) int64: row * w + column

    size, stride: whole numbers, the same for rows and columns
    """
    ### BEGIN SOLUTION
    def windows(extent):
        room = max(extent - size, 0)
        count = (room + stride - 1) // stride + 1 if ceil_mode else room // stride + 1
        return min(count, (extent - 1) // stride + 1)

    n, h, w, c = x.shape
    oh, ow = windows(h), windows(w)
    y = np.full((n, oh, ow, c), -np.inf, x.dtype)
    argmax = np.full((n, oh, ow, c), -1, np.int64)
    for ki in range(size):
        for kj in range(size):
            cells = x[:, ki::stride, kj::stride][:, :oh, :ow]
            rows, columns = cells.shape[1:3]            # of the windows that see this place
            place = ((np.arange(rows) * stride + ki)[:, None] * w
                     + np.arange(columns) * stride + kj)[None, :, :, None]
            best, where = y[:, :rows, :columns], argmax[:, :rows, :columns]
            larger = (cells > best) | (where < 0)
            best[...] = np.where(larger, cells, best)
            where[...] = np.where(larger, place, where)
    return y, argmax
    ### END SOLUTION


# %% minifcn="try" id="try-3"
try:
    y, argmax = max_pool2d_forward(picture[None, :, :, None])
    print("y", y[0, :, :, 0].tolist(), "argmax", argmax[0, :, :, 0].tolist())
except NotImplementedError:
    print("max_pool2d_forward is not written yet")

# %% minifcn="test" part="max-pool-forward"
judge("max-pool-forward")

# %% minifcn="hidden" part="max-pool-forward"
judge("max-pool-forward", hidden=True)

# %% [markdown]
# ## Part 3: Max pooling, backwards (14 points)
#
# A window's output depends on one cell alone, and `argmax` knows which. So all of its `dy` goes
# there, and all other cells get nothing. Where windows overlap, one cell may have won several
# times.

# %% minifcn="solution" id="max_pool2d_backward"
def max_pool2d_backward(dy, argmax, x_shape):
    """dx (of shape x_shape), from dy and argmax, both (n, oh, ow, c)."""
    ### BEGIN SOLUTION
    n, h, w, c = x_shape
    dx = np.zeros((n, h * w, c), dy.dtype)
    image, channel = np.arange(n)[:, None, None, None], np.arange(c)
    np.add.at(dx, (image, argmax, channel), dy)
    return dx.reshape(x_shape)
    ### END SOLUTION


# %% [markdown]
# One row of five cells, two windows of three that share the middle cell, and it wins both:

# %% minifcn="try" id="try-4"
try:
    dx = max_pool2d_backward(np.array([1.0, 10]).reshape(1, 1, 2, 1),
                             np.array([2, 2]).reshape(1, 1, 2, 1), (1, 1, 5, 1))
    print(dx.ravel(), "should be [0. 0. 11. 0. 0.]")
except NotImplementedError:
    print("max_pool2d_backward is not written yet")

# %% minifcn="test" part="max-pool-backward"
judge("max-pool-backward")

# %% minifcn="hidden" part="max-pool-backward"
judge("max-pool-backward", hidden=True)

# %% [markdown]
# ## Part 4: The logarithm of the softmax (6 points)
#
# The last axis holds the scores of the classes. The softmax makes probabilities of them; the loss
# needs their logarithms. Written as it stands, `np.log(np.exp(s) / np.exp(s).sum())` gives `nan`
# for a score of 1000, and `-inf` for a probability that is merely small. The result itself is
# harmless: for the scores 1000 and 0 it is 0 and −1000. Find the form that gives it, for scores
# of any size.

# %% minifcn="solution" id="log_softmax"
def log_softmax(scores):
    """log of exp(scores) / sum over the last axis of exp(scores); an array like scores."""
    ### BEGIN SOLUTION
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    ### END SOLUTION


# %% minifcn="try" id="try-5"
try:
    print(log_softmax(np.array([0.0, 0, 0, 0])), "should be four times", -np.log(4))
    print(log_softmax(np.array([1000.0, 0])), "should be 0 and -1000")
except NotImplementedError:
    print("log_softmax is not written yet")

# %% minifcn="test" part="log-softmax"
judge("log-softmax")

# %% minifcn="hidden" part="log-softmax"
judge("log-softmax", hidden=True)

# %% [markdown]
# ## Part 5: The loss and its gradient (20 points)
#
# The loss of a pixel is minus the logarithm of the probability of its label. `dscores` is the
# gradient of the *whole* loss, the number that you return. Derive it for one pixel first: two
# lines, no matrix.
#
# - **Ignored pixels.** A pixel whose label is `ignore` does not count: it adds nothing to the
#   loss, its `dscores` are exactly 0, and no mean is divided by it. `ignore` may be any whole
#   number: 255, −1, or even the number of a class.
# - **Reduction.** `"sum"` adds the losses of all pixels. `"sum_per_image"` divides that by the
#   number of images n. `"mean"` divides it by the number of valid pixels, that is, of those not
#   ignored.
# - If no pixel is valid, the loss is 0.0 and `dscores` are zeros.
# - Labels may have any integer dtype, also uint8. The loss is a Python `float`.
#
# Leave `class_weights` and `smoothing` alone for now: part 6 asks for them.

# %% minifcn="solution" id="softmax_cross_entropy"
def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None,
                          smoothing=0.0):
    """Softmax cross-entropy of every pixel, and its gradient.

    scores (n, h, w, classes), labels (n, h, w) integers -> loss, dscores like scores

    reduction       "mean", "sum" or "sum_per_image"
    class_weights   None, or (classes,): how much a pixel of each class counts
    smoothing       share of the target that is spread evenly over all classes
    """
    ### BEGIN SOLUTION
    classes = scores.shape[-1]
    valid = labels != ignore
    target = np.where(valid, labels, 0).astype(np.int64)
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    wanted = (1 - smoothing) * np.eye(classes)[target] + smoothing / classes
    counts = valid.astype(np.float64)
    if class_weights is not None:
        counts = counts * np.asarray(class_weights)[target]
    divisor = {"mean": counts.sum(), "sum": 1, "sum_per_image": len(scores)}[reduction] or 1
    share = (counts / divisor)[..., None]
    loss = -(share * wanted * logs).sum()
    dscores = share * (np.exp(logs) - wanted)
    return float(loss), dscores.astype(scores.dtype)
    ### END SOLUTION


# %% [markdown]
# Two pixels, three classes, zero scores. The second pixel is ignored.

# %% minifcn="try" id="try-6"
try:
    loss, dscores = softmax_cross_entropy(np.zeros((1, 1, 2, 3)), np.array([[[2, 255]]]))
    print(f"loss {loss:.4f}, should be ln 3 = {np.log(3):.4f}")
    print(dscores[0, 0].round(3).tolist(), "should be [[0.333, 0.333, -0.667], [0, 0, 0]]")
except NotImplementedError:
    print("softmax_cross_entropy is not written yet")

# %% minifcn="test" part="loss"
judge("loss")

# %% minifcn="hidden" part="loss"
judge("loss", hidden=True)

# %% [markdown]
# ## Part 6: Class weights, and smooth labels (12 points)
#
# **Class weights** (6 points). In a street scene there are a hundred pixels of road for one of a
# pole. With `class_weights` each valid pixel counts as much as the weight of its *label* says:
# its loss and its `dscores` are multiplied by it. `"mean"` then divides by the sum of the weights
# of the valid pixels. (With weights of 1 that is their number.)
#
# **Smoothing** (6 points). Labels drawn by hand are not always right. With a smoothing of e, the
# target of a pixel is not "1 for the label, 0 for the others": the label gets 1 − e, and then all
# classes, the label too, share e evenly. The loss of a pixel is minus the sum over all classes of
# target times log probability. What does that do to `dscores`? Derive it once more. All of part 5
# stays as it is, and so do class weights.
#
# Change your function above, and run it again.

# %% minifcn="test" part="class-weights"
judge("class-weights")

# %% minifcn="hidden" part="class-weights"
judge("class-weights", hidden=True)

# %% minifcn="test" part="smoothing"
judge("smoothing")

# %% minifcn="hidden" part="smoothing"
judge("smoothing", hidden=True)

# %% [markdown]
# ## Part 7: Inside an FCN (no points, but the reason for it all)
#
# minifcn lets you plug in layers. Whatever you have, it uses; what you lack, its reference
# supplies. The cell takes those of your functions that are right, and trains a narrow FCN-8s with
# them on two pictures of coloured shapes, for 25 steps.

# %% minifcn="try" id="try-7"
reports = gradcheck.check_module(globals())
print({name: "right" if report.ok else report.diagnosis for name, report in reports.items()})
right = {name: globals()[name] for name, report in reports.items() if report.ok}
engine = "reference"                            # stands in, until something of yours is right
if right:
    engine = "mine"
    minifcn.register_engine(engine, types.SimpleNamespace(**right))

scenes = Shapes(2, (48, 64), seed=1)
model = minifcn.FCN(stride=8, classes=len(scenes.class_names), width=1 / 16, fc_channels=16,
                    dropout=0)
optimizer = minifcn.Adam(model.parameters, rate=3e-3)
images, labels = make_batch([scenes[0], scenes[1]], model.preprocessing)
labels[:, :8] = 255                             # as if nobody had labelled the uppermost rows
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
# **Question A (8 points).** In a data set nine of ten pixels are labelled 255. A classmate's
# `"mean"` divides by *all* pixels. The gradient check of the loss passes: the gradient fits the
# loss. Is it a mistake at all? What does it do to the loss, to the steps of training, and to a
# batch whose second image has no valid pixel? Another classmate makes 255 an additional class,
# "don't know", and trains on it. What does the network learn then, and what is that good or bad
# for?

# %% [markdown] minifcn="words" part="ignored-pixels"
# ### BEGIN SOLUTION
# It is not a mistake of the gradient: loss and `dscores` belong together, and that is all that a
# gradient check can see. It is another loss. Compared with the mean over valid pixels, loss and
# gradient are multiplied by the share of valid pixels, here a tenth. So the loss looks ten times
# better than it is, and the steps are ten times smaller: the same rate trains ten times more
# slowly. Worse, the factor differs from batch to batch, so that a picture with few labels counts
# less than one with many. If the second image has no valid pixel at all, it adds nothing in
# either version, but the classmate's mean is halved by it. (In the right version only a batch
# without any valid pixel needs a special case.) With 255 as a class the network learns where
# people did not draw labels: outlines, clutter, the edge of the picture. That is nine tenths of
# all pixels, so the class wins nearly everywhere, pixel accuracy looks splendid, and pixels
# without a label get no useful answer. It is good only if "nobody could say" is an answer that
# one wants.
# ### END SOLUTION

# %% [markdown]
# **Question B (8 points).** An FCN for 7 classes starts with a loss of 1.9459. That is no
# accident: why? After 200 steps the loss is 1.94 still. Name three different causes that fit this
# picture, and for each a small experiment, of a few lines or minutes, that tells it from the
# other two.

# %% [markdown] minifcn="words" part="stuck-loss"
# ### BEGIN SOLUTION
# Score layers start at zero, so all seven scores are equal, each class has a probability of 1/7,
# and the loss is ln 7 = 1.9459. If it stays there, the scores have not moved. Cause 1: the steps
# are too small, for instance a rate of 1e-10, which belongs to a sum over pixels, with a mean.
# Experiment: print the size of one step relative to the weights, or raise the rate a
# thousandfold; the loss moves at once. Cause 2: the trunk is dead, all of fc7 is 0 after ReLU
# (bad initial weights or preprocessing), so that the score weights get no gradient and only
# biases learn. Experiment: print the share of zeros in fc7 and the size of the gradient of each
# layer; a larger rate does not help. Cause 3: images and labels do not belong together, or there
# is nothing to learn, since nearly all labels are ignored. Then gradients and steps have a normal
# size. Experiment: count the labels of a batch, look at one picture with its labels drawn over
# it, and overfit two pictures: with cause 3 two pictures can be learned by heart, with 1 and 2
# they cannot.
# ### END SOLUTION

# %% [markdown]
# ## An open question (no points; for the ambitious)
#
# Between the mean and the maximum of a window there is a whole family: `y = log(mean of exp(t ·
# x)) / t`. What is it for t close to 0, and for a large t? Derive its gradient: it has a name
# that you know from part 4. Write it so that it never overflows, forwards and backwards, check it
# with `gradcheck.check`, and replace the poolings of the FCN of part 7 by it. Does anything train
# better? What would you have to measure to be sure?

# %% [markdown]
# ## Check yourself
#
# You are done when you can say yes to these, without looking:
#
# - I can say how many windows a pooling has for any size, stride and extent, in both modes.
# - I know what my pooling does with a window of negative numbers that hangs over the border.
# - I know which cell gets the gradient if four cells of a window are 0, and why that is common.
# - I can derive `dscores` on paper, and I know what a pixel's `dscores` add up to.
# - My loss gives no warning, and no `nan`, for scores of a thousand.
# - My loss works for uint8 labels, for a batch without any valid pixel, and for `ignore=-1`.
# - My functions leave their arguments as they were. I have tried it.
# - I restarted the kernel and ran the notebook from top to bottom.

# %% [markdown]
# # Homework 4 · An FCN, put together
#
# Three weeks of layers. Now they become a network: a classifier that is turned into a map of
# scores, two shortcuts, one sum after the other, and the way back through all of it. You train
# three of them on coloured shapes, and find out for yourself what the paper's figure 4 claims:
# that the shortcuts bring the outlines back.
#
# **What you learn**
#
# - to read a fully connected layer as a convolution, in whichever order it was flattened;
# - to assemble FCN-32s, 16s and 8s from a few lines, and to send a gradient back through a sum, a
#   crop and an upsampling;
# - to train in stages, to measure what came out, and to say how much of it you believe.
#
# **What you need**: notebooks 6, 7 and 9. From the other homework you need nothing: where this
# one uses layers, they are given. Plan a week: about nine hours in all.
#
# | part | | points | about |
# | --- | --- | --- | --- |
# | 1 | a classifier becomes convolutional | 8 | 45 min |
# | 2 | FCN-32s, 16s, 8s: forwards | 20 | 1.5 h |
# | 3 | FCN-32s, 16s, 8s: backwards | 24 | 2 h |
# | 4 | FCN-4s | 6 | 30 min |
# | 5 | a step of training, and twenty of them | 14 | 45 min |
# | 6 | mean IU | 8 | 45 min |
# | 7 | train, compare, report | 10 | 1.5 h |
# | 8 | a question in words | 10 | 30 min |
# | | | **100** | |
#
# **Rules.** In your functions use NumPy, and what is given here. No part needs another: if yours
# does not work yet, a reference version stands in. So if you are stuck, go on. minifcn has all of
# this inside, open to everybody (`minifcn/models`, `minifcn/training`). Read it, and then close
# it: what you hand in is your own code, written for the functions that are asked for here. Copies
# are noticed.

# %% minifcn="setup"
from minifcn.course import notebook

judge = notebook("hw4", globals())

# %% minifcn="given" id="imports"
import numpy as np

# %% [markdown]
# ## Part 1: A classifier becomes convolutional (8 points)
#
# The first fully connected layer of a classifier takes a map of `rows` x `columns` cells and c
# channels, written as one line of numbers, and multiplies it with a matrix of `(rows · columns ·
# c, f)`. As a convolution it has a kernel of `(rows, columns, c, f)`, and on a larger map it
# gives scores at many places.
#
# In which order was the map written down? Frameworks with channels last, as minifcn: rows,
# columns, channels (`"hwc"`). PyTorch and Caffe: channels, rows, columns (`"chw"`). The matrix
# does not tell. Write `fc_to_conv` for both.

# %% minifcn="solution" id="fc_to_conv"
def fc_to_conv(weight, rows, columns, order="hwc"):
    """The matrix of a fully connected layer as the kernel of a convolution.

    weight (rows * columns * c, f) -> kernel (rows, columns, c, f)

    order   how the map was flattened: "hwc" or "chw"
    """
    ### BEGIN SOLUTION
    if order == "hwc":
        return weight.reshape(rows, columns, -1, weight.shape[1]).copy()
    return weight.reshape(-1, rows, columns, weight.shape[1]).transpose(1, 2, 0, 3).copy()
    ### END SOLUTION

# %% minifcn="try" id="try-fc-to-conv"
try:
    numbers = np.arange(12.0)[:, None]          # (12, 1): 2 rows, 2 columns, 3 channels
    print(fc_to_conv(numbers, 2, 2, "hwc")[0, 1, :, 0], "should be [3. 4. 5.]")
    print(fc_to_conv(numbers, 2, 2, "chw")[0, 1, :, 0], "should be [1. 5. 9.]")
except NotImplementedError:
    print("fc_to_conv is not written yet")

# %% minifcn="test" part="fc-to-conv"
judge("fc-to-conv")

# %% minifcn="hidden" part="fc-to-conv"
judge("fc-to-conv", hidden=True)

# %% [markdown]
# ## Part 2: Forwards (20 points)
#
# The trunk of the network (VGG16, with fc6 and fc7 as convolutions) gives you its maps. For an
# image of h rows, `pool3` has h / 8 of them, `pool4` h / 16, and `fc7` h / 32, rounded up after
# every pooling. Each map that is used gets a score layer of its own: a convolution of 1 x 1,
# which is nothing but a product of its channels with a matrix, and a bias.
#
# ```
# fc7 --- score_fr --x2-->  +  --x2-->  +  --x8-->  scores of every pixel          FCN-8s
#                           |           |
#        pool4 - score_pool4'           |
#        pool3 - score_pool3 -----------'
#
# fc7 --- score_fr --x2-->  +  --x16-->  FCN-16s        fc7 --- score_fr --x32-->  FCN-32s
# ```
#
# Upsampling is given below. Because of the rounding, the upsampled scores may be one row or
# column larger than those of the skip. All maps of this network begin at the top left of the
# image, so they are cropped there: drop the *last* rows and columns. In the end the scores are
# cropped to the size of the image in the same way.

# %% minifcn="given" id="upsampling"
def interpolation(size, factor):
    """Matrix (size * factor, size): bilinear interpolation along one axis, 0 beyond the border."""
    cells, pixels = np.arange(size), np.arange(size * factor)[:, None]
    return np.maximum(0, 1 - abs((pixels + 0.5) / factor - 0.5 - cells))


def upsample_forward(x, factor):
    """x (n, h, w, c) -> y (n, h * factor, w * factor, c)"""
    rows, columns = interpolation(x.shape[1], factor), interpolation(x.shape[2], factor)
    return np.einsum("ai,bj,nijc->nabc", rows, columns, x, optimize=True).astype(x.dtype)


def upsample_backward(dy, factor):
    """dy (n, h * factor, w * factor, c) -> dx (n, h, w, c)"""
    h, w = dy.shape[1] // factor, dy.shape[2] // factor
    rows, columns = interpolation(h, factor), interpolation(w, factor)
    return np.einsum("ai,bj,nabc->nijc", rows, columns, dy, optimize=True).astype(dy.dtype)

# %% [markdown]
# `stride` says which of the networks is meant: 32, 16 or 8. The maps and the parameters come in
# dictionaries, which may hold more than your network needs.

# %% minifcn="solution" id="fcn_forward"
def fcn_forward(maps, parameters, stride, size):
    """Scores of every pixel.

    maps         "fc7", "pool4", "pool3", "pool2": (n, rows, columns, channels), each its own
    parameters   "score_fr.weight" (1, 1, channels, classes), "score_fr.bias" (classes,),
                 and the same of "score_pool4", "score_pool3", "score_pool2"
    size         (h, w) of the image
    returns      scores (n, h, w, classes)
    """
    ### BEGIN SOLUTION
    def score(layer, name):
        return maps[name] @ parameters[f"{layer}.weight"][0, 0] + parameters[f"{layer}.bias"]

    scores, at = score("score_fr", "fc7"), 32
    for name in ("pool4", "pool3", "pool2"):
        if at > stride:
            finer = score(f"score_{name}", name)
            scores = upsample_forward(scores, 2)[:, :finer.shape[1], :finer.shape[2]] + finer
            at //= 2
    return upsample_forward(scores, at)[:, :size[0], :size[1]].copy()
    ### END SOLUTION

# %% [markdown]
# A first look. All weights are 0 here, and the biases 1, 10 and 100. So every score layer gives
# its bias everywhere. What do you expect in the middle of the image? And why less at its border?

# %% minifcn="try" id="try-forward"
def small_case(seed=0, size=(45, 70), classes=3, channels=(("fc7", 5), ("pool4", 4), ("pool3", 3),
                                                          ("pool2", 2))):
    """Random maps and parameters of a tiny network, for an image of this size."""
    rng, maps, parameters = np.random.default_rng(seed), {}, {}
    for (name, c), apart in zip(channels, (32, 16, 8, 4)):
        layer = "score_fr" if name == "fc7" else f"score_{name}"
        maps[name] = rng.normal(size=(2, *(-(-extent // apart) for extent in size), c))
        parameters[f"{layer}.weight"] = rng.normal(size=(1, 1, c, classes))
        parameters[f"{layer}.bias"] = rng.normal(size=classes)
    return maps, parameters


maps, parameters = small_case(size=(160, 192), classes=1)
for array, value in zip(parameters.values(), (0, 1, 0, 10, 0, 100, 0, 1000)):
    array[...] = value
try:
    for stride in (32, 16, 8):
        scores = fcn_forward(maps, parameters, stride, (160, 192))
        print(f"FCN-{stride}s {scores.shape}, in the middle {scores[0, 80, 96, 0]:.2f}, "
              f"in the corner {scores[0, 0, 0, 0]:.2f}")
except NotImplementedError:
    print("fcn_forward is not written yet")

# %% minifcn="test" part="fcn-forward"
judge("fcn-forward")

# %% minifcn="hidden" part="fcn-forward"
judge("fcn-forward", hidden=True)

# %% [markdown]
# ## Part 3: Backwards (24 points)
#
# `dscores` comes in. Go back along every arrow of the drawing: through the crops, the
# upsamplings, the sums, the score layers. `dmaps` goes on into the trunk, `gradients` into the
# step of training. Four questions, for which a sheet of paper is better than the keyboard:
#
# - What is the gradient of a row that was cut off? How large must the array be that goes on from
#   there?
# - A sum has two inputs. How is its gradient divided between them?
# - A score layer is a product of matrices at every pixel. Which of its gradients sum over the
#   pixels?
# - Why does this function not need the scores?

# %% minifcn="solution" id="fcn_backward"
def fcn_backward(dscores, maps, parameters, stride):
    """Gradients of the maps and of the score layers.

    dscores      (n, h, w, classes)
    returns      dmaps, gradients: dictionaries with the keys of the maps and parameters that the
                 network of this stride uses, and no others; arrays like these
    """
    ### BEGIN SOLUTION
    steps = [("score_fr", "fc7"), ("score_pool4", "pool4"), ("score_pool3", "pool3"),
             ("score_pool2", "pool2")][:{32: 1, 16: 2, 8: 3, 4: 4}[stride]]
    dmaps, gradients = {}, {}
    dy, factor = dscores, stride
    for layer, name in reversed(steps):
        x, weight = maps[name], parameters[f"{layer}.weight"]
        rows, columns = x.shape[1] * factor, x.shape[2] * factor
        whole = np.zeros((len(dy), rows, columns, dy.shape[3]), dy.dtype)
        whole[:, :dy.shape[1], :dy.shape[2]] = dy
        dy, factor = upsample_backward(whole, factor), 2
        gradients[f"{layer}.weight"] = np.einsum("nijc,nijf->cf", x, dy)[None, None]
        gradients[f"{layer}.bias"] = dy.sum(axis=(0, 1, 2))
        dmaps[name] = dy @ weight[0, 0].T
    return dmaps, gradients
    ### END SOLUTION

# %% minifcn="test" part="fcn-backward"
judge("fcn-backward")

# %% minifcn="hidden" part="fcn-backward"
judge("fcn-backward", hidden=True)

# %% [markdown]
# ## Part 4: FCN-4s (6 points)
#
# The paper stops at 8s: "diminishing returns". Was that wise? The step from 16s to 8s can be
# taken once more, with `pool2`, which has a quarter of the rows of the image. Let both functions
# take a stride of
# 4. (If your functions have a branch for each network, this is the time to look for the loop.)

# %% minifcn="test" part="fcn-4s"
judge("fcn-4s")

# %% minifcn="hidden" part="fcn-4s"
judge("fcn-4s", hidden=True)

# %% [markdown]
# ## Part 5: A step of training, and twenty of them (14 points)
#
# Stochastic gradient descent with momentum and weight decay, as Caffe does it, for a parameter w
# with the gradient g and the velocity v:
#
# ```
# g' = g + decay · w
# v' = momentum · v + rate · g'
# w' = w - v'
# ```
#
# A **bias** (its name ends in `.bias`) learns at twice the rate, and does not decay. A parameter
# without a gradient, and its velocity, stay as they are. A parameter without a velocity starts
# with one of zeros. The arguments are not changed: the function returns new dictionaries. (8
# points.)

# %% minifcn="solution" id="sgd_step"
def sgd_step(parameters, gradients, velocities, rate, momentum, decay):
    """One step of training.

    parameters, gradients, velocities   dictionaries of arrays
    returns                             parameters, velocities: after the step
    """
    ### BEGIN SOLUTION
    parameters, velocities = dict(parameters), dict(velocities)
    for name, g in gradients.items():
        w, is_bias = parameters[name], name.endswith(".bias")
        g = g + (0 if is_bias else decay) * w
        v = velocities.get(name, np.zeros_like(w))
        velocities[name] = momentum * v + (2 if is_bias else 1) * rate * g
        parameters[name] = w - velocities[name]
    return parameters, velocities
    ### END SOLUTION

# %% minifcn="try" id="try-step"
try:
    w, v = sgd_step({"a.weight": np.array([1.0]), "a.bias": np.array([1.0])},
                    {"a.weight": np.array([0.5]), "a.bias": np.array([0.5])}, {}, 0.1, 0.9, 0.5)
    print(w["a.weight"], w["a.bias"], "should both be [0.9]. Why the same?")
except NotImplementedError:
    print("sgd_step is not written yet")

# %% minifcn="test" part="sgd-step"
judge("sgd-step")

# %% minifcn="hidden" part="sgd-step"
judge("sgd-step", hidden=True)

# %% [markdown]
# **Twenty steps** (6 points). Small mistakes add up. The next cell trains the score layers of a
# tiny FCN-8s for twenty steps, always with the same numbers: once with your `fcn_forward` and the
# reference for all else, once with your `fcn_backward`, once with your `sgd_step`. Each of the
# three has to give the losses of the reference.

# %% minifcn="test" part="twenty-steps"
judge("twenty-steps")

# %% [markdown]
# ## Part 6: Mean IU (8 points)
#
# The intersection over union of a class, over **all** images together: the pixels that are this
# class and are called so, divided by the pixels that are it or are called so. Pixels labelled
# `ignore` do not count, whatever they are called. A class that neither occurs nor is called by
# anybody has no IU: it stays out of the mean. If no class is left, the mean is `nan`.

# %% minifcn="solution" id="mean_iu"
def mean_iu(labels, predictions, classes, ignore=255):
    """Mean over the classes of the intersection over union; a float.

    labels, predictions   integers (images, h, w)
    """
    ### BEGIN SOLUTION
    valid = labels != ignore
    labels, predictions = labels[valid], predictions[valid]
    found = []
    for c in range(classes):
        union = ((labels == c) | (predictions == c)).sum()
        if union:
            found.append(((labels == c) & (predictions == c)).sum() / union)
    return float(np.mean(found)) if found else float("nan")
    ### END SOLUTION

# %% minifcn="try" id="try-mean-iu"
try:
    print(mean_iu(np.array([[[0, 0, 1, 255]]]), np.array([[[0, 1, 1, 2]]]), 4), "should be 0.5")
except NotImplementedError:
    print("mean_iu is not written yet")

# %% minifcn="test" part="mean-iu"
judge("mean-iu")

# %% minifcn="hidden" part="mean-iu"
judge("mean-iu", hidden=True)

# %% [markdown]
# ## Part 7: Train, compare, report (10 points)
#
# Now all of it together, on `shapes`: pictures with discs, squares, triangles and thin rings,
# bars and crosses. The trunk is VGG16 at a small part of its width; its layers are minifcn's, and
# its weights have been trained on generated streets, as those of the paper on ImageNet. The rest
# is yours. (Where something of yours is not right yet, the reference stands in, and the cell says
# so.)
#
# In the paper's way, the networks are trained in stages: FCN-32s first, FCN-16s starts from its
# weights, FCN-8s from those of 16s. New score layers start with zeros. So each stage begins with
# exactly what the last one could do. (Most pixels are background. In the loss of training they
# count a fifth, or nothing else would be learned in so few steps.) All three stages take a few
# minutes. Change the numbers of the third cell as you like.

# %% minifcn="try" id="network"
import time

import matplotlib.pyplot as plt

import minifcn
from minifcn.course.hw4 import stand_ins
from minifcn.data import Shapes, make_batch
from minifcn.layers import Conv2d, MaxPool2d
from minifcn.teaching import show

SIZE = (64, 64)
parts = stand_ins(globals())                    # your functions where they are right, else ours
training, held_out = Shapes(400, SIZE, seed=0), Shapes(60, SIZE, seed=1)
classes = len(training.class_names)
WEIGHTS = np.array([0.2] + [1.0] * (classes - 1))       # four of five pixels are background
streets = minifcn.pretrained("streets-8s")      # has learned on streets; its trunk starts ours


class Trunk:
    """VGG16 to fc7: gives the maps, and takes their gradients."""

    def __init__(self):
        self.layers, self.channels = [], {}
        for stage, count in enumerate((2, 2, 3, 3, 3), 1):
            names = [f"conv{stage}_{number}" for number in range(1, count + 1)]
            self.layers += [self.layer(name, 1) for name in names]
            self.layers.append(MaxPool2d(f"pool{stage}"))
        self.layers += [self.layer("fc6", 3), self.layer("fc7", 0)]

    def layer(self, name, padding):
        shape = streets.parameters[f"{name}.weight"].shape
        stage = {"fc7": "fc7", "conv4_3": "pool4", "conv3_3": "pool3", "conv2_2": "pool2"}
        if name in stage:
            self.channels[stage[name]] = shape[3]
        return Conv2d(name, shape, padding=padding, relu=True)

    def forward(self, x, parameters, training=False):
        maps = {}
        for layer in self.layers:
            layer.parameters = {key: parameters[f"{layer.name}.{key}"] for key in layer.parameters}
            x = layer.forward(x, training)
            maps[layer.name] = x
        return {name: maps[name] for name in self.channels}

    def backward(self, dmaps):
        gradients, dy = {}, 0
        for layer in reversed(self.layers):
            dy = layer.backward(dy + dmaps.get(layer.name, 0))
            gradients |= {f"{layer.name}.{key}": g for key, g in layer.gradients.items()}
        return gradients


def new_parameters(trunk):
    """Those of the trunk as streets left them, and score layers of zeros."""
    parameters = {f"{layer.name}.{key}": streets.parameters[f"{layer.name}.{key}"].copy()
                  for layer in trunk.layers for key in layer.parameters}
    for name, c in trunk.channels.items():
        layer = "score_fr" if name == "fc7" else f"score_{name}"
        parameters[f"{layer}.weight"] = np.zeros((1, 1, c, classes), np.float32)
        parameters[f"{layer}.bias"] = np.zeros(classes, np.float32)
    return parameters

# %% minifcn="try" id="training"
def train(trunk, parameters, stride, steps, rate, seed, batch=4):
    """SGD on random pictures; the rate falls to 0. Returns new parameters, and the losses."""
    rng, velocities, losses = np.random.default_rng(seed), {}, []
    for step in range(steps):
        chosen = [training[int(index)] for index in rng.integers(0, len(training), batch)]
        x, labels = make_batch(chosen, streets.preprocessing)
        maps = trunk.forward(x, parameters, training=True)
        scores = parts["fcn_forward"](maps, parameters, stride, SIZE)
        loss, dscores = minifcn.softmax_cross_entropy(scores, labels, class_weights=WEIGHTS)
        dmaps, gradients = parts["fcn_backward"](dscores, maps, parameters, stride)
        gradients = {**gradients, **trunk.backward(dmaps)}
        parameters, velocities = parts["sgd_step"](parameters, gradients, velocities,
                                                   rate * (1 - step / steps), 0.9, 5e-4)
        losses.append(loss)
    return parameters, losses


def predict(trunk, parameters, stride):
    """Classes of the held-out pictures, and their labels: (images, h, w) each."""
    scenes = [held_out[index] for index in range(len(held_out))]
    x, labels = make_batch(scenes, streets.preprocessing)
    scores = parts["fcn_forward"](trunk.forward(x, parameters), parameters, stride, SIZE)
    return scores.argmax(axis=-1), labels


# %% minifcn="try" id="experiment"
STEPS, RATE = 150, 0.03
trunk = Trunk()
parameters, curves, found = new_parameters(trunk), {}, {}
for stride in (32, 16, 8):
    started = time.perf_counter()
    parameters, curves[stride] = train(trunk, parameters, stride, STEPS, RATE, seed=stride)
    found[stride], truth = predict(trunk, parameters, stride)
    print(f"FCN-{stride}s: mean IU {parts['mean_iu'](truth, found[stride], classes):.1%}, "
          f"pixels right {np.mean(found[stride] == truth):.1%}, "
          f"loss {np.mean(curves[stride][-20:]):.3f}, "
          f"{time.perf_counter() - started:.0f} s")
background = np.zeros_like(truth)
print(f"all background: mean IU {parts['mean_iu'](truth, background, classes):.1%}, "
      f"pixels right {np.mean(background == truth):.1%}")

# %% minifcn="try" id="pictures"
figure, axes = plt.subplots(3, 5, figsize=(11, 6.6))
for row, index in zip(axes, (0, 1, 2)):
    scene = held_out[index]
    pictures = [scene.image, *(training.palette[mask] for mask in
                               (scene.labels, *(found[stride][index] for stride in (32, 16, 8))))]
    for axis, title, picture in zip(row, ("image", "labels", "32s", "16s", "8s"), pictures):
        axis.imshow(picture)
        axis.set_title(title)
        axis.axis("off")
show(figure, alt="Three held-out pictures of shapes, their labels, and the masks of FCN-32s, "
     "16s and 8s.")

# %% [markdown]
# **Report** (10 points, marked by hand). Run the experiment, change what you like, and write up
# to one page:
#
# - a table: mean IU and pixels right of FCN-32s, 16s, 8s and of the all-background answer (and of
#   4s, if you have it);
# - what the shortcuts bring, and for which shapes: measure it, do not only look at it (an IU for
#   each class, for instance, or the errors near outlines);
# - one *fair* comparison: FCN-8s has been trained three times as long as FCN-32s. How much of its
#   lead comes from that? Run what you need to answer it, and show the numbers;
# - how sure you are: what would another seed change?

# %% [markdown] minifcn="words" part="report"
# ### BEGIN SOLUTION
# Mean IU and pixels right on 60 held-out pictures, 150 steps a stage, seed 0 of the data: all
# background 11.6 % and 81.3 %; FCN-32s 11.6 % and 81.3 %; FCN-16s 16.6 % and 77.9 %; FCN-8s 26.4
# % and 81.4 %.
#
# FCN-32s has learned nothing but to say background: its mean IU is that of the all-background
# answer, and its 81 % of right pixels are no achievement. By pixels alone, FCN-16s would even be
# the worst of the four. IU for each class (32s, 16s, 8s): disc 0, 27, 35 %; square 0, 7, 29 %;
# triangle 0, 0, 12 %; ring 0, 0, 20 %; cross 0, 0, 3 %; bar 0, 0, 0 %. A picture has only 2 x 2
# cells of fc7, and nearly every cell of 32 x 32 pixels is mostly background. With pool4 a disc is
# as large as a cell and appears; with pool3 a ring, too. Bars and crosses stay narrower than a
# cell of 8 pixels.
#
# Fair comparison: FCN-8s has been trained for 450 steps in all. FCN-32s alone for 450 steps, with
# the same rate, reaches a mean IU of 13.1 % (75.9 % of the pixels), and finds little but discs
# (13 %). So of the lead of 14.8 points over the 32s of the first stage, at most 1.5 points come
# from more steps, and the rest from the shortcuts.
#
# How sure: this is one run of each. A lead of 13 points, where more steps made 1.5, is hardly
# luck. Whether bars are found, or whether 16s is really worse in pixels than background, I would
# not claim before I had seen three seeds.
# ### END SOLUTION

# %% [markdown]
# ## Part 8: In words (10 points)
#
# **Question.** A classmate brings the weights of a VGG16 from PyTorch into an FCN with channels
# last. The convolutions are transposed with care. fc6, a matrix of 25088 rows, is reshaped to
# `(7, 7, 512, 4096)`. Nothing crashes, training runs, and in the end the mean IU is 12 points
# lower than in the paper. What is wrong, and why did nothing crash? Why does the network learn
# something at all? Which test, with a single picture of 224 x 224 and no training, would have
# found it within a minute? And would that test have found an fc6 that was *not loaded*? Eight to
# ten sentences.

# %% [markdown] minifcn="words" part="fc6-order"
# ### BEGIN SOLUTION
# PyTorch writes the map that goes into fc6 as channels, rows, columns; a network with channels
# last expects rows, columns, channels. The matrix has 25088 = 512 · 7 · 7 rows in either case, so
# the reshape succeeds and every later shape is right. Shapes were the only thing that was
# checked. But a weight that belongs to channel 3 at the top left now multiplies another channel
# at another place. The network still learns: all convolutions before fc6 are right, and the
# scrambled fc6 is a projection with weights of a sensible size, from which fine-tuning can start,
# much as from random ones. What is lost is what fc6 had learned on ImageNet. The test: send one
# picture of 224 x 224 through PyTorch's classifier and through the new network with its old fc8,
# and compare the 1000 scores. There is one place for the kernel, so they must agree to rounding.
# It is not enough to compare with one's own fully connected version if that has been filled by
# the same reshape. An fc6 that was not loaded would be found by the same test, since its scores
# would differ; comparing the layers' names alone would find that too, but not the wrong order.
# ### END SOLUTION

# %% [markdown]
# ## An open question (no points; for the ambitious)
#
# Can the three stages be one? Train FCN-8s from the start, with all score layers at once, for as
# many steps as the three stages have together. The paper scales pool4 by 0.01 and pool3 by 0.0001
# then. Look at the sizes of the numbers in your maps before you believe that these factors are
# right for your trunk. Find better ones, say by which rule, and test the rule with three seeds
# against the stages.

# %% [markdown]
# ## Check yourself
#
# You are done when you can say yes to these, without looking:
#
# - I can say the size of every map for an image of 45 x 70, and which of them are cropped by one.
# - I know why the crop is at the bottom right, and what a crop in the middle would do.
# - I can say which parameters get no gradient in the very first step of FCN-32s, and why.
# - I know why the sum of two scores needs no cache for the backward pass.
# - My functions work if the dictionaries hold more than my network needs.
# - I have looked at the mean IU beside the all-background answer.
# - I restarted the kernel and ran the notebook from top to bottom.

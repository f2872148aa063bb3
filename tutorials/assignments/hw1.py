# %% [markdown]
# # Homework 1 · A convolution of your own, and a check that you can trust
#
# A fully convolutional network is, to nine tenths of its work, one operation. In this homework
# you write it: forwards, then backwards. Then you write the tool that tells whether a backward
# pass is right, and try it on layers that are wrong on purpose. At the end your convolution runs
# inside a whole FCN and trains it.
#
# **What you learn**
#
# - to say the size of every array of a convolution before you compute it;
# - to compute a convolution, and its three gradients, with a handful of NumPy operations;
# - to measure a gradient without deriving it, and to build a check that finds a wrong one.
#
# **What you need**: notebooks 1 to 3, and NumPy. Plan a week: about eight hours in all.
#
# | part | | points | about |
# | --- | --- | --- | --- |
# | 1 | size of the output | 6 | 20 min |
# | 2 | convolution, forwards | 20 | 1.5 h |
# | 3 | convolution, backwards | 28 | 2.5 h |
# | 4 | dilation | 10 | 45 min |
# | 5 | a gradient, measured | 8 | 45 min |
# | 6 | a gradient check of your own | 12 | 1 h |
# | 7 | inside an FCN | | 20 min |
# | 8 | two questions in words | 16 | 45 min |
# | | | **100** | |
#
# **Rules.** Your functions use NumPy and nothing else. Each is judged alone, and none needs
# another: if you are stuck, go on. (Calling one of your own functions in another is fine, but
# then its mistakes come along.) The points of a layer are shared out over values, gradients,
# manners (your function changes none of its arguments, and returns the dtype that it was given),
# and hidden cases of other sizes, which are judged after you hand in. A textbook version of the
# convolution is open to everybody in `minifcn/ops/reference`. Read it, and then close it: what
# you hand in is your own code. Copies are noticed.

# %% minifcn="setup"
from minifcn.course import notebook

judge = notebook("hw1", globals())

# %% minifcn="given" id="imports"
import numpy as np

# %% [markdown]
# Arrays have these axes, here and everywhere in minifcn:
#
# ```
# x       (n, h, w, c_in)          images, rows, columns, channels
# weight  (kh, kw, c_in, c_out)
# bias    (c_out,)
# y       (n, oh, ow, c_out)
# ```
#
# ## Part 1: How large is the output? (6 points)
#
# You know stride and padding from notebook 1. **Dilation** is new: with a dilation of d, the
# weights of the kernel lie d pixels apart. A kernel of 3 with a dilation of 2 touches the pixels
# 0, 2 and 4 of its window, so its window is 5 pixels long. A dilation of 1 is the ordinary
# kernel.

# %% minifcn="try" id="try-1"
import types

import matplotlib.pyplot as plt

import minifcn
from minifcn import gradcheck
from minifcn.data import Shapes, make_batch
from minifcn.teaching import grid, show

figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
for axis, d in zip(axes, (1, 2, 3)):
    touched = np.zeros((8, 8))
    touched[0:2 * d + 1:d, 0:2 * d + 1:d] = 1
    grid(axis, touched, f"3 x 3, dilation {d}", marks=[(0, 0, 2 * d + 1, 2 * d + 1)])
show(figure, alt="Three 8 by 8 images and the nine pixels that a 3 by 3 kernel touches in its "
     "first window: with dilation 1 a block of 3 by 3, with dilation 2 every second pixel of a "
     "window of 5 by 5, with dilation 3 every third pixel of 7 by 7.")

# %% [markdown]
# Write `output_size`, for one axis. Stride, padding and dilation are whole numbers.

# %% minifcn="solution" id="output_size"
def output_size(extent, kernel, stride=1, padding=0, dilation=1):
    """Number of places at which the window fits.

    extent    rows (or columns) of the image
    kernel    rows (or columns) of the kernel
    """
    ### BEGIN SOLUTION
    window = dilation * (kernel - 1) + 1
    return (extent + 2 * padding - window) // stride + 1
    ### END SOLUTION

# %% [markdown]
# Three that you can verify on paper:

# %% minifcn="try" id="try-2"
try:
    print(output_size(5, 3), "should be 3")
    print(output_size(8, 3, stride=2, padding=1), "should be 4")
    print(output_size(7, 3, dilation=2), "should be 3")
except NotImplementedError:
    print("output_size is not written yet")

# %% minifcn="test" part="output-size"
judge("output-size")

# %% minifcn="hidden" part="output-size"
judge("output-size", hidden=True)

# %% [markdown]
# ## Part 2: Forwards (20 points)
#
# The loops of notebook 1 visit every output pixel, and look at its window. In plain Python, at
# about a microsecond for a product, the first layer of VGG16 takes minutes for a single
# photograph. Turn the loops inside out: visit every *place of the kernel*, nine for a 3 x 3
# kernel, and do all images, pixels and channels of that place at once.
#
# Take the place `(ki, kj)`. It meets one pixel of each window. Over all windows, these pixels are
# a regular grid in the padded image. A slice with a step picks them all; `@` multiplies their
# channels with the `(c_in, c_out)` matrix `weight[ki, kj]`.
#
# (This is a suggestion. Any way is fine that uses NumPy only, and that is not the textbook's.)
#
# Leave `dilation` alone for now: part 4 asks for it.

# %% minifcn="solution" id="conv2d_forward"
def conv2d_forward(x, weight, bias, stride=1, padding=0, dilation=1):
    """Convolution: y[n, i, j, f] is bias[f] plus the sum of window times weight.

    x (n, h, w, c_in), weight (kh, kw, c_in, c_out), bias (c_out,) -> y (n, oh, ow, c_out)

    stride, padding, dilation: whole numbers, the same for rows and columns
    """
    ### BEGIN SOLUTION
    kh, kw, _, c_out = weight.shape
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    oh, ow = ((extent - dilation * (k - 1) - 1) // stride + 1
              for extent, k in zip(padded.shape[1:3], (kh, kw)))
    y = np.zeros((len(x), oh, ow, c_out), x.dtype)
    for ki in range(kh):
        for kj in range(kw):
            a, b = ki * dilation, kj * dilation
            met = padded[:, a:a + stride * (oh - 1) + 1:stride, b:b + stride * (ow - 1) + 1:stride]
            y += met @ weight[ki, kj]
    return y + bias
    ### END SOLUTION

# %% [markdown]
# A first look. The image is a ramp from left to right, and the kernel says how much brighter a
# pixel is than its left neighbour: 1 everywhere.

# %% minifcn="try" id="try-3"
ramp = np.tile(np.arange(6.0), (4, 1))[None, :, :, None]        # (1, 4, 6, 1)
difference = np.array([-1.0, 1]).reshape(1, 2, 1, 1)            # (1, 2, 1, 1)
try:
    y = conv2d_forward(ramp, difference, np.zeros(1))
    print(y[0, :, :, 0], "should be 4 rows of 5 ones")
except NotImplementedError:
    print("conv2d_forward is not written yet")

# %% minifcn="test" part="conv2d-forward"
judge("conv2d-forward")

# %% minifcn="hidden" part="conv2d-forward"
judge("conv2d-forward", hidden=True)

# %% [markdown]
# ## Part 3: Backwards (28 points)
#
# `dy` comes in: how much the loss changes with each output. `dx`, `dweight` and `dbias` go out.
# Each product of the forward pass, `x[n, a, b, c] · weight[ki, kj, c, f]`, is part of one output
# `y[n, i, j, f]`. So on the way back it is used twice: `dy` times the weight is part of `dx`, and
# `dy` times the pixel is part of `dweight`.
#
# Do it on paper first, for one axis: x has five pixels, the kernel three weights, the stride is
# 2. Which `dy` does `dx[2]` depend on, and with which weights? Which pixels does `dweight[0]`
# depend on? Then write down the shape of each of the three results. Only then write the code. The
# slice of part 2 is useful again, once for reading and once for writing.

# %% minifcn="solution" id="conv2d_backward"
def conv2d_backward(dy, x, weight, stride=1, padding=0, dilation=1):
    """Gradients of a convolution.

    dy (n, oh, ow, c_out) -> dx like x, dweight like weight, dbias (c_out,)
    """
    ### BEGIN SOLUTION
    (_, h, w, _), (kh, kw, _, _), (_, oh, ow, _) = x.shape, weight.shape, dy.shape
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    for ki in range(kh):
        for kj in range(kw):
            a, b = ki * dilation, kj * dilation
            met = np.s_[:, a:a + stride * (oh - 1) + 1:stride, b:b + stride * (ow - 1) + 1:stride]
            dpadded[met] += dy @ weight[ki, kj].T
            dweight[ki, kj] = np.tensordot(padded[met], dy, ([0, 1, 2], [0, 1, 2]))
    dx = dpadded[:, padding:padding + h, padding:padding + w].copy()
    return dx, dweight, dy.sum(axis=(0, 1, 2))
    ### END SOLUTION

# %% minifcn="test" part="conv2d-backward"
judge("conv2d-backward")

# %% minifcn="hidden" part="conv2d-backward"
judge("conv2d-backward", hidden=True)

# %% [markdown]
# ## Part 4: Dilation (10 points)
#
# Now let both functions take a dilation. Nothing new has to be derived: the place `(ki, kj)` of
# the kernel meets other pixels, and all the rest stays. Change your functions above, and run them
# again.
#
# Dilated convolutions came into segmentation a year after FCN: they see far without pooling. (4
# points are for the forward pass, 6 for the backward pass.)

# %% minifcn="test" part="dilation"
judge("dilation")

# %% minifcn="hidden" part="dilation"
judge("dilation", hidden=True)

# %% [markdown]
# ## Part 5: A gradient, measured (8 points)
#
# Is your backward pass right? Measure. For a function `forward` of one array, and `dy` of the
# shape of its output, the number L = sum(dy · forward(x)) has one slope for each element of x.
# Move one element up and down by `step`, leave the others, and see what happens to L. Do that for
# every element.
#
# Two things to think of: `x` may have any number of axes, or none at all. And `x` must be the
# same afterwards as before, to the last bit. (x + h − h is not always x.)

# %% minifcn="solution" id="numerical_gradient"
def numerical_gradient(forward, x, dy, step=1e-5):
    """Slopes of sum(dy * forward(x)), by central differences.

    forward   function of one array like x; returns an array like dy
    returns   an array like x (float64)
    """
    ### BEGIN SOLUTION
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        moved = x.copy()
        moved[index] = x[index] + step
        up = (dy * forward(moved)).sum()
        moved[index] = x[index] - step
        down = (dy * forward(moved)).sum()
        gradient[index] = (up - down) / (2 * step)
    return gradient
    ### END SOLUTION


# %% minifcn="try" id="try-4"
x = np.array([0.0, 1, 2])
try:
    print(numerical_gradient(np.sin, x, np.ones(3)), "should be the cosines", np.cos(x))
except NotImplementedError:
    print("numerical_gradient is not written yet")

# %% minifcn="test" part="numerical-gradient"
judge("numerical-gradient")

# %% minifcn="hidden" part="numerical-gradient"
judge("numerical-gradient", hidden=True)

# %% [markdown]
# ## Part 6: A gradient check of your own (12 points)
#
# Put it together: a function that says whether `backward` is the gradient of `forward`. It will
# meet sixteen layers that you have not seen, six right, ten wrong. Each that is judged rightly
# counts the same. But a check that nobody can trust is worth nothing: wrong layers count only
# while at most one right layer is rejected, and right layers only if at least half of the wrong
# ones are caught.
#
# ```
# y = forward(*inputs)                    inputs: a list of float64 arrays
# gradients = backward(dy, *inputs)       a tuple, one for each input, of its shape
# slopes(f, x, dy)                        a numerical_gradient, as in part 5
# ```
#
# The last argument is there so that this part does not depend on part 5: when it is judged, it
# gets a `numerical_gradient` that works.
#
# What you should think about, from notebook 3: Which `dy`? Which elements? What counts as equal,
# if a gradient may be a million, or a millionth? What if a gradient is NaN, or has another shape
# than its input? All inputs are drawn from a normal distribution, and no layer has a kink near
# them.

# %% minifcn="solution" id="gradient_check"
def gradient_check(forward, backward, inputs, slopes):
    """True if backward gives the gradient of forward at these inputs, else False."""
    ### BEGIN SOLUTION
    dy = np.random.default_rng(0).normal(size=np.shape(forward(*inputs)))
    gradients = backward(dy, *inputs)
    for k, (value, gradient) in enumerate(zip(inputs, gradients)):
        def of_one(moved, k=k):
            return forward(*inputs[:k], moved, *inputs[k + 1:])

        measured = slopes(of_one, value, dy)
        if np.shape(gradient) != measured.shape:
            return False
        error = np.abs(gradient - measured).max(initial=0)
        if not error <= 1e-6 * np.abs(measured).max(initial=0):     # a NaN fails too
            return False
    return len(gradients) == len(inputs)
    ### END SOLUTION


# %% [markdown]
# Try it on something whose gradient you know, and on the same with a mistake:

# %% minifcn="try" id="try-5"
square, slopes = [np.array([1.0, -2, 3])], gradcheck.numerical_gradient     # or your own
try:
    print(gradient_check(np.square, lambda dy, x: (2 * x * dy,), square, slopes), "should be True")
    print(gradient_check(np.square, lambda dy, x: (x * dy,), square, slopes), "should be False")
except NotImplementedError:
    print("gradient_check is not written yet")

# %% minifcn="test" part="gradient-check"
judge("gradient-check")

# %% minifcn="hidden" part="gradient-check"
judge("gradient-check", hidden=True)

# %% [markdown]
# ## Part 7: Inside an FCN (no points, but the reason for it all)
#
# minifcn lets you plug in layers. Whatever you have, it uses; what you lack, its reference
# supplies. The cell takes those of your functions that are right, and trains a narrow FCN-32s
# with them on two pictures of coloured shapes, for 25 steps.

# %% minifcn="try" id="try-6"
reports = gradcheck.check_module(globals())
print({name: "right" if report.ok else report.diagnosis for name, report in reports.items()})
right = {name: globals()[name] for name, report in reports.items() if report.ok}
engine = "reference"                            # stands in, until something of yours is right
if right:
    engine = "mine"
    minifcn.register_engine(engine, types.SimpleNamespace(**right))

scenes = Shapes(2, (48, 64), seed=1)
model = minifcn.FCN(stride=32, classes=len(scenes.class_names), width=1 / 16, fc_channels=16,
                    dropout=0)
optimizer = minifcn.Adam(model.parameters, rate=3e-3)
images, labels = make_batch([scenes[0], scenes[1]], model.preprocessing)
losses = []
with minifcn.using(engine):
    for _ in range(25):
        loss, dscores = minifcn.softmax_cross_entropy(model.forward(images, training=True), labels)
        model.backward(dscores)
        optimizer.step(model.gradients)
        losses.append(loss)
print(f"engine {engine}: loss {losses[0]:.3f} -> {losses[-1]:.3f}")

# %% [markdown]
# ## Part 8: In words (16 points)
#
# Five to eight sentences for each. No code, but numbers and small sketches are welcome.
#
# **Question A (8 points).** A classmate tests `conv2d_backward` with images of 6 x 6, a kernel of
# 2 x 2 and a stride of 2. The gradient check says: right. In the FCN, where kernels are 3 x 3 and
# strides are 1, the same function gives a wrong `dx`, while `dweight` and `dbias` are right. What
# is the most likely mistake? Why could this test not see it? Name a test, as small as you can,
# that does see it.

# %% [markdown] minifcn="words" part="overlap-missed"
# ### BEGIN SOLUTION
# The most likely mistake is that `dx` is assigned, with `=`, where contributions should be added,
# with `+=`. A pixel's gradient is the sum over all windows that hold it. With a kernel of 2 and a
# stride of 2 windows do not overlap: every pixel lies in exactly one, and the sum has one term.
# So `=` and `+=` give the same, and no test on these shapes can tell them apart, however careful
# it is. With a kernel of 3 and a stride of 1 a pixel lies in up to nine windows, and only the
# contribution of the last one is left. `dweight` and `dbias` are right because their sums run
# over windows, not over pixels. The smallest test: one row of three pixels, a kernel of 1 x 2,
# stride 1. The middle pixel lies in both windows; with `dy` = (1, 10) its gradient must be 1 ·
# w[1] + 10 · w[0], and the mistaken function gives one of the two terms.
# ### END SOLUTION

# %% [markdown]
# **Question B (8 points).** Your check compares central differences with a step of 1e-5, in
# float64, with a random `dy`. Say for each of these changes what would go wrong, and why: (1) a
# step of 1e-13; (2) float32 with a step of 1e-5; (3) `dy` of ones, for a layer that ends in a
# softmax; (4) comparing the *mean* error of all elements with the tolerance, instead of the
# largest.

# %% [markdown] minifcn="words" part="four-changes"
# ### BEGIN SOLUTION
# (1) f(x + h) and f(x − h) agree in nearly all of their sixteen digits; the rounding of about
# 1e-16 is divided by 1e-13, so that the slope is right to about three digits only. A right layer
# fails a tolerance of 1e-6. (2) float32 has seven digits: 6e-8 / 1e-5 is an error of nearly one
# per cent. Again right layers fail, and with a looser tolerance wrong ones would pass. (3) The
# outputs of a softmax add up to 1, whatever x is. With `dy` of ones, L is a constant and all
# slopes are 0. A backward pass that returns zeros passes, and so does one that forgets `dy` in
# the right place. (4) A single wrong element among ten thousand, with an error of 1e-3, has a
# mean error of 1e-7: it passes. And it is single elements that are wrong at borders and corners.
# ### END SOLUTION

# %% [markdown]
# ## An open question (no points; for the ambitious)
#
# `dx` of a convolution with stride 1 can be computed by calling `conv2d_forward` once, with
# another weight and another padding (notebook 2). Do the same for any stride, with one call of
# *your* `conv2d_forward` and no loop. What has to happen to `dy` first? The last rows of the
# image may be touched by no window at all: what do you do with them? Then `dweight` with one
# call. Here dilation is not a luxury: what is it needed for?

# %% [markdown]
# ## Check yourself
#
# You are done when you can say yes to these, without looking:
#
# - I can say the shapes of y, dx, dweight and dbias for any stride, padding and dilation.
# - I know which line of my backward pass would be wrong with `=` instead of `+=`, and which would
#   not.
# - I can explain why `dx` must be cropped, and `dweight` must not.
# - My functions work for a single image, a single channel, a kernel that is not square, a stride
#   that leaves a rest, and float32.
# - My functions leave `x`, `weight` and `dy` as they were. I have tried it.
# - My check fails a gradient of NaN, and one of the wrong shape.
# - I restarted the kernel and ran the notebook from top to bottom.

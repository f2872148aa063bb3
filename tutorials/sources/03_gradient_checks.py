# %% [markdown] lang="en"
# # 3 · Gradients you can trust
#
# A forward pass with a bug shows it: the picture looks wrong. A backward pass with a bug *trains*.
# A little slower, a little worse, and you blame the learning rate for a week. So nobody who has
# written one by hand trusts it before it has passed a test, and the test is beautifully simple:
# move a number, see how the loss moves, compare.
#
# Simple, but not free of traps. There is a step that is too small, a place where no answer is
# right, and a test that passes everything. This notebook walks into each of them on purpose.

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
from minifcn.teaching import question, show

# %% [markdown] lang="en"
# ## A slope from two values
#
# The slope of f at x, measured: go a step h to the right and look how far f rose. Better: go a step
# to the right *and* a step to the left.

# %%
def one_sided(f, x, h):
    return (f(x + h) - f(x)) / h


def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


t = np.linspace(0.0, 2.2, 100)
h = 0.8
figure, axis = plt.subplots(figsize=(5, 3))
axis.plot(t, np.sin(t), color="#57606a")
for ends, colour, name in [((1, 1 + h), "#c2410c", "one-sided"), ((1 - h, 1 + h), "#0f766e",
                                                                  "central")]:
    axis.plot(ends, np.sin(ends), "o-", color=colour, label=name)
axis.plot([0.5, 1.5], np.sin(1) + np.cos(1) * np.array([-0.5, 0.5]), ":", color="black",
          label="true slope")
axis.legend()
axis.set_xlabel("x")
show(figure, alt="The curve sin x with its tangent at 1. The chord from 1 to 1.8 is much flatter "
     "than the tangent; the chord from 0.2 to 1.8 is nearly parallel to it.")

# %% tags=["question"]
# Your guess in place of None, then run. The folded cell below has the answer.
# The chord that reaches to both sides is nearly parallel to the tangent. And when h shrinks?
question("difference-order", None)

# %% tags=["answer"]
question("difference-order", reveal=True)

# %% tags=["question"]
# So take h as small as you can? The computer keeps sixteen digits, and f(x + h) and f(x - h) share
# more and more of them. Guess before you see the curve.
question("difference-best-step", None)

# %% tags=["answer"]
question("difference-best-step", reveal=True)

# %%
steps = 10.0 ** np.arange(-15, 0.1, 0.25)
places = np.linspace(0.5, 1.5, 101)
figure, axis = plt.subplots(figsize=(6, 3.4))
for method, colour in ((one_sided, "#c2410c"), (central, "#0f766e")):
    errors = [np.abs(method(np.exp, places, h) - np.exp(places)).mean() for h in steps]
    axis.loglog(steps, errors, color=colour, label=method.__name__.replace("_", "-"))
axis.set_xlabel("step h")
axis.set_ylabel("mean error")
axis.legend()
show(figure, alt="Error against step, both on logarithmic axes: two curves of the shape of a V. On "
     "the right the error falls with h, for the central difference twice as steeply; on the left "
     "rounding makes it grow again. The central difference reaches the lower point.")

# %% [markdown] lang="en"
# ## Where there is no slope
#
# ReLU, the function `max(x, 0)` behind every convolution of a network, has a kink at 0. A step that
# crosses it measures a mixture of two slopes, right on the kink there is no slope at all. What does
# the central difference say there?

# %% tags=["question"]
question("difference-kink", None)

# %% tags=["answer"]
question("difference-kink", reveal=True)

# %% [markdown] lang="en"
# A checker that knows nothing of kinks would call ReLU and max pooling wrong now and then, and
# people would stop believing it. minifcn's tries a failed element again with smaller steps, looks
# at both sides, and leaves out what stands on a kink.
#
# ## A number to differentiate
#
# A layer returns an array, but a slope needs one number. We take `L = sum(dy · y)` for some fixed
# `dy`; its gradient by x is just what `backward(dy, x)` returns. Is `dy = 1` good enough? Take
# softmax, which makes shares of any numbers: `exp(x) / exp(x).sum()`.

# %% tags=["question"]
question("check-with-ones", None)

# %% tags=["answer"]
question("check-with-ones", reveal=True)

# %%
def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def lazy_backward(dy, x):
    return np.zeros_like(x)


x = np.array([0.3, -1.2, 2.0])                  # (3,)
for name, dy in (("ones", np.ones(3)), ("random", np.random.default_rng(0).normal(size=3))):
    slopes = gradcheck.numerical_gradient(softmax, x, dy)
    print(f"dy {name:7} agrees with a backward pass that returns zeros:",
          np.allclose(slopes, lazy_backward(dy, x), atol=1e-8))

# %% tags=["question"]
# Always a random dy, then, and inputs whose sizes all differ: a test sees only what its inputs can
# tell apart. It also takes its time:
question("difference-count", None)

# %% tags=["answer"]
question("difference-count", reveal=True)

# %% [markdown] lang="en"
# ## A planted bug
#
# `gradcheck.check` does all of the above. Here is a linear layer whose backward pass has a mistake
# that no shape gives away: `weight` is square. Read it, decide which line is wrong, then run it.

# %%
def linear(x, weight, bias):
    return x @ weight + bias                    # (n, c) @ (c, c) + (c,)


def linear_backward(dy, x, weight, bias):
    dx = dy @ weight
    dweight = x.T @ dy
    dbias = dy.sum(axis=0)
    return dx, dweight, dbias


rng = np.random.default_rng(0)
inputs = rng.normal(size=(4, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
report = gradcheck.check(linear, linear_backward, inputs, strict=False, like="linear")
print("right:", report.ok, "· the worst is in", report.worst.array)

# %% tags=["question"]
# Would the check have caught it with weight + weight.T in place of weight?
question("check-transpose-blind", None)

# %% tags=["answer"]
def repaired(dy, x, weight, bias):
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)


display(question("check-transpose-blind", reveal=True))
print(report.diagnosis)
print("repaired:", gradcheck.check(linear, repaired, inputs, strict=False).ok)

# %% [markdown] lang="en"
# Here is what the right one does, number by number: each product of `dy` and `weight` lands in
# `dx`, each product of `x` and `dy` in `dweight`. Watch how it walks along the *rows* of `weight`:
# the wrong one, on its way to the same cell of `dx`, went down a column.

# %%
minifcn.trace(reference.linear_backward, np.array([[1.0, 10, 100]]), np.array([[2.0, 3]]),
              np.arange(1.0, 7).reshape(2, 3))

# %% [markdown] lang="en"
# ## The checker says what is wrong
#
# Told what the functions are meant to be (`like="linear"`, or a module whose functions have the
# names of minifcn's operations), the checker can do more. It makes one plausible edit of the
# textbook after the other, and looks which of them fails in exactly the way that yours fails. That
# edit *is* the diagnosis. The layer below is a max pooling: of each window it keeps the largest
# number, and `argmax` remembers where that stood, so that the gradient finds the way back (notebook
# 4).

# %%
class Mine:
    """As a file of yours: a max pooling whose backward pass is not the textbook's."""

    max_pool2d_forward = staticmethod(reference.max_pool2d_forward)

    @staticmethod
    def max_pool2d_backward(dy, argmax, x_shape):
        n, h, w, c = x_shape
        dx = np.zeros((n, h * w, c), dy.dtype)
        for image in range(n):
            for i, j, channel in np.ndindex(dy.shape[1:]):
                dx[image, argmax[image, i, j, channel], channel] = dy[image, i, j, channel]
        return dx.reshape(x_shape)


report = gradcheck.check_module(Mine)["max_pool2d_backward"]
print("right:", report.ok)

# %% tags=["answer"]
# Where windows overlap, two of them may choose the same pixel; the second overwrites the first.
print(report.diagnosis)
for right, wrong in report.edit:                # the mistake, as an edit of the textbook
    print("-", right)
    print("+", wrong)

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* Check `np.tanh` and its derivative `dy * (1 - np.tanh(x)**2)`. Then leave out the
#    square, and see what the check says.
# 2. *A step further.* To how many digits can you trust a difference in float32? Guess first:
#    `question("check-float32")`. Then draw the V-shaped curve in float32.
# 3. *With thought.* For linear layers there is a sharper test without any differences: the adjoint,
#    sum(dx · x) = sum(dy · y). Write it for `conv_transpose2d`, and break the layer to see it fail.

# %% tags=["answer"]
# 1.
right = gradcheck.check(np.tanh, lambda dy, x: dy * (1 - np.tanh(x)**2), [x], strict=False)
wrong = gradcheck.check(np.tanh, lambda dy, x: dy * (1 - np.tanh(x)), [x], strict=False)
print(right.ok, wrong.ok)

# 2. The V is cut off at about 1e-5: five digits, at a step near 1e-2.
with np.errstate(divide="ignore", invalid="ignore"):
    errors = [np.abs((np.exp((places + h).astype(np.float32)).astype(float)
                      - np.exp((places - h).astype(np.float32))) / (2 * h) - np.exp(places)).mean()
              for h in steps]
print(f"best step 1e{round(np.log10(steps[int(np.argmin(errors))]))}")

# 3.
x, weight = rng.normal(size=(1, 3, 4, 2)), rng.normal(size=(4, 4, 2, 3))
y = reference.conv_transpose2d_forward(x, weight, stride=2, padding=1)
dy = rng.normal(size=y.shape)
dx, _, _ = reference.conv_transpose2d_backward(dy, x, weight, stride=2, padding=1)
print("adjoint:", np.isclose((dx * x).sum(), (dy * y).sum()))
broken, _, _ = reference.conv_transpose2d_backward(dy, x, weight[::-1], stride=2, padding=1)
print("adjoint, kernel upside down:", np.isclose((broken * x).sum(), (dy * y).sum()))

# %% [markdown] lang="en"
# ## What you can now do
#
# - measure a gradient, and choose the step for it;
# - tell a kink from a bug, and a blind test from a good one;
# - find a wrong line in a backward pass of your own with `gradcheck.check`, and have a whole file
#   of layers judged with `minifcn check my_layers.py`.
#
# **Where this stands in an FCN.** Every layer of minifcn and the whole network pass these checks on
# every change; the page "Check your own layer" tells more. Next: the
# layers without weights, [notebook 4](04_pooling.ipynb).

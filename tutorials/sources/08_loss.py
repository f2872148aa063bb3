# %% [markdown] lang="en"
# # 8 · A loss at every pixel
#
# A classifier answers once for a picture. A segmentation network answers at every pixel, so the
# loss is the classifier's loss, many thousand times. That sounds like a detail, and yet most
# questions that people ask about training an FCN are about it: which pixels count, whether to add
# or to average, and why the paper's learning rate looks like a typing error.
#
# You need notebook 3 (checking a gradient). Put your guesses in place of `None`.

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
# ## From scores to probabilities
#
# The network gives each pixel one score for each class: any real numbers. The **softmax** makes
# probabilities of them. It takes the exponential, so that everything is positive, and divides by
# the sum, so that they add up to one.
#
# ```
# scores         (n, h, w, classes)
# probability[c] = exp(score[c]) / sum over k of exp(score[k])
# ```
#
# The loss of a pixel is minus the logarithm of the probability of the *right* class: nothing if the
# network is sure and right, a lot if it is sure and wrong.

# %%
probability = np.linspace(0.01, 1, 200)         # (200,)
figure, axis = plt.subplots(figsize=(5, 2.8))
axis.plot(probability, -np.log(probability))
axis.set(xlabel="probability of the right class", ylabel="loss of the pixel", xlim=(0, 1))
axis.grid(alpha=0.3)
show(figure, alt="The loss of a pixel against the probability of its right class: it falls from "
     f"{-np.log(0.01):.1f} at 0.01, steeply at first, to {-np.log(0.5):.2f} at 0.5 and 0 at 1.")

# %% [markdown] lang="en"
# An FCN starts with score layers of zeros. So before the first step, all scores of all pixels are
# zero. With 21 classes, as in PASCAL VOC, what is the mean loss then?

# %% tags=["question"]
question("ln-classes", None)

# %% tags=["answer"]
question("ln-classes", reveal=True)

# %%
scores = np.zeros((1, 2, 3, 21))                # (1, 2, 3, 21): six pixels, 21 classes
labels = np.array([[[0, 5, 20], [3, 3, 7]]])    # (1, 2, 3)
loss, dscores = minifcn.softmax_cross_entropy(scores, labels)
print(f"loss {loss:.5f}; dscores {dscores.shape}")

# %% [markdown] lang="en"
# ## Number by number
#
# Two pixels, three classes; the second pixel is *ignored*, a thing that we come to below. Watch how
# the largest score is subtracted before the exponential is taken, and which numbers end up in
# `dscores`.

# %%
scores = np.array([2.0, 1, 0, 0, 3, 1]).reshape(1, 1, 2, 3)
labels = np.array([[[1, 255]]])
minifcn.trace(reference.softmax_cross_entropy, scores, labels)

# %% [markdown] lang="en"
# Why subtract anything? Because `exp` leaves the range of float64 soon. And why is it allowed? Two
# guesses:

# %% tags=["question"]
display(question("softmax-shift", None),
        question("softmax-overflow", None))

# %% tags=["answer"]
display(question("softmax-shift", reveal=True),
        question("softmax-overflow", reveal=True))

# %% [markdown] lang="en"
# ## The gradient, without a Jacobian
#
# The softmax maps a vector to a vector, so its derivative is a matrix. Nobody computes it. Put the
# logarithm and the softmax together first:
#
# ```
# loss     = -log(probability[label]) = log(sum over k of exp(score[k])) - score[label]
#
# dscore[c] = exp(score[c]) / sum over k of exp(score[k])  -  (1 if c is the label, else 0)
#           = probability[c] - (1 if c is the label, else 0)
# ```
#
# Now you can do one in your head.

# %% tags=["question"]
question("dscores", None)

# %% tags=["answer"]
question("dscores", reveal=True)

# %%
rng = np.random.default_rng(0)
scores = rng.normal(size=(1, 4, 4, 3))          # (1, 4, 4, 3)
labels = rng.integers(0, 3, (1, 4, 4))          # (1, 4, 4)
loss, dscores = minifcn.softmax_cross_entropy(scores, labels)
figure, axes = plt.subplots(1, 4, figsize=(11, 2.8))
grid(axes[0], labels[0], "labels (4, 4)")
for c in range(3):
    grid(axes[c + 1], 16 * dscores[0, :, :, c].round(3), f"16 · dscores of class {c}")
show(figure, alt="Sixteen labels, and for each of the three classes the gradient of its scores: "
     "negative exactly at the pixels with that label, where the score should rise, and positive at "
     "all others. The three numbers of a pixel add up to 0.")

# %% [markdown] lang="en"
# ## Pixels that do not count
#
# People who draw label images leave the outlines of objects open, with the label 255. Such a pixel
# adds nothing to the loss, and its gradient is 0. It is not a class: a network for the labels 0 to
# 20 has 21 scores, however many pixels say 255. But what does a *mean* divide by?

# %% tags=["question"]
display(question("ignore-mean", None),
        question("ignore-all", None))

# %% tags=["answer"]
display(question("ignore-mean", reveal=True),
        question("ignore-all", reveal=True))

# %% [markdown] lang="en"
# ## Sum or mean, and a rate of 1e-10
#
# The authors of FCN add the losses of all pixels and divide by the number of images. Others average
# over the pixels. The two differ by a factor, the number of valid pixels, and so do their
# gradients. A step of the optimizer is rate times gradient. You see what follows.

# %% tags=["question"]
display(question("first-loss-sum", None),
        question("rate-1e-10", None))

# %% tags=["answer"]
display(question("first-loss-sum", reveal=True), question("rate-1e-10", reveal=True))

# %%
scores, labels = rng.normal(size=(1, 50, 50, 4)), rng.integers(0, 4, (1, 50, 50))
labels[0, :10] = 255                            # 500 pixels are ignored, 2000 are valid
for reduction in ("mean", "sum", "sum_per_image"):
    loss, dscores = minifcn.softmax_cross_entropy(scores, labels, reduction=reduction)
    print(f"{reduction:14} loss {loss:10.4f}   largest |dscore| {abs(dscores).max():.6f}")

# %% [markdown] lang="en"
# ## A bug to find
#
# This loss passes every test that its author thought of. What did the author not think of?

# %%
class Mine:
    """The loss, vectorised."""

    @staticmethod
    def softmax_cross_entropy(scores, labels, ignore=255, reduction="mean", class_weights=None):
        valid = labels != ignore
        target = np.where(valid, labels, 0).astype(np.int64)
        shifted = scores - scores.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1))
        losses = log_sum - np.take_along_axis(shifted, target[..., None], -1)[..., 0]
        weights = valid * (1.0 if class_weights is None else np.asarray(class_weights)[target])
        divisor = {"mean": labels.size, "sum": 1, "sum_per_image": len(labels)}[reduction]
        dscores = np.exp(shifted - log_sum[..., None])
        np.put_along_axis(dscores, target[..., None], np.take_along_axis(
            dscores, target[..., None], -1) - 1, -1)
        scale = (weights / divisor)[..., None]
        return float((losses * weights).sum() / divisor), (dscores * scale).astype(scores.dtype)


report = gradcheck.check_module(Mine)["softmax_cross_entropy"]
print("right on all cases:", report.ok)

# %% tags=["answer"]
print(report.diagnosis)
# The mean divides by all pixels. It should divide by the sum of the weights of the valid ones:
#     divisor = {"mean": weights.sum(), ...}   (and by 1 where no pixel is valid)

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* `question("dscores-sum")`. Show your answer with numbers. Why must it be so?
# 2. *A step further.* A picture has 90 pixels of road and 10 of cars. With which class weights does
#    either class count as much as the other in the mean loss?
# 3. *With thought.* Write the loss of one pixel and its gradient with loops only, and have the
#    checker compare the gradient with finite differences.

# %% tags=["answer"]
# 1. Adding a constant to all scores of a pixel changes nothing, so the gradient along (1, 1, 1)
#    is 0, and that is the sum.
_, dscores = minifcn.softmax_cross_entropy(scores, labels)
print(abs(dscores.sum(axis=-1)).max() < 1e-15)

# 2. Weights as 1 to 9: 90 · 1 = 10 · 9.
labels = np.array([0] * 90 + [1] * 10).reshape(1, 10, 10)
_, dscores = minifcn.softmax_cross_entropy(np.zeros((1, 10, 10, 2)), labels, class_weights=[1, 9])
print([round(float(abs(dscores[labels == c]).sum()), 6) for c in (0, 1)])


# 3.
def pixel_loss(scores):
    total = 0.0
    for score in scores:
        total += np.exp(score)
    return np.array(np.log(total) - scores[2])          # the label is 2


def pixel_gradient(dy, scores):
    total = np.exp(scores).sum()
    gradient = np.empty_like(scores)
    for c in range(len(scores)):
        gradient[c] = dy * (np.exp(scores[c]) / total - (c == 2))
    return (gradient,)


print(gradcheck.check(pixel_loss, pixel_gradient, [rng.normal(size=5)]).ok)

# %% [markdown] lang="en"
# ## What you can now do
#
# - compute the loss of a pixel and its gradient by hand;
# - say which pixels count, and what a mean divides by;
# - translate a learning rate between a sum and a mean;
# - predict the first loss of a network, and know what it means when training stays there.
#
# **Where this stands in an FCN.** It is the last thing that a forward pass computes, and the first
# of the backward pass. Training with it is [notebook 9](09_training.ipynb).

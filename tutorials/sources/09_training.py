# %% [markdown] lang="en"
# # 9 · Training
#
# Everything is there: the network, its loss, its gradients. This notebook trains one. Not for long,
# and not for beauty: you will see the two looks that tell within a minute whether a training works
# at all. Then come the four numbers by which segmentations are compared, and how each of them can
# fool you. At the end the notebook runs three small experiments of the paper on generated streets.

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
from minifcn.data import Streets, make_batch
from minifcn.teaching import question, show
from minifcn.training.metrics import Metrics, baseline, confusion_matrix, summary_table

# %% [markdown] lang="en"
# ## The data
#
# Scenes of a street, made by a program, with the eleven classes of the CamVid data set. Each comes
# as an image `(h, w, 3)` and labels `(h, w)`; `255` marks pixels that do not count.

# %%
SIZE = (64, 96)                                 # rows and columns of a scene
training, held_out = Streets(120, SIZE, seed=0), Streets(40, SIZE, seed=1)
scenes = [training[index] for index in range(len(training))]
test_scenes = [held_out[index] for index in range(len(held_out))]
training


# %%
def new_model(stride, **options):
    options = {"width": 0.125, "fc_channels": 64, "dropout": 0.0, "seed": 0, **options}
    model = minifcn.FCN(stride=stride, classes=len(training.class_names), **options)
    model.class_names, model.palette = list(training.class_names), training.palette
    return model


def train(model, steps, rate=3e-3, seed=0, only=None, batch=4):
    """Random scenes, a rate that falls to 0; returns the loss of each step.

    Adam is gradient descent with a step size of its own for every weight.
    """
    rng, losses = np.random.default_rng(seed), []
    optimizer = minifcn.Adam(model.parameters, rate=rate)
    for step in range(steps):
        chosen = only or [scenes[index] for index in rng.integers(0, len(scenes), batch)]
        x, labels = make_batch(chosen, model.preprocessing)     # (n, h, w, 3) and (n, h, w)
        scores = model.forward(x, training=True)                # (n, h, w, classes)
        loss, dscores = minifcn.softmax_cross_entropy(scores, labels)
        model.backward(dscores)
        optimizer.step(model.gradients, factor=1 - step / steps)
        losses.append(loss)
    return losses


# %% [markdown] lang="en"
# ## Look 1: the loss before the first step
#
# All score layers start at zero, the other layers with random weights of the size that keeps the
# activations alike from layer to layer ("He initialisation"). So the first loss is known (notebook
# 8): the logarithm of the number of classes. Anything else means that scores do not start at zero,
# or that labels are not what you think.

# %%
model = new_model(32)
first = train(model, 1)
print(f"first loss {first[0]:.5f}, ln(11) = {np.log(11):.5f}")

# %% tags=["question"]
# Zero scores: which layers learn in the very first step?
question("zero-scores-gradient", None)

# %% tags=["answer"]
question("zero-scores-gradient", reveal=True)

# %% [markdown] lang="en"
# ## Look 2: overfit two images
#
# A network that cannot learn two images by heart will not learn two thousand. Always try it. If the
# loss stays, something is broken, and two images are debugged faster than a data set.

# %% tolerance=0.3
model = new_model(8)
losses = train(model, 100, only=scenes[:2])
print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}")

figure, axes = plt.subplots(1, 4, figsize=(13, 2.6), width_ratios=[1.3, 1, 1, 1])
axes[0].plot(losses)
axes[0].axhline(np.log(11), linestyle=":", color="gray")
axes[0].set(xlabel="step", ylabel="loss", ylim=(0, 2.6))
colours = np.vstack([training.palette, np.zeros((245, 3), np.uint8)])
for axis, title, picture in zip(axes[1:], ("image", "labels", "learned by heart"), (
        scenes[0].image, colours[scenes[0].labels], colours[model.predict(scenes[0].image)])):
    axis.imshow(picture)
    axis.set_title(title)
    axis.axis("off")
show(figure, alt="Left: the loss falls from ln(11), the dotted line, towards 0. Right: the first "
     "scene, its labels, and what the network makes of it, which looks much like the labels.")

# %% [markdown] lang="en"
# ## Four numbers, and how they mislead
#
# Count for all pixels of all held-out scenes which class they have and which one was predicted: the
# **confusion matrix**. Four numbers are made of it.
#
# ```
# pixel accuracy   right pixels / all pixels
# mean accuracy    mean over classes of (right pixels of the class / its pixels)
# mean IU          mean over classes of (right / (its pixels + pixels called so - right))
# f.w. IU          the same, weighted by the pixels of each class
# ```

# %% tags=["question"]
# First a network that has learned nothing but to say "background".
display(question("accuracy-background", None),
        question("accuracy-better", None),
        question("iu-absent", None),
        question("iu-images", None))

# %% tags=["answer"]
display(question("accuracy-background", reveal=True),
        question("accuracy-better", reveal=True),
        question("iu-absent", reveal=True), question("iu-images", reveal=True))

# %% [markdown] lang="en"
# How the IU of one class comes out of the matrix, step by step:

# %%
def iu_of_class(confusion, c):
    truth = 0
    called = 0
    for k in range(confusion.shape[0]):
        truth += confusion[c, k]
        called += confusion[k, c]
    return confusion[c, c] / (truth + called - confusion[c, c])


minifcn.trace(iu_of_class, np.array([[6, 2, 0], [1, 3, 0], [0, 2, 4]]), 1)


# %% [markdown] lang="en"
# ## In stages
#
# The paper trains FCN-32s first, starts FCN-16s from its weights, and FCN-8s from those of 16s.
# Each new score layer starts at zero, so that a stage begins with exactly what the last one could
# do. We do it in a few hundred steps: one run, so read the order of the numbers and not their
# digits.

# %%
def evaluate(model):
    confusion = sum(confusion_matrix(scene.labels, model.predict(scene.image), model.classes)
                    for scene in test_scenes)
    return Metrics.from_confusion(confusion, model.class_names), confusion


coarse = new_model(32)
curve = {"32s": train(coarse, 130)}
middle = new_model(16)
middle.copy_from(coarse)
curve["16s"] = train(middle, 100, seed=1)
fine = new_model(8)
fine.copy_from(middle)
curve["8s"] = train(fine, 100, seed=2)

# %% tolerance=0.25
results = {}
for name, each in (("FCN-32s", coarse), ("FCN-16s", middle), ("FCN-8s", fine)):
    results[name], confusion = evaluate(each)
answer, constant = baseline(confusion)
print(summary_table([(f"all {training.class_names[answer]}", Metrics.from_confusion(constant)),
                     *results.items()]))

# %%
figure, axes = plt.subplots(2, 5, figsize=(14, 4))
for row, scene in zip(axes, test_scenes[:2]):
    pictures = [scene.image, colours[scene.labels],
                *(colours[each.predict(scene.image)] for each in (coarse, middle, fine))]
    for axis, title, picture in zip(row, ("image", "labels", *results), pictures):
        axis.imshow(picture)
        axis.set_title(title)
        axis.axis("off")
show(figure, alt="Two held-out scenes, their labels, and the masks of FCN-32s, 16s and 8s: from "
     "blobs over coarse outlines to outlines in which cars and trees can be recognised.")

# %% [markdown] lang="en"
# ## Three small experiments
#
# Does it pay to *learn* the upsampling, which the paper keeps frozen? Does FCN-8s need the stages,
# or can it be trained *at once*? One run proves nothing, so each experiment runs with three seeds.
# The runs are short, as everything here.

# %%
experiments = {"staged, frozen": [], "staged, learned": [], "at once": []}
for seed in (1, 2, 3):
    for name, found in experiments.items():
        options = {"upsampling": "learned" if "learned" in name else "frozen",
                   "at_once": name == "at once"}
        model = new_model(8, **options)
        if name != "at once":
            model.copy_from(coarse)
        train(model, 50, seed=10 * seed)
        found.append(evaluate(model)[0].mean_iu)

# %% tolerance=0.35
for name, found in experiments.items():
    print(f"{name:16} mean IU {100 * np.mean(found):5.1f} %   "
          f"({', '.join(f'{100 * each:.1f}' for each in found)})")

# %%
figure, axis = plt.subplots(figsize=(5, 2.6))
for place, found in enumerate(experiments.values()):
    axis.plot([place] * 3, found, "o", alpha=0.7)
    axis.plot([place - 0.2, place + 0.2], [np.mean(found)] * 2, color="black")
axis.set_xticks(range(3), list(experiments))
axis.set(ylabel="mean IU", ylim=(0, None), xlim=(-0.5, 2.5))
show(figure, alt="Mean IU of three seeds for each of three ways to train FCN-8s, as dots around "
     "their mean. Staged and frozen is the best, at once comes next, staged and learned is last.")

# %% [markdown] lang="en"
# What to keep: a difference smaller than the spread of the seeds is no difference. The learned
# upsampling comes out lower by more than that: in so few steps, at a rate that suits the other
# layers, its kernels leave the bilinear tent and have not found anything better yet. And compare
# what was paid: the staged networks began with the weights of FCN-32s, which had steps of its own.
# Stages help because the skips need something to refine; they are not free.
#
# ## A bug to find
#
# This student's own ReLU makes the whole network learn badly, and nothing crashes. Registered as an
# engine, it runs inside the FCN.

# %%
class Mine:
    @staticmethod
    def relu_forward(x):
        return np.maximum(x, 0)

    @staticmethod
    def relu_backward(dy, y):
        return dy * y


minifcn.register_engine("mine", Mine)
with minifcn.using("mine"):
    broken = train(new_model(32), 40, only=scenes[:2])
right = train(new_model(32), 40, only=scenes[:2])
print("it learns as well as with our ReLU:", broken[-1] < 1.1 * right[-1])
report = gradcheck.check_module(Mine)["relu_backward"]
print("right:", report.ok)

# %% tags=["answer"]
print(report.diagnosis)
# The gradient passes where y > 0, unchanged:  dy * (y > 0). Times y it is squeezed or blown up.

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* Compute the mean IU of the "all one class" baseline by hand from the shares of the
#    pixels.
# 2. *A step further.* Average the mean IU of the single scenes, and compare it with that of all
#    scenes together. Why do they differ?
# 3. *With thought.* Write SGD with momentum as the paper uses it (`v = momentum * v + rate * g`,
#    then `w -= v`), and compare one step with `minifcn.SGD`.

# %% tags=["answer"]
# 1. One class has an IU of its share of the pixels, all other classes that occur have 0.
share = confusion.sum(axis=1) / confusion.sum()
print(np.isclose(share.max() / (share > 0).sum(), Metrics.from_confusion(constant).mean_iu))

# 2. In one scene, a class that is absent is left out, and a rare one counts as much as road does.
single = [Metrics.from_confusion(confusion_matrix(
    scene.labels, fine.predict(scene.image), 11)).mean_iu for scene in test_scenes]
print("they differ:", abs(np.mean(single) - results["FCN-8s"].mean_iu) > 1e-3)

# 3.
weights, gradients = {"a.weight": np.array([1.0, 2])}, {"a.weight": np.array([0.5, -1])}
optimizer = minifcn.SGD(weights, rate=0.1, momentum=0.9, decay=0)
velocity, own = 0.0, weights["a.weight"].copy()
for _ in range(2):
    optimizer.step(gradients)
    velocity = 0.9 * velocity + 0.1 * gradients["a.weight"]
    own -= velocity
print(np.allclose(own, weights["a.weight"]))

# %% [markdown] lang="en"
# ## What you can now do
#
# - judge within a minute whether a training works: first loss, two images by heart;
# - read the four metrics, and put a baseline beside them;
# - train in stages, and say what a difference between two runs is worth.
#
# **Where this stands in an FCN.** `minifcn train streets --recipe streets` does the same for
# longer, can be interrupted, and draws its curves. With pictures of your own:
# [notebook 11](11_your_pictures.ipynb).

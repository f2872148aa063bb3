# %% [markdown] lang="en"
# # 11 · Your own pictures
#
# Until now everything was generated. This notebook is about pictures that somebody took: how to
# store labels, how to look at data before training on them, how to segment a picture, and above all
# how to find out *where a model fails and why*. The pictures here are made on the spot, so that the
# notebook runs anywhere; put the path of a folder of yours in the marked line, and go on.

# %%
try:
    import minifcn
except ModuleNotFoundError:     # Colab and the like: put the wheel of minifcn beside this notebook
    get_ipython().run_line_magic("pip", "install --quiet minifcn-*.whl")  # noqa: F821
    import minifcn

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from PIL import Image

from minifcn import gradcheck
from minifcn.data import Streets, open_dataset, survey, write_mask
from minifcn.teaching import question, show

# %% [markdown] lang="en"
# ## A folder
#
# ```
# mine/images/001.jpg        mine/labels/001.png
# mine/images/002.jpg        mine/labels/002.png
# mine/classes.txt           a line  name red green blue  for each class
# ```
#
# A label image holds one class number for each pixel: 0, 1, 2 and so on, and 255 where it does not
# count. A palette in the PNG gives every number a colour, so that viewers show something. Here is
# such a folder, with 24 scenes.

# %%
folder = Path(tempfile.mkdtemp()) / "mine"      # put the path of your own folder here ...
streets = Streets(24, (96, 128), seed=7)
for room in ("images", "labels"):
    (folder / room).mkdir(parents=True, exist_ok=True)
for index in range(len(streets)):               # ... and leave these lines out
    image, labels, _ = streets[index]
    Image.fromarray(image).save(folder / "images" / f"{index:03}.jpg", quality=92)
    write_mask(folder / "labels" / f"{index:03}.png", labels, streets.palette)
(folder / "classes.txt").write_text("".join(
    f"{name} {red} {green} {blue}\n"
    for name, (red, green, blue) in zip(streets.class_names, streets.palette.tolist())))
print(sorted(path.name for path in folder.iterdir()))

# %% [markdown] lang="en"
# A grey PNG with the same numbers is as good as one with a palette. It has one drawback, which has
# made many people throw away good label images:

# %% tags=["question"]
display(question("labels-black", None),
        question("labels-resize", None),
        question("any-size", None))

# %% tags=["answer"]
display(question("labels-black", reveal=True),
        question("labels-resize", reveal=True),
        question("any-size", reveal=True))

# %% [markdown] lang="en"
# ## Look before you train
#
# `survey` reads every label image: how many pixels each class has, how many pictures show it, and
# what is wrong. On the command line it is `minifcn data mine`, which also draws a sheet of samples.

# %%
data = open_dataset("folder", folder, split=None)
print(survey(data))

# %% [markdown] lang="en"
# Classes with few pixels will be learned late, if at all. And for some mistakes numbers do not
# help: look at pictures.

# %%
data

# %% [markdown] lang="en"
# The data sets of the field have readers of their own: `open_dataset("voc", "VOCdevkit")` and
# `open_dataset("camvid", "CamVid")`. Annotations of labelme, COCO and Cityscapes are converted by
# `minifcn data import`.
#
# ## Segment a picture
#
# A small network comes with minifcn. It has seen generated streets only.

# %%
model = minifcn.pretrained("streets-8s")
image, labels, _ = data[2]
mask = model.predict(image)                     # uint8 (h, w, 3) -> (h, w) class numbers
print(mask.shape, mask.dtype, "classes found:", [model.class_names[c] for c in np.unique(mask)])
colours = np.vstack([model.palette, np.zeros((256 - len(model.palette), 3), np.uint8)])
figure, axes = plt.subplots(1, 4, figsize=(14, 2.8))
wrong = (mask != labels) & (labels != 255)
for axis, title, picture in zip(axes, ("image", "labels", "prediction", "wrong pixels"), (
        image, colours[labels], colours[mask], wrong)):
    axis.imshow(picture, cmap="gray")
    axis.set_title(title)
    axis.axis("off")
show(figure, alt="A street scene, its labels, the prediction, and the wrong pixels in white. Most "
     "of them lie along the outlines of objects and on thin things.")

# %% [markdown] lang="en"
# Any size works, for this model too.
#
# ## Where it fails, and why
#
# First, along outlines. The finest scores lie 8 pixels apart; between them the network
# interpolates. Here is the share of wrong pixels by their distance from the nearest outline.

# %%
def distance_to_outline(labels, most=10):
    """labels (h, w) -> (h, w), steps to the nearest pixel of another class, at most ``most``"""
    distance = np.full(labels.shape, most)
    for away in range(most - 1, 0, -1):
        for axis in (0, 1):
            for step in (away, -away):
                moved = np.roll(labels, step, axis)
                distance[moved != labels] = np.minimum(distance, away)[moved != labels]
    return distance


near, errors = [], []
for image, labels, _ in (data[index] for index in range(len(data))):
    valid = labels != 255
    near.append(distance_to_outline(labels)[valid])
    errors.append((model.predict(image) != labels)[valid])
near, errors = np.concatenate(near), np.concatenate(errors)
shares = [errors[near == distance].mean() for distance in range(1, 11)]
figure, axis = plt.subplots(figsize=(5, 2.6))
axis.bar(range(1, 11), shares)
axis.set(xlabel="pixels to the nearest outline", ylabel="share of wrong pixels")
show(figure, alt="Bars: the share of wrong pixels is largest right at the outline, and falls with "
     "every pixel that one moves away from it.")

# %%
print("wrong beside an outline more often than far from it:", shares[0] > 2 * shares[-1])

# %% [markdown] lang="en"
# Second, on what it has never seen. Turn the picture upside down, or make it dark: a person would
# not mind.

# %%
image, labels, _ = data[2]
changes = {"unchanged": (image, labels), "upside down": (image[::-1], labels[::-1]),
           "dark": (image // 4, labels), "half the size": (image[::2, ::2], labels[::2, ::2])}
accuracy = {}
for name, (changed, truth) in changes.items():
    changed = np.ascontiguousarray(changed)
    accuracy[name] = np.mean((model.predict(changed) == truth)[truth != 255])
print("best of all unchanged:", max(accuracy, key=accuracy.get) == "unchanged")

# %% tags=["timing"]
for name, value in accuracy.items():
    print(f"{name:14} {value:6.1%} of the pixels are right")

# %% [markdown] lang="en"
# Third, ask the model itself. `probabilities` gives the whole distribution at each pixel. A pixel
# whose best class has a low probability is one that you should not trust.

# %%
probabilities = model.probabilities(image)      # (h, w, classes)
certain = probabilities.max(axis=-1)            # (h, w)
valid = labels != 255
right = (probabilities.argmax(axis=-1) == labels)[valid]
print(f"probabilities {probabilities.shape}, sums to 1: "
      f"{np.allclose(probabilities.sum(axis=-1), 1, atol=1e-5)}")
print("surer where it is right:", certain[valid][right].mean() > certain[valid][~right].mean())

# %% [markdown] lang="en"
# The explorer shows the rest. Here are four layers of it: click one, then a cell, and see its
# receptive field and the sum that it is made of; then choose the gradient of a pixel's score in the
# list. `model.explore(image).save("explorer.html")`, or `minifcn explore streets-8s photo.jpg`, has
# all layers.
#
# What decides about a pixel in the end is a softmax over its scores. Below the explorer, step
# through it for one pixel of three classes.

# %%
image, labels, _ = data[2]
model.explore(image, pixels=[(60, 40), (40, 100)],
              layers=["pool3", "score_pool3", "fuse_pool3", "upscore8"])

# %%
def softmax(scores, probabilities):
    largest = scores[0]
    for c in range(1, len(scores)):
        largest = max(largest, scores[c])
    total = 0.0
    for c in range(len(scores)):
        probabilities[c] = np.exp(scores[c] - largest)
        total += probabilities[c]
    for c in range(len(scores)):
        probabilities[c] /= total


minifcn.trace(softmax, np.array([2.0, 0.0, 1.0]), np.zeros(3))

# %% [markdown] lang="en"
# ## Train on your pictures
#
# Forty labelled pictures are enough to begin with, if the weights come from somewhere else. On the
# command line:
#
# ```
# minifcn train folder --data mine --out runs/mine --recipe folder
# minifcn evaluate runs/mine/best.safetensors folder --data mine
# minifcn predict runs/mine/best.safetensors photos/ --out masks
# ```
#
# ## A bug to find
#
# A student wants smoother masks and averages the scores of each pixel with its four neighbours.
# The backward pass does not pass.

# %%
def smooth(scores):
    """scores (n, h, w, c): mean of a pixel and its neighbours, zeros beyond the border"""
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return (padded[:, 1:-1, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
            + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]) / 5


def smooth_backward(dy, scores):
    dx = dy.copy()
    dx[:, 1:] += dy[:, :-1]
    dx[:, :-1] += dy[:, 1:]
    dx[:, :, 1:] += dy[:, :, :-1]
    dx[:, :, :-1] += dy[:, :, 1:]
    return (dx,)


inputs = [np.random.default_rng(0).normal(size=(2, 4, 7, 3))]
report = gradcheck.check(smooth, smooth_backward, inputs, strict=False)
print("right:", report.ok)

# %% tags=["answer"]
print(report.diagnosis)
# The mean divides by five, and so must its gradient: return (dx / 5,)

# %% [markdown] lang="en"
# ## Exercises
#
# 1. *Warm up.* Write a mask of your own with `write_mask`, read it with `read_labels`, and show
#    that nothing has changed.
# 2. *A step further.* Which class is confused with which most often? (`confusion_matrix`)
# 3. *With thought.* Average the probabilities of a picture and of its mirror image. Does it help?

# %% tags=["answer"]
# 1.
from minifcn.data import read_labels
from minifcn.training.metrics import confusion_matrix

write_mask(folder / "mask.png", mask, model.palette)
print(np.array_equal(read_labels(folder / "mask.png"), mask))

# 2.
confusion = sum(confusion_matrix(labels, model.predict(image), model.classes)
                for image, labels, _ in (data[index] for index in range(len(data))))
np.fill_diagonal(confusion, 0)
truth, called = np.unravel_index(confusion.argmax(), confusion.shape)
print(f"{model.class_names[truth]} is most often taken for {model.class_names[called]}")

# 3. Hardly, on this picture. Errors that are not the same in both would be averaged out; it costs
#    twice the time.
image, labels, _ = data[2]
mirrored = model.probabilities(np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
both = (model.probabilities(image) + mirrored).argmax(axis=-1)
for name, guess in (("alone", model.predict(image)), ("with its mirror image", both)):
    print(f"{name}: {np.mean((guess == labels)[labels != 255]):.1%} of the pixels are right")

# %% [markdown] lang="en"
# ## What you can now do
#
# - lay out a folder of pictures and labels, and find its faults before training;
# - segment any picture, and see where the mask can be trusted;
# - say why a model fails at outlines, on thin things, and on what it has never seen.
#
# **Where this stands in an FCN.** This was the last notebook. The why pages in `docs/why/`
# answer single questions; the assignments of a course begin where you are now.

"""Questions about metrics, labels and pictures."""
import io

import numpy as np
from PIL import Image

from minifcn.teaching.questions.asking import Question, Wrong, asks
from minifcn.training.metrics import Metrics, confusion_matrix


def measure(truth, prediction, classes):
    return Metrics.from_confusion(confusion_matrix(np.array(truth), np.array(prediction), classes))


@asks("iu-value")
def _():
    truth, prediction = [1] * 6 + [0] * 6, [1] * 4 + [0] * 2 + [1] * 2 + [0] * 4
    iu = float(measure(truth, prediction, 2).iu[1])
    return Question(
        "Six pixels are cat. You predict six as cat, and four of them are right. What is the IU of "
        "cat?",
        answer=iu,
        wrong=[Wrong(4 / 6, "That is the share of cat pixels that you found (accuracy). IU also "
                     "counts what you called cat and is not."),
               Wrong(4 / 12, "The four that are in both would count twice below the line.")],
        hint="Intersection over union: how many pixels are cat in truth or prediction?",
        larger_hint="6 + 6 - 4 in the union.",
        derivation=f"4 / (6 + 6 - 4) = {iu:g}.",
        look="minifcn/training/metrics.py; notebook 9")


@asks("iu-absent", exposes=[16])
def _():
    confusion = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]])
    mean = Metrics.from_confusion(confusion).mean_iu
    return Question(
        "Three classes. Two are predicted perfectly; the third is neither in the truth nor in the "
        "prediction. What is the mean IU?",
        answer=mean,
        wrong=[Wrong(2 / 3, "You counted the absent class as 0. There was nothing to find and "
                     "nothing was claimed: its IU is 0 / 0, and it leaves the mean.")],
        hint="The IU of the third class is 0 / 0. What becomes of it?",
        larger_hint="It leaves the mean.",
        derivation=f"(1 + 1) / 2 = {mean:g}. Other rules exist; whoever publishes a mean IU should "
                   "say which.",
        look="why/absent-classes; minifcn/training/metrics.py, absent classes; notebook 9")


@asks("iu-false-alarm", exposes=[16])
def _():
    confusion = np.array([[5, 0, 1], [0, 4, 0], [0, 0, 0]])
    metrics = Metrics.from_confusion(confusion)
    iu = metrics.iu
    return Question(
        "Ten pixels: six of class 0 and four of class 1. One pixel of class 0 is predicted as "
        "class 2, which is nowhere in the truth; all others are right. What is the mean IU?",
        answer=metrics.mean_iu,
        wrong=[Wrong(float(iu[:2].mean()), "Class 2 was claimed, so its union is not empty: its IU "
                     "is 0 / 1 = 0, and it counts."),
               Wrong(float((iu[0] + 1 + 1) / 3), "An absent class has no IU of 1 for free; here it "
                     "was even claimed.")],
        hint="Class 2: intersection 0, union 1.",
        larger_hint="IUs are 5/6, 1 and 0.",
        derivation=f"(5/6 + 1 + 0) / 3 = {metrics.mean_iu:.4f}. One false alarm on an absent class "
                   "is dear.",
        look="why/absent-classes; minifcn/training/metrics.py; notebook 9")


@asks("iu-images", exposes=[16])
def _():
    first = np.array([[90, 0], [0, 10]])            # class 1: all 10 found
    second = np.array([[50, 0], [40, 10]])          # class 1: 10 of 50 found
    whole = Metrics.from_confusion(first + second)
    each = [Metrics.from_confusion(image).iu[1] for image in (first, second)]
    return Question(
        "Image A has 10 cat pixels, all found. Image B has 50, of which 10 are found; no pixel is "
        "called cat wrongly. What is the IU of cat on this data set?",
        answer=float(whole.iu[1]),
        wrong=[Wrong(float(np.mean(each)), "That is the mean over images. Benchmarks add up the "
                     "confusion matrix of all images first and take one quotient.")],
        hint="Add up both images first.",
        larger_hint="20 found, out of 60.",
        derivation=f"20 / 60 = {whole.iu[1]:.4f}. The mean over images would be "
                   f"{np.mean(each):.2f}: a small easy image would count as much as a large hard "
                   "one.",
        look="minifcn/training/metrics.py; notebook 9")


@asks("accuracy-background", exposes=[22])
def _():
    confusion = np.array([[75, 0], [25, 0]])
    metrics = Metrics.from_confusion(confusion)
    return Question(
        "Two classes; 75% of the pixels are background, and everything is predicted as background: "
        "a pixel accuracy of 0.75. What is the mean IU?",
        answer=metrics.mean_iu,
        wrong=[Wrong(metrics.pixel_accuracy, "That is the pixel accuracy, which is content with "
                     "background. The mean IU asks every class, and one was never found."),
               Wrong(0.5, "That is the mean accuracy: 1 and 0."),
               Wrong(0.0, "Background itself is found: its IU is 75 / 100.")],
        hint="IU of background, IU of the other, mean.",
        larger_hint="75 / 100 and 0 / 25.",
        derivation=f"(0.75 + 0) / 2 = {metrics.mean_iu:g}. On VOC, all background gets about 0.73 "
                   "of the pixels and has learned nothing.",
        look="`baseline` in minifcn/training/metrics.py; notebook 9")


@asks("accuracy-better", exposes=[22])
def _():
    coarse = Metrics.from_confusion(np.array([[95, 0], [5, 0]]))
    finds = Metrics.from_confusion(np.array([[88, 7], [1, 4]]))
    gain = finds.mean_iu - coarse.mean_iu
    return Question(
        "95 background pixels and 5 of a cat. Model A says background everywhere. Model B finds 4 "
        "of the 5 and calls 7 background pixels cat: its pixel accuracy is 0.92, A's 0.95. By how "
        "much is B's mean IU higher? (Negative if it is lower.)",
        answer=gain,
        wrong=[Wrong(finds.pixel_accuracy - coarse.pixel_accuracy, "That is the difference of the "
                     "pixel accuracies. A is ahead there because the cat is small."),
               Wrong(-gain, "The other way round: B finds the cat.")],
        hint="A: 95/100 and 0/5. B: 88/96 and 4/12.",
        larger_hint="Means: 0.475 for A; add up B's.",
        derivation=f"B {finds.mean_iu:.4f}, A {coarse.mean_iu:.4f}: {gain:.4f} more, with a lower "
                   "pixel accuracy.",
        look="minifcn/training/metrics.py; notebook 9")


@asks("labels-black", exposes=[17])
def _():
    mask = np.array([[0, 1], [2, 2]], np.uint8)
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    largest = int(np.asarray(Image.open(file)).max())
    return Question(
        "A label image of the classes 0, 1 and 2, saved as a grey PNG, looks all black in a "
        "viewer. What is the largest value in the file?",
        answer=largest,
        wrong=[Wrong(0, "It looks black, and it is not: 2 of 255 is too dark to see. The file is "
                     "in order."),
               Wrong(255, "Values are class ids, not brightnesses. 255 would mean: ignored."),
               Wrong(3, "There are three classes, but they are counted from 0."),
               Wrong(170, "Ids are not spread over 0..255.")],
        hint="What does a pixel of a label image hold?",
        larger_hint="Its class id.",
        derivation=f"{largest}, which is {largest / 255:.1%} of white. For people we write masks "
                   "with a palette: the same ids, shown in colours.",
        look="`write_mask` in minifcn/data/images.py; notebook 11")


@asks("labels-resize")
def _():
    from minifcn.data.images import resize_labels
    mask = np.array([[0, 2]], np.uint8)
    nearest = resize_labels(mask, (1, 4))
    smooth = np.asarray(Image.fromarray(mask).resize((4, 1), Image.Resampling.BILINEAR))
    invented = len(set(smooth.ravel().tolist()) - {0, 2})
    kept = len(set(nearest.ravel().tolist()))
    return Question(
        "A mask with class 0 (sky) beside class 2 (car) is enlarged with bilinear interpolation, "
        "as a photograph would be. How many classes appear that were not there?",
        answer=invented,
        wrong=[Wrong(0, "Half-way between 0 and 2 is 1, which is a class, too: a fringe of "
                     "pedestrians around every car. Labels are names, not amounts."),
               Wrong(2, "Values are rounded to whole numbers: only 1 lies between.")],
        hint="What lies half-way between 0 and 2?",
        larger_hint="1, and that is a class, too.",
        derivation=f"{invented}: class 1. Labels are enlarged by taking the nearest pixel, which "
                   f"keeps the {kept} classes.",
        look="`resize_labels` in minifcn/data/images.py; notebook 11")

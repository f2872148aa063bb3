"""Questions about pooling, ReLU and dropout."""
import numpy as np

from minifcn.models.geometry import Grid
from minifcn.ops import reference
from minifcn.ops.reference.dropout import dropout_mask
from minifcn.teaching.questions.asking import Question, Wrong, asks, shown
from minifcn.teaching.questions.convolution import plain, row


@asks("pool-ceil")
def _():
    x = np.zeros((1, 7, 7, 1))
    up, _ = reference.max_pool2d_forward(x)
    down, _ = reference.max_pool2d_forward(x, ceil_mode=False)
    return Question(
        "Pooling of 2 x 2 windows at stride 2, as FCNs do it, on 7 x 7 pixels: how many rows has "
        "the output?",
        answer=up.shape[1],
        wrong=[Wrong(down.shape[1], "That drops the last row. FCNs keep it: a window that hangs "
                     "over the border is clipped, not left out (`ceil_mode=True`)."),
               Wrong(6, "That is stride 1. Here windows do not overlap.")],
        hint="What becomes of the last row, which has no partner?",
        larger_hint="Windows start at rows 0, 2, 4, 6.",
        derivation=f"ceil((7 - 2) / 2) + 1 = {up.shape[1]}; the last window has one row only.",
        look="`max_pool2d_size` in minifcn/ops/checks.py; notebook 4")


@asks("pool-lost")
def _():
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 1))
    y, argmax = reference.max_pool2d_forward(x)
    dx = reference.max_pool2d_backward(np.ones_like(y), argmax, x.shape)
    zero = float((dx == 0).mean())
    return Question(
        "After 2 x 2 pooling at stride 2, which share of the input pixels gets no gradient at all? "
        "(Even sizes, `dy` nowhere 0.)",
        answer=zero,
        wrong=[Wrong(1 - zero, "That is the share that does get one: the winner of each window."),
               Wrong(0.0, "Max pooling passes the gradient to the winner alone. The mean would "
                     "share it out."),
               Wrong(0.5, "A window has 2 x 2 pixels, not 2.")],
        hint="A window has four pixels. How many of them does its output depend on?",
        larger_hint="On the largest alone. A small change of the others changes nothing.",
        derivation=f"3 of 4 pixels lose: {zero:g}.",
        look="minifcn/ops/reference/max_pool2d.py; notebook 4")


@asks("pool-tie")
def _():
    x = np.full((1, 2, 2, 1), 5.0)
    y, argmax = reference.max_pool2d_forward(x)
    dx = plain(reference.max_pool2d_backward(np.ones_like(y), argmax, x.shape))
    return Question(
        "A 2 x 2 window holds 5, 5, 5, 5. `dy` is 1. Which four values has `dx`, in reading order?",
        answer=dx,
        wrong=[Wrong([1.0] * 4, "Then the window would send back four times what it received: a "
                     "slope of 4 where the output can move by 1."),
               Wrong([0.25] * 4, "Sharing among equals is a possible convention, but not this one: "
                     "`argmax` is one place, and the first in reading order wins."),
               Wrong([0.0, 0, 0, 1], "That is the last maximum (`>=` in place of `>`). The first "
                     "wins.")],
        hint="`argmax` remembers one place.",
        larger_hint="The first maximum in reading order wins a tie.",
        derivation=f"{shown(dx)}. At a tie there is no derivative; every engine takes the same "
                   "corner, so that results agree to the bit. Ties are common: after ReLU many "
                   "windows are all zero.",
        look="why/pooling-ties; minifcn/ops/reference/max_pool2d.py; notebook 4")


@asks("pool-overlap", exposes=[19])
def _():
    x = row(0, 1, 9, 1, 0)
    y, argmax = reference.max_pool2d_forward(x, size=(1, 3), stride=(1, 2))
    dx = plain(reference.max_pool2d_backward(np.ones_like(y), argmax, x.shape))
    return Question(
        "A row [0, 1, 9, 1, 0], windows of 3 at stride 2: two windows. `dy` is [1, 1]. What is "
        "`dx` at the 9?",
        answer=int(dx[2]),
        wrong=[Wrong(1, "The second window does not overwrite what the first one sent. Both "
                     "outputs move with the 9, so its gradient is the sum."),
               Wrong(0.5, "Nothing is shared out: each window passes all of its gradient on.")],
        hint="Which windows hold the 9? Which of them chose it?",
        larger_hint="Windows are 0-2 and 2-4. The 9 wins both.",
        derivation=f"dx = {shown(dx)}: `dx[argmax] += dy`, with a plus.",
        look="minifcn/ops/reference/max_pool2d.py, `_backward`; notebook 4")


@asks("pool-position")
def _():
    grid = Grid(16).pool()
    return Question(
        "Over which pixel is the first cell centred after one 2 x 2 pooling at stride 2? (0 is the "
        "centre of the first pixel.)",
        answer=grid.origin,
        wrong=[Wrong(0.0, "The cell stands for pixels 0 and 1; its centre is between them. Halves "
                     "like this one add up to the crops of an FCN."),
               Wrong(1.0, "That is the second pixel. The centre is between the first two.")],
        hint="Which pixels does the first window hold?",
        larger_hint="Pixels 0 and 1. Where is their middle?",
        derivation=f"(0 + 1) / 2 = {grid.origin}. In `geometry.py` it is (k - 1) / 2 - p.",
        look="minifcn/models/geometry.py; notebooks 4 and 7")


@asks("pool-twice")
def _():
    x = row(*range(16))
    once, _ = reference.max_pool2d_forward(x, size=(1, 2), stride=(1, 2))
    twice, _ = reference.max_pool2d_forward(once, size=(1, 2), stride=(1, 2))
    window = 16 // twice.shape[2]
    return Question(
        "Two poolings of 2 at stride 2, one after the other: how many pixels along an axis can one "
        "output cell have seen?",
        answer=window,
        wrong=[Wrong(2, "That is one pooling. Each cell that the second one sees has seen 2 "
                     "pixels."),
               Wrong(3, "3 would be right if the second pooling moved by single pixels. Its cells "
                     "lie 2 pixels apart.")],
        hint="What has one cell seen after the first pooling?",
        larger_hint="Two cells, each of which saw 2 pixels, without overlap.",
        derivation=f"2 · 2 = {window}. After VGG16's five it would be {2**5}; the convolutions "
                   "between add far more (`receptive-field`).",
        look="notebook 4; notebook 6 derives the receptive field")


@asks("relu-zero")
def _():
    y = reference.relu_forward(np.zeros(1))
    return Question(
        "`x` is exactly 0, `dy` is 1. Which gradient does our ReLU send back?",
        answer=int(reference.relu_backward(np.ones(1), y)[0]),
        wrong=[Wrong(1, "That would be `y >= 0`. At 0 there is no derivative; everybody takes "
                     "0, so that a unit that is off stays off."),
               Wrong(0.5, "That is what a central difference measures there: the mean of the two "
                     "slopes. The code has to choose one side.")],
        hint="ReLU has no derivative there: a convention decides.",
        larger_hint="The code asks `y > 0`.",
        derivation="`dx = dy where y > 0, else 0`. It matters more than it seems: after a padded "
                   "black border, many inputs are exactly 0.",
        look="minifcn/ops/reference/relu.py; notebook 4")


@asks("relu-mask")
def _():
    x = np.array([-2.0, 3, -1, 4])
    dx = plain(reference.relu_backward(np.array([10.0, 20, 30, 40]), reference.relu_forward(x)))
    return Question(
        "`x` is [-2, 3, -1, 4], `dy` is [10, 20, 30, 40]. Which values has ReLU's `dx`?",
        answer=dx,
        wrong=[Wrong([10.0, 20, 30, 40], "Where `x` was negative the output stood at 0 and did not "
                     "move with it: the slope is 0 there."),
               Wrong([0.0, 3, 0, 4], "Those are ReLU's outputs. The gradient is `dy`, masked."),
               Wrong([0.0, 60, 0, 160], "The slope is 1 where `x` is positive, not `x`.")],
        hint="Where was the output free to move?",
        larger_hint="`dy` where `x` is positive, 0 elsewhere.",
        derivation=f"{shown(dx)}: the sign of `x` decides, its size plays no part.",
        look="minifcn/ops/reference/relu.py; notebook 4")


@asks("dropout-scale")
def _():
    y, mask = reference.dropout_forward(np.full(1000, 3.0), rate=0.5, seed=0)
    kept = int(y[mask][0])
    return Question(
        "Dropout of rate 0.5 in training. A value 3 is kept. Which value comes out?",
        answer=kept,
        wrong=[Wrong(3, "Then the sum of a layer would be half as large in training as at "
                     "prediction. What is kept is divided by 1 - rate."),
               Wrong(1.5, "That multiplies by 1 - rate, as the first paper did at prediction. "
                     "Here the scaling happens in training, and upwards.")],
        hint="On average the output should be what it would be without dropout.",
        larger_hint="Half of the values are 0. By what must the others grow?",
        derivation=f"3 / (1 - 0.5) = {kept}. The mean of many such values is 3 again, and at "
                   "prediction nothing is to do.",
        look="minifcn/ops/reference/dropout.py; notebook 4")


@asks("dropout-channels", exposes=[24])
def _():
    shape, rate = (1, 16, 16, 4096), 0.5
    mask = dropout_mask(shape, rate, seed=0)
    dropped = int((~mask.any(axis=(0, 1, 2))).sum())
    return Question(
        f"In an FCN the output of fc6 for a large image is {shape}. Dropout of rate 0.5 follows. "
        "How many of the 4096 channels are dropped everywhere?",
        answer=dropped,
        wrong=[Wrong(round(shape[-1] * rate), "That is dropout of whole channels, which some ports "
                     "of FCN use. The paper drops single values: each place draws anew.")],
        hint="Is there one coin for each channel, or one for each value?",
        larger_hint="A channel has 16 · 16 values, each with a coin of its own.",
        derivation=f"All 256 coins of a channel would have to fall on the same side: 0.5**256. "
                   f"Counted in the mask: {dropped} channels.",
        look="why/dropout-elements; minifcn/ops/reference/dropout.py; notebook 4")

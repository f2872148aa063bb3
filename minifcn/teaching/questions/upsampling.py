"""Questions about transposed convolution and bilinear upsampling."""
import numpy as np

from minifcn.layers import BilinearUpsample, ConvTranspose2d
from minifcn.ops import reference
from minifcn.ops.checks import bilinear_kernel, conv2d_size, conv_transpose2d_size
from minifcn.teaching.questions.asking import YES_OR_NO, Question, Wrong, asks, shown
from minifcn.teaching.questions.convolution import plain, row


@asks("transposed-inverse", exposes=[1])
def _():
    x, kernel = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1))
    y = reference.conv2d_forward(x, kernel, np.zeros(1))
    back = reference.conv_transpose2d_forward(y, kernel)
    return Question(
        "A 4 x 4 image of ones goes through a convolution with a 3 x 3 kernel of ones, then "
        "through the transposed convolution with the same kernel. It is 4 x 4 again. What stands "
        "in its top left corner?",
        answer=int(back[0, 0, 0, 0]),
        wrong=[Wrong(1, "A transposed convolution does not undo the convolution. It brings back "
                     "the size, not the values: it is the convolution's gradient, its transpose as "
                     "a matrix, not its inverse."),
               Wrong(int(back[0, 1, 1, 0]), "That is the middle, where all four stamps lie.")],
        hint="What does the convolution make of the ones? Then stamp.",
        larger_hint=f"It makes 2 x 2 cells of {y[0, 0, 0, 0]:g}. How many stamps reach the corner?",
        derivation=f"Each of the 2 x 2 cells holds {y[0, 0, 0, 0]:g}. One stamp reaches the "
                   f"corner: {back[0, 0, 0, 0]:g}; all four reach the middle: "
                   f"{back[0, 1, 1, 0]:g}. The ones do not come back.",
        look="why/transposed-is-not-inverse; minifcn/ops/reference/conv_transpose2d.py; notebook 5")


@asks("transposed-larger", exposes=[2])
def _():
    x, kernel = np.zeros((1, 5, 5, 1)), np.zeros((4, 4, 1, 1))
    y = reference.conv_transpose2d_forward(x, kernel, stride=2, padding=1)
    forward = reference.conv2d_forward(x, kernel, np.zeros(1), stride=2, padding=1)
    return Question(
        "A transposed convolution with kernel 4, stride 2 and padding 1 gets a map of 5 x 5. How "
        "many rows and columns does it return?",
        answer=y.shape[1:3],
        wrong=[Wrong(forward.shape[1:3], "That is the convolution. In pictures of the transposed "
                     "one the small map is the input and the large one the output: it goes the "
                     "other way."),
               Wrong((12, 12), "That is without padding. Here padding cuts a row off each side."),
               Wrong((14, 14), "Padding takes rows away here, it does not add them.")],
        hint="Every input cell stamps a kernel; the stamps lie 2 cells apart.",
        larger_hint="`(h - 1) s + k - 2 p`",
        derivation=f"(5 - 1)·2 + 4 - 2·1 = {y.shape[1]}: twice the size.",
        look="`conv_transpose2d_size` in minifcn/ops/checks.py; notebook 5")


@asks("transposed-padding", exposes=[3])
def _():
    change = conv_transpose2d_size(6, 4, 2, 1) - conv_transpose2d_size(6, 4, 2, 0)
    return Question(
        "In a transposed convolution you raise the padding from 0 to 1. By how many rows does its "
        "output change?",
        answer=change,
        wrong=[Wrong(-change, "Padding does not add zeros to the output here. It is the padding of "
                     "the convolution that this one mirrors: what lies on it is cut off."),
               Wrong(0, "It changes the size: one row at the top and one at the bottom."),
               Wrong(change // 2, "One row at each end.")],
        hint="The padding is that of the convolution which this one mirrors.",
        larger_hint="Stamps that fall on the padding are cut off, at the top and at the bottom.",
        derivation=f"(h - 1) s + k - 2 p: padding 1 changes it by {change}.",
        look="minifcn/ops/reference/conv_transpose2d.py; notebook 5")


@asks("transposed-size", exposes=[4])
def _():
    k, s, p = 3, 2, 1
    small = conv2d_size(8, k, s, p)
    assert conv2d_size(7, k, s, p) == small
    back = conv_transpose2d_size(small, k, s, p)
    return Question(
        f"A convolution with kernel {k}, stride {s}, padding {p} makes {small} rows of 8. The "
        f"transposed convolution with the same numbers gets {small} rows. How many does it "
        "return?",
        answer=back,
        wrong=[Wrong(8, f"Twice the size is no law. 7 rows give {small} as well, and it cannot "
                     "know which it was: kernel, stride and padding decide, and they give the "
                     "smaller of the two."),
               Wrong(9, "That is without padding, which cuts off a row at each end.")],
        hint="Use the formula. Then try 7 rows in the convolution.",
        larger_hint=f"`(h - 1) s + k - 2 p` with h = {small}",
        derivation=f"({small} - 1)·{s} + {k} - 2·{p} = {back}. At stride {s} two sizes lead to the "
                   "same one; going back, kernel, stride and padding decide.",
        look="`conv_transpose2d_size` in minifcn/ops/checks.py; notebook 5")


@asks("transposed-stamp")
def _():
    kernel = np.array([1.0, 2, 1]).reshape(1, 3, 1, 1)
    y = plain(reference.conv_transpose2d_forward(row(1, 10), kernel, stride=(1, 2)))
    return Question(
        "A transposed convolution of the row [1, 10] with the kernel [1, 2, 1], stride 2, no "
        "padding. Which five values come out?",
        answer=y,
        wrong=[Wrong([1.0, 2, 10, 20, 10], "The second stamp did not replace the first where they "
                     "meet: they add."),
               Wrong([1.0, 12, 21, 10, 0], "That is stride 1. The stamps lie two cells apart.")],
        hint="Stamp 1·[1, 2, 1] at cell 0 and 10·[1, 2, 1] at cell 2. Add.",
        larger_hint="They meet in cell 2: 1·1 + 10·1.",
        derivation=f"[1, 2, 1, 0, 0] + [0, 0, 10, 20, 10] = {shown(y)}.",
        look="minifcn/ops/reference/conv_transpose2d.py; notebook 5")


@asks("bilinear-line")
def _():
    line = plain(bilinear_kernel(4)[0] / bilinear_kernel(4)[0].sum() * 2)
    return Question(
        "Upsampling by 2 with a kernel of 4: which four numbers has the bilinear kernel along one "
        "axis?",
        answer=line,
        wrong=[Wrong([0.25] * 4, "That is a mean of neighbours. Interpolation gives the nearer "
                     "cell the larger weight."),
               Wrong([0.5, 1.0, 1.0, 0.5], "No output pixel lies on a cell here: the nearest is a "
                     "quarter of a cell away."),
               Wrong([0.125, 0.375, 0.375, 0.125], "You made it sum to 1. Each output pixel sees "
                     "only every second number of the kernel, and those must sum to 1.")],
        hint="Two output pixels for each cell: how far are they from its centre?",
        larger_hint="A quarter and three quarters of a cell, on either side.",
        derivation=f"1 - distance: {shown(line)}. Those at distance 2 belong to the same output "
                   "pixel: 0.25 + 0.75 = 1.",
        look="why/bilinear-kernel; `bilinear_kernel` in minifcn/ops/checks.py; notebook 5")


@asks("bilinear-sum", exposes=[6])
def _():
    size = 64
    kernel = bilinear_kernel(size)
    return Question(
        f"FCN-32s upsamples with a bilinear kernel of {size} x {size}, stride 32. What do its "
        "numbers sum to?",
        answer=round(float(kernel.sum())),
        wrong=[Wrong(1, "A blurring kernel sums to 1. Here one input cell becomes 32 x 32 pixels, "
                     "and each of them needs weights that sum to 1."),
               Wrong(32, "That is one axis."),
               Wrong(size, "Half of a triangle is cut away on both sides: along an axis the sum is "
                     "32."),
               Wrong(size**2, "That would be ones everywhere.")],
        hint="Let a constant image of ones come through as ones.",
        larger_hint="One cell spreads over 32 x 32 pixels. What must the sum be, for a mean of 1?",
        derivation=f"Each of the 32 x 32 pixels between cells gets weights that sum to 1, so the "
                   f"kernel sums to 32² = {kernel.sum():,.0f}: the factor squared.",
        look="why/bilinear-kernel; `bilinear_kernel` in minifcn/ops/checks.py; notebook 5")


@asks("bilinear-channels", exposes=[5])
def _():
    classes = 21
    layer = ConvTranspose2d("upscore2", classes, 2, 0)
    weight = layer.parameters["weight"]
    return Question(
        f"Learned upsampling of {classes} class scores by 2 has a weight of {weight.shape}. It "
        "starts as bilinear interpolation. How many of its numbers are not zero then?",
        answer=int(np.count_nonzero(weight)),
        wrong=[Wrong(weight.size, "Then every class would leak into every other, and all scores "
                     f"would be their sum. Interpolation keeps the {classes} classes apart: only "
                     "the diagonal is filled."),
               Wrong(16, "That is one class.")],
        hint="The score of a class is interpolated from the scores of which classes?",
        larger_hint="From its own only: pairs (c, c).",
        derivation=f"{classes} pairs on the diagonal · 4 · 4 = {np.count_nonzero(weight)} of "
                   f"{weight.size:,}.",
        look="why/bilinear-kernel; `ConvTranspose2d` in minifcn/layers.py; notebook 5")


@asks("bilinear-corner", exposes=[20])
def _():
    y = reference.bilinear_upsample_forward(np.ones((1, 4, 4, 1)), 2, 4, 1)
    return Question(
        "A map of ones, 4 x 4, is upsampled by 2 with the bilinear transposed convolution (kernel "
        "4, padding 1). What stands in the top left corner?",
        answer=float(y[0, 0, 0, 0]),
        wrong=[Wrong(1.0, "Resizing an image would give 1, since it repeats the border. The "
                     "transposed convolution takes what lies outside as 0: it is the same in the "
                     "interior only."),
               Wrong(float(y[0, 0, 3, 0]), "That is the middle of an edge. In the corner two sides "
                     "are missing."),
               Wrong(0.25, "The near cell counts for more than the far ones.")],
        hint="Along one axis: which cells does the first output pixel see?",
        larger_hint="Its own cell with 0.75, and one outside, which counts as 0.",
        derivation=f"0.75 · 0.75 = {y[0, 0, 0, 0]:g}. In the interior it is {y[0, 3, 3, 0]:g}.",
        look="minifcn/ops/reference/bilinear.py; notebook 5")


@asks("bilinear-parameters")
def _():
    layer = BilinearUpsample("upscore2", 2, 0)
    learned = ConvTranspose2d("upscore2", 21, 2, 0).parameters["weight"].size
    count = sum(array.size for array in layer.parameters.values())
    return Question(
        "How many parameters does FCN's frozen upsampling learn, for 21 classes?",
        answer=count,
        wrong=[Wrong(learned, "That is the learned variant, a dense transposed convolution that "
                     "only starts as interpolation. Frozen means: never changed."),
               Wrong(16, "The kernel has 16 numbers, but they are known, not learned.")],
        hint="What does frozen mean?",
        larger_hint="The kernel is computed once, and no gradient is asked for.",
        derivation=f"{count}. The learned variant has {learned:,} at a factor of 2.",
        look="`BilinearUpsample` in minifcn/layers.py; notebook 5")


@asks("checkerboard-count")
def _():
    y = reference.conv_transpose2d_forward(np.ones((1, 6, 6, 1)), np.ones((3, 3, 1, 1)), stride=2)
    interior = y[0, 2:-2, 2:-2, 0]
    ratio = int(interior.max() / interior.min())
    return Question(
        "Stamps of 3 x 3 at stride 2: some output pixels lie under more stamps than others. How "
        "many times as many, the most against the fewest, in the interior?",
        answer=ratio,
        wrong=[Wrong(2, "That is along one axis. Rows and columns multiply."),
               Wrong(1, "Stamps that are 3 wide and 2 apart overlap in one cell of each two."),
               Wrong(9, "With stride 1 all pixels lie under 9. With stride 2, under 1, 2 or 4.")],
        hint="Along one axis first: which cells lie under two stamps?",
        larger_hint="Along one axis the counts are 1, 2, 1, 2, ... In two axes they multiply.",
        derivation=f"Counts {shown(sorted(set(plain(interior))))}: {ratio} to 1. That pattern "
                   "is the checkerboard.",
        look="why/checkerboards; notebook 5")


@asks("checkerboard-divisible", exposes=[9])
def _():
    kernel = np.array([3.0, 1, 1, 1]).reshape(1, 4, 1, 1)
    y = reference.conv_transpose2d_forward(row(*[1] * 6), kernel, stride=(1, 2))
    interior = y[0, 0, 2:-2, 0]
    step = int(interior.max() - interior.min())
    return Question(
        "Kernel 4, stride 2: every pixel lies under two stamps. The learned kernel is "
        "[3, 1, 1, 1], the input a row of ones. By how much do neighbouring output pixels differ?",
        answer=step,
        wrong=[Wrong(0, "Equal counts of stamps are not enough. Even pixels see the numbers 0 and "
                     "2 of the kernel, odd ones the numbers 1 and 3, and nothing makes those sums "
                     "equal."),
               Wrong(3, "Each pixel sees two numbers of the kernel.")],
        hint="Which numbers of the kernel does an even pixel see? And an odd one?",
        larger_hint="Even: 3 + 1. Odd: 1 + 1.",
        derivation=f"(3 + 1) - (1 + 1) = {step}. A size that the stride divides removes the "
                   "uneven count, not the pattern; the bilinear kernel has equal sums.",
        look="why/checkerboards; notebook 5")


@asks("transposed-gradient")
def _():
    y = reference.conv_transpose2d_forward(np.zeros((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), stride=2)
    dx, _, _ = reference.conv_transpose2d_backward(
        np.ones_like(y), np.zeros((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), stride=2)
    return Question(
        "A transposed convolution, 2 x 2 kernel of ones, stride 2. `dy` is 1 everywhere. What is "
        "`dx` in each cell?",
        answer=int(dx[0, 1, 1, 0]),
        wrong=[Wrong(1, "A cell stamped four pixels, so it answers for four."),
               Wrong(0.25, "Nothing is averaged: the gradient sums over the stamp.")],
        hint="How many output pixels did one cell stamp?",
        larger_hint="Its dx gathers dy from all of them.",
        derivation=f"2 · 2 pixels, weight 1 each: {dx[0, 1, 1, 0]:g}. That gathering is a "
                   "convolution of dy: the two layers are each other's backward pass.",
        look="minifcn/ops/reference/conv_transpose2d.py; notebook 5")


@asks("nearest-is-transposed")
def _():
    x = np.arange(1.0, 5).reshape(1, 2, 2, 1)
    y = reference.conv_transpose2d_forward(x, np.ones((2, 2, 1, 1)), stride=2)
    alike = "yes" if np.array_equal(y, x.repeat(2, axis=1).repeat(2, axis=2)) else "no"
    return Question(
        "Is repeating every cell 2 x 2 times (nearest neighbour) a transposed convolution, too?",
        answer=alike,
        wrong=[Wrong("no", "Stamp a 2 x 2 kernel of ones at stride 2: stamps touch and do not "
                     "overlap, and every cell becomes a block of its own value.")],
        hint="Which kernel would stamp a block of the cell's own value?",
        larger_hint="2 x 2 ones, stride 2.",
        derivation="Kernel of ones, size and stride 2. Bilinear is the same with a wider kernel "
                   "whose stamps overlap.",
        look="notebook 5", words=YES_OR_NO)

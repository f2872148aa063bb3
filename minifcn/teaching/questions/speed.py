"""Questions about what makes a convolution fast."""
import numpy as np

from minifcn.ops.checks import conv2d_size
from minifcn.teaching.questions.asking import Question, Wrong, asks


@asks("im2col-memory")
def _():
    x = (1, 500, 500, 64)
    rows = conv2d_size(x[1], 3, 1, 1) * conv2d_size(x[2], 3, 1, 1)
    megabytes = round(rows * 9 * x[3] * 4 / 1e6)
    return Question(
        f"`im2col` for a 3 x 3 convolution (padding 1) on float32 {x}: how many megabytes does the "
        "matrix of all windows take?",
        answer=megabytes,
        wrong=[Wrong(round(np.prod(x) * 4 / 1e6), "That is x itself. Each pixel lies in nine "
                     "windows and is copied as often."),
               Wrong(megabytes * 2, "That is float64."),
               Wrong(megabytes // 4, "A float32 has four bytes.")],
        hint="How often is each pixel copied?",
        larger_hint="x has 64 MB, and each pixel lies in nine windows.",
        derivation=f"500 · 500 windows · 9 · 64 numbers · 4 bytes = {megabytes} MB. Fast code "
                   "packs a small part of it at a time, one that fits into the cache.",
        look="docs/fast-engine.md; notebook 10")


@asks("matrix-shape")
def _():
    x, weight = (2, 10, 12, 16), (3, 3, 16, 32)
    oh, ow = conv2d_size(x[1], 3, 1, 0), conv2d_size(x[2], 3, 1, 0)
    matrix = np.zeros((2 * oh * ow, 3 * 3 * 16))
    product = matrix @ np.zeros(weight).reshape(-1, 32)
    assert product.shape == (2 * oh * ow, 32)
    return Question(
        f"A convolution as a matrix product: `x` {x}, `weight` {weight}, no padding. Which shape "
        "has the matrix of windows, (rows, columns)?",
        answer=matrix.shape,
        wrong=[Wrong(matrix.shape[::-1], "That is its transpose. With channels last the windows "
                     "are the rows."),
               Wrong((oh * ow, 144), "There are two images."),
               Wrong((2 * oh * ow, 9), "A window has 16 channels."),
               Wrong((2 * 10 * 12, 144), "Without padding fewer windows fit.")],
        hint="One row for each window, one column for each number in it.",
        larger_hint=f"2 · {oh} · {ow} windows of 3 · 3 · 16 numbers.",
        derivation=f"{matrix.shape}; times the weight as (144, 32) it gives y as "
                   f"{product.shape}.",
        look="minifcn/ops/fast/gemm.py; notebook 10")


@asks("winograd")
def _():
    m, r = 2, 3
    direct, fast = (m * r) ** 2, (m + r - 1) ** 2
    return Question(
        "Winograd's F(2x2, 3x3) makes 2 x 2 outputs of a 3 x 3 kernel with one multiplication for "
        "each cell of a 4 x 4 tile. How many times fewer multiplications is that than directly?",
        answer=direct / fast,
        wrong=[Wrong(1.5, "That is along one axis. Rows and columns multiply."),
               Wrong(9.0, "A tile costs 16 multiplications, for four outputs."),
               Wrong(4.0, "That is F(4x4, 3x3): 144 against 36.")],
        hint="Directly: four outputs, nine multiplications each.",
        larger_hint=f"{direct} against {fast}.",
        derivation=f"{direct} / {fast} = {direct / fast:g}. The transforms cost additions, which "
                   "are shared among all channels and filters.",
        look="minifcn/ops/fast/transforms.py; notebook 10")


@asks("weights-reused")
def _():
    cells = 16 * 16
    per_weight = cells
    return Question(
        "fc6 as a convolution on an image with 16 x 16 scores. In how many multiplications is each "
        "of its 102,760,448 weights used, once it has been fetched from memory?",
        answer=per_weight,
        wrong=[Wrong(1, "That is the classifier, with a single score: there fc6 is limited by "
                     "memory. On a large image each weight works at every place."),
               Wrong(49, "The kernel has 49 places, each with weights of its own."),
               Wrong(16, "16 rows and 16 columns.")],
        hint="A weight is used once at every place where the kernel lies.",
        larger_hint="16 · 16 places.",
        derivation=f"16 · 16 = {per_weight}. So the same layer that waits for memory in a "
                   "classifier is busy computing in an FCN.",
        look="docs/fast-engine.md; notebook 10")

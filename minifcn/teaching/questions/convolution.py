"""Questions about convolution, forward and backward."""
import numpy as np

from minifcn.ops import reference
from minifcn.ops.checks import conv2d_size
from minifcn.teaching.questions.asking import YES_OR_NO, Question, Wrong, asks, shown


def row(*values):
    """One image of one row and one channel: (1, 1, w, 1)."""
    return np.array(values, float).reshape(1, 1, -1, 1)


def plain(array):
    """The numbers of an array, in reading order, as a list."""
    return [float(value) for value in np.asarray(array).ravel()]


@asks("conv-size")
def _():
    x, weight = np.zeros((1, 6, 7, 3)), np.zeros((3, 3, 3, 8))
    y = reference.conv2d_forward(x, weight, np.zeros(8), stride=2, padding=1)
    without = reference.conv2d_forward(x, weight, np.zeros(8), stride=2)
    n, oh, ow, f = y.shape
    return Question(
        f"`x` has the shape {x.shape}, `weight` {weight.shape}. With stride 2 and padding 1, what "
        "is the shape of `y`?",
        answer=y.shape,
        wrong=[Wrong((n, f, oh, ow), "That order, channels before rows, is another framework's. "
                     "Here arrays are n, h, w, c: image, row, column, channel."),
               Wrong(without.shape, "That is the size without padding. Padding 1 adds a row of "
                     "zeros above and one below, a column left and right."),
               Wrong((n, oh, ow, f * 3), "A filter does not answer for each input channel. It "
                     "multiplies all of them and sums: one number for each window and filter."),
               Wrong((n, 6, 7, f), "Padding 1 keeps the size only at stride 1. At stride 2 every "
                     "second window is left out.")],
        hint="Along one axis: at how many places does the window fit?",
        larger_hint="`(h + 2 p - k) // s + 1` windows along an axis, one output channel for each "
                    "filter.",
        derivation=f"Rows: (6 + 2·1 - 3) // 2 + 1 = {oh}. Columns: (7 + 2·1 - 3) // 2 + 1 = {ow}. "
                   f"The last axis of the weight is the number of filters, {f}.",
        look="minifcn/ops/reference/conv2d.py; notebook 1")


@asks("conv-one-pixel")
def _():
    weight = np.ones((3, 3, 3, 8))
    products = weight[..., 0].size
    return Question(
        f"`weight` has the shape {weight.shape}. How many multiplications make one output pixel "
        "of one filter?",
        answer=products,
        wrong=[Wrong(9, "A window is not flat: it is 3 rows, 3 columns and all input channels "
                     "deep."),
               Wrong(weight.size, "That is for all filters. One filter has a share of the weight, "
                     "`weight[:, :, :, f]`."),
               Wrong(3, "That is one position of the window. There are 3 x 3 of them.")],
        hint="One filter is `weight[:, :, :, f]`.",
        larger_hint="Each of its numbers is used once for an output pixel.",
        derivation=f"3 rows · 3 columns · 3 channels = {products} products, summed, and the bias "
                   "on top.",
        look="minifcn/ops/reference/conv2d.py; notebook 1")


@asks("conv-weights")
def _():
    c_in, c_out = 64, 128
    weight = np.zeros((3, 3, c_in, c_out))
    return Question(
        f"How many weights has a 3 x 3 convolution from {c_in} to {c_out} channels? (No bias.)",
        answer=weight.size,
        wrong=[Wrong(9 * c_in, "That is one filter."),
               Wrong(9 * c_out, "A filter is not flat: each has its own 3 x 3 weights for every "
                     "input channel."),
               Wrong(9 * (c_in + c_out), "Every filter looks at every input channel, so the two "
                     "numbers multiply."),
               Wrong(weight.size + c_out, "That is with the biases.")],
        hint="One filter spans all input channels.",
        larger_hint="`kh · kw · c_in` for one filter, times the number of filters.",
        derivation=f"3 · 3 · {c_in} · {c_out} = {weight.size:,}. The size of the image plays no "
                   "part: the same weights serve at every place.",
        look="minifcn/ops/reference/conv2d.py; notebook 1")


@asks("conv-order", exposes=[19])
def _():
    x, kernel = row(1, 2, 4, 8), np.array([1.0, 0, -1]).reshape(1, 3, 1, 1)
    y = plain(reference.conv2d_forward(x, kernel, np.zeros(1)))
    flipped = plain(reference.conv2d_forward(x, kernel[:, ::-1], np.zeros(1)))
    return Question(
        "The row is [1, 2, 4, 8], the kernel [1, 0, -1]; no padding, stride 1, bias 0. Which "
        "values does `y` have?",
        answer=y,
        wrong=[Wrong(flipped, "You flipped the kernel, as mathematics does. Networks compute a "
                     "correlation: the kernel lies on the window as it is written. Nothing is lost "
                     "by that, since the weights are learned.")],
        hint="Lay the kernel on the row, multiply, sum; then shift it by one.",
        larger_hint="The first value is 1·1 + 0·2 + (-1)·4.",
        derivation=f"1·1 + 0·2 - 1·4 = {y[0]:g} and 1·2 + 0·4 - 1·8 = {y[1]:g}.",
        look="minifcn/ops/reference/conv2d.py, first line; notebook 1")


@asks("conv-corner")
def _():
    x = np.ones((1, 5, 5, 1))
    y = reference.conv2d_forward(x, np.ones((3, 3, 1, 1)), np.zeros(1), padding=1)
    return Question(
        "A 5 x 5 image of ones, a 3 x 3 kernel of ones, padding 1, bias 0. What is `y` in the top "
        "left corner?",
        answer=int(y[0, 0, 0, 0]),
        wrong=[Wrong(int(y[0, 2, 2, 0]), "That is the inside of the image. In the corner a part "
                     "of the window lies on the padding, which is zero."),
               Wrong(int(y[0, 0, 2, 0]), "That is the middle of an edge, where 3 of 9 cells lie "
                     "outside. In the corner 5 do.")],
        hint="Padding is zeros. How many cells of the window lie on the image?",
        larger_hint="The window begins at row -1 and column -1.",
        derivation="Rows -1, 0, 1 and columns -1, 0, 1: of these 2 x 2 cells lie on the image, so "
                   f"the sum is {y[0, 0, 0, 0]:g}. Networks can tell the border by such values.",
        look="minifcn/ops/reference/conv2d.py; notebook 1")


@asks("conv-rest")
def _():
    width, k, s = 8, 3, 2
    y = reference.conv2d_forward(np.zeros((1, 3, width, 1)), np.zeros((k, k, 1, 1)), np.zeros(1),
                                 stride=s)
    dx, _, _ = reference.conv2d_backward(np.ones_like(y), np.ones((1, 3, width, 1)),
                                         np.ones((k, k, 1, 1)), stride=s)
    unread = int((dx[0, 0, :, 0] == 0).sum())
    return Question(
        f"A row of {width} pixels, kernel {k}, stride {s}, no padding. How many pixels does no "
        "window ever read?",
        answer=unread,
        wrong=[Wrong(0, "The last window would need a ninth pixel. It does not fit, so it is left "
                     "out, and what only it would have read stays unread."),
               Wrong(width - y.shape[2], "Fewer outputs than inputs does not mean unread inputs: "
                     "one window reads three pixels.")],
        hint="Where do the windows start? Where does the last one end?",
        larger_hint="Windows start at 0, 2, 4. The next would be at 6 and end at 8.",
        derivation=f"{y.shape[2]} windows: 0-2, 2-4, 4-6. Pixel 7 is read by none: {unread}. Its "
                   "gradient is 0, too.",
        look="`conv2d_size` in minifcn/ops/checks.py; notebook 1")


@asks("conv-same")
def _():
    k = 7
    padding = next(p for p in range(k) if conv2d_size(20, k, 1, p) == 20)
    return Question(
        f"Which padding lets a {k} x {k} kernel at stride 1 keep the size of the image?",
        answer=padding,
        wrong=[Wrong(1, "That is for a 3 x 3 kernel. A larger window loses more at the border."),
               Wrong(k - 1, "That much is added to an axis in all, half of it on each side."),
               Wrong(k // 2 + 1, "The window has a centre, which needs no padding: (k - 1) / 2.")],
        hint="Without padding, how many windows fit along an axis of 20?",
        larger_hint=f"{conv2d_size(20, k, 1, 0)} windows fit without padding: the rest comes from "
                    "two sides.",
        derivation=f"h + 2p - k + 1 = h gives p = (k - 1) / 2 = {padding}.",
        look="`conv2d_size` in minifcn/ops/checks.py; notebook 1")


@asks("conv-macs")
def _():
    side, weight = 224, np.zeros((3, 3, 3, 64))
    macs = conv2d_size(side, 3, 1, 1) ** 2 * weight.size
    return Question(
        f"VGG16's first convolution: {side} x {side} pixels, 3 x 3, from 3 to 64 channels, padding "
        "1. How many multiplications are that for one image?",
        answer=macs,
        wrong=[Wrong(weight.size, "That is the number of weights. Each is used at every output "
                     "pixel."),
               Wrong(side**2 * 9 * 64, "The window is three channels deep."),
               Wrong(side**2 * 27, "That is one filter of 64.")],
        hint="Every output value costs one multiplication for each number in its window.",
        larger_hint="Outputs: 224 · 224 · 64. Numbers in a window: 3 · 3 · 3.",
        derivation=f"224 · 224 · 64 · 27 = {macs:,}. Loops in plain Python manage about a "
                   "million a second: a minute and a half, for the first of sixteen layers.",
        look="minifcn/models/summary.py; notebook 1")


@asks("dx-corner")
def _():
    x, weight = np.zeros((1, 5, 5, 1)), np.ones((3, 3, 1, 1))
    y = reference.conv2d_forward(x, weight, np.zeros(1))
    dx, _, _ = reference.conv2d_backward(np.ones_like(y), x, weight)
    return Question(
        "A 5 x 5 image, a 3 x 3 kernel of ones, stride 1, no padding. `dy` is 1 everywhere. What "
        "is `dx` in the top left corner?",
        answer=int(dx[0, 0, 0, 0]),
        wrong=[Wrong(int(dx[0, 2, 2, 0]), "That is the centre, which lies in 9 windows. The "
                     "corner lies in fewer."),
               Wrong(0, "The corner is read by the first window, so it matters to one output.")],
        hint="In how many windows does this pixel lie?",
        larger_hint="Only the first window reaches the corner.",
        derivation=f"One window reads the corner, with the weight 1: dx = {dx[0, 0, 0, 0]:g}. The "
                   f"centre lies in 9 windows: {dx[0, 2, 2, 0]:g}.",
        look="minifcn/ops/reference/conv2d.py, dx; notebook 2")


@asks("dx-stride", exposes=[18])
def _():
    x, weight = np.zeros((1, 1, 7, 1)), np.ones((1, 3, 1, 1))
    dx, _, _ = reference.conv2d_backward(row(1, 1, 1), x, weight, stride=2)
    dx = plain(dx)
    return Question(
        "A row of 7 pixels, kernel [1, 1, 1], stride 2: three outputs. `dy` is [1, 1, 1]. Which "
        "seven values does `dx` have?",
        answer=dx,
        wrong=[Wrong([1.0] * 7, "Where two windows overlap, the later one did not replace what the "
                     "earlier one sent: the pixel matters twice, and gradients add up."),
               Wrong([1.0, 0, 1, 0, 1, 0, 0], "A gradient goes back to the whole window, not only "
                     "to where it starts.")],
        hint="Which pixels lie in two windows?",
        larger_hint="Windows are 0-2, 2-4 and 4-6. Each adds 1 to its three pixels.",
        derivation=f"0-2, 2-4, 4-6 add up to {shown(dx)}. In code it is `dx[...] += `, never `=`.",
        look="why/col2im-adds; minifcn/ops/reference/conv2d.py, `_backward`; notebook 2")


@asks("col2im", exposes=[18])
def _():
    ones = np.ones((1, 4, 4, 1))
    weight = np.eye(9).reshape(3, 3, 1, 9)          # im2col: each output channel copies one cell
    columns = reference.conv2d_forward(ones, weight, np.zeros(9))
    back, _, _ = reference.conv2d_backward(columns, ones, weight)
    return Question(
        "`im2col` copies every 3 x 3 window of a 4 x 4 image of ones into a row; `col2im` is its "
        "backward pass. What does `col2im(im2col(x))` hold at row 1, column 1?",
        answer=int(back[0, 1, 1, 0]),
        wrong=[Wrong(1, "That is what an inverse would give, or a col2im that assigns. It adds: "
                     "each pixel gets back as many copies as windows read it."),
               Wrong(9, "In the middle of a large image a pixel lies in 9 windows. This image "
                     "has only 2 x 2 windows.")],
        hint="How many windows has a 4 x 4 image? In how many of them does this pixel lie?",
        larger_hint="Four windows, and all of them hold the four middle pixels.",
        derivation=f"Pixel (1, 1) lies in all 4 windows, each brings back a 1: "
                   f"{back[0, 1, 1, 0]:g}. The corner, in one window, gets {back[0, 0, 0, 0]:g}.",
        look="why/col2im-adds; minifcn/ops/reference/conv2d.py, `_backward`; notebook 2")


@asks("dx-flip", exposes=[19])
def _():
    weight = np.array([1.0, 2, 3]).reshape(1, 3, 1, 1)
    dx, _, _ = reference.conv2d_backward(row(0, 0, 1, 0, 0), np.zeros((1, 1, 5, 1)), weight,
                                         padding=(0, 1))
    dx = plain(dx)
    return Question(
        "A row of 5 pixels, kernel [1, 2, 3], padding 1. `dy` is 1 at the middle output and 0 "
        "elsewhere. Which values does `dx` have?",
        answer=dx,
        wrong=[Wrong(dx[::-1], "You flipped the kernel. Walk it: the middle output multiplied the "
                     "pixel to its left by 1. So that pixel gets 1 back. A flip appears only when "
                     "one asks from the pixel's side, which outputs it went to."),
               Wrong([0.0, 0, 2, 0, 0], "The output is made from three pixels, so three get a "
                     "gradient.")],
        hint="With which weight did each pixel enter the middle output?",
        larger_hint="The window of the middle output is pixels 1, 2, 3, with the weights 1, 2, 3.",
        derivation=f"y[2] = 1·x[1] + 2·x[2] + 3·x[3], so dx = {shown(dx)}. Scattered from the "
                   "output, the kernel lies as ever. Gathered at the pixel, ki = a - i counts down "
                   "as i counts up: that is all there is to the flip.",
        look="minifcn/ops/reference/conv2d.py, dx; notebook 2")


@asks("dweight-shape")
def _():
    x, weight = np.zeros((2, 10, 12, 3)), np.zeros((3, 3, 3, 16))
    y = reference.conv2d_forward(x, weight, np.zeros(16))
    _, dweight, _ = reference.conv2d_backward(y, x, weight)
    return Question(
        f"`x` has the shape {x.shape}, `dy` {y.shape}; the kernel is 3 x 3. Which shape has "
        "`dweight`?",
        answer=dweight.shape,
        wrong=[Wrong((2, *dweight.shape), "All images used the same weights, so their gradients "
                     "are summed: no axis for the images stays."),
               Wrong((3, 3, 16, 3), "In this order are the weights of the convolution that runs "
                     "backwards. `dweight` is shaped like `weight`: kh, kw, c_in, c_out."),
               Wrong(y.shape, "That is `dy`. Every gradient is shaped like what it belongs to.")],
        hint="A gradient is shaped like the array that it belongs to.",
        larger_hint="`weight` is (kh, kw, c_in, c_out).",
        derivation=f"(kh, kw, c_in, c_out) = {dweight.shape}: one number for each weight, summed "
                   "over images and places.",
        look="minifcn/ops/reference/conv2d.py, dweight; notebook 2")


@asks("dbias")
def _():
    dy = np.ones((2, 4, 5, 8))
    x, weight = np.zeros((2, 4, 5, 1)), np.zeros((1, 1, 1, 8))
    _, _, dbias = reference.conv2d_backward(dy, x, weight)
    return Question(
        f"`dy` has the shape {dy.shape} and is 1 everywhere. What is `dbias[0]`?",
        answer=int(dbias[0]),
        wrong=[Wrong(20, "That is one image. The bias was added in both."),
               Wrong(1, "The bias enters every output pixel of its channel, not one."),
               Wrong(dy.size, "That sums over the channels, too. Each channel has a bias of "
                     "its own.")],
        hint="How many outputs is `bias[0]` added to?",
        larger_hint="To every pixel of channel 0, in every image.",
        derivation=f"2 images · 4 rows · 5 columns = {dbias[0]:g}: `dy.sum(axis=(0, 1, 2))`.",
        look="minifcn/ops/reference/conv2d.py, dbias; notebook 2")


@asks("dx-weight-layout")
def _():
    weight = np.zeros((3, 3, 3, 8))
    x = np.zeros((1, 9, 9, 3))
    y = reference.conv2d_forward(x, weight, np.zeros(8), stride=2)
    swapped = np.ascontiguousarray(weight.transpose(0, 1, 3, 2))
    back = reference.conv_transpose2d_forward(y, swapped, stride=2)
    assert back.shape == x.shape
    return Question(
        f"A convolution with `weight` {weight.shape} maps 3 channels to 8. Its `dx` is a "
        "transposed convolution of `dy`. Which shape has the weight of that one?",
        answer=swapped.shape,
        wrong=[Wrong(weight.shape, "Backwards 8 channels come in and 3 go out. A weight is always "
                     "(kh, kw, c_in, c_out), so the two channel axes change places."),
               Wrong((8, 3, 3, 3), "That order, outputs first, is another framework's. Here a "
                     "weight is (kh, kw, c_in, c_out).")],
        hint="How many channels has `dy`, how many has `dx`?",
        larger_hint="Input channels 8, output channels 3; rows and columns first.",
        derivation=f"`weight.transpose(0, 1, 3, 2)` has the shape {swapped.shape}: the same "
                   "numbers, with the channel axes exchanged, and not flipped.",
        look="minifcn/ops/reference/conv_transpose2d.py; notebook 2")


@asks("conv-padding-gradient")
def _():
    x = np.ones((1, 4, 4, 1))
    weight = np.ones((3, 3, 1, 1))
    y = reference.conv2d_forward(x, weight, np.zeros(1), padding=1)
    _, dweight, _ = reference.conv2d_backward(np.ones_like(y), x, weight, padding=1)
    return Question(
        "A 4 x 4 image of ones, 3 x 3 kernel, padding 1, `dy` 1 everywhere. What is the gradient "
        "of the kernel's top left weight, `dweight[0, 0, 0, 0]`?",
        answer=int(dweight[0, 0, 0, 0]),
        wrong=[Wrong(int(dweight[1, 1, 0, 0]), "That is the middle weight, which meets a pixel "
                     "in all 16 windows. The top left weight lies on zeros in some of them."),
               Wrong(1, "The weight is used in every window, and the gradients of all uses add "
                     "up.")],
        hint="In how many of the 16 windows does this weight lie on the image?",
        larger_hint="In the first row and in the first column of windows it lies on the padding.",
        derivation=f"16 windows; 7 of them, in the first row or column, put it on a zero: "
                   f"{dweight[0, 0, 0, 0]:g} are left.",
        look="minifcn/ops/reference/conv2d.py, dweight; notebook 2")


@asks("conv-relu-order")
def _():
    x, kernel = row(3, 1, 2), np.array([1.0, -2]).reshape(1, 2, 1, 1)
    first = reference.relu_forward(reference.conv2d_forward(x, kernel, np.zeros(1)))
    second = reference.conv2d_forward(reference.relu_forward(x), kernel, np.zeros(1))
    alike = "yes" if np.array_equal(first, second) else "no"
    return Question(
        "A row [3, 1, 2] and a kernel [1, -2]. Is ReLU after the convolution the same as ReLU "
        "before it?",
        answer=alike,
        wrong=[Wrong("yes", f"ReLU before changes nothing here, since the row is positive, and the "
                     f"convolution still gives {shown(plain(second))}. ReLU after makes it "
                     f"{shown(plain(first))}. Only sums commute with convolutions.")],
        hint="Compute both; it is two products each.",
        larger_hint="3·1 - 2·1 = 1 and 1·1 - 2·2 = -3.",
        derivation=f"After: {shown(plain(first))}. Before: {shown(plain(second))}. A "
                   "convolution is linear, ReLU is not. Without it between them, two "
                   "convolutions would be one.",
        look="minifcn/ops/reference/relu.py; notebook 4", words=YES_OR_NO)

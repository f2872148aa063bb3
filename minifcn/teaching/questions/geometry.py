"""Questions about the way of an image through an FCN: sizes, offsets, crops, receptive field."""
import numpy as np

from minifcn.models.fcn import AT_ONCE_SCALES, FCN, POOL_CHANNELS
from minifcn.models.geometry import Geometry, plan
from minifcn.models.vgg import FC6_SIZE, STAGES
from minifcn.ops import reference
from minifcn.teaching.questions.asking import YES_OR_NO, Question, Wrong, asks

CHANNELS = STAGES[-1][0]        # of pool5
FC = 4096


def _crop(stride, name):
    way = plan(500, stride, "caffe")
    return way.output.offset, way.after(name).size


def _reach(steps, until, naive=False):
    """Receptive field of a cell after the layer ``until``: pixels along one axis."""
    field, jump = 1, 1
    for step in steps[1:]:
        if naive and step.name.startswith("pool"):
            field *= 2
        else:
            field += (step.kernel - 1) * (1 if naive else jump)
        jump *= step.stride
        if step.name == until:
            return field
    raise ValueError(f"there is no layer {until}")


@asks("crop-32s", exposes=[10])
def _():
    rows = 492
    way = plan(rows, 32, "caffe")
    offset, size = way.output.offset, way.after("upscore").size
    return Question(
        f"FCN-32s in Caffe geometry makes {size} x {size} scores of a {rows} x {rows} image. How "
        "many rows are cut off at the top?",
        answer=offset,
        wrong=[Wrong((size - rows) // 2, f"{(size - rows) // 2} is what a centred crop would give. "
                     "The offset does not depend on the size of the image: it is where the first "
                     "pixel lies among the scores, and the rest is cut off at the bottom."),
               Wrong(size - rows, "That many are cut off in all, at the top and at the bottom."),
               Wrong(0, "The first score row lies above the image, over the padding of 100."),
               Wrong(100, "The padding of 100 is eaten up on the way, most of it by fc6.")],
        hint="Where does the first score row lie, in pixels of the image?",
        larger_hint="Cell 0 of score_fr is centred over pixel "
                    f"{way.after('score_fr').origin:g}; the upsampling kernel of 64 starts 31.5 "
                    "pixels before it.",
        derivation="Convolution and pooling move cell 0 by ((k - 1)/2 - p) steps:\n\n"
                   "    conv1_1, pad 100     1 - 100      = -99\n"
                   "    the other 3x3        1 - 1        =   0\n"
                   "    pool1 to pool5       0.5 (1 + 2 + 4 + 8 + 16) = 15.5\n"
                   "    fc6, 7x7, pad 0      3 · 32       =  96\n"
                   "    upscore, 64          -31.5        (1 pixel a step)\n"
                   f"    together             {way.after('upscore').origin:g}\n\n"
                   f"Score row 0 lies at {way.after('upscore').origin:g}, so the image begins at "
                   f"row {offset}.",
        look="why/crop-offset; minifcn/models/geometry.py; notebook 7; "
             "`minifcn summary 492 --positions --geometry caffe`")


@asks("crop-16s", exposes=[10])
def _():
    offset, size = _crop(16, "upscore16")
    return Question(
        f"FCN-16s in Caffe geometry makes {size} x {size} scores of a 500 x 500 image. How many "
        "rows are cut off at the top?",
        answer=offset,
        wrong=[Wrong((size - 500) // 2, f"{(size - 500) // 2} is a centred crop. The offset is "
                     "where the image begins, whatever its size."),
               Wrong(_crop(32, "upscore")[0], "That is FCN-32s. The upsampling kernels are other "
                     "ones here.")],
        hint="Follow cell 0 through upscore2 (kernel 4), the fusion, and upscore16 (kernel 32).",
        larger_hint="After the fusion cell 0 lies over pixel "
                    f"{plan(500, 16, 'caffe').after('fuse_pool4').origin:g}; the kernel of 32 "
                    "starts 15.5 pixels before it.",
        derivation=f"{plan(500, 16, 'caffe').after('fuse_pool4').origin:g} - 15.5 = "
                   f"{plan(500, 16, 'caffe').after('upscore16').origin:g}: the image begins at row "
                   f"{offset}.",
        look="why/crop-offset; minifcn/models/geometry.py; notebook 7")


@asks("crop-8s", exposes=[10])
def _():
    offset, size = _crop(8, "upscore8")
    return Question(
        f"FCN-8s in Caffe geometry makes {size} x {size} scores of a 500 x 500 image. How many "
        "rows are cut off at the top?",
        answer=offset,
        wrong=[Wrong((size - 500) // 2, f"{(size - 500) // 2} is a centred crop. The offset is "
                     "where the image begins, whatever its size."),
               Wrong(_crop(32, "upscore")[0], "That is FCN-32s."),
               Wrong(_crop(16, "upscore16")[0], "That is FCN-16s.")],
        hint="Follow cell 0 to fuse_pool3; the last kernel is 16.",
        larger_hint="After the fusion with pool3 cell 0 lies over pixel "
                    f"{plan(500, 8, 'caffe').after('fuse_pool3').origin:g}; the kernel of 16 "
                    "starts 7.5 pixels before it.",
        derivation=f"{plan(500, 8, 'caffe').after('fuse_pool3').origin:g} - 7.5 = "
                   f"{plan(500, 8, 'caffe').after('upscore8').origin:g}: the image begins at row "
                   f"{offset}.",
        look="why/crop-offset; minifcn/models/geometry.py; notebook 7")


def _skip_crop(pool, name):
    way = plan(500, 8, "caffe")
    fusion = way.fusions[pool]
    centred = (way.after(f"score_{pool}").size - fusion.skip.size) // 2
    coarse, fine = way.after(name), way.after(f"score_{pool}")
    return Question(
        f"In Caffe geometry a 500 x 500 image has {fine.size} x {fine.size} scores at {pool} and "
        f"{coarse.size} x {coarse.size} upsampled ones. The {pool} scores are cropped to that "
        "size. How many rows at the top?",
        answer=fusion.skip.offset,
        wrong=[Wrong(0, "The two maps do not begin at the same pixel: the coarse one went through "
                     "fc6, which ate three cells of its border."),
               Wrong(fine.size - coarse.size, "That many in all, at the top and at the bottom.")] +
              ([Wrong(centred, "That is a centred crop. The maps must lie over the same pixels.")]
               if centred != fusion.skip.offset else []),
        hint="Over which pixel lies cell 0 of each map? How far apart are cells?",
        larger_hint=f"Cell 0 lies at {fine.origin:g} and at {coarse.origin:g}; cells are "
                    f"{fine.step:g} pixels apart.",
        derivation=f"({coarse.origin:g} - ({fine.origin:g})) / {fine.step:g} = "
                   f"{fusion.skip.offset} cells.",
        look="why/crop-offset; `overlap` in minifcn/models/geometry.py; notebook 7")


@asks("crop-pool4", exposes=[10])
def _():
    return _skip_crop("pool4", "upscore2")


@asks("crop-pool3", exposes=[10])
def _():
    return _skip_crop("pool3", "upscore_pool4")


@asks("crop-exact")
def _():
    way = plan(500, 32, "exact")
    return Question(
        "In exact geometry (conv1_1 pads 1, fc6 pads 3, the upsampling pads half its factor), at "
        "which row of FCN-32s' output does the image begin?",
        answer=way.output.offset,
        wrong=[Wrong(_crop(32, "upscore")[0], "That is Caffe's geometry, with its padding of "
                     "100."),
               Wrong((way.after("upscore").size - 500) // 2, "That is a centred crop. Here only "
                     "the bottom is cut, where 500 is no multiple of 32.")],
        hint="Here every layer keeps its grid aligned with the image.",
        larger_hint="Pooling moves cell 0 by 15.5 in all; upsampling moves it back by 31.5 - 16.",
        derivation=f"15.5 - 15.5 = 0: row {way.output.offset}. The output has "
                   f"{way.after('upscore').size} rows, of which the first 500 stay.",
        look="minifcn/models/geometry.py; notebook 7")


@asks("crop-centred", exposes=[10])
def _():
    extents = range(301, 501)
    def centred(h):
        way = plan(h, 32, "caffe")
        return way.after("upscore").size - h == 2 * way.output.offset
    right = sum(map(centred, extents))
    return Question(
        f"For how many of the {len(extents)} image sizes from {extents[0]} to {extents[-1]} is a "
        "centred crop right, in FCN-32s with Caffe geometry?",
        answer=right,
        wrong=[Wrong(len(extents), "The output grows in steps of 32, the image by single pixels. A "
                     "centred crop shifts with the rest, the image does not."),
               Wrong(0, "It does happen, where the rest is the same on both sides."),
               Wrong(len(extents) // 2, "Only one size in 32 has the same rest on both sides.")],
        hint="The output is 32·s - 160 rows for s rows after pool5. How does it grow?",
        larger_hint="The offset is 19 for all sizes. Centred means: the output has 38 rows more "
                    "than the image.",
        derivation=f"Output minus image runs through 32 different values; one of them is 38. "
                   f"Counted: {right} sizes.",
        look="why/crop-offset; minifcn/models/geometry.py; notebook 7")


@asks("pad-100", exposes=[21])
def _():
    def offset(p):
        try:
            return plan(500, 32, Geometry(p, 0, False)).output.offset
        except ValueError:
            return -1
    least = next(p for p in range(150) if offset(p) >= 0)
    return Question(
        "Caffe's FCN-32s pads conv1_1 by 100. What is the least padding with which the scores "
        "still cover a 500 x 500 image?",
        answer=least,
        wrong=[Wrong(100, "100 is a round number with room to spare. Any padding from "
                     f"{least} on gives a crop of at least 0."),
               Wrong(99, "The padding must not centre cell 0 at 0. The upsampling kernel reaches "
                     "back, too."),
               Wrong(1, "Then fc6 leaves no scores over the border: it eats three cells of 32 "
                     "pixels on each side.")],
        hint="With padding p the crop is 19 - (100 - p). When is it negative?",
        larger_hint="The crop falls by one for each pixel of padding less.",
        derivation=f"The crop is p - 81, so p = {least} is enough. (One-pixel images need 97, or "
                   "fc6 has no window left.)",
        look="why/pad-100; minifcn/models/geometry.py; notebook 7")


@asks("pad-one-pixel", exposes=[21])
def _():
    def works(p):
        try:
            plan(1, 32, Geometry(p, 0, False))
        except ValueError:
            return False
        return True
    least = next(p for p in range(150) if works(p))
    return Question(
        "And what is the least padding of conv1_1 for an image of a single pixel (fc6 pads 0)?",
        answer=least,
        wrong=[Wrong(81, "With 81 the crop would be 0, but there is no score to crop: fc6 needs "
                     "seven cells after pool5."),
               Wrong(100, "Nearly. 100 has some room to spare even here."),
               Wrong(112, "Seven cells of 32 would be 224 = 2 · 112, but pooling rounds up.")],
        hint="fc6 needs 7 cells after five poolings that round up.",
        larger_hint="7 cells need more than 6 · 32 = 192 rows after conv1_1; it has 1 + 2p - 2.",
        derivation=f"1 + 2p - 2 > 192 gives p >= {least}.",
        look="why/pad-100; minifcn/models/geometry.py; notebook 7")


@asks("receptive-field", exposes=[7, 8])
def _():
    steps = plan(500, 32, "exact").steps
    field = _reach(steps, "fc6")
    upsampling = 64
    return Question(
        "How many pixels along an axis can one score of an FCN (before upsampling) depend on?",
        answer=field,
        wrong=[Wrong(upsampling, "That is the size of the upsampling kernel. It says how far a "
                     "score spreads, not what it has seen."),
               Wrong(_reach(steps, "fc6", naive=True), "You doubled the field at each pooling, "
                     "counting from the image on. From there a layer adds (k - 1) times the "
                     "pixels between its cells. (From the score back, doubling is right.)"),
               Wrong(_reach(steps, "pool5"), "That is a cell of pool5. fc6 sees 7 x 7 of them."),
               Wrong(224, "That is the image that VGG16 was trained on. A score sees more than "
                     "that, the rest being padding then."),
               Wrong(32, "That is the distance from one score to the next.")],
        hint="Each layer adds (k - 1) cells of its input. How many pixels apart are these?",
        larger_hint=f"After pool5 it is {_reach(steps, 'pool5')}, with cells 32 pixels apart. fc6 "
                    "has a 7 x 7 kernel.",
        derivation="Each layer adds (k - 1) times the pixels between its input cells. After it:\n\n"
                   + "\n".join(f"    {name:<6}{_reach(steps, name):>4}" for name in
                               ("pool1", "pool2", "pool3", "pool4", "pool5", "fc6")),
        look="why/receptive-field-404; minifcn/models/geometry.py; notebook 6")


@asks("score-stride")
def _():
    grid = plan(500, 32, "exact").after("score_fr")
    return Question(
        "One score to the next, before upsampling: how many pixels of the image lie between them?",
        answer=int(grid.step),
        wrong=[Wrong(5, "Five poolings. Each doubles the distance."),
               Wrong(10, "Five poolings double five times; they do not add two each."),
               Wrong(7, "fc6's kernel is 7 wide, but it moves by one cell.")],
        hint="Which layers have a stride of 2?",
        larger_hint="Five poolings, each doubles the distance.",
        derivation=f"2**5 = {grid.step:g}. Hence the name FCN-32s.",
        look="minifcn/models/geometry.py; notebook 6")


@asks("cell-position")
def _():
    grid, cell = plan(500, 32, "caffe").after("score_fr"), 3
    place = grid.origin + cell * grid.step
    return Question(
        f"Over which pixel is cell {cell} of FCN-32s' scores centred, in Caffe geometry? (0 is the "
        "centre of the first pixel.)",
        answer=place,
        wrong=[Wrong(float(cell * 32), "Cell 0 is not centred over pixel 0: padding, poolings and "
                     "fc6 each move it a little."),
               Wrong(float(cell * 32 + 16), "That is the middle of a block of 32, as in a plain "
                     "grid of blocks. Here -99 + 15.5 + 96 comes out.")],
        hint="Cell i lies at origin + 32 i. Where is cell 0?",
        larger_hint="-99 from conv1_1, 15.5 from the poolings, 96 from fc6.",
        derivation=f"-99 + 15.5 + 96 = {grid.origin:g}; {grid.origin:g} + {cell}·32 = {place:g}.",
        look="why/crop-offset; minifcn/models/geometry.py; notebook 7")


@asks("fc6-weights")
def _():
    shape = (FC6_SIZE, FC6_SIZE, CHANNELS, FC)
    count = int(np.prod(shape))
    return Question(
        "VGG16's first fully connected layer takes 7 x 7 cells of 512 channels and has 4096 "
        "outputs. How many weights has it?",
        answer=count,
        wrong=[Wrong(CHANNELS * FC, "That is one cell. The layer sees all 49 of them."),
               Wrong(count + FC, "That is with the biases."),
               Wrong(49 * FC, "Each of the 49 cells has 512 channels.")],
        hint="How many numbers go in?",
        larger_hint="7 · 7 · 512 numbers go in, each is joined to each of 4096.",
        derivation=f"7 · 7 · 512 · 4096 = {count:,}: as a fully connected layer and as a 7 x 7 "
                   "convolution, it is the same count, since they are the same numbers.",
        look="why/fc6-is-7x7; minifcn/models/surgery.py; notebook 6")


@asks("fc6-kernel", exposes=[13])
def _():
    shape = (FC6_SIZE, FC6_SIZE, CHANNELS, FC)
    return Question(
        "fc6 becomes a convolution. Which shape has its weight, (kh, kw, c_in, c_out)?",
        answer=shape,
        wrong=[Wrong((1, 1, CHANNELS, FC), "A 1 x 1 kernel sees one cell; fc6 saw 7 x 7. Only fc7 "
                     "and fc8, whose input is a single cell, become 1 x 1."),
               Wrong((1, 1, FC6_SIZE**2 * CHANNELS, FC), "That is the fully connected layer. It "
                     "would need all 25,088 numbers in the channels of one cell."),
               Wrong((FC, CHANNELS, FC6_SIZE, FC6_SIZE), "The right kernel in the order of another "
                     "framework. Here it is (kh, kw, c_in, c_out).")],
        hint="What did the fully connected layer see?",
        larger_hint="All of pool5: 7 x 7 cells, 512 channels.",
        derivation=f"Its 25,088 inputs are 7 x 7 x 512, in this order; so `weight.reshape{shape}` "
                   "is the kernel, and it fits pool5 of a 224 x 224 image in one place.",
        look="why/fc6-is-7x7; minifcn/models/surgery.py; notebook 6")


@asks("fc6-padding", exposes=[13])
def _():
    def whole(pad):         # windows of 7 cells among the 7 of pool5 that hold no padding
        return sum(-pad + i >= 0 and -pad + i + FC6_SIZE <= 7
                   for i in range(7 + 2 * pad - FC6_SIZE + 1)) ** 2
    pad = 3
    return Question(
        f"A 224 x 224 image, fc6 as a convolution with padding {pad}: there are 7 x 7 scores now. "
        "How many of them are the classifier's own?",
        answer=whole(pad),
        wrong=[Wrong(49, "In all windows but one, a part of fc6's kernel lies on zeros, which the "
                     "classifier never saw."),
               Wrong(0, "The window in the middle lies on pool5 and nothing else.")],
        hint="In which window does fc6 see all of pool5, and no padding?",
        larger_hint="Only in the middle one.",
        derivation=f"{whole(pad)}. Any padding gives scores, but they mean something else. Exact "
                   "geometry pads 3 so that scores reach the border, and training gets used to it; "
                   "Caffe's pads the image by 100 instead.",
        look="why/fc6-is-7x7; minifcn/models/surgery.py; notebook 6")


@asks("heatmap-size")
def _():
    h, w = 384, 512
    rows, columns = (plan(e, 32, "exact").after("pool5").size for e in (h, w))
    answer = (rows - FC6_SIZE + 1, columns - FC6_SIZE + 1)
    return Question(
        f"VGG16 as a fully convolutional network (3 x 3 layers pad 1, fc6 pads 0) sees an image of "
        f"{h} x {w}. How many scores has each class: rows, columns?",
        answer=answer,
        wrong=[Wrong((rows, columns), "That is pool5. fc6's window of 7 x 7 fits in fewer places."),
               Wrong((1, 1), "One score is for 224 x 224. On a larger image the window fits in "
                     "more places: that is the point."),
               Wrong((h // 224, w // 224), "The image is not cut into tiles of 224: windows "
                     "overlap and lie 32 pixels apart.")],
        hint="How large is pool5? At how many places does a 7 x 7 window fit?",
        larger_hint=f"pool5 has {rows} x {columns} cells.",
        derivation=f"{rows} - 7 + 1 = {answer[0]}, {columns} - 7 + 1 = {answer[1]}.",
        look="minifcn/models/surgery.py; notebook 6")


@asks("fusion-channels", exposes=[12])
def _():
    classes = 21
    coarse, finer = np.zeros((1, 4, 4, classes)), np.zeros((1, 4, 4, POOL_CHANNELS["pool4"]))
    score = reference.conv2d_forward(finer, np.zeros((1, 1, finer.shape[3], classes)),
                                     np.zeros(classes))
    fused = coarse + score
    return Question(
        f"FCN-16s joins pool4 (512 channels) with the upsampled scores of {classes} classes. How "
        "many channels has what comes out?",
        answer=fused.shape[3],
        wrong=[Wrong(512, "Scores are added, not features: a 1 x 1 convolution makes class scores "
                     "of pool4 first."),
               Wrong(512 + classes, "FCN adds. Appending channels is what U-Net does, later."),
               Wrong(2 * classes, "Scores of the same class are added, not set side by side.")],
        hint="What is added must have the same shape.",
        larger_hint="score_pool4, a 1 x 1 convolution, comes before the sum.",
        derivation=f"512 channels -> score_pool4 -> {fused.shape[3]}, plus the upsampled "
                   f"{coarse.shape[3]}, pixel by pixel and class by class.",
        look="minifcn/models/fcn.py; notebook 7")


@asks("fusion-order", exposes=[12])
def _():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(1, 5, 5, 3)) for _ in range(2))
    weight, bias = rng.normal(size=(1, 1, 3, 2)), np.zeros(2)
    together = reference.conv2d_forward(a + b, weight, bias)
    apart = reference.conv2d_forward(a, weight, bias) + \
        reference.conv2d_forward(b, rng.normal(size=(1, 1, 3, 2)), bias)
    alike = "yes" if np.allclose(together, apart) else "no"
    return Question(
        "Two feature maps of the same shape. (1) Add them, then score the sum. (2) Score each with "
        "weights of its own, then add the scores. Can (1) compute everything that (2) can?",
        answer=alike,
        wrong=[Wrong("yes", "Scoring the sum forces both maps to share one set of weights. Channel "
                     "5 of pool3 and channel 5 of pool4 mean different things, and need weights of "
                     "their own.")],
        hint="How many weights has (1), how many has (2)?",
        larger_hint="(1) gives channel c of both maps the same weight.",
        derivation="w·(a + b) = w·a + w·b: one w for both. (2) is v·a + w·b. So FCN scores first "
                   "and adds then; it also keeps the maps that are upsampled thin.",
        look="minifcn/models/fcn.py; notebook 7", words=YES_OR_NO)


@asks("at-once", exposes=[11])
def _():
    scale = AT_ONCE_SCALES["pool4"]
    rng = np.random.default_rng(0)
    pool, dscore = rng.normal(size=(1, 4, 4, 8)), rng.normal(size=(1, 4, 4, 3))
    def moved(factor):      # by how much a step of gradient descent moves the scores
        weight, x = np.zeros((1, 1, 8, 3)), pool * factor
        _, dweight, _ = reference.conv2d_backward(dscore, x, weight)
        return reference.conv2d_forward(x, -dweight, np.zeros(3))
    ratio = float(np.abs(moved(scale)).sum() / np.abs(moved(1.0)).sum())
    return Question(
        f"FCN-8s at once multiplies pool4 by {scale} before score_pool4, whose weights start at 0. "
        "By which factor does that change how far one step of gradient descent moves these scores?",
        answer=ratio,
        wrong=[Wrong(1.0, "It is not a typing error, nor can the weights make up for it at once: "
                     "they would have to grow a hundredfold, and their gradient is smaller too."),
               Wrong(scale, "The factor counts twice: in the gradient of the weights, and again "
                     "when they are applied.")],
        hint="dweight is made from the scaled pool4. So are the scores.",
        larger_hint="dweight is smaller by 0.01, and it is multiplied by an input smaller by 0.01.",
        derivation=f"0.01 · 0.01 = {ratio:g}: the skip learns that much more slowly, and the "
                   "coarse scores come first, as in staged training. For pool3 it is 1e-8.",
        look="minifcn/models/fcn.py, `at_once`; notebook 9")


@asks("skip-parameters")
def _():
    classes, channels = 21, POOL_CHANNELS["pool4"]
    count = channels * classes + classes
    return Question(
        f"How many parameters does the skip from pool4 add, for {classes} classes (score_pool4, "
        "with its bias)?",
        answer=count,
        wrong=[Wrong(channels * classes, "That is without the biases."),
               Wrong(9 * channels * classes + classes, "A score layer is 1 x 1, not 3 x 3."),
               Wrong(channels**2 + channels, "It makes class scores, not features.")],
        hint="A 1 x 1 convolution from 512 channels to the classes.",
        larger_hint="512 · 21 weights and 21 biases.",
        derivation=f"512 · 21 + 21 = {count:,}: next to 134 million, sharper pictures cost "
                   "nothing.",
        look="`minifcn summary --stride 16`; notebook 7")


@asks("any-size")
def _():
    model = FCN(stride=8, classes=4, width=0.02, fc_channels=4)
    shape = model.forward(np.zeros((1, 5, 1, 3), np.float32)).shape
    return Question(
        "FCN-8s with 4 classes gets a batch of the shape (1, 5, 1, 3): one image of 5 rows and one "
        "column. Which shape has the output?",
        answer=shape,
        wrong=[Wrong((1, 32, 32, 4), "The rest is cropped: every pixel of the image has scores, "
                     "and nothing else has."),
               Wrong((1, 1, 1, 4), "The scores are upsampled to the size of the image."),
               Wrong((1, 5, 1, 3), "Colours go in, scores come out: one channel a class.")],
        hint="What does an FCN promise?",
        larger_hint="Scores for every pixel of the image, whatever its size.",
        derivation=f"{shape}. Padding gives the poolings enough to do, and the crop takes away "
                   "what is not image.",
        look="minifcn/models/geometry.py; notebook 7")

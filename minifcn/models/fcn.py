"""Fully convolutional networks: FCN-32s, 16s and 8s (Long, Shelhamer, Darrell).

          pool3 ------------------ score_pool3 ----.
            |                                      |
          pool4 ---- score_pool4 ----.             |
            |                        v             v
          pool5 - fc6 - fc7 - score_fr - x2 - (+) - x2 - (+) - x8        FCN-8s
                                         x2 - (+) ------------ x16       FCN-16s
                                         --------------------- x32       FCN-32s
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

import numpy as np

from minifcn.layers import BilinearUpsample, Conv2d, ConvTranspose2d, Dropout
from minifcn.models.geometry import GEOMETRIES, UPSAMPLING, Crop, plan
from minifcn.models.network import Network
from minifcn.models.summary import Summary, summarise
from minifcn.models.tiling import batches, predict_scores, softmax
from minifcn.models.vgg import FC6_SIZE, STAGES, Backbone, dropout_seed_of, scaled, scaled_fc
from minifcn.ops.memory import empty

if TYPE_CHECKING:
    from PIL import Image

    from minifcn.teaching.explorer import Explorer

Picture = Union[np.ndarray, str, Path, "Image.Image"]       # whatever shows one image
POOL_CHANNELS = {"pool3": STAGES[2][0], "pool4": STAGES[3][0]}
AT_ONCE_SCALES = {"pool3": 0.0001, "pool4": 0.01}


class Skip(NamedTuple):
    """A finer prediction that is added to the upsampled coarser one."""

    pool: str
    score: Conv2d
    scale: float
    upsample: BilinearUpsample | ConvTranspose2d      # of the coarser scores


class FCN(Network):
    """A fully convolutional network on VGG16.

    Parameters
    ----------
    stride : {8, 16, 32}
        FCN-8s, 16s or 32s.
    classes : int
    geometry : {"exact", "caffe"}
        "exact" pads as little as alignment needs; "caffe" pads 100 pixels and crops, as the
        released weights need.
    width : float
        Scales the channels of VGG16 (rounded, at least 1), for runs of seconds instead of hours.
    fc_channels : int, optional
        Channels of fc6 and fc7; None is 4096 * width, rounded, at least 1.
    upsampling : {"frozen", "learned"}
        Bilinear interpolation, or a transposed convolution that starts as one.
    at_once : bool
        Scale pool4 by 0.01 and pool3 by 0.0001 before their score layers, to train all strides
        together.
    dropout : float
        Rate after fc6 and fc7, in training.
    seed : int or None
        Of the He normal weights and the dropout masks. None leaves all weights zero, for a file to
        fill.
    dtype : {"float32", "float64"}

    References
    ----------
    Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, CVPR 2015,
    section 4; Shelhamer, Long, Darrell, PAMI 2017 (at once).
    """

    def __init__(self, stride: int = 8, classes: int = 21, geometry: str = "exact",
                 width: float = 1.0, fc_channels: int | None = None, upsampling: str = "frozen",
                 at_once: bool = False, dropout: float = 0.5, seed: int | None = 0,
                 dtype="float32"):
        fc_channels = scaled_fc(fc_channels, width)
        config = {"stride": stride, "classes": classes, "geometry": geometry, "width": width,
                  "fc_channels": fc_channels, "upsampling": upsampling, "at_once": at_once,
                  "dropout": dropout, "seed": seed, "dtype": str(np.dtype(dtype))}
        super().__init__(config)
        self.stride, self.geometry = stride, geometry
        self._input_shape = None        # of the forward pass that backward belongs to
        paddings = GEOMETRIES[geometry]
        rng = None if seed is None else np.random.default_rng(seed)

        self.backbone = Backbone(width, paddings.conv1_1, rng, dtype)
        channels = scaled(STAGES[-1][0], width)
        self.fc6 = Conv2d("fc6", (FC6_SIZE, FC6_SIZE, channels, fc_channels), padding=paddings.fc6,
                          relu=True, rng=rng, dtype=dtype)
        self.fc7 = Conv2d("fc7", (1, 1, fc_channels, fc_channels), relu=True, rng=rng, dtype=dtype)
        self.drop6, self.drop7 = Dropout("drop6", dropout), Dropout("drop7", dropout)
        self.score_fr = Conv2d("score_fr", (1, 1, fc_channels, classes), dtype=dtype)

        self.skips: list[Skip] = []
        for name, factor, pool in UPSAMPLING[stride]:
            padding = paddings.upsampling_padding(factor)
            upsample = BilinearUpsample(name, factor, padding) if upsampling == "frozen" else \
                ConvTranspose2d(name, classes, factor, padding, dtype)
            if pool is None:
                self.upsample = upsample
            else:
                channels = scaled(POOL_CHANNELS[pool], width)
                score = Conv2d(f"score_{pool}", (1, 1, channels, classes), dtype=dtype)
                factor = AT_ONCE_SCALES[pool] if at_once else 1.0
                self.skips.append(Skip(pool, score, factor, upsample))

    @classmethod
    def from_vgg16(cls, file: str | Path, partial: bool = False, preprocessing: str | None = None,
                   **options) -> FCN:
        """An FCN on the weights of a VGG16 classifier, ready to train.

        The classifier is convolutionalised, the score layers are zero, and the preprocessing is
        that of the weights.

        Parameters
        ----------
        file : path or str
            A weight file of another project, of any format that ``minifcn convert`` takes; a
            checkpoint of a ``VGG16``; or the name of a file that was fetched, such as
            "vgg16-torchvision".
        partial : bool
            Accept a file without fc6 and fc7: they keep random values, and take long to train.
        preprocessing : str, optional
            What the weights expect, where the file cannot tell; see ``minifcn.weights.convert``.
        **options
            Of the constructor: ``stride``, ``classes``, ``geometry``, ``upsampling``, ``at_once``,
            ``dropout``, ``seed``. The width is that of the weights.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no such file; or it is damaged, no VGG16, or not whole.

        Examples
        --------
        >>> import tempfile
        >>> from minifcn.models import VGG16
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     VGG16(width=1 / 64).save(f"{folder}/vgg16.safetensors")
        ...     model = FCN.from_vgg16(f"{folder}/vgg16.safetensors", stride=32, classes=3)
        >>> model.config["width"], model.parameters["score_fr.weight"].any()
        (0.015625, np.False_)
        """
        from minifcn.weights.transplant import load_vgg16

        vgg, _ = load_vgg16(file, partial, preprocessing)
        for name in ("width", "fc_channels"):
            if options.setdefault(name, vgg.config[name]) != vgg.config[name]:
                raise ValueError(f"{file} has {name} {vgg.config[name]:g}, not {options[name]}; "
                                 f"leave out {name}")
        model = cls(**options)
        model.copy_from(vgg)
        return model

    @property
    def title(self) -> str:
        return f"FCN-{self.stride}s, {self.geometry} geometry"

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import model_html

        return model_html(self)

    @property
    def layers(self):
        skips = [layer for skip in self.skips for layer in (skip.upsample, skip.score)]
        return [*self.backbone.layers, self.fc6, self.drop6, self.fc7, self.drop7, self.score_fr,
                *skips, self.upsample]

    def pool_scales(self):
        return {f"{skip.score.name}.weight": skip.scale for skip in self.skips}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Class scores of every pixel, before the softmax.

        Parameters
        ----------
        x : (n, h, w, 3) array
            Preprocessed images of any size, in the network's dtype.
        training : bool
            Drop at random in fc6 and fc7, and remember what ``backward`` needs.

        Returns
        -------
        scores : (n, h, w, classes) array
        """
        self.check_batch(x)
        rows, columns = (plan(extent, self.stride, self.geometry) for extent in x.shape[1:3])
        pools = self.backbone.forward(x, training)
        y = self.fc6.forward(pools["pool5"], training)
        y = self.drop6.forward(y, training, dropout_seed_of(self.dropout_seed, 6))
        y = self.fc7.forward(y, training)
        y = self.drop7.forward(y, training, dropout_seed_of(self.dropout_seed, 7))
        y = self.score_fr.forward(y, training)
        for skip in self.skips:
            down, across = rows.fusions[skip.pool], columns.fusions[skip.pool]
            y = skip.upsample.forward(y, training)
            finer = skip.score.forward(scale(pools[skip.pool], skip.scale), training)
            y = crop(y, down.upsampled, across.upsampled) + crop(finer, down.skip, across.skip)
        y = self.upsample.forward(y, training)
        self.dropout_seed += training
        self._input_shape = x.shape if training else None
        y = crop(y, rows.output, columns.output)
        scores = empty(y.shape, y.dtype)
        scores[...] = y
        return scores

    def backward(self, dscores: np.ndarray) -> None:
        """Fill ``gradients``, given that of the scores of the last ``forward(training=True)``.

        Parameters
        ----------
        dscores : (n, h, w, classes) array
        """
        if self._input_shape is None:
            raise ValueError("backward needs forward(x, training=True) first, once for each call")
        n, h, w, _ = self._input_shape
        if dscores.shape != (n, h, w, self.classes) or dscores.dtype != self.dtype:
            raise ValueError(f"dscores has shape {dscores.shape} and dtype {dscores.dtype}; "
                             f"the scores had {(n, h, w, self.classes)} and {self.dtype}")
        for layer in self.layers:
            layer.gradients = {}        # the old ones make room for the new
        rows, columns = (plan(extent, self.stride, self.geometry) for extent in (h, w))
        at_output = UPSAMPLING[self.stride][-1][0]
        dy = uncrop(dscores, rows.output, columns.output,
                    rows.after(at_output), columns.after(at_output))
        dy = self.upsample.backward(dy)
        dpools = {}
        for skip in reversed(self.skips):
            down, across = rows.fusions[skip.pool], columns.fusions[skip.pool]
            name = skip.score.name
            dfiner = uncrop(dy, down.skip, across.skip, rows.after(name), columns.after(name))
            dpools[skip.pool] = scale(skip.score.backward(dfiner), skip.scale)
            name = skip.upsample.name
            dy = uncrop(dy, down.upsampled, across.upsampled, rows.after(name), columns.after(name))
            dy = skip.upsample.backward(dy)
        for layer in (self.score_fr, self.drop7, self.fc7, self.drop6, self.fc6):
            dy = layer.backward(dy)
        dpools["pool5"] = dy
        self._input_shape = None
        self.backbone.backward(dpools)

    def predict(self, image: Picture | list[Picture]) -> np.ndarray | list[np.ndarray]:
        """Class of every pixel.

        Parameters
        ----------
        image : (h, w, 3) uint8 array, path or Pillow image, or a list of these
            Large pictures are worked through in overlapping tiles, and small ones of one size that
            follow each other in batches, with the same result.

        Returns
        -------
        mask : (h, w) uint8 array (uint16 beyond 256 classes), or a list of them

        Raises
        ------
        ValueError, OSError
            What is no picture, or cannot be read.

        Examples
        --------
        >>> import minifcn, numpy as np
        >>> model = minifcn.FCN(classes=3, width=1 / 64, fc_channels=2)
        >>> picture = np.zeros((20, 30, 3), np.uint8)
        >>> model.predict(picture).shape
        (20, 30)
        >>> len(model.predict([picture, picture]))
        2
        """
        if isinstance(image, (list, tuple)):
            return [mask for batch in batches(self, map(self._image, image))
                    for mask in self._masks(np.stack(batch))]
        return self._masks(self._image(image))

    def _masks(self, images: np.ndarray) -> np.ndarray:
        """Masks (..., h, w) of images (..., h, w, 3)."""
        masks = np.empty(images.shape[:-1], np.uint8 if self.classes <= 256 else np.uint16)
        for tile, scores in predict_scores(self, images):
            masks[(..., *tile)] = scores.argmax(axis=-1)
        return masks

    def probabilities(self, image: Picture) -> np.ndarray:
        """Softmax of the scores of one picture, as ``predict`` takes them: (h, w, classes)."""
        image = self._image(image)
        result = np.empty((*image.shape[:2], self.classes), self.dtype)
        for tile, scores in predict_scores(self, image):
            result[tile] = softmax(scores)
        return result

    def _image(self, picture: Picture) -> np.ndarray:
        from minifcn.data.images import to_image

        image = to_image(picture)
        self.check_image(image)
        return image

    def summary(self, height: int = 500, width: int = 500) -> Summary:
        """Layers with output shape, parameters, GMAC and memory for one image; ``print`` it."""
        return summarise(self, height, width)

    def explore(self, image: np.ndarray, pixels: Sequence[tuple[int, int]] | None = None,
                channels: int = 8, layers: Sequence[str] | None = None) -> Explorer:
        """A page that shows every map of the network for one picture, number by number.

        Parameters
        ----------
        image : (h, w, 3) uint8 array
            At most 362 x 362 pixels, in Caffe geometry 164 x 164.
        pixels : sequence of (row, column), optional
            The page shows the gradients of their winning scores. 16 of them, if not given, spread
            over the picture; the fewer, the smaller the page.
        channels : int
            Maps of a layer, and of its gradient, where there is no room for all: those that vary
            the most over the picture, and those of the most gradient.
        layers : sequence of str, optional
            Whose maps the page holds; all if not given. For a smaller page, such as in a notebook.

        Returns
        -------
        page : Explorer
            Shows itself in a notebook; ``page.save("explorer.html")`` writes one file.

        Raises
        ------
        ValueError
            If the picture is too large, a pixel lies outside, or there is no such layer.

        Examples
        --------
        >>> page = FCN(width=1 / 32, fc_channels=4).explore(np.zeros((32, 40, 3), np.uint8))
        >>> page.maps["pool3"].shape
        (4, 5, 8)
        """
        from minifcn.teaching.explorer import Explorer
        return Explorer(self, image, pixels, channels, layers)


def scale(x: np.ndarray, factor: float) -> np.ndarray:
    return x if factor == 1 else x * x.dtype.type(factor)


def crop(x: np.ndarray, rows: Crop, columns: Crop) -> np.ndarray:
    return x[:, rows.cells, columns.cells]


def uncrop(dy: np.ndarray, rows: Crop, columns: Crop, all_rows, all_columns) -> np.ndarray:
    """The backward pass of ``crop``: cells that were cut off had no influence, gradient 0."""
    if (rows.size, columns.size) == (all_rows.size, all_columns.size):
        return dy
    dx = np.zeros((len(dy), all_rows.size, all_columns.size, dy.shape[3]), dy.dtype)
    crop(dx, rows, columns)[...] = dy
    return dx

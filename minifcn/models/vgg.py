"""VGG16 (Simonyan and Zisserman 2015, configuration D): backbone of FCN, ImageNet classifier."""
from __future__ import annotations

import numpy as np

from minifcn.layers import Conv2d, Dropout, Layer, Linear, MaxPool2d
from minifcn.models.network import Network

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))      # channels, 3x3 convolutions
FC_CHANNELS = 4096
FC6_SIZE = 7                                                    # cells of pool5 for 224 pixels


def scaled(channels: int, width: float) -> int:
    """A number of channels at another width of the network: rounded, at least 1."""
    return max(1, round(channels * width))


def scaled_fc(fc_channels: int | None, width: float) -> int:
    """Channels of fc6 and fc7: what is given, or 4096 scaled like all others."""
    if fc_channels is not None or not 0 < width < 100:      # such a width is refused later
        return 1 if fc_channels is None else fc_channels
    return scaled(FC_CHANNELS, width)


class Backbone:
    """The convolutions and poolings of VGG16, conv1_1 to pool5.

    Parameters
    ----------
    width : float
        Factor of all numbers of channels.
    padding : int
        Padding of conv1_1; all other convolutions pad 1.
    """

    def __init__(self, width: float, padding: int, rng: np.random.Generator | None, dtype):
        self.layers: list[Layer] = []
        c_in = 3
        for stage, (channels, convolutions) in enumerate(STAGES, 1):
            for number in range(1, convolutions + 1):
                first = not self.layers
                c_out = scaled(channels, width)
                self.layers.append(Conv2d(f"conv{stage}_{number}", (3, 3, c_in, c_out), relu=True,
                                          padding=padding if first else 1, rng=rng, dtype=dtype,
                                          needs_dx=not first))
                c_in = c_out
            self.layers.append(MaxPool2d(f"pool{stage}"))

    def forward(self, x: np.ndarray, training: bool = False) -> dict[str, np.ndarray]:
        """The outputs that FCN goes on from: pool3, pool4 and pool5."""
        outputs = {}
        for layer in self.layers:
            x = layer.forward(x, training)
            if layer.name in ("pool3", "pool4", "pool5"):
                outputs[layer.name] = x
        return outputs

    def backward(self, gradients: dict[str, np.ndarray]) -> None:
        """Take the gradients of some outputs, by name; where ways meet, gradients add up."""
        dy = gradients["pool5"]
        for layer in reversed(self.layers):
            if layer.name in gradients and layer.name != "pool5":
                dy = dy + gradients[layer.name]
            dy = layer.backward(dy)


class VGG16(Network):
    """VGG16 as the ImageNet classifier.

    Parameters
    ----------
    classes : int
    width : float
        Scales the channels of the convolutions (rounded, at least 1).
    fc_channels : int, optional
        Channels of fc6 and fc7; None is 4096 * width, rounded, at least 1.
    convolutional : bool
        False: fc6, fc7 and fc8 are fully connected, and images have 224 x 224 pixels (193 to 224
        give the same 7 x 7 cells). True: they are convolutions (7x7, 1x1, 1x1), and any larger
        image gives a map of scores; see ``convolutionalize``.
    dropout : float
        Rate after fc6 and fc7, in training.
    seed : int or None
        Of the He normal weights and the dropout masks. None leaves all zero, for a file to fill.
    dtype : {"float32", "float64"}
    """

    def __init__(self, classes: int = 1000, width: float = 1.0, fc_channels: int | None = None,
                 convolutional: bool = False, dropout: float = 0.5, seed: int | None = 0,
                 dtype="float32"):
        fc_channels = scaled_fc(fc_channels, width)
        config = {"classes": classes, "width": width, "fc_channels": fc_channels,
                  "convolutional": convolutional, "dropout": dropout, "seed": seed,
                  "dtype": str(np.dtype(dtype))}
        super().__init__(config)
        rng = None if seed is None else np.random.default_rng(seed)
        self.backbone = Backbone(width, 1, rng, dtype)
        channels, new = scaled(STAGES[-1][0], width), {"rng": rng, "dtype": dtype}
        if convolutional:
            fc6 = Conv2d("fc6", (FC6_SIZE, FC6_SIZE, channels, fc_channels), relu=True, **new)
            fc7 = Conv2d("fc7", (1, 1, fc_channels, fc_channels), relu=True, **new)
            fc8 = Conv2d("fc8", (1, 1, fc_channels, classes), **new)
        else:
            fc6 = Linear("fc6", FC6_SIZE**2 * channels, fc_channels, relu=True, **new)
            fc7 = Linear("fc7", fc_channels, fc_channels, relu=True, **new)
            fc8 = Linear("fc8", fc_channels, classes, **new)
        self.fc6, self.fc7, self.fc8 = fc6, fc7, fc8
        self.drop6, self.drop7 = Dropout("drop6", dropout), Dropout("drop7", dropout)

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import classifier_html

        return classifier_html(self)

    @property
    def layers(self):
        return [*self.backbone.layers, self.fc6, self.drop6, self.fc7, self.drop7, self.fc8]

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Class scores before the softmax.

        Parameters
        ----------
        x : (n, h, w, 3) array

        Returns
        -------
        scores : (n, classes) array, or (n, h', w', classes) of the convolutional form
        """
        self.check_batch(x)
        x = self.backbone.forward(x, training)["pool5"]
        self._pool5_shape = x.shape
        if not self.config["convolutional"]:
            if x.shape[1:3] != (FC6_SIZE, FC6_SIZE):
                raise ValueError(f"the fully connected fc6 needs {FC6_SIZE} x {FC6_SIZE} cells of "
                                 f"pool5, this image gives {x.shape[1]} x {x.shape[2]}; "
                                 "use 224 x 224 pixels")
            x = x.reshape(len(x), -1)       # in h, w, c order
        seed = self.dropout_seed
        x = self.drop6.forward(self.fc6.forward(x, training), training, dropout_seed_of(seed, 6))
        x = self.drop7.forward(self.fc7.forward(x, training), training, dropout_seed_of(seed, 7))
        self.dropout_seed += training
        return self.fc8.forward(x, training)

    def backward(self, dscores: np.ndarray) -> None:
        """Fill ``gradients``, given that of the scores of the last ``forward(training=True)``."""
        dx = dscores
        for layer in (self.fc8, self.drop7, self.fc7, self.drop6, self.fc6):
            dx = layer.backward(dx)
        self.backbone.backward({"pool5": dx.reshape(self._pool5_shape)})


def dropout_seed_of(step_seed: int, layer: int) -> int:
    """One seed a step, far apart for the two layers: their masks must not be alike."""
    return step_seed + layer * 2**32

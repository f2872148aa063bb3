"""What all networks share: named parameters and gradients, copying, files, preprocessing."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.layers import Layer
from minifcn.models import files
from minifcn.models.config import check_config
from minifcn.models.preprocessing import Preprocessing
from minifcn.palette import voc_palette

MOST_FAULTS = 3     # of another network that an error lists


class Parameters(Mapping):
    """The live parameter arrays of a network by name, such as ``conv1_1.weight``."""

    def __init__(self, layers: list[Layer]):
        self._layers = {f"{layer.name}.{key}": (layer, key)
                        for layer in layers for key in layer.parameters}

    def __getitem__(self, name: str) -> np.ndarray:
        layer, key = self._layers[name]
        return layer.parameters[key]

    def __setitem__(self, name: str, value) -> None:
        """Write values into the live array, which keeps its shape and dtype."""
        array = self[name]
        if array is not value:      # as after ``parameters[name] -= step``
            if np.shape(value) not in ((), array.shape):
                raise ValueError(f"{name} has shape {array.shape}, "
                                 f"the new values {np.shape(value)}")
            array[...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: layer.parameters[key].shape for name, (layer, key) in self._layers.items()}


class Gradients(Mapping):
    """The gradients of the last backward pass, with the keys of the parameters."""

    def __init__(self, layers: list[Layer]):
        self._layers = {f"{layer.name}.{key}": (layer, key)
                        for layer in layers for key in layer.parameters}

    def __getitem__(self, name: str) -> np.ndarray:
        layer, key = self._layers[name]
        if key not in layer.gradients:
            raise ValueError(f"{name} has no gradient yet; call model.backward(dscores) first")
        return layer.gradients[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


class CopyReport(NamedTuple):
    """What ``copy_from`` did, as lists of parameter names."""

    copied: list[str]
    initial: list[str]      # kept their initial values
    unused: list[str]       # of the other network, had no place here
    rescaled: list[str]     # multiplied, for one of the networks is at once and the other not

    def parts(self) -> list[tuple[str, list[str]]]:
        """Each list with its title."""
        return [(f"copied ({len(self.copied)})", self.copied),
                ("kept their initial values", self.initial),
                ("not used of the other network", self.unused),
                *[("rescaled, for one network is at once", self.rescaled)][:len(self.rescaled)]]

    def __str__(self) -> str:
        return "\n".join(f"{title}: {', '.join(names) if names else 'none'}"
                         for title, names in self.parts())

    def __repr__(self) -> str:
        return (f"CopyReport: {len(self.copied)} parameters copied, {len(self.initial)} kept their "
                f"initial values, {len(self.unused)} not used"
                + f", {len(self.rescaled)} rescaled" * bool(self.rescaled))

    def _repr_html_(self) -> str:
        from minifcn.plotting.html import copy_html

        return copy_html(self)


class Network:
    """Base of VGG16 and FCN.

    Attributes
    ----------
    config : dict
        The arguments of the constructor; together with the parameters it is the whole network.
    parameters, gradients : mapping of str to array
        Live arrays, with the same keys.
    dropout_seed : int
        Seed of the next training step's dropout masks; each ``forward(training=True)`` adds one.
    preprocessing : Preprocessing
        What the weights expect; saved with them.
    class_names : list of str
    palette : (classes, 3) uint8 array
    """

    def __init__(self, config: dict):
        self.config = {name: value.item() if isinstance(value, np.generic) else value
                       for name, value in config.items()}      # JSON knows no NumPy numbers
        check_config(self.config)
        self.classes = self.config["classes"]
        self.dtype = np.dtype(config["dtype"])
        self.dropout_seed = config["seed"] or 0
        self.preprocessing = Preprocessing.imagenet()
        self.class_names = [f"class {index}" for index in range(self.classes)]
        self.palette = voc_palette(self.classes)

    def __repr__(self) -> str:
        count = sum(map(math.prod, self.parameters.shapes().values()))
        names = ", ".join(self.class_names[:4]) + ", ..." * (self.classes > 4)
        return (f"{self.title}: width {self.config['width']:g}, {count:,} parameters, {self.dtype}"
                f"\n{self.classes} classes: {names}")

    @property
    def title(self) -> str:
        """The name of the kind of network."""
        return type(self).__name__

    @property
    def layers(self) -> list[Layer]:
        """All layers in the order of the forward pass."""
        raise NotImplementedError

    @property
    def parameters(self) -> Parameters:
        return Parameters(self.layers)

    @property
    def gradients(self) -> Gradients:
        return Gradients(self.layers)

    def preprocess(self, image: np.ndarray) -> np.ndarray:
        """A uint8 image (h, w, 3) as a batch of one, (1, h, w, 3), in the network's dtype."""
        self.check_image(image)
        return self.preprocessing.apply(image, self.dtype)[None]

    def check_image(self, image: np.ndarray) -> None:
        """Raise ValueError unless it is a uint8 array (h, w, 3)."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 \
                or image.shape[2] != 3 or 0 in image.shape:
            what = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else \
                type(image).__name__
            raise ValueError("an image is a uint8 array (h, w, 3) of at least one pixel, "
                             f"not {what}")

    def check_batch(self, x: np.ndarray) -> None:
        """Raise ValueError unless x is a batch (n, h, w, 3) of the network's dtype."""
        if not isinstance(x, np.ndarray) or x.ndim != 4 or x.shape[3] != 3 or 0 in x.shape:
            raise ValueError(f"x must be a batch of images (n, h, w, 3) of at least one pixel, not "
                             f"{x.shape if isinstance(x, np.ndarray) else type(x).__name__}")
        if x.dtype != self.dtype:
            raise ValueError(f"x has dtype {x.dtype}, the network {self.dtype}; "
                             f"model.preprocess makes the right one of an image")

    def copy_from(self, other: Network, new_layers: tuple[str, ...] = ()) -> CopyReport:
        """Start from another network's weights: layers of the same name are copied.

        Only score and upsampling layers may be missing in the other network; they keep their
        initial values, as in the paper's stages 32s -> 16s -> 8s. Anything else that cannot be
        copied is refused before anything is changed. Along with the weights comes the preprocessing
        that they expect, and with the score layers the class names and colours. Where only one of
        the networks is at once, the score layers of its pools are rescaled, so that the scores stay
        what they were.

        Parameters
        ----------
        other : Network
            Such as an FCN of the coarser stride, or ``convolutionalize(vgg)``.
        new_layers : tuple of str
            Layers that keep their initial values although the other network has them, such as
            ``("score_fr", "score_pool4", "score_pool3")`` for other classes.

        Returns
        -------
        CopyReport
            ``print`` it.

        Raises
        ------
        ValueError
            Naming parameters that are missing or have another shape.
        """
        mine, theirs = self.parameters.shapes(), other.parameters.shapes()
        layers = {name.split(".")[0] for name in mine}
        if unknown := set(new_layers) - layers:
            raise ValueError(f"there is no layer {', '.join(sorted(unknown))} here")
        wanted = [name for name in mine if name.split(".")[0] not in new_layers]
        copied = [name for name in wanted if mine[name] == theirs.get(name)]
        initial = [name for name in mine if name not in copied]
        faults = [f"{name} is missing in the other network" if name not in theirs else
                  f"{name} has shape {mine[name]} here and {theirs[name]} there"
                  for name in wanted if name not in copied
                  and (name in theirs or not name.startswith(("score_", "upscore")))]
        if faults:
            for name in ("width", "fc_channels"):
                if self.config[name] != other.config[name]:
                    raise ValueError(f"nothing was copied: the other network has {name} "
                                     f"{other.config[name]:g}, this one {self.config[name]:g}")
            more = f"; and {len(faults) - MOST_FAULTS} more" * (len(faults) > MOST_FAULTS)
            raise ValueError("nothing was copied: " + "; ".join(faults[:MOST_FAULTS]) + more
                             + ". Layers that shall start anew go into new_layers")
        here, there = self.parameters, other.parameters
        scales, factors = self.pool_scales(), other.pool_scales()
        factors = {name: factors[name] / scale for name, scale in scales.items()
                   if name in copied and factors[name] != scale}
        for name in copied:
            here[name] = there[name]
        for name, factor in factors.items():
            here[name] *= factor
        self.preprocessing = other.preprocessing
        if "score_fr.weight" in copied:
            self.class_names, self.palette = list(other.class_names), other.palette.copy()
        unused = [name for name in theirs if name not in copied]
        return CopyReport(copied, initial, unused, list(factors))

    def pool_scales(self) -> dict[str, float]:
        """What a pool is multiplied with before the layer of this weight."""
        return {}

    def save(self, path: str | Path, tensors: Mapping[str, np.ndarray] | None = None,
             metadata: Mapping[str, object] | None = None, half: bool = False) -> None:
        """Write one ``.safetensors`` file: the parameters, and all that a prediction needs besides.

        Parameters
        ----------
        path : path
            Replaced only when the new file is whole.
        tensors, metadata : mapping, optional
            Training state that rides along: arrays, and JSON-able values.
        half : bool
            Store the parameters as float16, in half the space: predictions hardly change, and
            ``load`` gives the network's own dtype again.

        Raises
        ------
        OSError
            If the file cannot be written; the old one is untouched.
        ValueError
            If a parameter is too large for float16, or training state shall be halved.
        """
        files.write(path, self, tensors or {}, metadata or {}, half)

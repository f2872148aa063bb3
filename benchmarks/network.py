"""FCN-8s on VGG16 as a list of layers, with random weights: what every contender is built from."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))      # channels, convolutions


class Case(NamedTuple):
    """What is measured: a network and its input."""

    height: int = 500
    width: int = 500
    batch: int = 1
    scale: float = 1.0          # of VGG16's channels, 64 to 512
    fc_channels: int = 4096
    classes: int = 21

    def channels(self, full: int) -> int:
        return max(1, round(full * self.scale))


class Convolution(NamedTuple):
    name: str
    source: str
    kernel: int
    padding: int
    channels: int
    features: int
    relu: bool


class Pool(NamedTuple):         # 2 x 2, stride 2, rounded up
    name: str
    source: str


class Upsample(NamedTuple):     # bilinear, kernel 2 * factor, padding factor / 2, per channel
    name: str
    source: str
    factor: int


class Fuse(NamedTuple):         # source, cropped at the bottom and right to skip's size, plus skip
    name: str
    source: str
    skip: str
    height: int
    width: int


class Crop(NamedTuple):         # source, cropped at the bottom and right
    name: str
    source: str
    height: int
    width: int


Layer = Convolution | Pool | Upsample | Fuse | Crop
INPUT, OUTPUT = "image", "scores"


def layers(case: Case) -> list[Layer]:
    """FCN-8s in exact geometry, in the order of computation."""
    network: list[Layer] = []
    source, channels, height, width = INPUT, 3, case.height, case.width
    sizes = {}

    def convolution(name, *rest):
        network.append(Convolution(name, *rest))
        return name

    for stage, (full, convolutions) in enumerate(STAGES, 1):
        for number in range(1, convolutions + 1):
            features = case.channels(full)
            source = convolution(f"conv{stage}_{number}", source, 3, 1, channels, features, True)
            channels = features
        network.append(Pool(f"pool{stage}", source))
        source, height, width = f"pool{stage}", -(-height // 2), -(-width // 2)
        sizes[source] = channels, height, width

    source = convolution("fc6", source, 7, 3, channels, case.fc_channels, True)
    source = convolution("fc7", source, 1, 0, case.fc_channels, case.fc_channels, True)
    source = convolution("score_fr", source, 1, 0, case.fc_channels, case.classes, False)
    for upsample, pool in (("upscore2", "pool4"), ("upscore_pool4", "pool3")):
        channels, height, width = sizes[pool]
        network.append(Upsample(upsample, source, 2))
        skip = convolution(f"score_{pool}", pool, 1, 0, channels, case.classes, False)
        network.append(Fuse(f"fuse_{pool}", upsample, skip, height, width))
        source = f"fuse_{pool}"
    network.append(Upsample("upscore8", source, 8))
    network.append(Crop(OUTPUT, "upscore8", case.height, case.width))
    return network


def weights(case: Case) -> Iterator[tuple[Convolution, np.ndarray, np.ndarray]]:
    """Each convolution with its weight (kh, kw, c_in, c_out) and bias, the same in every process.

    He normal weights keep the values in range; random biases keep them off the kinks.
    """
    rng = np.random.default_rng(0)
    for layer in layers(case):
        if isinstance(layer, Convolution):
            shape = layer.kernel, layer.kernel, layer.channels, layer.features
            weight = rng.standard_normal(shape, np.float32)
            weight *= np.float32((2 / (layer.kernel**2 * layer.channels)) ** 0.5)
            yield layer, weight, 0.1 * rng.standard_normal(layer.features, np.float32)


def images(case: Case) -> np.ndarray:
    shape = case.batch, case.height, case.width, 3
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def labels(case: Case) -> np.ndarray:
    shape = case.batch, case.height, case.width
    return np.random.default_rng(2).integers(0, case.classes, shape, np.uint8)


def multiplications(case: Case) -> float:
    """Of the convolutions of one image, done directly, zeros of the padding counted too."""
    return sum(each[2] for each in convolution_work(case))


def convolution_work(case: Case) -> list[tuple[Convolution, tuple[int, int], int]]:
    """Each convolution with its output size and its multiplications for one image."""
    sizes, work = {INPUT: (case.height, case.width)}, []
    for layer in layers(case):
        height, width = sizes[layer.source]
        if isinstance(layer, Pool):
            height, width = -(-height // 2), -(-width // 2)
        elif isinstance(layer, Upsample):
            height, width = height * layer.factor, width * layer.factor
        elif isinstance(layer, (Fuse, Crop)):
            height, width = layer.height, layer.width
        else:
            work.append((layer, (height, width), height * width * layer.kernel**2
                         * layer.channels * layer.features))
        sizes[layer.name] = height, width
    return work


def bilinear_line(factor: int) -> np.ndarray:
    """Weights along one axis of the kernel of size 2 * factor."""
    centre = factor - 0.5
    return (1 - np.abs(np.arange(2 * factor) - centre) / factor).astype(np.float32)


def bilinear_square(factor: int) -> np.ndarray:
    return np.outer(bilinear_line(factor), bilinear_line(factor))


def schedule(case: Case) -> list[tuple[Layer, list[str]]]:
    """The layers, each with the names of the values that nobody needs after it."""
    network = layers(case)
    last_use = {name: layer.name for layer in network
                for name in (layer.source, getattr(layer, "skip", layer.source))}
    return [(layer, [name for name, user in last_use.items() if user == layer.name])
            for layer in network]


def nchw(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def oihw(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.transpose(3, 2, 0, 1))

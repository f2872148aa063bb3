"""Generated scenes to learn on: textured shapes, some only 2 pixels thin, on textured ground.

Nothing to download, as many as you like, and the same each time: scene ``index`` of ``seed`` is a
function of these two numbers. Colour alone does not give the class away (each class merely
prefers a part of the colour circle), and rings, bars and crosses are thinner than the cells of a
coarse score map, so that the skip connections of FCN-16s and FCN-8s have something to win.
"""
from __future__ import annotations

import numpy as np

from minifcn.data.paired import DataSet, Sample, check_scenes
from minifcn.palette import SHAPES

# Each shape is a distance in pixels, negative inside, of the place (u, v) in the shape's own
# coordinates; r is its radius and t half the width of its thin parts.
DISTANCES = {
    "disc": lambda u, v, r, t: np.hypot(u, v) - r,
    "square": lambda u, v, r, t: np.maximum(abs(u), abs(v)) - 0.85 * r,
    "triangle": lambda u, v, r, t: np.maximum(0.866 * abs(u) - 0.5 * v, v) - 0.5 * r,
    "ring": lambda u, v, r, t: abs(np.hypot(u, v) - (r - t)) - t,
    "bar": lambda u, v, r, t: np.maximum(abs(u) - r, abs(v) - t),
    "cross": lambda u, v, r, t: np.maximum(np.maximum(abs(u), abs(v)) - r,
                                           np.minimum(abs(u), abs(v)) - t),
}
CLASS_NAMES = tuple(SHAPES)


class Shapes(DataSet):
    """A sequence of generated `Sample`.

    Parameters
    ----------
    count : int
        Number of scenes; any number costs nothing, a scene is drawn when it is asked for.
    size : (h, w)
        Extent of the images in pixels.
    seed : int
        Another seed, another data set.
    shapes : (fewest, most)
        Number of shapes in a scene.
    noise : float
        Standard deviation of the pixel noise, of 255.
    """

    def __init__(self, count: int = 1000, size: tuple[int, int] = (96, 96), seed: int = 0,
                 shapes: tuple[int, int] = (4, 8), noise: float = 8.0) -> None:
        check_scenes(count, size, seed)
        if not 0 <= shapes[0] <= shapes[1]:
            raise ValueError(f"shapes is (fewest, most), not {shapes}")
        self.count, self.size, self.seed = count, (int(size[0]), int(size[1])), seed
        self.shapes, self.noise = shapes, noise
        self.class_names = list(CLASS_NAMES)
        self.palette = np.array(list(SHAPES.values()), np.uint8)
        self.ignore = 255

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} of {self.count} scenes")
        index %= self.count
        generator = np.random.default_rng([self.seed, index])
        h, w = self.size
        rows, columns = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
        image = _ground(rows, columns, generator)
        labels = np.zeros((h, w), dtype=np.uint8)
        for _ in range(generator.integers(self.shapes[0], self.shapes[1] + 1)):
            _draw(image, labels, rows, columns, generator)
        image += generator.standard_normal(image.shape, dtype=np.float32) * self.noise
        image = np.rint(image.clip(0, 255)).astype(np.uint8)
        return Sample(image, labels, f"shapes-{self.seed}-{index}").with_legend(self.legend)


def _ground(rows: np.ndarray, columns: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A colour that changes slowly from corner to corner, with waves of another one."""
    first, second, third = (_colour(generator.random(), generator.uniform(0, 0.35),
                                    generator.uniform(0.25, 0.9)) for _ in range(3))
    h, w = rows.size, columns.size
    slope = (generator.random() * rows / h + generator.random() * columns / w)[..., None] / 2
    waves = 0.35 * _waves(rows, columns, generator)[..., None]
    return (1 - slope) * (1 - waves) * first + slope * (1 - waves) * second + waves * third


def _draw(image: np.ndarray, labels: np.ndarray, rows: np.ndarray, columns: np.ndarray,
          generator: np.random.Generator) -> None:
    """Paint one random shape over what is there."""
    label = int(generator.integers(1, len(CLASS_NAMES)))
    extent = min(labels.shape)
    r = generator.uniform(0.08, 0.2) * extent * (1.4 if CLASS_NAMES[label] == "bar" else 1)
    t = generator.uniform(1.0, 1.0 + 0.015 * extent)
    row, column = generator.uniform(0, labels.shape[0]), generator.uniform(0, labels.shape[1])
    angle = generator.uniform(0, 2 * np.pi)
    # Classes share the colour circle: each is spread over a third of it around its own place.
    hue = (label + generator.normal(0, 1.2)) / (len(CLASS_NAMES) - 1)
    colour, other = (_colour(hue + generator.normal(0, 0.04), generator.uniform(0.3, 0.9),
                             generator.uniform(0.35, 1)) for _ in range(2))

    reach = 1.5 * r + 1    # corner of a square, and a pixel for the soft edge
    window = (slice(max(0, int(row - reach)), int(row + reach) + 2),
              slice(max(0, int(column - reach)), int(column + reach) + 2))
    y, x = rows[window[0]] - np.float32(row), columns[window[1]] - np.float32(column)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    distance = DISTANCES[CLASS_NAMES[label]](cosine * x + sine * y, cosine * y - sine * x, r, t)
    cover = (0.5 - distance).clip(0, 1)[..., None]
    waves = _waves(rows[window[0]], columns[window[1]], generator)[..., None]
    image[window] += cover * ((1 - waves) * colour + waves * other - image[window])
    labels[window][distance < 0] = label


def _waves(rows: np.ndarray, columns: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Values 0..1 of a plane wave, or of two crossed ones (a soft chequered pattern)."""
    waves = 0.5
    for _ in range(generator.integers(1, 3)):
        angle, phase = generator.uniform(0, 2 * np.pi, size=2)
        frequency = 2 * np.pi / generator.uniform(4, 24)
        dy, dx = np.float32(frequency * np.sin(angle)), np.float32(frequency * np.cos(angle))
        waves = waves + 0.25 * np.sin(rows * dy + columns * dx + np.float32(phase))
    return np.asarray(waves).clip(0, 1)


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """float32 (3,), 0..255: red, green and blue are cosines a third of the circle apart."""
    wheel = 0.5 + 0.5 * np.cos(2 * np.pi * (hue - np.arange(3) / 3))
    return (255 * value * (1 - saturation * (1 - wheel))).astype(np.float32)

"""A canvas for generated scenes: surfaces are drawn as polygons, then lit, textured and labelled.

Every surface gets a number. Pillow draws the numbers at twice the resolution, and tables turn them
into colours and classes: a pixel's colour is the mean of its four quarters, its label is what at
least three of them show, and void where two surfaces share it evenly, as along the borders of
labels that people draw.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FINER = 2           # quarters of a pixel: two by two
NEAR = 1.2          # metres before the camera at which everything is cut off
BAND = 256          # rows that are shaded at a time, so that large scenes need little memory
VOID = 255

Colour = tuple[float, float, float]
Points = Sequence[tuple[float, float]]


class Camera(NamedTuple):
    """A pinhole camera in a street: x to the right, y up, z ahead, in metres; no tilt, no roll."""

    focal: float        # in quarter pixels, as all that follows
    column: float       # of the vanishing point
    horizon: float
    x: float            # where it is
    y: float
    bend: float         # the street turns aside by bend * z * z

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Column and row of a point."""
        z = z if z > NEAR else NEAR
        scale = self.focal / z
        return (self.column + (x + self.bend * z * z - self.x) * scale,
                self.horizon - (y - self.y) * scale)


class Canvas:
    """Surfaces on a picture of h x w pixels.

    Parameters
    ----------
    size : (h, w)
    camera : Camera
    haze : (colour, density)
        What is far away takes on this colour: half of it at log(2) / density metres.
    """

    def __init__(self, size: tuple[int, int], camera: Camera, haze: tuple[Colour, float]) -> None:
        self.h, self.w = size
        self.camera, self.haze = camera, haze
        extent = (FINER * self.w, FINER * self.h)
        self._surfaces, self._shadows = Image.new("I", extent), Image.new("L", size[::-1])
        self._draw, self._darken = ImageDraw.Draw(self._surfaces), ImageDraw.Draw(self._shadows)
        self._colours: list[Colour] = []
        self._textures: list[tuple[float, float, float]] = []
        self._classes: list[int] = []
        self._grounds: list[bool] = []

    def surface(self, label: int, colour: Colour, z: float = 0.0, grain: float = 0.0,
                mottle: float = 0.0, clouds: float = 0.0, ground: bool = False) -> int:
        """The number of a new surface.

        Parameters
        ----------
        label : int
        colour : (red, green, blue)
        z : float
            Its distance, for the haze.
        grain, mottle, clouds : float
            Amplitude of fine, middle and coarse texture.
        ground : bool
            Shadows fall on it.
        """
        (red, green, blue), density = self.haze
        clear = math.exp(-z * density)
        self._colours.append((colour[0] * clear + red * (1 - clear),
                              colour[1] * clear + green * (1 - clear),
                              colour[2] * clear + blue * (1 - clear)))
        self._textures.append((grain * clear, mottle * clear, clouds * clear))
        self._classes.append(label)
        self._grounds.append(ground)
        return len(self._classes) - 1

    def polygon(self, points: Points, surface: int) -> None:
        """Fill a polygon of (column, row)."""
        self._draw.polygon(points, surface)

    def face(self, points: Sequence[tuple[float, float, float]], surface: int) -> None:
        """Fill a polygon of points (x, y, z) in the street."""
        focal, column, horizon, left, eye, bend = self.camera
        corners = []
        for x, y, z in points:
            z = z if z > NEAR else NEAR
            scale = focal / z
            corners.append((column + (x + bend * z * z - left) * scale,
                            horizon - (y - eye) * scale))
        self._draw.polygon(corners, surface)

    def wall(self, x: float, low: float, high: float, near: float, far: float,
             surface: int) -> None:
        """Fill an upright rectangle along the street."""
        a, b = self.camera.project(x, low, near)
        c, d = self.camera.project(x, low, far)
        rise = (high - low) * self.camera.focal
        self._draw.polygon([(a, b), (a, b - rise / max(near, NEAR)),
                            (c, d - rise / max(far, NEAR)), (c, d)], surface)

    def front(self, left: float, right: float, low: float, high: float, z: float,
              surface: int) -> None:
        """Fill an upright rectangle that faces the camera."""
        a, b = self.camera.project(left, high, z)
        c, d = self.camera.project(right, low, z)
        self._draw.rectangle((min(a, c), b, max(a, c), d), surface)

    def floor(self, left: float, right: float, near: float, far: float, surface: int) -> None:
        """Fill a rectangle on the ground."""
        a, b = self.camera.project(left, 0, near)
        c, d = self.camera.project(left, 0, far)
        wide = (right - left) * self.camera.focal
        self._draw.polygon([(a, b), (c, d), (c + wide / max(far, NEAR), d),
                            (a + wide / max(near, NEAR), b)], surface)

    def ellipse(self, column: float, row: float, across: float, down: float, surface: int) -> None:
        """Fill an ellipse around (column, row)."""
        self._draw.ellipse((column - across, row - down, column + across, row + down), surface)

    def post(self, column: float, top: float, bottom: float, width: float, surface: int) -> None:
        """Fill an upright bar that is at least one and a half pixels thin."""
        width = max(3, round(width))
        left = round(column - width / 2)
        if top < bottom:
            self._draw.rectangle((left, top, left + width - 1, bottom), surface)

    def shadow(self, points: Sequence[tuple[float, float]], strength: float) -> None:
        """Darken the ground within a polygon of (x, z)."""
        corners = (self.camera.project(x, 0, z) for x, z in points)
        self._darken.polygon([(column / FINER, row / FINER) for column, row in corners],
                             round(255 * strength))

    # -- from surfaces to pixels ------------------------------------------------------------------

    def finish(self, generator: np.random.Generator, gain: np.ndarray, noise: float,
               ) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (h, w, 3) and labels uint8 (h, w).

        Parameters
        ----------
        generator : numpy.random.Generator
            Of texture and noise.
        gain : float32 (3,)
            Factors of red, green and blue.
        noise : float
            Standard deviation of the pixel noise.
        """
        image = np.empty((self.h, self.w, 3), np.uint8)
        labels = np.empty((self.h, self.w), np.uint8)
        colours = np.array(self._colours, np.float32) * gain / FINER ** 2
        textures = np.array(self._textures, np.float32)
        classes, grounds = np.array(self._classes, np.uint8), np.array(self._grounds, np.float32)
        mottle, clouds = self._smooth(generator, self.h / 30), self._smooth(generator, self.h / 5)
        surfaces = np.asarray(self._surfaces)
        shadows = np.asarray(self._shadows.filter(ImageFilter.BoxBlur(self.h / 200)))
        for top in range(0, self.h, BAND):
            rows = slice(top, min(top + BAND, self.h))
            finer = surfaces[FINER * rows.start:FINER * rows.stop]
            quarters = [np.ascontiguousarray(finer[i::FINER, j::FINER])
                        for i in range(FINER) for j in range(FINER)]
            light = colours.take(quarters[0], axis=0, mode="clip")
            for quarter in quarters[1:]:
                light += colours.take(quarter, axis=0, mode="clip")
            numbers = quarters[0]       # texture and shadow need no quarters
            texture = textures.take(numbers, axis=0, mode="clip")
            texture[..., 0] *= generator.standard_normal(numbers.shape, np.float32)
            texture[..., 1] *= mottle[rows]
            texture[..., 2] *= clouds[rows]
            light += (texture[..., 0] + texture[..., 1] + texture[..., 2])[..., None]
            light *= (1 - shadows[rows] * grounds.take(numbers) / 255)[..., None]
            light += noise * generator.standard_normal(light.shape, np.float32)
            image[rows] = np.rint(light, out=light).clip(0, 255, out=light)
            labels[rows] = majority(*(classes.take(quarter) for quarter in quarters))
        return image, labels

    def _smooth(self, generator: np.random.Generator, cell: float) -> np.ndarray:
        """A smooth random field (h, w), mostly within -1..1, of blobs as large as ``cell``."""
        few = max(2, round(self.w / cell)), max(2, round(self.h / cell))
        values = generator.standard_normal(few[::-1], np.float32)
        return np.asarray(Image.fromarray(values).resize((self.w, self.h)))


def majority(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """What at least three of four label maps show, else `VOID`."""
    first = ((a == b) & ((a == c) | (a == d))) | ((a == c) & (a == d))
    return np.where(first, a, np.where((b == c) & (b == d), b, np.uint8(VOID)))

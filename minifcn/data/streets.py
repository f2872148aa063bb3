"""Generated street scenes with the eleven classes and colours of CamVid.

Nothing to download, as many as you like, and the same each time: scene ``index`` of ``seed`` is a
function of these two numbers. A street is built in metres (see ``scenery``), seen by a camera in a
car, and drawn at any size: the same street at 240 x 320 is the finer picture of that at 120 x 160.
"""
from __future__ import annotations

import random

import numpy as np

from minifcn.data.canvas import VOID
from minifcn.data.paired import DataSet, Sample, check_scenes
from minifcn.data.scenery import Street
from minifcn.palette import CAMVID


class Streets(DataSet):
    """A sequence of generated `Sample`.

    Parameters
    ----------
    count : int
        Number of scenes; any number costs nothing, a scene is drawn when it is asked for.
    size : (h, w)
        Extent of the images in pixels.
    seed : int
        Another seed, another data set.

    Raises
    ------
    ValueError
        No scene, no pixel, or a negative seed.

    Examples
    --------
    >>> streets = Streets(count=10, size=(120, 160), seed=1)
    >>> image, labels, name = streets[3]
    >>> image.shape, labels.shape, streets.class_names[3]
    ((120, 160, 3), (120, 160), 'Road')
    """

    def __init__(self, count: int = 1000, size: tuple[int, int] = (120, 160),
                 seed: int = 0) -> None:
        check_scenes(count, size, seed)
        self.count, self.size, self.seed = count, (int(size[0]), int(size[1])), seed
        self.class_names = list(CAMVID)
        self.palette = np.array(list(CAMVID.values()), np.uint8)
        self.ignore = VOID

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} of {self.count} scenes")
        index %= self.count
        street = Street(self.size, random.Random(f"{self.seed} {index}"))
        generator = np.random.Generator(np.random.SFC64([self.seed, index]))
        return Sample(*street.draw(generator), f"streets-{self.seed}-{index}")

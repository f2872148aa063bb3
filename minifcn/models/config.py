"""Which arguments of VGG16 and FCN describe a network; asked by the networks and by their files."""
from __future__ import annotations

from typing import Any

CHOICES = {"stride": (8, 16, 32), "geometry": ("exact", "caffe"), "at_once": (False, True),
           "upsampling": ("frozen", "learned"), "convolutional": (False, True),
           "dtype": ("float32", "float64")}
MOST_CLASSES = 65_536       # masks have 16 bits


def check_config(config: dict[str, Any]) -> None:
    """Raise ValueError for a network that does not exist, KeyError if an argument is missing."""
    for name, allowed in CHOICES.items():
        if name in config and config[name] not in allowed:
            raise ValueError(f"{name} is {config[name]!r}; "
                             f"use one of {', '.join(map(repr, allowed))}")
    for name in ("classes", "fc_channels"):
        if not isinstance(config[name], int) or config[name] < 1:
            raise ValueError(f"{name} is {config[name]!r}; give a whole number of at least 1")
    if config["classes"] > MOST_CLASSES:
        raise ValueError(f"classes is {config['classes']}; at most {MOST_CLASSES:,} are possible")
    seed = config["seed"]
    if seed is not None and (not isinstance(seed, int) or seed < 0):
        raise ValueError(f"seed is {seed!r}; give a whole number of at least 0, or None")
    if not 0 < config["width"] < 100:
        raise ValueError(f"width is {config['width']}; give a factor such as 1.0 or 0.125")
    if not 0 <= config["dropout"] < 1:
        raise ValueError(f"dropout is {config['dropout']}; it is a rate of at least 0 and below 1")

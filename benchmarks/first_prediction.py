"""A user's first prediction, from the start of Python, on two cores.

Arguments: the network's width, the picture's height and width. It prints when it was done.
"""
import os
import sys
import time

CORES = 2

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])

import numpy as np  # noqa: E402    the cores are chosen before threads start

import minifcn  # noqa: E402

scale, height, width = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
mask = minifcn.FCN(width=scale).predict(picture)
print(mask.shape, time.monotonic())

"""Keras's ``.h5``: HDF5, in which h5py finds where the numbers lie.

HDF5 is a format for everything, and its library trusts its files more than we trust files from the
net. So h5py looks at them in a process of its own, with a limit on time and memory, and tells us
names, shapes and places; the numbers are then read as those of all other files.
"""
from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from minifcn.weights.tensors import Tensor, stored

LISTING = Path(__file__).with_name("keras_listing.py")
SECONDS = 120               # by the clock, on a busy machine; it has 10 of the processor's


def read_h5(data: memoryview, path: Path) -> dict[str, Tensor]:
    """The arrays of a file of Keras's, named as its ``weight_names`` say."""
    if importlib.util.find_spec("h5py") is None:
        raise ValueError('.h5 files need h5py: pip install "minifcn[interop]"')
    try:
        # by its path, not as a module: modules would also be looked for in the current folder
        done = subprocess.run([sys.executable, str(LISTING), str(path)], capture_output=True,
                              timeout=SECONDS, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    except subprocess.TimeoutExpired as error:
        raise ValueError("it is damaged: HDF5 did not come to an end with it") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError("it is cut off or damaged" + (f" ({lines[-1][:200]})" if lines else ""))
    listed = json.loads(done.stdout)
    if listed["fault"]:
        raise ValueError(listed["fault"])
    return {name: stored(data, start, shape, dtype)
            for name, shape, dtype, start in listed["arrays"]}

"""A run's checkpoint: the model, and all that the next step depends on, in one safetensors file.

Shuffling, augmentation and dropout are functions of the seed and the number of the step, and a step
is never saved half done. So the state of a run is: weights, the optimizer's arrays, and the few
numbers of `Progress`.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minifcn.files import untrusted
from minifcn.models import KINDS, files

MOST_STEPS = 10**9


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0                   # optimizer steps done
    evaluated: int = 0              # the last step after which the model was evaluated
    best: float | None = None       # the best mean IU so far
    stale: int = 0                  # evaluations since then

    def __post_init__(self):
        for name in ("step", "evaluated", "stale"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= MOST_STEPS:
                raise ValueError(f"its {name} is {value!r}")
        if self.evaluated > self.step:
            raise ValueError(f"it was evaluated after step {self.evaluated}, but is at {self.step}")
        if self.best is not None and (type(self.best) not in (int, float)
                                      or not 0 <= self.best <= 1):
            raise ValueError(f"its best mean IU is {self.best!r}")


class RunState(NamedTuple):
    """What a checkpoint says about its run."""

    progress: Progress
    recipe: dict
    source: dict                    # of the data: whatever the caller wants to find again
    optimizer: dict[str, np.ndarray]


def save(path: Path, model, optimizer, progress: Progress, recipe: dict, source: dict) -> None:
    """Write the checkpoint of a run, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; a file that was there stays as it was.
    """
    training = {"progress": asdict(progress), "recipe": recipe, "source": source}
    model.save(path, tensors=optimizer.state(), metadata={"training": training})


def read_run(path: str | Path):
    """The model of a checkpoint, and the state of its run.

    Returns
    -------
    model : FCN
    state : RunState

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is damaged, or holds no state of a run.
    """
    with untrusted(path):
        checkpoint = files.read(path)
        about = _about(checkpoint, path)
        return files.build(checkpoint, path, KINDS), RunState(*about, checkpoint.tensors)


def read_progress(path: str | Path) -> Progress:
    """How far the run in a checkpoint has come."""
    with untrusted(path):
        return _about(files.read(path), path)[0]


def _about(checkpoint: files.Checkpoint, path: str | Path) -> tuple[Progress, dict, dict]:
    """Progress, recipe and source of a run."""
    training = checkpoint.metadata.get("training")
    if training is None:
        raise ValueError(f"{path} holds a model but no state of a run, so it cannot be resumed; "
                         "start a new run from it with --from")
    try:
        source = dict(training["source"])
        if type(source["images"]) is not int:
            raise ValueError(f"it was trained on {source['images']!r} images")
        return Progress(**training["progress"]), dict(training["recipe"]), source
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds a damaged state of a run: {error!r}") from error

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

from minifcn.models import KINDS, files


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0                   # optimizer steps done
    evaluated: int = 0              # the last step after which the model was evaluated
    best: float | None = None       # the best mean IU so far
    stale: int = 0                  # evaluations since then


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
    checkpoint = files.read(path)
    training = checkpoint.metadata.get("training")
    if training is None:
        raise ValueError(f"{path} holds a model but no state of a run, so it cannot be resumed; "
                         "start a new run from it with --from")
    try:
        state = RunState(Progress(**training["progress"]), training["recipe"], training["source"],
                         checkpoint.tensors)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds a damaged state of a run: {error!r}") from error
    return files.build(checkpoint, path, KINDS), state

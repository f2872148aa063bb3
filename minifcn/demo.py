"""``minifcn demo``: FCN-32s, 16s and 8s on generated scenes, staged as in the paper.

All three begin as the same FCN-32s and then take the same number of further steps on the same
scenes, so what tells them apart is their skip connections, not longer training:

    base 32s ---- 32s ----- 32s
             `--- 16s ----- 16s
                     `----- 8s

The two branches train at the same time, each on a thread of its own: layers as narrow as these are
too small to be shared between the cores.
"""
from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numba
from tqdm import tqdm

from minifcn.data import Sample, Shapes
from minifcn.models import FCN
from minifcn.plotting import write_losses, write_panel
from minifcn.training.metrics import Metrics, baseline, baseline_name, summary_table
from minifcn.training.trainer import Recipe, Trainer, confusion_of

CHECKPOINT = "fcn8s.safetensors"
SIZE = (96, 96)
TRAINING, HELD_OUT, PICTURED = 1500, 60, 4          # scenes
NETWORK = {"width": 0.125, "fc_channels": 64, "dropout": 0.0}
# Background is most of a scene; counted in full it would drown the shapes for the first minutes.
WEIGHTS = (0.3, 1, 1, 1, 1, 1, 1)
BASE = Recipe(steps=250, batch=4, optimizer="adam", rate=5e-3, decay=0.0, schedule="one-cycle",
              class_weights=WEIGHTS)
STAGES = [replace(BASE, steps=400, seed=stage) for stage in (1, 2)]


class Remembered(Shapes):
    """Scenes that are drawn once: several networks learn from them."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.drawn: dict[int, Sample] = {}

    def __getitem__(self, index: int) -> Sample:
        if index not in self.drawn:
            self.drawn[index] = super().__getitem__(index)
        return self.drawn[index]


class Trained(NamedTuple):
    model: FCN
    losses: list[float]         # from the first step of the base


def demo(out: Path, seed: int = 0, quiet: bool = False) -> dict[int, Metrics]:
    """Train, print the metrics on held-out scenes, write pictures and ``fcn8s.safetensors``.

    Parameters
    ----------
    out : path
        Folder of the results; made if it does not exist.
    seed : int
        Of the weights and the scenes.
    quiet : bool
        No progress bars.

    Returns
    -------
    metrics : dict of stride to Metrics
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    trained = train_all(seed, quiet)
    trained[8].model.save(out / CHECKPOINT)

    held_out = Shapes(HELD_OUT, SIZE, 2 * seed + 1)
    confusions = {
        stride: sum(confusion_of(each.model, scene, held_out.ignore) for scene in held_out)
        for stride, each in trained.items()}
    metrics = {stride: Metrics.from_confusion(each) for stride, each in confusions.items()}
    answer, constant = baseline(confusions[8])
    print(f"\n{HELD_OUT} held-out scenes, in per cent:")
    print(summary_table([
        (baseline_name(held_out.class_names[answer]), Metrics.from_confusion(constant)),
        *((f"FCN-{stride}s", each) for stride, each in metrics.items())]))

    pictured = [held_out[index] for index in range(PICTURED)]
    columns = {f"FCN-{stride}s\nmean IU {100 * metrics[stride].mean_iu:.1f} %":
               each.model.predict([scene.image for scene in pictured])
               for stride, each in trained.items()}
    write_panel(out / "panel.png", pictured, columns, held_out.palette, held_out.class_names)
    write_losses(out / "curves.png",
                 {f"FCN-{stride}s": each.losses for stride, each in trained.items()},
                 stages=[BASE.steps, BASE.steps + STAGES[0].steps])
    print(f"\n{time.monotonic() - started:.0f} seconds. See {out / 'panel.png'} and "
          f"{out / 'curves.png'}; segment images with\n"
          f"  minifcn predict {out / CHECKPOINT} IMAGE --out masks")
    return metrics


def train_all(seed: int, quiet: bool) -> dict[int, Trained]:
    """FCN-32s, 16s and 8s after the same number of steps."""
    scenes = Remembered(TRAINING, SIZE, 2 * seed)
    running: list[Trainer] = []

    def train(stride: int, recipe: Recipe, start: Trained | None = None) -> Trained:
        model = FCN(stride, len(scenes.class_names), seed=seed, **NETWORK)
        model.class_names, model.palette = list(scenes.class_names), scenes.palette.copy()
        if start:
            model.copy_from(start.model)
        trainer = Trainer(model, scenes, recipe, say=None if quiet else tqdm.write,
                          title=f"FCN-{stride}s" if start else "their common base")
        running.append(trainer)
        trainer.run()
        return Trained(model, [*(start.losses if start else ()), *trainer.losses])

    def train_coarse() -> Trained:
        numba.set_num_threads(1)
        return train(32, STAGES[1], train(32, STAGES[0], base))

    base = train(32, BASE)
    threads = numba.get_num_threads()
    with ThreadPoolExecutor(1) as other:
        coarse = other.submit(train_coarse)
        try:
            numba.set_num_threads(1)
            half = train(16, STAGES[0], base)
            finer = {16: train(16, STAGES[1], half), 8: train(8, STAGES[1], half)}
        except BaseException:
            for trainer in running:
                trainer.stop()
            raise
        finally:
            numba.set_num_threads(threads)
        return {32: coarse.result(), **finer}

"""``minifcn demo``: FCN-32s, 16s and 8s on generated streets, staged as in the paper.

FCN-16s starts from the weights of FCN-32s, and FCN-8s from those of FCN-16s. The coarser networks
go on, too, so that what tells the three apart is their skip connections and not longer training:

    32s ---- 32s ----- 32s
        `--- 16s ----- 16s
                 `---- 8s

Networks train at the same time, each on a thread of its own: layers as narrow as these are too
small to be shared between the cores.
"""
from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from minifcn import ops, progress
from minifcn.data import Augmentation, Sample, Streets, write_png
from minifcn.models import FCN
from minifcn.plotting import write_losses, write_panel
from minifcn.training.metrics import Metrics, baseline, baseline_name, summary_table
from minifcn.training.trainer import Recipe, Trainer, confusion_of

SIZE = (96, 128)
TRAINING, HELD_OUT, PICTURED = 800, 60, 4       # scenes
THIN = ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")
NETWORK = {"width": 0.125, "fc_channels": 64, "dropout": 0.0}
# Between counting pixels and counting classes; poles, which are the thinnest, count most.
WEIGHTS = (0.7, 0.6, 2.5, 0.55, 1.0, 0.75, 1.6, 1.6, 0.95, 1.9, 1.7)
STEPS = (200, 250, 550)         # of the three stages
RECIPE = Recipe(steps=1, batch=4, optimizer="adam", rate=5e-3, decay=0.0, schedule="one-cycle",
                class_weights=WEIGHTS, augmentation=Augmentation(flip=0.5))


class Remembered(Streets):
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
    losses: list[float]         # from the first step of the first stage


def demo(out: Path, seed: int = 0, quiet: bool = False) -> dict[int, Metrics]:
    """Train, print the metrics on held-out scenes, write checkpoints and pictures.

    Parameters
    ----------
    out : path
        Folder of the results, made if it does not exist: ``fcn32s.safetensors``,
        ``fcn16s.safetensors``, ``fcn8s.safetensors``, ``panel.png``, ``curves.png`` and a scene to
        segment, ``street.png``.
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
    for stride, (model, _) in trained.items():
        model.save(out / checkpoint(stride))

    held_out = Streets(HELD_OUT, SIZE, 2 * seed + 1)
    confusions = {stride: sum(confusion_of(model, scene, held_out.ignore) for scene in held_out)
                  for stride, (model, _) in trained.items()}
    metrics = {stride: Metrics.from_confusion(each) for stride, each in confusions.items()}
    answer, constant = baseline(confusions[8])
    print(f"\n{HELD_OUT} held-out scenes, in per cent:")
    print(summary_table([
        (baseline_name(held_out.class_names[answer]), Metrics.from_confusion(constant)),
        *((f"FCN-{stride}s", each) for stride, each in metrics.items())]))
    print(f"\n{iu_table(metrics, held_out.class_names)}")

    thin = [held_out.class_names.index(name) for name in THIN]
    pictured = sorted(held_out, key=lambda scene: np.isin(scene.labels, thin).mean())[-PICTURED:]
    columns = {f"FCN-{stride}s\nmean IU {100 * metrics[stride].mean_iu:.1f} %":
               model.predict([scene.image for scene in pictured])
               for stride, (model, _) in trained.items()}
    write_panel(out / "panel.png", pictured, columns, held_out.palette, held_out.class_names)
    write_losses(out / "curves.png",
                 {f"FCN-{stride}s": losses for stride, (_, losses) in trained.items()},
                 stages=[STEPS[0], STEPS[0] + STEPS[1]])
    write_png(out / "street.png", Image.fromarray(held_out[0].image))
    print(f"\n{time.monotonic() - started:.0f} seconds. Look at {out / 'panel.png'} and "
          f"{out / 'curves.png'}.")
    return metrics


def checkpoint(stride: int) -> str:
    """The name of a network's file."""
    return f"fcn{stride}s.safetensors"


def iu_table(metrics: dict[int, Metrics], names: list[str]) -> str:
    """The IU of each class, a column for each network."""
    width = max(map(len, names))
    rows = [f"{'IU':{width}}" + "".join(f"{f'FCN-{stride}s':>9}" for stride in metrics)]
    rows += [f"{name:{width}}" + "".join(f"{100 * each.iu[label]:9.1f}"
                                         for each in metrics.values())
             for label, name in enumerate(names)]
    return "\n".join(rows)


def train_all(seed: int, quiet: bool) -> dict[int, Trained]:
    """FCN-32s, 16s and 8s after the same number of steps."""
    scenes = Remembered(TRAINING, SIZE, 2 * seed)
    running: list[Trainer] = []

    def train(stride: int, stage: int, start: Trained | None = None) -> Trained:
        model = FCN(stride, len(scenes.class_names), seed=seed, **NETWORK)
        model.class_names, model.palette = list(scenes.class_names), scenes.palette.copy()
        if start:
            model.copy_from(start.model)
        name = f"FCN-{stride}s, stage {stage + 1} of {len(STEPS)}"
        trainer = Trainer(model, scenes, replace(RECIPE, steps=STEPS[stage], seed=stage),
                          say=None if quiet else lambda line: progress.say(f"{name}: {line}"),
                          title=name)
        running.append(trainer)
        trainer.run()
        return Trained(model, [*(start.losses if start else ()), *trainer.losses])

    first = train(32, 0)
    threads = ops.get_threads()
    with ThreadPoolExecutor(3) as pool:
        try:
            ops.set_threads(1)      # of each of three networks
            coarse, half = (pool.submit(train, stride, 1, first) for stride in (32, 16))
            # the last stage of a network starts when what it starts from is there
            last = {stride: pool.submit(train, stride, 2, start.result())
                    for stride, start in ((8, half), (16, half), (32, coarse))}
            return {stride: last[stride].result() for stride in (32, 16, 8)}
        except BaseException:
            for trainer in running:
                trainer.stop()
            raise
        finally:
            ops.set_threads(threads)

"""From the arguments of ``minifcn train`` to a `Trainer`, new or resumed."""
from __future__ import annotations

import math
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

import minifcn
from minifcn.cli import options
from minifcn.data import Augmentation
from minifcn.training.checkpoints import read_run
from minifcn.training.class_weights import median_frequency
from minifcn.training.trainer import BEST, LAST, Interrupted, Recipe, Trainer

NETWORK = {"stride": 8, "width": 0.25, "fc_channels": None, "geometry": "exact",
           "upsampling": "frozen", "at_once": False, "dropout": 0.5}
RECIPE = {"steps": None, "epochs": 30, "batch": 4, "accumulate": 1, "optimizer": "adam",
          "rate": None, "momentum": 0.9, "decay": None, "schedule": "one-cycle", "loss": "mean",
          "class_weights": "none", "crop": None, "flip": 0.0, "scale": [1.0, 1.0], "colour": 0.0,
          "seed": 0, "evaluate_every": 0}
START = {"dataset": None, "start": None, "new_classes": False}
CHANGEABLE = ("steps", "epochs", "data")        # when a run is resumed


def run_train(arguments) -> int | None:
    folder = Path(arguments.out)
    say = None if arguments.quiet else tqdm.write
    given = {name: getattr(arguments, name)
             for name in (*START, *options.DEFAULTS, *NETWORK, *RECIPE)
             if getattr(arguments, name) is not None}
    for name in ("data", "palette", "start"):       # the run may be resumed from another folder
        if name in given:
            given[name] = os.path.abspath(given[name])
    resumable = arguments.resume and (folder / LAST).exists()
    trainer = (resume_run if resumable else start_run)(given, folder, say)
    try:
        trainer.run()
    except Interrupted as stopped:
        print(f"minifcn: {stopped}, and saved; continue with: "
              f"minifcn train --out {shlex.quote(str(folder))} --resume", file=sys.stderr)
        return 128 + stopped.signal_number
    if say and trainer.progress.best is not None:
        say(f"best mean IU {100 * trainer.progress.best:.2f}: {folder / BEST}")
    return None


def start_run(given: dict, folder: Path, say) -> Trainer:
    """A new run."""
    if "dataset" not in given:
        raise ValueError(f"{folder} holds no run to resume, and no data set is named to start one")
    if (folder / LAST).exists():
        raise ValueError(f"{folder} holds a run already; continue it with --resume, or choose "
                         "another --out")
    if "new_classes" in given and "start" not in given:
        raise ValueError("--new-classes is about the checkpoint that --from names")
    data, validation = open_splits(given)
    model = build_model(given, data, say)
    settings = {**START, **options.DEFAULTS, **RECIPE, **given,
                **{name: model.config[name] for name in NETWORK}}
    recipe = build_recipe(settings, data)
    if say:
        parameters = sum(math.prod(shape) for shape in model.parameters.shapes().values())
        say(f"FCN-{model.stride}s, width {model.config['width']:g}, {parameters:,} parameters, "
            f"{model.classes} classes; {len(data)} images to train on, {len(validation)} to "
            f"validate; {recipe.steps} steps of {recipe.batch * recipe.accumulate} images")
    return Trainer(model, data, recipe, validation, folder, source=settings, say=say)


def resume_run(given: dict, folder: Path, say) -> Trainer:
    """The run in a folder, by its own settings; arguments that contradict them are refused."""
    model, state = read_run(folder / LAST)
    settings = state.source
    for name, value in given.items():
        if name not in CHANGEABLE and value != settings[name]:
            raise ValueError(f"--{name.replace('_', '-')} is {value}, but the run in {folder} has "
                             f"{settings[name]}; leave it out, or start another run")
    settings |= {name: given[name] for name in ("data",) if name in given}
    data, validation = open_splits(settings)
    recipe = Recipe.from_dict(state.recipe)
    if "steps" in given or "epochs" in given:
        recipe = replace(recipe, steps=count_steps(given, recipe, len(data)))
    if say:
        say(f"continuing after step {state.progress.step} of {recipe.steps}")
    return Trainer(model, data, recipe, validation, folder, state, settings, say)


def open_splits(settings: dict):
    """Training and validation data; of generated scenes, a tenth as many for validation."""
    count = settings.get("count", options.DEFAULTS["count"])
    return (options.open_data(settings["dataset"], "train", settings),
            options.open_data(settings["dataset"], "val",
                                {**settings, "count": max(1, count // 10)}))


def build_model(given: dict, data, say):
    """A new network, or that of a checkpoint, for the classes of the data."""
    network = {name: given[name] for name in NETWORK if name in given}
    classes, seed = len(data.class_names), given.get("seed", RECIPE["seed"])
    if "start" not in given:
        network = {**NETWORK, **network}
        if network["fc_channels"] is None:
            network["fc_channels"] = max(1, round(4096 * network["width"]))
        model = minifcn.FCN(**network, classes=classes, seed=seed)
    else:
        model = continue_from(given["start"], network, classes, seed,
                              given.get("new_classes", False), say)
    model.class_names, model.palette = list(data.class_names), data.palette.copy()
    return model


def continue_from(path: str, network: dict, classes: int, seed: int, new_classes: bool, say):
    """A network with the weights of a checkpoint; what ``network`` does not say stays."""
    other = minifcn.load(path)
    if isinstance(other, minifcn.VGG16):
        other = other if other.config["convolutional"] else minifcn.convolutionalize(other)
        new_classes = False         # an ImageNet classifier has no score layers to replace
    elif other.classes != classes and not new_classes:
        raise ValueError(f"{path} has {other.classes} classes, the data set {classes}; add "
                         "--new-classes to train new score layers on top of the other weights")
    inherited = {name: other.config[name] for name in NETWORK if name in other.config}
    model = minifcn.FCN(**{**inherited, **network}, classes=classes, seed=seed,
                        dtype=other.config["dtype"])
    scores = {name.split(".")[0]
              for name in model.parameters if name.startswith(("score_", "upscore"))}
    try:
        report = model.copy_from(other, tuple(scores) if new_classes else ())
    except ValueError as error:
        raise ValueError(f"{path} does not fit: {error}") from error
    if say:
        say(f"from {path}:\n{report}")
    return model


def build_recipe(settings: dict, data) -> Recipe:
    optimizer, rate, decay = (settings[name] for name in ("optimizer", "rate", "decay"))
    if rate is None and settings["loss"] != "mean":
        raise ValueError(f"--loss {settings['loss']} needs a --rate; the paper's is 1e-10 to 1e-14")
    if rate is None:
        rate = 1e-3 if optimizer == "adam" else 1e-2
    if decay is None:
        decay = 0.0 if optimizer == "adam" else 5e-4
    settings |= {"rate": rate, "decay": decay}
    weights = None
    if settings["class_weights"] == "median":
        labels = (sample.labels for sample in data)
        weights = tuple(map(float, median_frequency(labels, len(data.class_names), data.ignore)))
    crop = settings["crop"]
    recipe = Recipe(
        steps=1, batch=settings["batch"], accumulate=settings["accumulate"], optimizer=optimizer,
        rate=rate, momentum=settings["momentum"], decay=decay, schedule=settings["schedule"],
        reduction=settings["loss"], class_weights=weights, seed=settings["seed"],
        evaluate_every=settings["evaluate_every"],
        augmentation=Augmentation(settings["flip"], tuple(settings["scale"]),
                                  None if crop is None else tuple(crop), settings["colour"]))
    return replace(recipe, steps=count_steps(settings, recipe, len(data)))


def count_steps(settings: dict, recipe: Recipe, images: int) -> int:
    if settings.get("steps") is not None:
        return settings["steps"]
    if not 0 < settings["epochs"] < math.inf:
        raise ValueError(f"--epochs must be above 0, not {settings['epochs']}")
    return math.ceil(settings["epochs"] * images / (recipe.batch * recipe.accumulate))

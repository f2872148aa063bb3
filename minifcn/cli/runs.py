"""From the arguments of ``minifcn train`` to a `Trainer`, new or resumed."""
from __future__ import annotations

import math
import os
import shlex
import sys
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import minifcn
from minifcn import progress
from minifcn.cli import options, train
from minifcn.cli.config import config_text, judged, read_config
from minifcn.cli.machine import available_memory
from minifcn.cli.recipes import RECIPES
from minifcn.data import Augmentation, Folder, PairedFiles, survey
from minifcn.data.survey import assert_sound
from minifcn.files import shortened, written_whole
from minifcn.models import pretrained
from minifcn.models.summary import training_bytes
from minifcn.palette import check_class_names
from minifcn.training.checkpoints import read_run
from minifcn.training.class_weights import median_frequency
from minifcn.training.trainer import (
    BEST,
    LAST,
    Interrupted,
    Recipe,
    Trainer,
    in_use,
    refuse_run,
)

NETWORK = {"stride": 8, "width": 0.25, "fc_channels": None, "geometry": "exact",
           "upsampling": "frozen", "at_once": False, "dropout": 0.5}
RECIPE = {"steps": None, "epochs": 30, "batch": 4, "accumulate": 1, "optimizer": "adam",
          "rate": None, "momentum": 0.9, "decay": None, "schedule": "one-cycle", "loss": "mean",
          "class_weights": "none", "crop": None, "flip": 0.0, "scale": [1.0, 1.0], "colour": 0.0,
          "seed": 0, "evaluate_every": 0, "patience": 0, "tensorboard": False}
START = {"dataset": None, "start": None, "vgg16": None, "new_classes": False}
CHANGEABLE = ("steps", "epochs", "patience", "data")        # when a run is resumed
LENGTH = ("steps", "epochs")
CONFIG = "config.toml"


def run_train(arguments) -> int | None:
    given = gather(arguments)
    if given.get("out") is None:
        raise ValueError("--out RUN is missing: the folder of the run")
    folder = Path(given.pop("out"))
    resume, quiet = given.pop("resume", False), given.pop("quiet", False)
    say = None if quiet else progress.say
    in_use(folder)
    resumable = resume and (folder / LAST).exists()
    trainer = (resume_run if resumable else start_run)(given, folder, say)
    if trainer is None:
        return None
    try:
        trainer.run()
    except MemoryError as error:
        crop = "a smaller --crop" if trainer.recipe.augmentation.crop else "windows by --crop H W"
        raise MemoryError(f"{error}; use a smaller --batch, or {crop}") from error
    except Interrupted as stopped:
        print(f"minifcn: {stopped}, and saved; continue with: "
              f"minifcn train --out {shlex.quote(str(folder))} --resume", file=sys.stderr)
        return 128 + stopped.signal_number
    if say and trainer.progress.best is not None:
        say(f"best mean IU {100 * trainer.progress.best:.2f}: {folder / BEST}")
    return None


def gather(arguments) -> dict:
    """What is given on the command line, else in the file of --config, else by --recipe."""
    from minifcn.cli import add_common, set_threads, train

    def add_arguments(parser):
        add_common(parser)
        train.add_arguments(parser)

    typed = {name: value for name, value in vars(arguments).items()
             if value is not None and value is not False}
    filed = read_config(arguments.config, add_arguments) if arguments.config else {}
    if "threads" in filed and "threads" not in typed:
        set_threads(filed["threads"])
    recipe = dict(RECIPES.get({**filed, **typed}.get("recipe"), {}))
    if {"start", "vgg16"} & {**filed, **typed}.keys():          # its network stays
        recipe = {name: value for name, value in recipe.items() if name not in NETWORK}
    given: dict = {}
    for source in (recipe, filed, typed):
        if source.keys() & set(LENGTH):     # the one replaces the other
            given = {name: value for name, value in given.items() if name not in LENGTH}
        given |= source
    options.check_paths(given)
    for name in (*options.PATHS, "start", "vgg16"):     # the last two may be names
        if name in given and os.path.exists(given[name]):
            given[name] = os.path.abspath(given[name])      # it may be resumed from elsewhere
    known = ("out", "resume", "quiet", *START, *options.DEFAULTS, *NETWORK, *RECIPE)
    return {name: given[name] for name in known if name in given}


def start_run(given: dict, folder: Path, say) -> Trainer:
    """A new run."""
    if "dataset" not in given:
        raise ValueError(f"{folder} holds no run to resume, and no data set is named to start one")
    refuse_run(folder)
    if "new_classes" in given and "start" not in given:
        raise ValueError("--new-classes is about the checkpoint that --from names")
    other = load_start(given, say)
    data, validation = open_splits(given)
    unnamed = isinstance(data, Folder) and not data.named
    if unnamed and isinstance(other, minifcn.FCN) and other.classes == len(data.class_names) \
            and "new_classes" not in given:
        given["classes"] = other.class_names        # they pass from stage to stage
        data, validation = open_splits(given)
    check_data(data, validation, say)
    model = build_model(given, data, other, say)
    settings = {**START, **options.DEFAULTS, **RECIPE, **given,
                **{name: model.config[name] for name in NETWORK}}
    recipe = build_recipe(settings, data)
    foresee_memory(model, recipe, data)
    if say:
        parameters = sum(math.prod(shape) for shape in model.parameters.shapes().values())
        say(f"FCN-{model.stride}s, width {model.config['width']:g}, {parameters:,} parameters, "
            f"{model.classes} classes; {len(data)} images to train on, {len(validation)} to "
            f"validate; {recipe.steps} steps of {recipe.batch * recipe.accumulate} images")
    trainer = Trainer(model, data, recipe, validation, folder, source=settings, say=say,
                      tensorboard=settings["tensorboard"])
    write_config(folder, settings)
    return trainer


def check_data(data, validation, say) -> None:
    """What is wrong with files is found now, and not when their turn comes after an hour."""
    for name, each in (("train", data), ("val", validation)):
        if isinstance(each, PairedFiles):
            found = survey(each, quiet=say is None, title=f"checking {name}")
            assert_sound(found)
            if found.missing and say:
                say(f"{name} has no pixel of: {', '.join(found.missing)}")


def write_config(folder: Path, settings: dict) -> None:
    """All options of a run, for ``--config``."""
    values = {**settings, "from": settings["start"], "start": None}
    if values["steps"] is not None:
        values["epochs"] = None
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / CONFIG) as temporary:
        temporary.write_text(config_text(
            values, f"minifcn train --config {CONFIG} --out RUN repeats this run"),
            encoding="utf-8", errors="surrogateescape")     # of paths that are not UTF-8


def resume_run(given: dict, folder: Path, say) -> Trainer | None:
    """The run in a folder, by its own settings; arguments that contradict them are refused.

    None if nothing is left to do.
    """
    model, state = read_run(folder / LAST)
    settings = {**START, **options.DEFAULTS, **NETWORK, **RECIPE,   # older runs know fewer
                **saved_settings(folder / LAST, state.source)}
    for name, value in given.items():
        if name not in CHANGEABLE and value != settings[name]:
            raise ValueError(f"--{name.replace('_', '-')} is {value}, but the run in {folder} has "
                             f"{settings[name]}; leave it out, or start another run")
    new = {name: given[name] for name in ("data", "patience") if name in given}
    settings |= new
    data, validation = open_splits(settings)
    recipe = replace(Recipe.from_dict(state.recipe), patience=settings["patience"])
    if "steps" in given or "epochs" in given:
        recipe = replace(recipe, steps=count_steps(given, recipe, len(data)))
    trainer = Trainer(model, data, recipe, validation, folder, state, {**state.source, **new}, say,
                      tensorboard=settings["tensorboard"])
    step = state.progress.step
    if step > recipe.steps or trainer.finished:
        if say:
            longer = ("it stopped early, another --patience lengthens it" if trainer.stopped_early
                      else "--steps or --epochs lengthen it")
            say(f"nothing to do: the run in {folder} is at step {step} of {recipe.steps}; {longer}")
        return None
    foresee_memory(model, recipe, data)
    if say:
        say(f"continuing after step {step} of {recipe.steps}")
    return trainer


def saved_settings(path: Path, source: dict) -> dict:
    """The options of a run as its checkpoint has them, judged like those of a file."""
    values = {name.replace("_", "-"): value for name, value in source.items()
              if value is not None and name not in ("images", "classes")}
    if "steps" in values:
        values.pop("epochs", None)
    if "start" in values:
        values["from"] = values.pop("start")
    if "dataset" not in values:
        raise ValueError(f"{path} names no data set, so it cannot be resumed from here")
    settings = judged(path, values, train.add_arguments)
    classes = source.get("classes")
    if isinstance(classes, list):       # names may look like options
        settings["classes"] = check_class_names(classes)
    elif classes is not None:
        raise ValueError(f"{path}: classes is {shortened(repr(classes), 80)}; it should be a list")
    return {**settings, "images": source["images"]}


def foresee_memory(model, recipe: Recipe, data) -> None:
    """Refuse a batch that does not fit into the memory that is free, and say what would fit."""
    free = available_memory()
    if free is None:
        return

    def needed(batch, h, w):
        summary = model.summary(h, w)
        weights = summary.parameters * model.dtype.itemsize
        moments = (1 if recipe.optimizer == "sgd" else 2) + (recipe.accumulate > 1)
        return training_bytes(weights, [row.activation_bytes for row in summary.rows],
                              batch, moments)

    largest = max(1, recipe.augmentation.scale[1])
    h, w = recipe.augmentation.crop or (round(extent * largest)
                                        for extent in data[0].labels.shape)
    bytes_needed = needed(recipe.batch, h, w)
    if bytes_needed <= free:
        return
    fits = most_that_fit(recipe.batch, lambda batch: needed(batch, h, w) <= free)
    side = 32 * most_that_fit(min(h, w) // 32, lambda cells: needed(
        recipe.batch, 32 * cells, 32 * cells) <= free)
    advice = [f"--batch {fits}"] * bool(fits) + [f"--crop {side} {side}"] * bool(side)
    raise ValueError(f"a batch of {recipe.batch} images of {h} x {w} pixels needs about "
                     f"{bytes_needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free; use "
                     f"{' or '.join(advice) or 'a smaller --width'}")


def most_that_fit(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number of 1 to ``most`` that fits, by bisection; 0 if none does."""
    return bisect_left(range(1, most + 1), True, key=lambda number: not fits(number))


def open_splits(settings: dict):
    """Training and validation data; of generated scenes, a tenth as many for validation."""
    count = settings.get("count", options.DEFAULTS["count"])
    return (options.open_data(settings["dataset"], "train", settings),
            options.open_data(settings["dataset"], "val",
                                {**settings, "count": max(1, count // 10)}))


def load_start(given: dict, say):
    """The network of --from, a file or the name of a packaged one, or of --vgg16, if given."""
    if "start" in given and "vgg16" in given:
        raise ValueError("--from and --vgg16 both say what to start from; choose one")
    if "vgg16" in given:
        from minifcn.weights import load_vgg16

        vgg, report = load_vgg16(given["vgg16"])
        if say:
            say(str(report))
        return vgg
    if "start" not in given:
        return None
    start = given["start"]
    if start not in pretrained.names():
        options.checkpoint_file(start, "--from")
    other = pretrained.open_model(start)
    if not isinstance(other, minifcn.VGG16):
        return other
    return other if other.config["convolutional"] else minifcn.convolutionalize(other)


def build_model(given: dict, data, other, say):
    """A new network, or one with the weights of another, for the classes of the data."""
    network = {name: given[name] for name in NETWORK if name in given}
    classes, seed = len(data.class_names), given.get("seed", RECIPE["seed"])
    if other is None:
        model = minifcn.FCN(**{**NETWORK, **network}, classes=classes, seed=seed)
    else:
        model = continue_from(other, given.get("start", given.get("vgg16")), network, classes, seed,
                              given.get("new_classes", False), say)
    if model.class_names != list(data.class_names):
        model.class_names, model.palette = list(data.class_names), data.palette.copy()
    return model


def continue_from(other, path: str, network: dict, classes: int, seed: int, new_classes: bool,
                  say):
    """A network with the weights of a checkpoint; what ``network`` does not say stays."""
    if isinstance(other, minifcn.VGG16):
        new_classes = False         # an ImageNet classifier has no score layers to replace
    elif other.classes != classes and not new_classes:
        raise ValueError(f"{path} has {other.classes} classes, the data set {classes}; add "
                         "--new-classes to train new score layers on top of the other weights")
    for name in ("width", "fc_channels"):
        if network.get(name, other.config[name]) != other.config[name]:
            raise ValueError(f"the checkpoint has {name} {other.config[name]:g}, not "
                             f"{network[name]:g}; leave out --{name.replace('_', '-')}")
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
    if settings["class_weights"] != "none":
        labels = (sample.labels for sample in data)
        power = {"median": 1.0, "root": 0.5}[settings["class_weights"]]
        weights = tuple(map(float, median_frequency(labels, len(data.class_names), data.ignore)
                            ** power))
    crop = settings["crop"]
    recipe = Recipe(
        steps=1, batch=settings["batch"], accumulate=settings["accumulate"], optimizer=optimizer,
        rate=rate, momentum=settings["momentum"], decay=decay, schedule=settings["schedule"],
        reduction=settings["loss"], class_weights=weights, seed=settings["seed"],
        evaluate_every=settings["evaluate_every"], patience=settings["patience"],
        augmentation=Augmentation(settings["flip"], tuple(settings["scale"]),
                                  None if crop is None else tuple(crop), settings["colour"]))
    return replace(recipe, steps=count_steps(settings, recipe, len(data)))


def count_steps(settings: dict, recipe: Recipe, images: int) -> int:
    if settings.get("steps") is not None:
        return settings["steps"]
    if not 0 < settings["epochs"] < math.inf:
        raise ValueError(f"--epochs must be above 0, not {settings['epochs']}")
    return math.ceil(settings["epochs"] * images / (recipe.batch * recipe.accumulate))

"""``minifcn evaluate`` and ``minifcn predict``: what a checkpoint makes of images."""
from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import minifcn
from minifcn.cli import data as data_sets
from minifcn.cli import one_line
from minifcn.data import SUFFIXES, read_image, write_mask
from minifcn.plotting import write_confusion, write_overlay, write_panel
from minifcn.training.metrics import confusion_matrix, report
from minifcn.training.trainer import check_classes

EVALUATED_SCENES = 100      # of shapes, if --count does not say


def run_evaluate(arguments) -> None:
    model = load_fcn(arguments.checkpoint)
    given = {name: getattr(arguments, name) for name in data_sets.DEFAULTS}
    data = data_sets.open_data(arguments.dataset, arguments.split,
                               {**given, "count": given["count"] or EVALUATED_SCENES})
    check_classes(model, data)
    out = Path(arguments.out or Path(arguments.checkpoint).parent / "evaluation")
    chosen = {round(index) for index in
              np.linspace(0, len(data) - 1, min(arguments.pictures, len(data)))}
    drawn = []
    confusion = np.zeros((model.classes, model.classes), np.int64)
    for index, sample in enumerate(tqdm(data, unit="image", disable=arguments.quiet)):
        mask = model.predict(sample.image)
        confusion += confusion_matrix(sample.labels, mask, model.classes, data.ignore)
        if index in chosen:
            drawn.append((sample, mask))
    print(report(confusion, data.class_names, title=Path(arguments.checkpoint).name))
    if drawn:
        out.mkdir(parents=True, exist_ok=True)
        draw_evaluation(out, drawn, confusion, data)
        print(f"pictures: {out}")


def draw_evaluation(out: Path, drawn, confusion: np.ndarray, data) -> None:
    """An overlay of each (sample, mask), all of them beside the truth, and the confusions."""
    samples, masks = zip(*drawn)
    for sample, mask in drawn:
        write_overlay(out / f"{sample.name}.png", sample.image, mask, data.palette,
                      data.class_names)
    write_panel(out / "panel.png", samples, {"prediction": masks}, data.palette, data.class_names,
                data.ignore)
    write_confusion(out / "confusion.png", confusion, data.class_names)


def run_predict(arguments) -> int:
    model = load_fcn(arguments.checkpoint)
    out = Path(arguments.out)
    images = find_images(arguments.images, out)
    names = output_names(images, out)
    out.mkdir(parents=True, exist_ok=True)
    bad = 0
    for path, name in zip(tqdm(images, unit="image", disable=arguments.quiet), names):
        try:
            image = read_image(path)
        except (ValueError, OSError) as error:
            bad += 1
            tqdm.write(f"minifcn: {one_line(error)}", file=sys.stderr)
            continue
        mask = model.predict(image)
        write_mask(out / f"{name}.png", mask, model.palette)
        write_overlay(out / f"{name}_overlay.png", image, mask, model.palette, model.class_names)
    if bad:
        print(f"minifcn: {bad} of {len(images)} images could not be read; the others are in {out}",
              file=sys.stderr)
    return 2 if bad else 0


def load_fcn(path: str) -> minifcn.FCN:
    model = minifcn.load(path)
    if not isinstance(model, minifcn.FCN):
        raise ValueError(f"{path} holds a {type(model).__name__}, not an FCN; train one from it "
                         "with minifcn train --from")
    return model


def find_images(places: Iterable[str], out: Path) -> list[Path]:
    """The images named, and those in the folders named, each once."""
    images: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise ValueError(f"{place} is neither a file nor a folder")
        if not place.is_dir():
            images.append(place)
            continue
        if place.resolve() == out.resolve():
            raise ValueError(f"--out {out} is a folder of images to read; choose another one")
        found = sorted(path for path in place.iterdir()
                       if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
        if not found:
            raise ValueError(f"{place} holds no images ({' '.join(SUFFIXES)})")
        images += found
    return list({path.resolve(): path for path in images}.values())


def output_names(images: Sequence[Path], out: Path) -> list[str]:
    """A name for the mask of each image: no file is written twice, and no input is written to."""
    taken: set[str] = set()
    if out.resolve() in {path.resolve().parent for path in images}:
        taken = {path.name.lower() for path in out.iterdir()}
    names = []
    for path in images:
        name, number = path.stem, 1
        while taken & (files := {f"{name}.png".lower(), f"{name}_overlay.png".lower()}):
            number += 1
            name = f"{path.stem}-{number}"
        taken |= files
        names.append(name)
    return names

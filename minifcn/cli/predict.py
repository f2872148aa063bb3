"""``minifcn predict``: segment images."""
from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from minifcn.cli.options import load_fcn

HELP = "segment images: palette PNG masks, and overlays"
EXAMPLE = "predict runs/camvid/best.safetensors photo.jpg more-photos/ --out masks"


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--out", required=True, metavar="DIR",
                         help="gets NAME.png (class ids) and NAME_overlay.png")


def run(arguments) -> int:
    from tqdm import tqdm

    from minifcn.cli import one_line
    from minifcn.data import read_image, write_mask
    from minifcn.plotting import write_overlay

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


def find_images(places: Iterable[str], out: Path) -> list[Path]:
    """The images named, and those in the folders named, each once."""
    from minifcn.data import SUFFIXES

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

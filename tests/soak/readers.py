"""Every reader of a stranger's file, valid files to begin with, and ways to spoil them.

A spoilt file is a function of the reader's name and a number, so each can be made again.
"""
from __future__ import annotations

import functools
import io
import json
import os
import random
import shutil
import struct
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
from PIL import Image
from safetensors.numpy import save

import minifcn
from minifcn import data, predicting
from minifcn.files import untrusted
from minifcn.training.trainer import LAST, Recipe, Trainer

MESSAGE = 500       # characters of an error
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
WORDS = ("", "0", "-1", "1e999", "nan", "NaN", "Infinity", "null", "true", "{}", "[]", '"', "\\",
         "[" * 2000, "9" * 5000, "1e400", "-", "--", "\x1b[31m", "\x00", "é", "../..", "/dev/zero",
         "x" * 3000, "\n", "\r", ",", ":", "=", "#", "'", "99999999999999999999", "0.5",
         "2147483647")


class Reader(NamedTuple):
    """``read`` a file of this name, which must give a result, or a ValueError or OSError."""

    name: str
    file: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    text: bool = False


def network() -> minifcn.FCN:
    return minifcn.FCN(32, 3, width=0.01, fc_channels=2, upsampling="learned")


def checkpoints() -> list[bytes]:
    model = network()
    about = {"format": "minifcn 1", "kind": "FCN", "config": model.config,
             "class_names": ["a", "b", "c"], "palette": model.palette.tolist(),
             "preprocessing": model.preprocessing.to_dict(), "state": {}}
    arrays = {name: np.array(model.parameters[name]) for name in model.parameters}
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    return [save(each, {"minifcn": json.dumps(about)}) for each in (arrays, halves)]


def runs() -> list[bytes]:
    import tempfile

    found = []
    for optimizer in ("adam", "sgd"):
        with tempfile.TemporaryDirectory() as folder:
            command = ["train", "shapes", "--out", folder, "--quiet", "--size", "8", "8", "--count",
                       "4", "--steps", "1", "--batch", "1", "--width", "0.01", "--fc-channels", "2",
                       "--optimizer", optimizer, "--stride", "32"]
            from minifcn.cli import main
            assert main(command) == 0
            found.append(Path(folder, LAST).read_bytes())
    return found


def resume(path: Path) -> None:
    from minifcn.cli.runs import resume_run

    resume_run({}, path.parent, None)


def pictures(kind: str, *options: dict) -> Callable[[], list[bytes]]:
    def seeds() -> list[bytes]:
        rng = np.random.default_rng(0)
        colour = Image.fromarray(rng.integers(0, 256, (9, 13, 3), np.uint8))
        found = []
        for mode in ("RGB", "L", "P", "RGBA", "1", "I;16"):
            picture = Image.fromarray(rng.integers(0, 5, (9, 13), np.uint16)) if mode == "I;16" \
                else colour.convert(mode)
            for each in options or ({},):
                file = io.BytesIO()
                try:
                    picture.save(file, kind, **each)
                except (OSError, ValueError, KeyError):     # the format has no such pixels
                    continue
                found.append(file.getvalue())
        return found

    return seeds


def labels(path: Path) -> None:
    data.read_labels(path, np.arange(15, dtype=np.uint8).reshape(5, 3))
    data.read_labels(path)


def read_list(path: Path) -> None:
    root = path.parent / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("a", "b"):
        for folder in ("JPEGImages", "SegmentationClass"):
            (root / folder / f"{name}.png").touch()
    shutil.copy(path, root / "ImageSets" / "Segmentation" / "train.txt")
    data.VOC(root)


def read_config(path: Path) -> None:
    from minifcn.cli import config, train

    config.read_config(path, train.add_arguments)


def annotations(path: Path) -> None:
    if not (path.parent / "a.png").exists():
        Image.new("RGB", (13, 9)).save(path.parent / "a.png")
    out = path.parent / "imported"
    shutil.rmtree(out, ignore_errors=True)
    kind = "coco" if "coco" in path.name else "labelme"
    data.import_annotations(path if kind == "coco" else path.parent, out, kind)


def labelme() -> list[bytes]:
    file = io.BytesIO()
    Image.new("L", (3, 2), 1).save(file, "PNG")
    import base64
    mask = base64.b64encode(file.getvalue()).decode()
    shapes = [{"label": "cat", "points": [[1, 1], [5, 1], [5, 5.5]], "shape_type": "polygon"},
              {"label": "dog", "points": [[1, 1], [5, 4]], "shape_type": "rectangle"},
              {"label": "cow", "points": [[4, 4], [6, 4]], "shape_type": "circle"},
              {"label": "cow", "points": [[4, 4]], "shape_type": "point"},
              {"label": "hen", "points": [[4, 4], [7, 6]], "shape_type": "mask", "mask": mask}]
    return [json.dumps({"version": "5.0", "imagePath": "a.png", "imageHeight": 9,
                        "imageWidth": 13, "shapes": shapes}).encode()]


def coco() -> list[bytes]:
    parts = [[[1, 1, 5, 1, 5, 5]], {"size": [9, 13], "counts": [100, 10, 7]},
             {"size": [9, 13], "counts": "T3:7"}]
    return [json.dumps({
        "images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 13}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 3, "iscrowd": 0, "segmentation": part}
                        for part in chosen]}).encode() for chosen in (parts[:1], parts[:2], parts)]


def student(path: Path) -> None:
    from minifcn.gradcheck import runner

    try:
        source = runner.source_of(path)
        runner._defined(source)
    except ValueError as error:     # the caller puts the name before it
        raise ValueError(f"{path} {error}") from None


NOTEBOOK = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
    {"cell_type": "markdown", "source": "text", "metadata": {}},
    {"cell_type": "code", "source": ["%matplotlib inline\n", "import numpy as np\n"],
     "outputs": [], "metadata": {}, "execution_count": None},
    {"cell_type": "code", "source": "def relu_forward(x):\n    return np.maximum(x, 0)",
     "outputs": [], "metadata": {}, "execution_count": 1}]}).encode()
PYTHON = b"import numpy as np\n\n\ndef relu_forward(x):\n    return np.maximum(x, 0)\n"
PALETTE = b"# names\nroad 128 64 128\nside walk 244 35 232\nvoid 0 0 0\n\ncar 0 0 142\n"
TOML = b'dataset = "shapes"\nrate = 1e-3\ncrop = [24, 32]\nat-once = true\nsteps = 5\n'
MANIFEST = b"picture,mask,height,width\r\na/b.png,b.png,9,13\r\nc.jpg,c.png,20,30\r\n"
OPTIONS = [words.encode() for words in (
    "summary 48 64 --stride 16 --width 0.02 --classes 3 --json",
    "summary --positions 40 50 --geometry caffe --width 0.01",
    "train shapes --out run --steps 3 --size 8 8 --count 5 --width 0.01 --fc-channels 2 --quiet",
    "train streets --out run --epochs 2 --scale 0.5 2 --crop 16 16 --size 16 16 --count 4 --width "
    "0.01 --fc-channels 2 --flip 0.5 --colour 0.1 --rate 1e-3 --momentum 0.5 --patience 3",
    "predict streets-8s a.png --scale 0.5 --alpha 0.2 --no-overlay --out masks",
    "evaluate streets-8s streets --count 1 --size 16 16 --pictures 0 --json",
    "data shapes --count 3 --size 8 8 --json", "check --seconds 5 nothing.py", "doctor --json",
    "step relu_forward --shape 1x2x2x1 --out step.html --seed 3")]


def options(path: Path) -> None:
    """The command line; what it would train or compute at length is left out."""
    from minifcn.cli import main

    words = path.read_bytes().decode("utf-8", "surrogateescape").replace("\0", "").split()
    here, code, said = os.getcwd(), 0, io.StringIO()
    os.chdir(path.parent)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said), \
                mock.patch.object(Trainer, "run"), mock.patch("minifcn.trace"):
            code = main(words)
    except SystemExit as stopped:
        code = stopped.code
    finally:
        os.chdir(here)
    if code not in (0, 1, 2, None):
        raise AssertionError(f"exit code {code}")
    if code == 2:
        raise ValueError(said.getvalue().strip().splitlines()[-1][-MESSAGE:])


READERS = [
    Reader("checkpoint", "a.safetensors", checkpoints, minifcn.load),
    Reader("run", LAST, runs, resume),
    Reader("png", "a.png", pictures("PNG"), data.read_image),
    Reader("jpeg", "a.jpg", pictures("JPEG", {}, {"progressive": True}), data.read_image),
    Reader("tiff", "a.tif", pictures("TIFF", {}, {"compression": "tiff_lzw"},
                                     {"compression": "tiff_adobe_deflate"},
                                     {"compression": "packbits"}), data.read_image),
    Reader("gif", "a.gif", pictures("GIF"), data.read_image),
    Reader("bmp", "a.bmp", pictures("BMP"), data.read_image),
    Reader("webp", "a.webp", pictures("WEBP", {}, {"lossless": True}), data.read_image),
    Reader("ppm", "a.ppm", pictures("PPM"), data.read_image),
    Reader("jp2", "a.jp2", pictures("JPEG2000"), data.read_image),
    Reader("labels", "a.png", pictures("PNG"), labels),
    Reader("labels-tiff", "a.tif", pictures("TIFF"), labels),
    Reader("palette", "a.txt", lambda: [PALETTE], data.read_palette, True),
    Reader("list", "a.txt", lambda: [b"a\nb 1\n\n a\n"], read_list, True),
    Reader("toml", "a.toml", lambda: [TOML], read_config, True),
    Reader("labelme", "labelme.json", labelme, annotations, True),
    Reader("coco", "coco.json", coco, annotations, True),
    Reader("manifest", "manifest.csv", lambda: [MANIFEST],
           lambda path: predicting.read_manifest(path.parent), True),
    Reader("notebook", "a.ipynb", lambda: [NOTEBOOK], student, True),
    Reader("student", "a.py", lambda: [PYTHON], student, True),
    Reader("recipe", "a.json", lambda: [json.dumps(recipe).encode() for recipe in RECIPES],
           lambda path: Recipe.from_dict(dictionary(path)), True),
    Reader("options", "a.txt", lambda: OPTIONS, options, True),
]
RECIPES = [{"steps": 5, "rate": 0.1, "class_weights": [1, 2.5],
            "augmentation": {"flip": 0.5, "scale": [0.5, 2], "crop": [8, 8], "colour": 0.1}}]


def dictionary(path: Path) -> dict:
    with untrusted(path):
        value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError("not a recipe")
    return value


@functools.cache
def seeds(name: str) -> list[bytes]:
    return next(reader for reader in READERS if reader.name == name).seeds()


# -- spoiling -------------------------------------------------------------------------------------


def mutated(reader: Reader, number: int) -> bytes:
    """The spoilt file of this number."""
    rng = random.Random(f"{reader.name} {number}")
    content = rng.choice(seeds(reader.name))
    if reader.name in ("checkpoint", "run") and rng.random() < 0.7:
        return spoilt_header(content, rng)
    if reader.text and rng.random() < 0.7:
        return spoilt_words(content, rng)
    return spoilt_bytes(content, rng, seeds(reader.name))


def spoilt_bytes(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(result) + 1) if rng.random() < 0.5 else rng.randrange(
            min(len(result), 200) + 1)
        match rng.randrange(7):
            case 0:
                result[place:place + 1] = bytes([rng.randrange(256)])
            case 1:
                del result[place:place + rng.choice((1, 2, 4, 50))]
            case 2:
                result[place:place] = rng.randbytes(rng.choice((1, 2, 4, 50)))
            case 3:
                form = rng.choice((">B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
                number = rng.choice(NUMBERS) % 256 ** struct.calcsize(form)
                result[place:place + struct.calcsize(form)] = struct.pack(form, number)
            case 4:
                del result[place:]
            case 5:
                result[place:place] = result[place:place + rng.choice((4, 50))] * rng.choice((1, 9))
            case 6:
                other = rng.choice(others)
                cut = rng.randrange(len(other) + 1)
                result[place:] = other[cut:]
    return bytes(result)


def spoilt_words(content: bytes, rng: random.Random) -> bytes:
    import re

    parts = re.split(r"(\W)", content.decode("utf-8", "surrogateescape"))
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(parts))
        match rng.randrange(4):
            case 0 | 1:
                parts[place] = rng.choice(WORDS)
            case 2:
                del parts[place]
            case 3:
                parts.insert(place, rng.choice(parts))
        parts = parts or [""]
    return "".join(parts).encode("utf-8", "surrogateescape")


def spoilt_header(content: bytes, rng: random.Random) -> bytes:
    """Of a safetensors file: JSON that says something else, in a frame that fits."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + size])
    about = json.loads(header["__metadata__"]["minifcn"])
    target = header if rng.random() < 0.2 else about
    for _ in range(rng.choice((1, 1, 2, 4))):
        spoil_value(target, rng)
    header["__metadata__"] = {"minifcn": json.dumps(about)} if target is about else header.get(
        "__metadata__")
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size:]


def spoil_value(value, rng: random.Random) -> None:
    """Change something in nested dictionaries and lists."""
    while isinstance(value, (dict, list)) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(list(keys))
        child = value[key]
        if isinstance(child, (dict, list)) and child and rng.random() < 0.8:
            value = child
            continue
        if rng.random() < 0.2:
            del value[key]
        else:
            value[key] = rng.choice((
                None, True, False, "", "x", "x" * 9999, "\x1b[31m", -1, 0, 1, 10**6, 2**31, 10**30,
                0.5, -1e300, float("nan"), float("inf"), [], {}, [[]], [1, 2, 3], {"a": 1}, child))
        return


# -- trying ---------------------------------------------------------------------------------------


def try_input(reader: Reader, content: bytes, folder: Path) -> str:
    """"result" or "error"; AssertionError if it ends in any other way."""
    path = folder / reader.file
    path.write_bytes(content)
    try:
        reader.read(path)
    except (ValueError, OSError) as error:
        text = str(error)
        if len(text) > MESSAGE or not all(c.isprintable() or c in "\n\t" for c in text):
            raise AssertionError(f"a message of {len(text)} characters: {text[:200]!r}") from error
        return "error"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise AssertionError(f"{type(error).__name__}: {str(error)[:300]}") from error
    return "result"


if __name__ == "__main__":      # python -m tests.soak.readers NAME NUMBER: one of them again
    chosen = next(reader for reader in READERS if reader.name == sys.argv[1])
    here = Path(sys.argv[3] if len(sys.argv) > 3 else ".")
    print(try_input(chosen, mutated(chosen, int(sys.argv[2])), here))

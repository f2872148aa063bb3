"""``minifcn data``: look through a data set, or make one of annotations."""
from __future__ import annotations

from pathlib import Path

from minifcn.cli.options import DEFAULTS, add_data, add_json, open_data
from minifcn.palette import DATASETS

HELP = "look through a data set, or import annotations of labelme, COCO or Cityscapes"
EXAMPLE = """\
data my-photos
data camvid --data CamVid
data import annotations.json --out my-photos
train folder --data my-photos --out runs/mine"""
PICTURES = 6        # on the sheet


def add_arguments(parser) -> None:
    parser.add_argument("place", metavar="PATH | DATASET | import",
                        help=f"a folder, or one of {', '.join(DATASETS)}")
    parser.add_argument("source", nargs="?", metavar="SOURCE",
                        help="import: folder of labelme files or of Cityscapes, or COCO's JSON")
    parser.add_argument("--out", metavar="PATH",
                        help="the sheet of samples (default: data.png); import: the new folder")
    add_json(parser)
    parser.add_argument("--images", metavar="DIR", help="import, COCO: folder of the images")
    parser.add_argument("--kind", choices=("labelme", "coco", "cityscapes"),
                        help="import: of the annotations (default: recognised)")
    parser.add_argument("--validation", type=float, default=0.1, metavar="SHARE",
                        help="import: of the pictures, drawn by --seed (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0)
    add_data(parser)


def run(arguments) -> int:
    if arguments.place == "import":
        return _import(arguments)
    if arguments.source is not None:
        raise ValueError(f"what is {arguments.source}? to import annotations: minifcn data import "
                         f"{arguments.source} --out FOLDER")
    return _survey(arguments)


def _import(arguments) -> int:
    from minifcn.data import import_annotations
    if arguments.source is None or arguments.out is None:
        raise ValueError("minifcn data import takes the annotations and --out, a new folder")
    imported = import_annotations(
        arguments.source, arguments.out, arguments.kind, arguments.classes, arguments.images,
        arguments.validation, arguments.seed, arguments.quiet)
    print(imported)
    splits = _open_splits("folder", {"data": arguments.out}, imported.counts)
    sheet = Path(arguments.out) / "sheet.png"
    _draw(sheet, splits)
    print(f"a sheet of samples: {sheet}\ntrain with: minifcn train folder --data {arguments.out} "
          "--out runs/mine")
    return 0


def _survey(arguments) -> int:
    import json

    from minifcn.data import survey

    dataset, given = _which(arguments)
    splits = _open_splits(dataset, given, ("train", "val"))
    found = {name: survey(data, arguments.quiet, f"labels of {name}")
             for name, data in splits.items()}
    wrong = any(each.faults for each in found.values())
    if arguments.json:
        print(json.dumps({name: each.to_json() for name, each in found.items()}, indent=2))
        return int(wrong)
    for name, each in found.items():
        print(f"{name}: {each}\n")
    for name, each in found.items():
        if each.missing:
            print(f"{name} has no pixel of: {', '.join(each.missing)}")
    if not wrong:
        sheet = Path(arguments.out or "data.png")
        _draw(sheet, splits)
        print(f"a sheet of samples: {sheet}")
    return int(wrong)


def _which(arguments) -> tuple[str, dict]:
    """The data set that is meant, and the arguments that it is opened with."""
    given = {name: getattr(arguments, name) for name in DEFAULTS}
    if arguments.place in DATASETS:
        return arguments.place, given
    folder = Path(arguments.place)
    if not folder.is_dir():
        raise ValueError(f"{folder} is neither a folder nor a data set ({', '.join(DATASETS)})")
    if given["data"]:
        raise ValueError(f"--data goes with the name of a data set, not with {folder}")
    given["data"] = arguments.place
    if (folder / "trainannot").is_dir():
        return "camvid", given
    if any((folder / name).is_dir() for name in ("VOC2012", "SegmentationClass")):
        return "voc", given
    return "folder", given


def _open_splits(dataset: str, given: dict, splits) -> dict:
    return {split: open_data(dataset, split, given) for split in splits}


def _draw(path: Path, splits: dict) -> None:
    """Samples of all splits, the image beside its labels."""
    from minifcn.data.survey import spread
    from minifcn.plotting import write_panel

    data = next(iter(splits.values()))
    samples = [each[index] for each in splits.values()
               for index in spread(each, PICTURES // len(splits))]
    write_panel(path, samples, {}, data.palette, data.class_names, data.ignore)

"""Arguments that several commands share, and what they stand for."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from minifcn.palette import DATASETS

if TYPE_CHECKING:
    from minifcn import FCN

# What the arguments of data sets are when they are not given.
DEFAULTS = {"data": None, "count": 1000, "size": None, "year": 2012, "classes": None,
            "palette": None, "ignore": 255, "relabel": None}
ON_DISK = ("camvid", "voc", "folder")
PATHS = {"data": "--data", "palette": "--palette"}


def add_network(group) -> None:
    group.add_argument("--stride", type=int, choices=(8, 16, 32), help="default: 8")
    group.add_argument("--width", type=float,
                       help="factor of VGG16's channels (default: 0.25 to train, else 1)")
    group.add_argument("--fc-channels", type=int, help="of fc6 and fc7 (default: 4096 * width)")
    group.add_argument("--geometry", choices=("exact", "caffe"), help="default: exact")
    group.add_argument("--upsampling", choices=("frozen", "learned"), help="default: frozen")
    group.add_argument("--at-once", action="store_true", default=None,
                       help="scale pool4 and pool3, to train all strides together")
    group.add_argument("--dropout", type=float, help="default: 0.5")


def add_data(parser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="PATH",
                      help="folder of the data set; streets and shapes need none")
    data.add_argument("--count", type=int, help="streets, shapes: scenes (default: 1000)")
    data.add_argument("--size", type=int, nargs=2, metavar=("H", "W"),
                      help="streets, shapes: of the scenes (default: 120 160, 96 96)")
    data.add_argument("--year", type=int, help="voc: default 2012")
    data.add_argument("--classes", nargs="+", metavar="NAME", help="folder: names, in order of ids")
    data.add_argument("--palette", metavar="FILE", help="folder: lines of NAME RED GREEN BLUE")
    data.add_argument("--ignore", type=int, help="folder: label to leave out (default: 255)")
    data.add_argument("--relabel", nargs="+", metavar="FROM=TO",
                      help="folder: labels that stand for others, such as 255=1")


def add_json(parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_dataset(parser, **options) -> None:
    parser.add_argument("dataset", choices=DATASETS, metavar="DATASET", help=", ".join(DATASETS),
                        **options)


def open_data(dataset: str, split: str, given: Mapping):
    """Open a split of a data set; what ``given`` does not say has its default."""
    from minifcn.data import open_dataset

    if given.get("data") is None and dataset in ON_DISK:
        raise ValueError(f"where is the data set {dataset}? give the path of its folder: "
                         "--data PATH")
    values = {name: default if given.get(name) is None else given[name]
              for name, default in DEFAULTS.items()}
    return open_dataset(dataset, values["data"], split, count=values["count"],
                        size=values["size"] and tuple(values["size"]), year=values["year"],
                        class_names=values["classes"], palette_file=values["palette"],
                        ignore=values["ignore"], relabel=_relabelled(values["relabel"] or ()))


def _relabelled(words: Iterable[str]) -> dict[int, int]:
    pairs = [word.split("=") for word in words]
    for word, pair in zip(words, pairs):
        if len(pair) != 2 or not all(part.isdecimal() and len(part) < 6 for part in pair):
            raise ValueError(f"--relabel takes FROM=TO, two labels, not {word!r}")
    return {int(old): int(new) for old, new in pairs}


def check_paths(given: Mapping) -> None:
    """Raise ValueError for a path that does not exist, naming its option."""
    for name, option in PATHS.items():
        if given.get(name) is not None and not Path(given[name]).exists():
            raise ValueError(f"{option} {given[name]}: there is no such file or folder")


def checkpoint_file(path: str, option: str = "") -> str:
    """The path of a checkpoint; a folder is refused, and a missing file, naming the option."""
    if Path(path).is_dir():
        best = Path(path, "best.safetensors")
        raise ValueError(f"{option} {path} is a folder; ".lstrip() + (
            f"the best model of this run is {best}" if best.exists() else
            "a checkpoint is a file, such as best.safetensors in the folder of a run"))
    if option and not Path(path).exists():
        raise ValueError(f"{option} {path}: there is no such file")
    return path


def load_fcn(path_or_name: str) -> FCN:
    """The network in a file, or the packaged one of that name."""
    import minifcn
    from minifcn.models.pretrained import open_model

    model = open_model(checkpoint_file(path_or_name))
    if not isinstance(model, minifcn.FCN):
        raise ValueError(f"{path_or_name} holds a {type(model).__name__}, not an FCN; train one "
                         "from it with minifcn train --from")
    return model

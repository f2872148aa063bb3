"""``minifcn evaluate``: measure a checkpoint, and draw what it makes of images."""
from __future__ import annotations

from pathlib import Path

from minifcn.cli.options import (
    DEFAULTS,
    add_data,
    add_dataset,
    add_json,
    check_paths,
    load_fcn,
    open_data,
)

HELP = "measure a checkpoint on a data set, and draw it"
EXAMPLE = "evaluate runs/camvid/best.safetensors camvid --data data/camvid"
EVALUATED_SCENES = 100      # of generated ones, if --count does not say


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    add_dataset(parser)
    parser.add_argument("--split", default="val", help="default: val")
    parser.add_argument("--out", metavar="DIR",
                          help="of the pictures (default: evaluation, beside the checkpoint)")
    parser.add_argument("--pictures", type=int, default=8, metavar="N",
                          help="how many to draw (default: 8)")
    add_json(parser)
    add_data(parser)


def run(arguments) -> None:
    import json

    import numpy as np

    from minifcn import progress
    from minifcn.data.survey import spread
    from minifcn.training.metrics import Metrics, confusion_matrix, report
    from minifcn.training.trainer import check_classes

    model = load_fcn(arguments.checkpoint)
    if arguments.pictures < 0:
        raise ValueError(f"--pictures must be at least 0, not {arguments.pictures}")
    data = open_for(model, arguments)
    check_classes(model, data)
    out = Path(arguments.out or Path(arguments.checkpoint).parent / "evaluation")
    chosen = spread(data, arguments.pictures)
    drawn = []
    confusion = np.zeros((model.classes, model.classes), np.int64)
    with progress.bar(data, unit="image", quiet=arguments.quiet) as samples:
        for index, sample in enumerate(samples):
            mask = model.predict(sample.image)
            confusion += confusion_matrix(sample.labels, mask, model.classes, data.ignore)
            if index in chosen:
                drawn.append((sample, mask))
    if arguments.json:
        metrics = Metrics.from_confusion(confusion, model.class_names)
        print(json.dumps({"checkpoint": str(arguments.checkpoint), "images": len(data),
                          **metrics.to_dict()}, indent=2))
    else:
        print(report(confusion, model.class_names, title=Path(arguments.checkpoint).name))
    if drawn:
        out.mkdir(parents=True, exist_ok=True)
        draw_evaluation(out, drawn, confusion, data, model.class_names)
        if not arguments.json:
            print(f"pictures: {out}")


def open_for(model, arguments):
    """The data set, whose classes have the checkpoint's names if nobody names them."""
    from minifcn.data.folder import CLASS_TABLE

    given = {name: getattr(arguments, name) for name in DEFAULTS}
    if given["count"] is None:
        given["count"] = EVALUATED_SCENES
    check_paths(given)
    named = given["classes"] or given["palette"] or Path(given["data"] or "", CLASS_TABLE).exists()
    if arguments.dataset == "folder" and not named:
        given["classes"] = model.class_names
    return open_data(arguments.dataset, arguments.split, given)


def draw_evaluation(out: Path, drawn, confusion, data, class_names) -> None:
    """An overlay of each (sample, mask), all of them beside the truth, and the confusions."""
    from minifcn.plotting import write_confusion, write_overlay, write_panel

    samples, masks = zip(*drawn)
    for sample, mask in drawn:
        write_overlay(out / f"{sample.name}.png", sample.image, mask, data.palette, class_names)
    write_panel(out / "panel.png", samples, {"prediction": masks}, data.palette, class_names,
                data.ignore)
    write_confusion(out / "confusion.png", confusion, class_names)

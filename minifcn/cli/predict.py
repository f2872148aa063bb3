"""``minifcn predict``: segment pictures."""
from __future__ import annotations

import sys
from pathlib import Path

from minifcn.cli.options import add_json, checkpoint_file, load_fcn
from minifcn.leaving import tidied

HELP = "segment pictures: palette PNG masks, overlays, and a list of them"
EXAMPLE = """\
predict streets-8s photo.jpg
predict runs/camvid/best.safetensors photo.jpg more-photos/ --out masks
predict streets-8s "photos/*.jpg" --scale 0.5 --no-overlay"""


def add_arguments(parser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL",
                        help="a checkpoint, or the name of a packaged model: streets-8s")
    parser.add_argument("images", nargs="*", metavar="IMAGE_OR_FOLDER",
                        help='pictures, folders of them, or patterns in quotes: "photos/*.jpg"')
    parser.add_argument("--out", default="masks", metavar="DIR",
                        help="gets NAME.png (class ids), NAME_overlay.png and manifest.csv, which "
                             "says whose mask is which (default: masks)")
    parser.add_argument("--recursive", action="store_true", help="folders with all below them")
    parser.add_argument("--scale", type=float, default=1.0, metavar="S",
                        help="segment at S times the size; masks have the picture's (default: 1)")
    parser.add_argument("--probabilities", action="store_true",
                        help="also NAME_probabilities.npy: float16 (h, w, classes)")
    parser.add_argument("--alpha", type=float, default=0.5, metavar="A",
                        help="opacity of the overlay's colours, 0 to 1 (default: 0.5)")
    parser.add_argument("--no-overlay", action="store_true", help="masks only")
    add_json(parser)


def run(arguments) -> int:
    import json

    from minifcn import predicting, progress
    from minifcn.cli import one_line
    from minifcn.cli.machine import available_memory

    check(arguments)
    model = load_fcn(arguments.model)
    out = Path(arguments.out)
    images, skipped = predicting.find_images(arguments.images, out, arguments.recursive)
    earlier = predicting.read_manifest(out)
    names = dict(zip(images, predicting.output_names(images, out, earlier)))
    if skipped:
        progress.say(f"minifcn: {predicting.skipped_text(skipped)}", sys.stderr)
    failed: list[dict] = []
    written: list[dict] = []

    def refuse(path: Path, error: Exception) -> None:
        failed.append({"picture": str(path), "error": one_line(error)})
        progress.say(f"minifcn: {failed[-1]['error']}", sys.stderr)

    def list_masks() -> None:
        if written:
            predicting.write_manifest(out, predicting.merged(earlier, written, out))

    with tidied(list_masks), progress.bar(images, unit="image", quiet=arguments.quiet) as paths:
        try:
            for each in predicting.segmented(model, paths, arguments.scale, arguments.probabilities,
                                             available_memory, refuse):
                out.mkdir(parents=True, exist_ok=True)
                written.append(write(each, model, out, names[each.path], arguments))
        finally:        # also after an error, as after Ctrl-C: what is written is listed
            list_masks()
    if arguments.json:
        print(json.dumps({"model": arguments.model, "out": str(out),
                          "manifest": str(out / predicting.MANIFEST), "pictures": written,
                          "failed": failed, "skipped": skipped}, indent=2))
    elif written and not arguments.quiet:
        progress.say(f"{len(written)} mask{'s' * (len(written) != 1)} in {out}; "
                     f"{out / predicting.MANIFEST} says which belongs to which picture")
    if failed and len(images) > 1:
        others = f"the others are in {out}" if written else "nothing was written"
        progress.say(f"minifcn: {len(failed)} of {len(images)} images could not be read; {others}",
                     sys.stderr)
    return 2 if failed else 0


def check(arguments) -> None:
    """Raise ValueError for arguments that cannot be meant."""
    from minifcn.data.images import SUFFIXES
    from minifcn.models.pretrained import names

    model, images = arguments.model, arguments.images
    kinds = f"a checkpoint, or the name of a packaged model: {', '.join(names())}"
    if model is None:
        raise ValueError(f"no model is given: minifcn predict MODEL PICTURE; MODEL is {kinds}")
    a_run = Path(model, "best.safetensors").exists()
    if Path(model).suffix.lower() in SUFFIXES or (Path(model).is_dir() and not (images or a_run)):
        raise ValueError(f"no model is given: minifcn predict MODEL {model}; MODEL is {kinds}")
    checkpoint_file(model)
    if not images:
        raise ValueError(f"no picture is given: minifcn predict {model} PICTURE")
    if Path(arguments.out).exists() and not Path(arguments.out).is_dir():
        raise ValueError(f"--out {arguments.out} is not a folder")
    if not 0 < arguments.scale <= 100:
        raise ValueError(f"--scale must be above 0, at most 100, not {arguments.scale:g}")
    if not 0 <= arguments.alpha <= 1:
        raise ValueError(f"--alpha must be 0 to 1, not {arguments.alpha:g}")


def write(each, model, out: Path, name: str, arguments) -> dict:
    """Write the files of one picture; returns what stands in the list of them."""
    import numpy as np

    from minifcn.data import write_mask
    from minifcn.files import written_whole
    from minifcn.plotting import write_overlay
    from minifcn.predicting import MASK, OVERLAY, PROBABILITIES

    paths = {"mask": out / f"{name}{MASK}"}
    write_mask(paths["mask"], each.mask, model.palette)
    if not arguments.no_overlay:
        paths["overlay"] = out / f"{name}{OVERLAY}"
        write_overlay(paths["overlay"], each.image, each.mask, model.palette, model.class_names,
                      arguments.alpha)
    if each.probabilities is not None:
        paths["probabilities"] = out / f"{name}{PROBABILITIES}"
        with written_whole(paths["probabilities"]) as temporary:
            np.save(temporary, each.probabilities)
    height, width = each.mask.shape
    return {"picture": str(each.path), **{kind: str(path) for kind, path in paths.items()},
            "height": height, "width": width}

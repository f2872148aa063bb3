"""Weights of other projects into networks of ours: every number in its place, and a report of it.

Nothing is copied silently, and nothing is silently not copied: a network of which fc6 and fc7 kept
random values looks all right and segments badly.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minifcn import ops
from minifcn.files import untrusted
from minifcn.models import FCN, VGG16, convolutionalize, load
from minifcn.models.fcn import AT_ONCE_SCALES
from minifcn.palette import VOC_NAMES
from minifcn.weights.architectures import UPSCORES, Found, change, identify, reordered
from minifcn.weights.catalogue import PREPROCESSINGS, published
from minifcn.weights.recognition import FORMATS, open_weights
from minifcn.weights.safetensors_files import EXPORTED
from minifcn.weights.tensors import WeightFile

OURS = "minifcn"                # metadata of checkpoints
MOST = 4                        # names that an error lists


@dataclass
class Report:
    """What became of a file: ``print`` it.

    Attributes
    ----------
    copied : list of (parameter, tensor of the file, what was done to it)
    folded, left_out, initial : list of str
        Tensors that went into others; of no use here; parameters that kept their initial values.
    notes : list of str
        What was taken for granted, and why.
    """

    title: str
    copied: list[tuple[str, str, str]] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    initial: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        widths = [max((len(row[column]) for row in self.copied), default=0) for column in (0, 1)]
        lines = [self.title, f"copied ({len(self.copied)}):"]
        lines += [f"  {name:<{widths[0]}}  from {source:<{widths[1]}}  {what}".rstrip()
                  for name, source, what in self.copied]
        for title, items in (("folded", self.folded), ("left out", self.left_out),
                             ("kept their initial values", self.initial)):
            lines.append(f"{title}: {'; '.join(items) if items else 'none'}")
        return "\n".join([*lines, *self.notes])


def convert(path: str | Path, partial: bool = False, geometry: str | None = None,
            at_once: bool | None = None, preprocessing: str | None = None
            ) -> tuple[FCN | VGG16, Report]:
    """The network in a file of weights, with the preprocessing that they expect.

    Parameters
    ----------
    path : path
        A file of any known format, recognised from its content; also a checkpoint of minifcn.
    partial : bool
        Accept a file that lacks parameters, has others, or has NaN in some: what is missing keeps
        its initial values.
    geometry : {"caffe", "exact"}, optional
        Of an FCN; "caffe" if not given, which the released weights need.
    at_once : bool, optional
        Whether an FCN scales pool4 and pool3, where the file cannot tell.
    preprocessing : {"torchvision", "caffe", "caffe-vgg", "amdegroot"}, optional
        What the weights expect, where the file cannot tell.

    Returns
    -------
    model : FCN or VGG16
    report : Report

    Raises
    ------
    FileNotFoundError, ValueError
        The file is missing or damaged, holds another network, or is not whole; naming the tensors.

    Examples
    --------
    >>> import minifcn, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = minifcn.VGG16(width=1 / 64).save(f"{folder}/vgg.safetensors")
    ...     model, report = convert(f"{folder}/vgg.safetensors")
    >>> model.config["classes"]
    1000
    """
    return read(path, partial, geometry, at_once, preprocessing)


def read(path: str | Path, partial: bool = False, geometry: str | None = None,
         at_once: bool | None = None, preprocessing: str | None = None,
         convolutional: bool = False) -> tuple[FCN | VGG16, Report]:
    """`convert`, of which a classifier may come out convolutional."""
    check_choice(preprocessing)
    with untrusted(path):
        return made_of(open_weights(path), partial, geometry, at_once, preprocessing, convolutional)


def made_of(file: WeightFile, partial: bool, geometry: str | None, at_once: bool | None,
            preprocessing: str | None, convolutional: bool) -> tuple[FCN | VGG16, Report]:
    path = file.path
    if OURS in file.about:
        if (geometry, at_once, preprocessing) != (None, None, None):
            raise ValueError(f"{path} is a checkpoint of minifcn, which says itself what its "
                             "geometry and preprocessing are")
        model = load(path)
        return model, Report(f"{path}: a checkpoint of minifcn, {model.title}",
                             [(name, name, "as it is") for name in model.parameters])
    found = identify(file)
    if found.kind == "VGG16" and (geometry or at_once):
        raise ValueError(f"{path} is a VGG16 classifier, which has no geometry and no scales; "
                         "--geometry and --at-once are about an FCN")
    seed = 0 if partial else None
    if found.kind == "VGG16":
        model = VGG16(found.classes or 1000, found.width, found.fc_channels, convolutional,
                      seed=seed)
    else:
        model = new_fcn(file, found, geometry, at_once, seed)
    report = fill(model, file, found, partial)
    settle_preprocessing(model, file, found, preprocessing, report)
    return model, report


def new_fcn(file: WeightFile, found: Found, geometry, at_once, seed) -> FCN:
    if found.classes is None or found.fc_channels is None:
        raise ValueError(f"{file.path}: this is an FCN without its "
                         f"{'score_fr' if found.classes is None else 'fc6'}")
    said = file.about.get(EXPORTED, {})
    if at_once is None:
        at_once = said.get("at_once", is_at_once(file, found))
    try:
        model = FCN(found.stride, found.classes, geometry or said.get("geometry", "caffe"),
                    found.width, found.fc_channels, at_once=at_once, seed=seed,
                    upsampling="frozen" if is_bilinear(file, found) else "learned")
        if "class_names" in said:
            model.class_names = [str(name) for name in said["class_names"]]
            model.palette = np.array(said["palette"], np.uint8).reshape(found.classes, 3)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"{file.path}: {error}") from error
    if "class_names" not in said and found.classes == len(VOC_NAMES):
        model.class_names = list(VOC_NAMES)
    return model


def is_at_once(file: WeightFile, found: Found) -> bool:
    """Whether pool4 and pool3 are scaled: told by layers, by the checksum, or by the file's name.

    Chainer's and PyTorch's files of both networks have the same names and shapes.
    """
    if file.format == "caffemodel" or found.stride != 8:
        return "scale_pool4.weight" in found.sources
    entry = published(file.path)
    return entry.at_once if entry is not None else "atonce" in file.path.name


def is_bilinear(file: WeightFile, found: Found) -> bool:
    """Whether each upsampling layer is the bilinear kernel on the diagonal, and zero elsewhere."""
    for layer in UPSCORES:
        name = f"{layer}.weight"
        if name in found.sources:
            weight = reordered(file.read(found.sources[name]), name, file.format)
            h, w, c_in, c_out = weight.shape
            if h != w or c_in != c_out:
                return False
            expected = np.zeros(weight.shape, weight.dtype)
            diagonal = np.arange(c_in)
            expected[:, :, diagonal, diagonal] = ops.bilinear_kernel(h)[:, :, None]
            if not np.array_equal(weight, expected):
                return False
    return True


def load_vgg16(path_or_name: str | Path, partial: bool = False,
               preprocessing: str | None = None) -> tuple[VGG16, Report]:
    """A convolutional VGG16 of a file in any known format, or of one that was fetched by name.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none; or it is no VGG16.
    """
    from minifcn.weights.fetching import local_file

    path = local_file(path_or_name)
    model, report = read(path, partial, preprocessing=preprocessing, convolutional=True)
    if not isinstance(model, VGG16):
        raise ValueError(f"{path} holds a {model.title}, not a VGG16 classifier; train from it "
                         "with --from, after minifcn convert")
    return (model if model.config["convolutional"] else convolutionalize(model)), report


def fill(model: FCN | VGG16, file: WeightFile, found: Found, partial: bool) -> Report:
    """Copy what the model has a place for, and refuse what is not whole.

    The model is ours alone here: after an error it is thrown away.
    """
    report = Report(f"{file.path}: {FORMATS[file.format]}, {found.title} at width {found.width:g}"
                    f", names of {'the paper' if found.names == 'paper' else found.names}")
    expected = model.parameters.shapes()
    bad, damaged = [], []
    surplus = list(found.unknown)
    for parameter, source in found.sources.items():
        layer = parameter.split(".")[0]
        if parameter not in expected:
            if layer in UPSCORES and parameter.endswith("weight"):
                report.left_out.append(f"{source} (the bilinear kernel, which {layer} is anyway)")
            elif layer in UPSCORES and not file.read(source).any():
                report.left_out.append(f"{source} (a bias of zeros)")
            elif layer == "fc8" and isinstance(model, FCN):
                report.left_out.append(f"{source} (score_fr is in its place)")
            elif not layer.startswith("scale_"):
                surplus.append(source)
            continue
        wanted, shape = expected[parameter], found.shapes[parameter]
        if len(wanted) == 2:            # fully connected, with the cells of pool5 flattened
            wanted = (7, 7, wanted[0] // 49, wanted[1]) if layer == "fc6" else (1, 1, *wanted)
        if shape != wanted:
            bad.append(f"{source} has shape {file.tensors[source].shape}, {parameter} of this "
                       f"{model.title} is {wanted} (h, w, in, out)" if len(wanted) == 4 else
                       f"{source} has {shape[0]} numbers, {parameter} has {wanted[0]}")
            continue
        if np.dtype(file.read(source).dtype).kind != "f":
            bad.append(f"{source} holds whole numbers ({file.tensors[source].dtype})")
            continue
        if not copy(file, source, parameter, model, wanted):
            damaged.append((parameter, source))
            continue
        report.copied.append((parameter, source,
                              change(parameter, file.format, file.tensors[source].shape)))
    fold_scales(model, file, found, report)
    anew = ("upscore", "score_") if found.kind == "VGG16" else ("upscore",)
    missing = [name for name in expected
               if name not in found.sources and not name.startswith(anew)]
    refuse(file, bad, damaged, missing, surplus, partial)
    if damaged:
        fresh = type(model)(**{**model.config, "seed": 0})
        for parameter, source in damaged:
            model.parameters[parameter] = fresh.parameters[parameter]
            report.left_out.append(f"{source} (NaN)")
    report.left_out += [f"{name} (belongs to no layer of {found.title})" for name in surplus]
    report.initial = [name for name in expected
                      if name not in {parameter for parameter, _, _ in report.copied}]
    return report


def copy(file: WeightFile, source: str, parameter: str, model, wanted: tuple[int, ...]) -> bool:
    """Copy a tensor; False if it has numbers that are none."""
    array = file.read(source)
    target = model.parameters[parameter]
    view = reordered(array, parameter, file.format)
    target.reshape(wanted)[...] = view
    return bool(np.isfinite(target.min()) and np.isfinite(target.max()))


def refuse(file: WeightFile, bad: list[str], damaged: list[tuple[str, str]], missing: list[str],
           surplus: list[str], partial: bool) -> None:
    """Raise ValueError for a file that is not whole, unless a part shall do."""
    if bad:
        raise ValueError(f"{file.path}: " + some(bad))
    if partial:
        return
    if damaged:
        layers = sorted({parameter.split(".")[0] for parameter, _ in damaged})
        raise ValueError(f"{file.path}: {', '.join(layers)} ({some([s for _, s in damaged])}) hold "
                         "NaN or infinite numbers; take all other layers with --partial")
    if missing:
        layers = list(dict.fromkeys(name.split(".")[0] for name in missing))
        raise ValueError(f"{file.path}: {some(missing)} {'is' if len(missing) == 1 else 'are'} "
                         "missing; a network of which "
                         f"{', '.join(layers[:MOST])} {'has' if len(layers) == 1 else 'have'} "
                         "random values segments badly; take it all the same with --partial")
    if surplus:
        raise ValueError(f"{file.path}: {some(surplus)} "
                         f"{'belongs' if len(surplus) == 1 else 'belong'} to no layer of this "
                         "network; leave out such tensors with --partial")


def some(items: list[str]) -> str:
    more = f", and {len(items) - MOST} more" * (len(items) > MOST)
    return "; ".join(items[:MOST]) + more


def fold_scales(model, file: WeightFile, found: Found, report: Report) -> None:
    """Scale layers before score_pool4 and score_pool3: ours are constants, others are folded."""
    for pool, ours in AT_ONCE_SCALES.items():
        source = found.sources.get(f"scale_{pool}.weight")
        if source is None:
            continue
        theirs = file.read(source).reshape(-1)
        ours = np.float32(ours if isinstance(model, FCN) and model.config["at_once"] else 1)
        if (theirs == ours).all():
            report.left_out.append(f"{source} ({ours:g}, which the network has as a constant)")
            continue
        name = f"score_{pool}.weight"
        if name not in found.sources:
            raise ValueError(f"{file.path}: {source} scales a layer that is missing")
        weight = model.parameters[name]
        if len(theirs) not in (1, weight.shape[2]) or not np.isfinite(theirs).all():
            raise ValueError(f"{file.path}: {source} has {len(theirs)} factors for "
                             f"{weight.shape[2]} channels")
        weight *= (theirs / ours)[:, None]
        report.folded.append(f"{source} into {name}")


def settle_preprocessing(model, file: WeightFile, found: Found, wanted: str | None,
                         report: Report) -> None:
    """Give the model the preprocessing of its weights, and say how it is known."""
    said = file.about.get(EXPORTED, {})
    if "preprocessing" in said and wanted is None:
        model.preprocessing = type(model.preprocessing).from_dict(said["preprocessing"])
        report.notes.append("preprocessing: as the file says")
        return
    name, why = wanted, "as told"
    if wanted is None:
        name, why = expected_preprocessing(file, found)
    model.preprocessing = PREPROCESSINGS[name]
    mean = ", ".join(f"{value:g}" for value in model.preprocessing.mean)
    std = ", ".join(f"{value:g}" for value in model.preprocessing.std)
    report.notes.append(f"preprocessing: {model.preprocessing.order}, minus ({mean}) of red, "
                        f"green, blue, divided by ({std}): {name}, {why}")


def expected_preprocessing(file: WeightFile, found: Found) -> tuple[str, str]:
    """What weights like these expect, and how one knows."""
    if found.kind == "FCN":
        return "caffe", "that of the released FCNs"
    if found.names in ("paper", "keras"):
        return "caffe-vgg", "that of VGG16's authors"
    if found.names == "timm":
        return "torchvision", "that of timm's vgg16.tv_in1k"
    entry = published(file.path)
    if entry is not None and entry.preprocessing:
        return entry.preprocessing, f"by its checksum this is {entry.file}"
    for word, name in (("from_caffe", "caffe-vgg"), ("amdegroot", "amdegroot")):
        if word in file.path.name:
            return name, "by the name of the file; --preprocessing says otherwise"
    return "torchvision", ("which has these names; pytorch-fcn's vgg16_from_caffe.pth has them "
                           "too, for it say --preprocessing caffe-vgg")


def check_choice(preprocessing: str | None) -> None:
    if preprocessing is not None and preprocessing not in PREPROCESSINGS:
        raise ValueError(f"there is no preprocessing {preprocessing!r}; use one of "
                         f"{', '.join(PREPROCESSINGS)}")

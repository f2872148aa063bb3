"""What a weight file holds, for people and programs."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from minifcn.models import FCN, VGG16
from minifcn.weights.architectures import identify
from minifcn.weights.recognition import FORMATS, open_weights


@dataclass
class Inspection:
    """Contents of a file; ``print`` it."""

    path: str
    format: str
    network: str
    missing: list[str]
    unknown: list[str]
    tensors: list[tuple[str, tuple[int, ...], str, str]]      # name, shape, dtype, what it is

    def to_dict(self) -> dict:
        values = asdict(self)
        values["tensors"] = [dict(zip(("name", "shape", "dtype", "parameter"), row))
                             for row in self.tensors]
        return values

    def __str__(self) -> str:
        rows = [(name, "x".join(map(str, shape)) or "one number", dtype, what)
                for name, shape, dtype, what in self.tensors]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [f"{self.path}: {self.format}; {self.network}"]
        lines += ["  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip()
                  for row in rows]
        lines.append(f"{len(rows)} tensors")
        for title, names in (("missing", self.missing), ("belong to no layer", self.unknown)):
            if names:
                lines.append(f"{title}: {', '.join(names)}")
        return "\n".join(lines)


def inspect(path: str | Path) -> Inspection:
    """Look at a file without reading its numbers.

    Raises
    ------
    FileNotFoundError, ValueError
        It is missing, damaged, or of no known format.

    Examples
    --------
    >>> import minifcn, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     minifcn.FCN(32, width=1 / 64).save(f"{folder}/a.safetensors")
    ...     inspect(f"{folder}/a.safetensors").network
    'a checkpoint of minifcn: FCN-32s, exact geometry, 21 classes, width 0.015625'
    """
    file = open_weights(path)
    network, missing, parameters, unknown = describe(file)
    tensors = [(name, tensor.shape, tensor.dtype, parameters.get(name, ""))
               for name, tensor in file.tensors.items()]
    return Inspection(str(path), FORMATS[file.format], network, missing, unknown, tensors)


def describe(file) -> tuple[str, list[str], dict[str, str], list[str]]:
    """The network, what it lacks, the parameter that each tensor is, and those that are none."""
    if "minifcn" in file.about:
        return own(file), [], {}, []
    try:
        found = identify(file)
        if found.kind == "FCN":
            expected = FCN(found.stride, found.classes or 1, width=found.width, seed=None,
                           fc_channels=found.fc_channels).parameters.shapes()
        else:
            expected = VGG16(found.classes or 1000, found.width, found.fc_channels,
                             seed=None).parameters.shapes()
    except ValueError as error:
        return str(error).removeprefix(f"{file.path}: "), [], {}, []
    text = f"{found.title}, {found.classes or 'no'} classes, width {found.width:g}, "
    return (text + f"names of {'the paper' if found.names == 'paper' else found.names}",
            [name for name in expected if name not in found.sources],
            {source: parameter for parameter, source in found.sources.items()}, found.unknown)


def own(file) -> str:
    try:
        about = json.loads(file.about["minifcn"])
        config = about["config"]
        kind = f"FCN-{config['stride']}s, {config['geometry']} geometry" \
            if about["kind"] == "FCN" else str(about["kind"])
        return (f"a checkpoint of minifcn: {kind}, {config['classes']} classes, "
                f"width {config['width']:g}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{file.path} is a damaged checkpoint of minifcn") from error

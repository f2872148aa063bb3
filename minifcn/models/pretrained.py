"""Models inside the package: ``minifcn.pretrained("streets-8s")`` works right after installation.

They lie beside this file, as float16. ``docs/NAME.md`` says what each has learned from, how it was
trained, and what may not be expected of it.
"""
from __future__ import annotations

import difflib
from importlib.resources import as_file, files
from pathlib import Path

from minifcn.models import FCN, VGG16, load

SUFFIX = ".safetensors"


def names() -> list[str]:
    """The packaged models."""
    return sorted(file.name.removesuffix(SUFFIX) for file in _folder().iterdir()
                  if file.name.endswith(SUFFIX))


def pretrained(name: str) -> FCN:
    """A model from the package, with its classes, colours and preprocessing.

    Parameters
    ----------
    name : str
        Such as "streets-8s".

    Raises
    ------
    ValueError
        There is none of that name; the nearest is offered.

    Examples
    --------
    >>> import minifcn
    >>> model = minifcn.pretrained("streets-8s")
    >>> scene = minifcn.data.Streets(1, size=(60, 80), seed=4)[0]
    >>> model.predict(scene.image).shape
    (60, 80)
    """
    if name not in names():
        raise ValueError(f"there is no pretrained model {name!r}{_nearest(name)}")
    with as_file(_folder() / f"{name}{SUFFIX}") as path:
        return load(path)


def open_model(path_or_name: str | Path) -> FCN | VGG16:
    """The model in a file, or else the packaged one of that name.

    Raises
    ------
    FileNotFoundError, ValueError
        Neither a file nor a packaged model, or a file that is not a checkpoint.
    """
    if not Path(path_or_name).exists() and str(path_or_name) in names():
        return pretrained(str(path_or_name))
    try:
        return load(path_or_name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}, and no pretrained model of that name"
                                f"{_nearest(str(path_or_name))}") from error


def _folder():
    return files("minifcn.models")


def _nearest(name: str) -> str:
    """What might have been meant, or all there is."""
    near = difflib.get_close_matches(name, names(), 1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(names())}"

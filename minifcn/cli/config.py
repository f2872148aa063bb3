"""TOML files that hold the options of a command, under their names on the command line."""
from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from minifcn.cli import Parser
from minifcn.files import read_text, untrusted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOT_HERE = ("help", "config")


class OptionsParser(Parser):
    """Judges the values of a file as those of the command line; a mistake names the file."""

    def error(self, message):
        raise ValueError(f"{self.prog}: {message}")


def nearest(name: str, known: list[str]) -> str:
    """What may have been meant, as the end of a sentence."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def read_config(path: str | Path, add_arguments: Callable) -> dict[str, object]:
    """The options of a file, converted and checked by the command's own parser.

    Parameters
    ----------
    path : path
        Such as ``rate = 1e-3``, ``crop = [240, 320]``, ``at-once = true``, ``dataset = "camvid"``.
    add_arguments : function of a parser
        Adds the command's arguments.

    Returns
    -------
    values : dict
        By the names that the parser gives them; only what the file holds.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is not TOML, or an option is misspelt or has a wrong value.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"--config {path}: there is no such file")
    with untrusted(path):
        try:
            values = tomllib.loads(read_text(path, errors="surrogateescape"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a TOML file: {error}") from error
    return judged(path, values, add_arguments)


def judged(path: str | Path, values: Mapping[str, object],
           add_arguments: Callable) -> dict[str, object]:
    """Options by their long names, converted and checked by the command's own parser.

    Raises ValueError, naming the file ``path``, for one that is unknown or has a wrong value.
    """
    with untrusted(path):
        return _judged(path, dict(values), add_arguments)


def _judged(path: str | Path, values: dict[str, object], add_arguments: Callable
            ) -> dict[str, object]:
    parser = OptionsParser(prog=str(path), allow_abbrev=False, add_help=False)
    add_arguments(parser)
    flags = {option.removeprefix("--"): action.nargs == 0
             for option, action in parser._option_string_actions.items()
             if option.startswith("--") and option.removeprefix("--") not in NOT_HERE}
    words = [str(values.pop("dataset"))] if "dataset" in values else []
    for name, value in values.items():
        if name not in flags:
            raise ValueError(f"{path}: there is no option {name!r}"
                             f"{nearest(name, [*flags, 'dataset'])}")
        words += _words(path, name, value, flags[name])
    return {name: value for name, value in vars(parser.parse_args(words)).items()
            if value is not None and value is not False}


def _words(path: str | Path, name: str, value: object, is_flag: bool) -> list[str]:
    """An option as on the command line."""
    if isinstance(value, bool) != is_flag or isinstance(value, dict):
        raise ValueError(f"{path}: {name} is {value!r}; it should be "
                         f"{'true or false' if is_flag else 'a value, or a list of them'}")
    if is_flag:
        return [f"--{name}"] if value else []
    if not isinstance(value, list):
        return [f"--{name}={value}"]
    for each in value:
        if isinstance(each, (bool, dict, list)) or (isinstance(each, str) and each[:1] == "-"):
            raise ValueError(f"{path}: {name} holds {each!r}, which is no value")
    return [f"--{name}", *map(str, value)]


def config_text(values: Mapping[str, object], comment: str) -> str:
    """A file that ``read_config`` reads; what is None is left out."""
    import tomli_w

    return f"# {comment}\n" + tomli_w.dumps(
        {name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
         for name, value in values.items() if value is not None})

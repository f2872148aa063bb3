"""What must not leave the instructor's hands: is any of it in what is to be handed out?

Every text in every file counts: cells, metadata, outputs, checkpoints, members of archives.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MARKERS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN TESTS", "BEGIN MARK SCHEME")
SHORTEST = 16  # characters of a line that tells something
RUN = 3  # lines in a row that are no chance, in a package that holds layers of its own


class Secrets(NamedTuple):
    """What to look for: lines of solutions and of mark schemes, and the seed."""

    solution: tuple[str, ...]
    marks: tuple[str, ...]
    seed: str


def secrets(solution: list[str], marks: str, seed: int | str, public: str) -> Secrets:
    """Secrets; a line that is too short to tell, or stands in ``public``, is none."""
    known = set(map(_bare, public.splitlines()))

    def telling(lines):
        return tuple(
            dict.fromkeys(
                bare for each in lines if len(bare := _bare(each)) >= SHORTEST and bare not in known
            )
        )

    return Secrets(telling(solution), telling(marks.splitlines()), str(seed))


def scan(path: str | Path, hidden: Secrets, package: bool = False) -> list[str]:
    """Where secrets stand in a file, a folder or an archive: "hw1.ipynb: a line of ...".

    Parameters
    ----------
    path : path
    hidden : Secrets
    package : bool
        minifcn itself, whose layers have lines in common with any solution: only several lines in
        a row tell there, and its own code knows the markers.
    """
    path = Path(path)
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    found = []
    for file in files:
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        for inner, data in _members(name, file.read_bytes()):
            found += [f"{inner}: {each}" for each in _in_text(_text(inner, data), hidden, package)]
    return list(dict.fromkeys(found))


def _members(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, or the files in an archive."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for each in archive.infolist():
                if not each.is_dir():
                    yield from _members(f"{name}/{each.filename}", archive.read(each))
    else:
        yield name, data


def _text(name: str, data: bytes) -> str:
    """All that can be read in a file; of JSON every key and value."""
    text = data.decode("utf-8", "replace")
    if name.endswith((".ipynb", ".json")):
        try:
            return "\n".join(_strings(json.loads(text)))
        except (ValueError, RecursionError):
            pass
    return text


def _strings(value) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _strings(each)
    elif isinstance(value, list):
        if value and all(isinstance(each, str) for each in value):
            yield "".join(value)  # the lines of a cell
        for each in value:
            yield from _strings(each)
    else:
        yield str(value)


def _in_text(text: str, hidden: Secrets, package: bool) -> list[str]:
    lines = [_bare(each) for each in text.splitlines()]
    there, found = set(lines), []
    if not package:
        found += [f"the marker {each!r}" for each in MARKERS if each in text]
        found += [f"a line of a solution: {each!r}" for each in hidden.solution if each in there]
    else:
        told = [each for each in lines if each]
        runs = {tuple(told[k : k + RUN]) for k in range(len(told) - RUN + 1)}
        wanted = [hidden.solution[k : k + RUN] for k in range(len(hidden.solution) - RUN + 1)]
        found += [f"lines of a solution: {each[0]!r} ..." for each in wanted if each in runs]
    found += [f"a line of the mark scheme: {each!r}" for each in hidden.marks if each in there]
    if len(hidden.seed) > 5 and re.search(rf"(?<!\d){re.escape(hidden.seed)}(?!\d)", text):
        found.append("the seed of the hidden cases")
    return found


def _bare(line: str) -> str:
    return " ".join(line.split()).lstrip("# >*-").rstrip()

"""A grade as a file: JSON that is read by everything that comes after the grading."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from minifcn.course.grading import Grades, Result
from minifcn.files import written_whole


class Record(NamedTuple):
    """Whose grade of what, and of which submission.

    ``fingerprint`` changes with the submission, the seed and minifcn's version; ``entered`` says
    whether nbgrader has it.
    """

    student: str
    assignment: str
    fingerprint: str
    grades: Grades
    entered: bool = False


def as_data(record: Record) -> dict:
    grades = record.grades
    return {
        "student": record.student,
        "assignment": record.assignment,
        "fingerprint": record.fingerprint,
        "entered": record.entered,
        "score": grades.score,
        "out_of": grades.out_of,
        "results": [each._asdict() for each in grades],
        "remarks": grades.remarks,
        "notices": grades.notices,
        "not_limited": grades.missing,
    }


def write(file: Path, record: Record) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as temporary:
        temporary.write_text(json.dumps(as_data(record), indent=1) + "\n", encoding="utf-8")


def read(file: Path) -> Record:
    """Raises ValueError if the file is no grade."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        results = [Result(**each) for each in data["results"]]
        grades = Grades(results, data["remarks"], data["notices"], data["not_limited"])
        return Record(
            data["student"], data["assignment"], data["fingerprint"], grades, data["entered"]
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is no grade ({error}); remove it and grade again") from None


def fingerprint(path: Path, *also: object) -> str:
    """Of the code in a submission, and of what else the grade depends on."""
    digest = hashlib.sha256(repr(also).encode())
    files = (
        [path]
        if path.is_file()
        else sorted(each for pattern in ("*.py", "*.ipynb") for each in path.glob(pattern))
    )
    for each in files:
        digest.update(each.name.encode("utf-8", "surrogateescape"))
        with open(each, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()

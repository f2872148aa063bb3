"""Gradescope: the zip that it wants, and the program that runs in its container.

The zip is the instructor's. It holds this very package, so nothing but its dependencies is
installed there, and the seed, which is read and removed before any student's code runs.
"""

from __future__ import annotations

import json
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import minifcn
from minifcn.files import written_whole

SETUP = """#!/usr/bin/env bash
# Run once, while the image is built.
set -e
root="$(cd "$(dirname "$0")/.." && pwd)"
make() {{ python3 -m venv "$root/environment"; }}
make || {{ apt-get update && apt-get install -y python3 python3-venv && make; }}
"$root/environment/bin/python" -m pip install --quiet {requirements}
"""

RUN = """#!/usr/bin/env bash
# Run for each submission; writes results/results.json.
root="$(cd "$(dirname "$0")" && pwd)"
cd "$root"
PYTHONPATH="$root/source" exec "$root/environment/bin/python" -m minifcn.course.gradescope "$root"
"""


def write_zip(
    file: Path, name: str, seed: int, release: Path, parts: Path | None, seconds: float
) -> None:
    """Write the zip for an assignment.

    Parameters
    ----------
    file : Path
    name : str
        Of the assignment.
    seed : int
    release : Path
        The notebook that was handed out.
    parts : Path, optional
        The instructor's own declaration.
    seconds : float
        For each function.
    """
    package = Path(minifcn.__file__).parent
    requirements = " ".join(
        f"'{each.partition(';')[0].strip()}'"
        for each in metadata.requires("minifcn") or ()
        if "extra ==" not in each and "python_version <" not in each
    )
    with (
        written_whole(file) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for script, text in (
            ("setup.sh", SETUP.format(requirements=requirements)),
            ("run_autograder", RUN),
        ):
            entry = zipfile.ZipInfo(script)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, text)
        archive.writestr(
            "private/course.json", json.dumps({"name": name, "seed": seed, "seconds": seconds})
        )
        archive.write(release, "release.ipynb")
        if parts:
            archive.write(parts, parts.name)
        for each in sorted(package.rglob("*")):
            if each.is_file() and "__pycache__" not in each.parts:
                archive.write(each, Path("minifcn", each.relative_to(package)))


def main(root: Path) -> None:
    """Grade what lies in ``submission`` and write ``results/results.json``."""
    from minifcn.course.grading import grade
    from minifcn.course.parts import assignment

    source, private = root / "source", root / "source" / "private"
    course = json.loads((private / "course.json").read_text(encoding="utf-8"))
    (private / "course.json").unlink()  # no student's code shall find it
    grades = grade(
        root / "submission",
        assignment(course["name"], source),
        course["seed"],
        source / "release.ipynb",
        (str(private),),
        course["seconds"],
    )
    results = root / "results"
    results.mkdir(exist_ok=True)
    with written_whole(results / "results.json") as temporary:
        temporary.write_text(json.dumps(as_results(grades), indent=1), encoding="utf-8")


def as_results(grades) -> dict:
    """Grades in Gradescope's form."""
    tests = []
    for each in grades:
        read = f"\nread: {each.page}" if each.page else ""
        tests.append(
            {
                "name": each.name,
                "score": each.score,
                "max_score": each.out_of,
                "status": "passed" if each.score >= each.out_of else "failed",
                "output": each.message + read,
                "visibility": "after_published" if each.hidden else "visible",
            }
        )
    instructors = [*grades.notices, *(f"not limited: {each}" for each in grades.missing)]
    if instructors:
        tests.append(
            {
                "name": "for the instructor",
                "score": 0.0,
                "max_score": 0.0,
                "status": "passed",
                "output": "\n".join(instructors),
                "visibility": "hidden",
            }
        )
    return {
        "tests": tests,
        "output": "\n".join(grades.remarks),
        "visibility": "visible",
        "stdout_visibility": "hidden",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))

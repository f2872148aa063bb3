"""A course's folder: what is in it, and the steps from a source to feedback.

    hw1.py hw1_marks.md         the instructor's: source with solutions, mark scheme
    hw1_parts.py                optional: own points and questions, in place of minifcn's
    hidden/seed                 of the hidden cases; nobody else's
    source/ release/            notebooks for and from nbgrader
    plain/hw1/                  the variant without notebooks
    gradescope/hw1.zip
    submitted/STUDENT/hw1/      what came in, never changed
    checked/STUDENT/hw1/        the same, repaired, for nbgrader
    grades/hw1/STUDENT.json     one file a student
    returned/hw1/STUDENT.html   feedback

nbgrader is used where it is installed; without it everything but its gradebook is there.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minifcn
from minifcn.course import building, gradebook, gradescope, leaks, records, submission
from minifcn.course.grading import SECONDS, Grades, grade, out_of
from minifcn.course.parts import Assignment, Words, assignment
from minifcn.files import written_whole

STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
Say = Callable[[str], None]


class Course:
    """A course's folder.

    Parameters
    ----------
    root : path

    Raises
    ------
    ValueError
        If the folder is no course's: ``minifcn course init`` makes it one.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root).resolve()
        if not (self.root / "hidden" / "seed").is_file():
            raise ValueError(
                f"{root} is no course's folder; make it one with: minifcn course init {root}"
            )
        here = [Path(sys.prefix).resolve(), Path(minifcn.__file__).resolve()]
        inside = [each for each in here if self.root in each.parents]
        if inside:
            raise ValueError(
                f"{inside[0]} lies in the course's folder, which is hidden from "
                "students' code: move it out"
            )

    @property
    def seed(self) -> int:
        return int((self.root / "hidden" / "seed").read_text())

    def assignment(self, name: str) -> Assignment:
        return assignment(name, self.root)

    def release_notebook(self, name: str) -> Path:
        return self.root / "release" / name / f"{name}.ipynb"

    def students(self, name: str) -> list[str]:
        """Who has handed in."""
        return sorted(each.parent.name for each in self.root.glob(f"submitted/*/{name}"))

    def record_file(self, name: str, student: str) -> Path:
        return self.root / "grades" / name / f"{student}.json"

    def records(self, name: str) -> list[records.Record]:
        """The grades that there are.

        Raises
        ------
        ValueError
            If there is none.
        """
        files = sorted((self.root / "grades" / name).glob("*.json"))
        if not files:
            raise ValueError(f"nobody's {name} is graded yet: minifcn course grade {name}")
        return [records.read(each) for each in files]

    # -- release ------------------------------------------------------------------------------

    def build(self, name: str) -> tuple[building.Notebook, Assignment]:
        """The instructor's notebook of a source."""
        source = self.root / f"{name}.py"
        if not source.is_file():
            raise FileNotFoundError(f"{source}: there is no such source")
        homework = self.assignment(name)
        return building.instructors(source, homework), homework

    def release(self, name: str, say: Say = print) -> None:
        """Build everything that is handed out, show that it is right, look for leaks.

        Raises
        ------
        ValueError
            If the solution does not earn every point, the release earns one, or something leaks;
            then nothing is left to hand out.
        """
        notebook, homework = self.build(name)
        source = self._folder("source", name)
        _write(source / f"{name}.ipynb", gradebook.notebook_text(notebook))
        parts = self.root / f"{name}_parts.py"
        if parts.is_file():
            shutil.copyfile(parts, source / parts.name)
        say(f"source/{name}/{name}.ipynb is built")
        self._prove(source / f"{name}.ipynb", homework, all_points=True)
        say("the solution earns every point")

        folders = self._folder("release", name), self._folder("plain", name)
        try:
            self._hand_out(name, notebook, homework, say)
            for path in (self.release_notebook(name), self.root / "plain" / name):
                self._prove(path, homework, all_points=False)
            say("the release earns none")
            told = self.leaks(name)
            if told:
                raise ValueError(
                    f"the release leaks {told[0]}"
                    + (f", and {len(told) - 1} more" if told[1:] else "")
                )
            say("nothing of solutions, mark scheme or seed is in the release")
        except BaseException:
            for each in folders:
                shutil.rmtree(each, ignore_errors=True)
            raise
        zipped = self.root / "gradescope" / f"{name}.zip"
        zipped.parent.mkdir(exist_ok=True)
        gradescope.write_zip(
            zipped,
            name,
            self.seed,
            self.release_notebook(name),
            parts if parts.is_file() else None,
            SECONDS,
        )
        say(f"gradescope/{name}.zip is yours alone: it holds the seed of the hidden cases")

    def _hand_out(self, name, notebook, homework, say) -> None:
        for file, text in building.plain_variant(building.students(notebook), homework).items():
            _write(self.root / "plain" / name / file, text)
        parts = self.root / f"{name}_parts.py"
        if parts.is_file():
            shutil.copyfile(parts, self.root / "plain" / name / parts.name)
        say(f"plain/{name}/ is built")
        if gradebook.installed():
            self._by_nbgrader(name, say)
        else:
            _write(
                self.release_notebook(name), gradebook.notebook_text(building.students(notebook))
            )
        say(f"release/{name}/{name}.ipynb is built")

    def _by_nbgrader(self, name: str, say: Say) -> None:
        from minifcn.course.athome import SEED

        validate = ("validate", f"source/{name}/{name}.ipynb")
        said = gradebook.command(self.root, *validate, **{SEED: str(self.seed)})
        if "Success" not in said:
            raise ValueError(f"nbgrader finds the solution wrong: {_told(said)}")
        shutil.rmtree(self.root / "release" / name)
        gradebook.command(self.root, "generate_assignment", name, "--force")
        said = gradebook.command(self.root, "validate", "--invert", f"release/{name}/{name}.ipynb")
        if "Success" not in said:
            raise ValueError(f"nbgrader finds that the release passes a test: {_told(said)}")
        say("nbgrader validates both")

    def _prove(self, path: Path, homework: Assignment, all_points: bool) -> None:
        """Raise ValueError unless a submission earns every point, or none."""
        grades = grade(path, homework, self.seed)
        wrong = [each for each in grades if each.score != (each.out_of if all_points else 0)]
        if wrong:
            what = "the solution" if all_points else path.relative_to(self.root)
            raise ValueError(
                f"{what} earns {wrong[0].score:g} of {wrong[0].out_of:g} for "
                f"{wrong[0].name}: {wrong[0].message or 'right'}"
            )

    def secrets(self, name: str) -> leaks.Secrets:
        """What must not be in anything that leaves."""
        notebook, _ = self.build(name)
        marks = self.root / f"{name}_marks.md"
        public = "\n".join(
            submission.text_of(each) for each in building.students(notebook)["cells"]
        )
        return leaks.secrets(
            building.solutions(notebook),
            marks.read_text(encoding="utf-8") if marks.is_file() else "",
            self.seed,
            public,
        )

    def leaks(self, name: str) -> list[str]:
        """What is found of the secrets in what is handed out."""
        secret = self.secrets(name)
        return [
            f"{folder}/{name}/{each}"
            for folder in ("release", "plain")
            for each in leaks.scan(self.root / folder / name, secret)
        ]

    # -- collect and grade --------------------------------------------------------------------

    def collect(self, name: str, source: str | Path | None, say: Say = print) -> None:
        """Put submissions in place: from a folder or zip with a file or folder for each student.

        Without ``source``, nbgrader's exchange is asked.
        """
        self.assignment(name)
        if source is None:
            if not gradebook.installed():
                raise ValueError("without nbgrader, say where the submissions are")
            say(gradebook.command(self.root, "collect", name).strip())
            return
        source = Path(source)
        if not source.exists():
            raise FileNotFoundError(f"{source}: there is no such folder or zip")
        with tempfile.TemporaryDirectory() as folder:
            if source.is_file():
                if not zipfile.is_zipfile(source):
                    raise ValueError(f"{source} is neither a folder nor a zip")
                with zipfile.ZipFile(source) as archive:
                    archive.extractall(folder)  # which lets no name out of the folder
                source = Path(folder)
            for each in sorted(source.iterdir()):
                self._collect_one(name, each, say)

    def _collect_one(self, name: str, path: Path, say: Say) -> None:
        if path.name.startswith((".", "__MACOSX")):
            return
        student = (path.stem if path.is_file() else path.name).removesuffix(f"_{name}")
        student = student.removesuffix(f"-{name}")
        if not STUDENT.fullmatch(student):
            say(f"{path.name}: no name of a student can be read from it; it was left out")
            return
        place = self.root / "submitted" / student / name
        again = place.exists()
        shutil.rmtree(place, ignore_errors=True)
        if path.is_dir():
            shutil.copytree(path, place, symlinks=True)
        else:
            place.mkdir(parents=True)
            shutil.copyfile(path, place / f"{name}{path.suffix}")
        say(f"{student}: {'replaced' if again else 'collected'}")

    def grade(
        self,
        name: str,
        students: list[str] | None = None,
        seconds: float = SECONDS,
        again: bool = False,
        say: Say = print,
    ) -> int:
        """Grade one student after the other; who is graded already and unchanged is left out.

        Returns
        -------
        failures : int
            How many could not be graded.
        """
        homework = self.assignment(name)
        release = self.release_notebook(name)
        if not release.is_file():
            raise ValueError(f"{name} is not released yet: minifcn course release {name}")
        there = self.students(name)
        if not there:
            raise ValueError(f"nobody has handed in {name}: minifcn course collect {name} FOLDER")
        unknown = sorted(set(students or []) - set(there))
        if unknown:
            raise ValueError(f"{unknown[0]} has not handed in {name}")
        failures = 0
        for number, student in enumerate(students or there, 1):
            before = f"{number}/{len(students or there)} {student}"
            try:
                record, fresh = self._grade_one(homework, student, seconds, again)
                say(
                    f"{before}: {record.grades.score:g} of {record.grades.out_of:g}"
                    + ("" if fresh else ", graded before")
                )
            except Exception as error:  # one student's trouble is not the others'
                failures += 1
                say(f"{before}: could not be graded ({type(error).__name__}: {error})")
        return failures

    def _grade_one(self, homework, student, seconds, again) -> tuple[records.Record, bool]:
        name = homework.name
        place = self.root / "submitted" / student / name
        file, release = self.record_file(name, student), self.release_notebook(name)
        mark = records.fingerprint(place, self.seed, minifcn.__version__, repr(homework.points))
        record, fresh = None, False
        if file.is_file() and not again:
            record = records.read(file)
        if record is None or record.fingerprint != mark:
            grades = grade(place, homework, self.seed, release, (str(self.root),), seconds)
            record, fresh = records.Record(student, name, mark, grades), True
            records.write(file, record)
        if gradebook.installed() and not record.entered:
            self._enter(name, student, file)
            record = record._replace(entered=True)
            records.write(file, record)
        return record, fresh

    def _enter(self, name: str, student: str, file: Path) -> None:
        """Into nbgrader's gradebook, by its own autograder."""
        checked = self._folder("checked", student, name)
        _write(checked / f"{name}.ipynb", gradebook.notebook_text(self._mended(name, student)))
        stamp = self.root / "submitted" / student / name / "timestamp.txt"
        if stamp.is_file():
            shutil.copyfile(stamp, checked / stamp.name)
        gradebook.command(
            self.root,
            "autograde",
            name,
            "--student",
            student,
            "--force",
            "--CourseDirectory.submitted_directory=checked",
            **{gradebook.GRADES: str(file)},
        )

    def _mended(self, name: str, student: str) -> dict[str, Any]:
        """A student's notebook repaired, or the one handed out where there is none to read."""
        release = self.release_notebook(name)
        try:
            path = submission.found(self.root / "submitted" / student / name, name)
            if path.suffix == ".ipynb":
                return submission.looked_through(submission.read_notebook(path), release)[0]
        except (ValueError, OSError):
            pass
        return submission.read_notebook(release)

    # -- afterwards ---------------------------------------------------------------------------

    def by_hand(self, name: str, student: str) -> dict[str, float | None]:
        """Part -> points given by hand in nbgrader's formgrader, None where there are none yet."""
        words = {each.name: None for each in self.assignment(name).parts if isinstance(each, Words)}
        if gradebook.installed() and (self.root / "gradebook.db").is_file():
            words |= gradebook.manual(self.root, name, student)
        return words

    def feedback(self, name: str, say: Say = print) -> None:
        """One HTML page a student."""
        from minifcn.course.reporting import page

        homework, folder = self.assignment(name), self._folder("returned", name)
        for record in self.records(name):
            text = page(record, homework, self.by_hand(name, record.student))
            _write(folder / f"{record.student}.html", text)
        say(f"returned/{name}/ has a page for each of {len(self.records(name))} students")

    def _folder(self, *names: str) -> Path:
        """An empty folder of the course's."""
        folder = self.root.joinpath(*names)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def init(root: Path, say: Say = print) -> None:
    """Make a folder with sources a course's.

    Raises
    ------
    ValueError
        If it is one already, or holds no source.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: there is no such folder")
    if (root / "hidden" / "seed").exists():
        raise ValueError(f"{root} is a course's folder already; nothing was changed")
    sources = sorted(
        each.stem for each in root.glob("*.py") if not each.stem.endswith(("_parts", "_config"))
    )
    if not sources:
        raise ValueError(
            f"{root} has no source of an assignment, such as hw1.py: copy "
            "tutorials/assignments from minifcn's repository"
        )
    (root / "hidden").mkdir(mode=0o700)
    _write(
        root / "nbgrader_config.py",
        gradebook.CONFIG.format(name=root.resolve().name, root=str(root.resolve())),
    )
    _write(
        root / ".gitignore",
        "hidden/\ngradebook.db*\nsubmitted/\nchecked/\nautograded/\n"
        "grades/\nreturned/\ngradescope/\nsource/\nrelease/\nplain/\n.ipynb_checkpoints/\n",
    )
    _write(root / "hidden" / "seed", f"{secrets.randbits(60)}\n")
    (root / "hidden" / "seed").chmod(0o600)
    say(f"{root} is a course's folder, with {', '.join(sources)}")
    say(f"next: minifcn course release {sources[0]} --course {root}")


def scan_wheel(path: Path, course: Course, names: list[str]) -> list[str]:
    """What a wheel, or minifcn's own folder, holds of an instructor's secrets."""
    return [each for name in names for each in leaks.scan(path, course.secrets(name), True)]


def points(homework: Assignment) -> list[tuple[str, float]]:
    """What there is to earn: (name, points), in order."""
    lines = []
    for part in homework.parts:
        if isinstance(part, Words):
            lines.append((part.name, part.points))
        else:
            lines += [(each.name, each.out_of) for each in out_of(part, True)]
    return lines


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _told(said: str) -> str:
    return " ".join(" ".join(each.split()) for each in said.splitlines()[-12:])[:400]


__all__ = ["Course", "Grades", "init", "points", "scan_wheel"]

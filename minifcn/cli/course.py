"""``minifcn course``."""
from __future__ import annotations

from pathlib import Path

from minifcn.cli.options import add_json

HELP = "homework: check your own, or hand it out, grade it and return it"
EXAMPLE = ("course check hw1 hw1.ipynb\n"
           "course init mycourse\n"
           "course release hw1 --course mycourse\n"
           "course grade hw1 --course mycourse")


def add_arguments(parser) -> None:
    commands = parser.add_subparsers(metavar="step", required=True, dest="step")

    def add(name, words, run, course=True, homework=True):
        step = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        if homework:
            step.add_argument("assignment", metavar="HW", help="such as hw1")
        if course:
            step.add_argument("--course", metavar="FOLDER", default=".",
                              help="the course's folder (default: this one)")
        step.set_defaults(step=run)
        return step

    step = add("check", "judge your own homework, as the grader does but for hidden cases", _check,
               course=False)
    step.add_argument("path", metavar="PATH", nargs="?", default=".",
                      help="notebook, Python file or folder (default: this folder)")
    _add_seconds(step)
    add_json(step)

    step = add("init", "make a folder with sources a course's", _init, False, False)
    step.add_argument("folder", metavar="FOLDER")

    add("release", "build, prove and scan what is handed out, and Gradescope's zip", _release)

    step = add("collect", "put submissions in place", _collect)
    step.add_argument("source", metavar="FROM", nargs="?",
                      help="folder or zip with a file or folder for each student "
                      "(default: nbgrader's exchange)")

    step = add("grade", "grade one student after the other; goes on where it stopped", _grade)
    step.add_argument("--student", action="append", metavar="NAME", help="only this one")
    step.add_argument("--again", action="store_true", help="also who is graded already")
    _add_seconds(step)

    add("report", "show the class, and write its points as CSV", _report)
    add("feedback", "write a page of feedback for each student", _feedback)


def _add_seconds(step) -> None:
    step.add_argument("--seconds", type=float, default=60, metavar="S",
                      help="limit for each function (default: 60)")


def run(arguments) -> int | None:
    if getattr(arguments, "seconds", 1) <= 0:
        raise ValueError(f"--seconds must be more than 0, not {arguments.seconds:g}")
    return arguments.step(arguments)


def _say(arguments):
    return (lambda line: None) if arguments.quiet else print


def _check(arguments) -> int:
    from minifcn.course.athome import shown
    from minifcn.course.grading import grade
    from minifcn.course.parts import assignment

    path = Path(arguments.path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    homework = assignment(arguments.assignment, path if path.is_dir() else path.parent)
    grades = grade(path, homework, seconds=arguments.seconds)
    if arguments.json:
        import json
        print(json.dumps({
            "assignment": homework.name, "score": grades.score, "out_of": grades.out_of,
            "results": [each._asdict() for each in grades], "remarks": grades.remarks,
            "notices": grades.notices, "not_limited": grades.missing}, indent=2))
    else:
        print(shown(grades))
        print(f"\n{grades.score:g} of {grades.out_of:g} points; {homework.points - grades.out_of:g}"
              " more for hidden cases and answers in words are judged after handing in")
        for each in (*grades.remarks, *grades.notices):
            print(f"note: {each}")
    return 0 if grades.score == grades.out_of else 1


def _init(arguments) -> None:
    from minifcn.course.classroom import init
    init(Path(arguments.folder), _say(arguments))


def _course(arguments):
    from minifcn.course.classroom import Course
    return Course(arguments.course)


def _release(arguments) -> None:
    _course(arguments).release(arguments.assignment, _say(arguments))


def _collect(arguments) -> None:
    _course(arguments).collect(arguments.assignment, arguments.source, _say(arguments))


def _grade(arguments) -> int:
    failures = _course(arguments).grade(arguments.assignment, arguments.student, arguments.seconds,
                                        arguments.again, _say(arguments))
    return 1 if failures else 0


def _report(arguments) -> None:
    from minifcn.course.reporting import as_csv, table
    from minifcn.files import written_whole

    course = _course(arguments)
    homework = course.assignment(arguments.assignment)
    records = course.records(arguments.assignment)
    by_hand = {each.student: course.by_hand(homework.name, each.student) for each in records}
    file = course.root / "grades" / f"{homework.name}.csv"
    with written_whole(file) as temporary:
        temporary.write_text(as_csv(records, homework, by_hand), encoding="utf-8")
    print(table(records))
    print(f"\n{file} is written")


def _feedback(arguments) -> None:
    _course(arguments).feedback(arguments.assignment, _say(arguments))

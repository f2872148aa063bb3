"""``minifcn check``."""
from __future__ import annotations

import sys
from pathlib import Path

from minifcn.cli.options import add_json

HELP = "check the layers in a Python file or notebook: values and gradients"
EXAMPLE = "check --template my_layers.py\ncheck my_layers.py"


def add_arguments(parser) -> None:
    parser.add_argument("file", metavar="FILE", help="has functions named as in minifcn.ops")
    parser.add_argument("--seconds", type=float, default=60, metavar="S",
                        help="limit for each function (default: 60)")
    parser.add_argument("--template", action="store_true",
                        help="write FILE, with all signatures, to be filled in")
    parser.add_argument("--edit", action="store_true",
                        help="show the mistake as a change of the textbook, which gives it away")
    parser.add_argument("--show-output", action="store_true", help="show what functions print")
    add_json(parser)
    parser.add_argument("--junit", metavar="OUT", help="write the result as JUnit XML too")


def run(arguments) -> int:
    if arguments.template:
        return _write_template(Path(arguments.file))
    try:
        checked = _checked(arguments)
    except (OSError, ValueError) as error:
        if not arguments.json:
            raise
        from minifcn.cli import one_line
        print(_json({"file": arguments.file, "error": one_line(error)}))
        return 2
    if arguments.json:
        print(_json(_as_data(arguments.file, checked)))
    else:
        _print(arguments, checked)
    return 0 if checked.ok else 1


def _checked(arguments):
    from minifcn.gradcheck.runner import check_file

    if not arguments.seconds > 0:
        raise ValueError(f"--seconds must be more than 0, not {arguments.seconds:g}")
    junit = arguments.junit and Path(arguments.junit)
    if junit and not junit.parent.is_dir():
        raise ValueError(f"--junit {junit}: there is no folder {junit.parent}")
    checked = check_file(arguments.file, arguments.seconds, progress=_progress(arguments))
    if junit:
        _write_junit(junit, arguments.file, checked.reports)
    return checked


def _print(arguments, checked) -> None:
    wrong = [report for report in checked.reports.values() if not report.ok]
    if not arguments.quiet or wrong:
        print(table(wrong if arguments.quiet else [*checked.reports.values()]))
    for report in wrong:
        if arguments.edit and getattr(report, "edit", None):
            print(f"\n{report.name}, as a change of the textbook:\n{report.edit}")
    for name, text in checked.printed.items():
        if arguments.show_output and text:
            print(f"\n{name} printed:\n{text.rstrip()}")
    if not arguments.quiet:
        right = len(checked.reports) - len(wrong)
        print(f"\n{right} of {len(checked.reports)} functions are right")
        for note in checked.notes:
            print(f"note: {note}")
        if checked.missing:
            print(f"not limited on this system: {'; '.join(checked.missing)}")


def table(reports) -> str:
    """One row a function, hints wrapped to the width of the terminal."""
    import shutil
    import textwrap

    rows = [("function", "forward", "gradient", "purity", "verdict", [])]
    rows += [(report.name, report.forward, report.gradient, report.purity,
              "ok" if report.ok else "wrong", hints(report)) for report in reports]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    indent = sum(widths) + 2 * len(widths)
    width = max(shutil.get_terminal_size((120, 24)).columns - indent, 30)
    lines = []
    for *cells, words in rows:
        wrapped = [line for each in words for line in textwrap.wrap(each, width)] or [""]
        start = "".join(f"{cell:<{w}}  " for cell, w in zip(cells, widths))
        lines += [(start + wrapped[0]).rstrip(), *(" " * indent + rest for rest in wrapped[1:])]
    return "\n".join(lines)


def hints(report) -> list[str]:
    """What the table says beside a verdict."""
    if report.ok:
        return [f"note: {each}" for each in report.notes[:1]]
    first = f"{report.cause}: {report.diagnosis}"
    if report.worst and report.cause not in ("stateful", "nondeterministic"):
        first += f"; {report.worst}"
    return [_cut(first), *(_cut(each) for each in report.notes if each.startswith("expected: "))]


def _cut(text: str) -> str:
    from minifcn.isolation import plain
    return plain(text, 1000)


def _progress(arguments):
    """A line that says what is being checked, on terminals only."""
    if arguments.quiet or arguments.json or not sys.stderr.isatty():
        return lambda done, count, name: None

    def show(done, count, name):
        line = f"checking {done + 1}/{count} {name}" if name else ""
        print(f"\r{line:<60}" + ("" if name else "\r"), end="", file=sys.stderr, flush=True)

    return show


# -- files and formats ----------------------------------------------------------------------------


def _write_template(path: Path) -> int:
    from minifcn.files import written_whole
    from minifcn.gradcheck.signatures import template

    if path.exists():
        raise ValueError(f"{path} exists already; give another name, nothing was written")
    with written_whole(path) as temporary:
        temporary.write_text(template(), encoding="utf-8")
    print(f"{path} is written; fill it in, then: minifcn check {path}")
    return 0


def _as_data(file: str, checked) -> dict:
    return {
        "file": file, "ok": checked.ok,
        "functions": {name: {
            "ok": report.ok, "forward": report.forward, "gradient": report.gradient,
            "purity": report.purity, "cause": report.cause, "diagnosis": _cut(report.diagnosis),
            "worst": _worst(report.worst), "notes": [_cut(each) for each in report.notes],
        } for name, report in checked.reports.items()},
        "notes": checked.notes, "not_limited": checked.missing,
    }


def _worst(worst) -> dict | None:
    if worst is None:
        return None
    got, right = (float(each) if abs(each) < float("inf") else str(each)      # JSON has no NaN
                  for each in (worst.got, worst.right))
    return {"array": worst.array, "index": [*map(int, worst.index)], "got": got, "right": right}


def _json(value: dict) -> str:
    import json
    return json.dumps(value, indent=2, allow_nan=False)


def _write_junit(path: Path, file: str, reports: dict) -> None:
    from xml.etree import ElementTree

    from minifcn.files import written_whole

    failures = sum(not report.ok for report in reports.values())
    suite = ElementTree.Element("testsuite", name=_cut(file), tests=str(len(reports)),
                                failures=str(failures), errors="0")
    for name, report in reports.items():
        case = ElementTree.SubElement(suite, "testcase", classname=_cut(Path(file).stem), name=name)
        if not report.ok:
            failure = ElementTree.SubElement(case, "failure", type=_cut(report.cause),
                                             message=_cut(report.diagnosis))
            failure.text = "\n".join(hints(report))
    with written_whole(path) as temporary:
        ElementTree.ElementTree(suite).write(temporary, encoding="utf-8", xml_declaration=True)

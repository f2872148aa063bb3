"""For the class: table, distribution, commonest causes, CSV. For each student: a page of HTML."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from html import escape

from minifcn.course.parts import Assignment, Words
from minifcn.course.records import Record

ByHand = dict[str, float | None]


def table(records: list[Record]) -> str:
    """The class as text: points by part, distribution, causes, what the instructor should see."""
    names = list(dict.fromkeys(each.name for record in records for each in record.grades))
    width = max(len(each.student) for each in records)
    lines = [f"{'':<{width}}  " + "  ".join(names) + "  total"]
    for record in records:
        scores = {each.name: each.score for each in record.grades}
        cells = [f"{scores.get(name, 0):>{len(name)}g}" for name in names]
        lines.append(
            f"{record.student:<{width}}  " + "  ".join(cells) + f"  {record.grades.score:>5g}"
        )
    totals = [each.grades.score for each in records]
    most = max(each.grades.out_of for each in records)
    lines += [
        "",
        f"{len(records)} students, of {most:g} points judged by machine: mean "
        f"{statistics.fmean(totals):.1f}, median {statistics.median(totals):g}, "
        f"lowest {min(totals):g}, highest {max(totals):g}",
        "",
        *distribution(totals, most),
    ]
    causes = commonest(records)
    if causes:
        lines += ["", "commonest causes (what to explain in the next lecture):"]
        lines += [
            f"{count:>5}  {part}: {cause}; for example {message}"
            for (part, cause), count, message in causes[:10]
        ]
    told = [f"{each.student}: {words}" for each in records for words in each.grades.notices]
    if told:
        lines += ["", "noticed, for you to look at:", *(f"  {each}" for each in told)]
    remarks = [f"{each.student}: {words}" for each in records for words in each.grades.remarks]
    if remarks:
        lines += ["", "repaired, or worth knowing:", *(f"  {each}" for each in remarks)]
    missing = sorted({words for each in records for words in each.grades.missing})
    if missing:
        lines += ["", f"not limited on this system: {'; '.join(missing)}"]
    return "\n".join(lines)


def distribution(totals: list[float], most: float, bins: int = 10) -> list[str]:
    """A histogram in text."""
    counts = Counter(min(int(bins * each / most), bins - 1) if most else 0 for each in totals)
    return [
        f"{most * k / bins:>6g} to {most * (k + 1) / bins:<6g} {'#' * counts[k]}"
        for k in range(bins)
    ]


def commonest(records: list[Record]) -> list[tuple[tuple[str, str], int, str]]:
    """((part, cause), students, one student's message), commonest first."""
    counts: Counter[tuple[str, str]] = Counter()
    messages: dict[tuple[str, str], str] = {}
    for record in records:
        seen = set()
        for each in record.grades:
            if each.cause and not each.hidden:
                key = each.part, each.cause
                seen.add(key)
                messages.setdefault(key, each.message.splitlines()[0] if each.message else "")
        counts.update(seen)
    return [
        (key, count, messages[key])
        for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def as_csv(records: list[Record], homework: Assignment, by_hand: dict[str, ByHand]) -> str:
    """One line a student; points by hand are empty where there are none yet."""
    names = list(dict.fromkeys(each.name for record in records for each in record.grades))
    words = [each.name for each in homework.parts if isinstance(each, Words)]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["student", *names, *words, "total", "out_of"])
    for record in records:
        scores = {each.name: each.score for each in record.grades}
        given = by_hand.get(record.student, {})
        hand = [given.get(each) for each in words]
        total = record.grades.score + sum(each or 0 for each in hand)
        writer.writerow(
            [
                _cell(record.student),
                *(f"{scores.get(name, 0):g}" for name in names),
                *("" if each is None else f"{each:g}" for each in hand),
                f"{total:g}",
                f"{homework.points:g}",
            ]
        )
    return file.getvalue()


def _cell(text: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em;
       color: #1b1b1b; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4em .6em; border-bottom: 1px solid #ccc }
td.points { white-space: nowrap; text-align: right }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font: inherit }
"""


def page(record: Record, homework: Assignment, by_hand: ByHand) -> str:
    """A student's feedback as HTML. What is for the instructor is not in it."""
    rows = []
    for each in record.grades:
        words = escape(each.message) or ("right" if each.score >= each.out_of else "")
        read = f"<p>Read: {_link(each.page)}</p>" if each.page else ""
        rows.append(
            f"<tr><td>{escape(each.name)}</td><td class=points>{each.score:g} of "
            f"{each.out_of:g}</td><td><pre>{words}</pre>{read}</td></tr>"
        )
    for part in homework.parts:
        if isinstance(part, Words):
            given = by_hand.get(part.name)
            told = "to be graded" if given is None else f"{given:g} of {part.points:g}"
            rows.append(
                f"<tr><td>{escape(part.name)}</td><td class=points>{told}</td>"
                "<td>answer in words</td></tr>"
            )
    remarks = "".join(f"<li>{escape(each)}</li>" for each in record.grades.remarks)
    total = record.grades.score + sum(each or 0 for each in by_hand.values())
    open_points = any(each is None for each in by_hand.values())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{escape(homework.name)}: {escape(record.student)}</title>"
        f"<style>{STYLE}</style></head><body><main>\n<h1>{escape(homework.title)}</h1>\n"
        f"<p>{escape(record.student)}: {total:g} of {homework.points:g} points"
        f"{', answers in words not yet counted' if open_points else ''}.</p>\n"
        + (f"<p>Worth knowing:</p><ul>{remarks}</ul>\n" if remarks else "")
        + "<table><thead><tr><th>part</th><th>points</th><th>feedback</th></tr></thead><tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table></main></body></html>\n"
    )


def _link(page: str) -> str:
    if page.startswith(("http://", "https://")):
        return f'<a href="{escape(page)}">{escape(page)}</a>'
    return escape(page)

"""Run the parts of the soak, and print the table: python -m tests.soak [--full] [PART ...].

What is done is kept in ``build/soak``, so a run that was stopped goes on where it was.
"""
from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from minifcn.files import written_whole
from tests.soak.parts import PARTS

BUILD = Path("build", "soak")


def main(words: list[str]) -> int:
    full = "--full" in words
    chosen = [word for word in words if word != "--full"] or list(PARTS)
    kept = BUILD / ("full" if full else "short")
    kept.mkdir(parents=True, exist_ok=True)
    done: dict[str, dict] = {}
    for part in PARTS:
        path = kept / f"{part}.json"
        if path.exists():
            done |= json.loads(path.read_text())
    for part in chosen:
        units, run = PARTS[part]
        path = kept / f"{part}.json"
        for unit in units(full):
            key = json.dumps([part, *unit])
            if key in done:
                continue
            start = time.monotonic()
            found = run(BUILD, *unit)
            done[key] = {**found._asdict(), "commit": commit(), "date": f"{date.today()}"}
            with written_whole(path) as temporary:
                temporary.write_text(json.dumps(
                    {name: each for name, each in done.items() if json.loads(name)[0] == part}))
            print(f"{part} {unit}: {found.count}, {time.monotonic() - start:.0f} s",
                  *found.wrong, sep="\n  ", flush=True)
    print(table(done, full))
    return int(any(each["wrong"] for each in done.values()))


def commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True,
                          text=True).stdout.strip()


def table(done: dict, full: bool) -> str:
    """A row for each part, in Markdown."""
    lines = ["| part | tried | planned | wrong | figures | commit, date |",
             "|---|---|---|---|---|---|"]
    for part, (units, _) in PARTS.items():
        keys = [json.dumps([part, *unit]) for unit in units(full)]
        found = [done[key] for key in keys if key in done]
        figures: dict[str, float] = {}
        for each in found:
            for name, value in each["figures"].items():
                whole = isinstance(value, int)
                figures[name] = figures.get(name, 0) + value if whole else max(
                    figures.get(name, 0), value)
        text = ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                         for name, value in figures.items() if value)
        skipped = sorted({each["skipped"] for each in found if each["skipped"]})
        made = sorted({f"{each['commit']}, {each['date']}" for each in found})
        lines.append(f"| {part} | {sum(each['count'] for each in found):,} | {len(found)} of "
                     f"{len(keys)} units | {sum(len(each['wrong']) for each in found)} | "
                     f"{'; '.join([text, *skipped]).strip('; ')} | {'; '.join(made)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

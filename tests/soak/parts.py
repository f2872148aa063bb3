"""The parts of the soak. A unit of a part returns a `Found`; units are run one by one."""
from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LAST, BEST = "last.safetensors", "best.safetensors"
KILLS = 8               # of a run, before it may end
KINDS = {"": 300, "saving": 60, "evaluation": 60, "later": 0}      # of events, and how many count
CHUNK = 500             # inputs of a process
SECONDS, MEGABYTES = 5, 500     # that an input may take


class Found(NamedTuple):
    """Of a unit: how many were tried, what went wrong, and the largest of each figure."""

    count: int
    wrong: list[str]
    figures: dict[str, float]
    skipped: str = ""


def python(*arguments: str, timeout: float = 600, **environment: str):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True,
                          errors="replace", timeout=timeout, env={**os.environ, **environment})


def victim(folder: Path, what: str = "none", number: float = 0, kind: str = "",
           **environment: str):
    return python("-m", "tests.soak.victim", folder, what, number, kind, **environment)


def reference(build: Path) -> Path:
    """The folder of a run that nothing happened to."""
    folder = build / "reference"
    if not (folder / "finished").exists():
        shutil.rmtree(folder, ignore_errors=True)
        done = victim(folder)
        assert done.returncode == 0, done.stderr
        (folder / "finished").touch()
    return folder


def difference(folder: Path, build: Path) -> list[str]:
    """The files of a run that are not those of the reference, to the byte."""
    names = (LAST, BEST, "log.csv", "validation.csv")
    return [f"{name} differs" for name in names
            if (folder / name).read_bytes() != (reference(build) / name).read_bytes()]


# -- kills ----------------------------------------------------------------------------------------


def kill_units(full: bool) -> list[list]:
    return [[seed] for seed in range((200 if full else 40) // KILLS)]


def kills(build: Path, seed: int) -> Found:
    """A run that is killed again and again; every fifth one compiles anew, and is killed there."""
    reference(build)
    rng, wrong, places = random.Random(f"kill {seed}"), [], {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "run")
        anew = {"NUMBA_CACHE_DIR": str(Path(place, "cache"))} if seed % 5 == 4 else {}
        killed = 0
        while killed < KILLS:
            kind = rng.choice(("a compilation", "") if anew else (*KINDS,))
            what, number = ("later", rng.uniform(0, 12)) if kind == "later" else \
                ("kill", rng.randint(1, KINDS.get(kind, 20)))
            done = victim(folder, what, number, kind, **anew)
            if done.returncode == 0:        # it had ended before
                wrong += difference(folder, build)
                shutil.rmtree(folder)
                continue
            if done.returncode != -9:
                wrong.append(f"seed {seed}: exit code {done.returncode}: {done.stderr[-300:]}")
                break
            killed += 1
            where = (done.stdout.strip().splitlines() or ["any moment"])[-1]
            places[where] = places.get(where, 0) + 1
        done = victim(folder, **anew)
        wrong += [done.stderr[-300:]] if done.returncode else difference(folder, build)
    inside = {name: sum(count for place, count in places.items() if word in place)
              for name, word in (("in a save", "sav"), ("in a compilation", "compilation"),
                                 ("in an evaluation", "evaluation"), ("at any moment", "moment"))}
    inside["in a step"] = killed - sum(inside.values())
    return Found(killed, [f"seed {seed}: {each}" for each in wrong], inside)


# -- faults ---------------------------------------------------------------------------------------


def fault_units(full: bool) -> list[list]:
    return [[kind, seed] for seed in range(10 if full else 2)
            for kind in ("full disk", "read-only", "removed folder", "clock", "two trainings")]


@contextlib.contextmanager
def small_disk(kilobytes: int) -> Iterator[Path]:
    """A file system of its own, in memory; needs root."""
    with tempfile.TemporaryDirectory() as place:
        mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(done.stderr.strip() or "mount failed")


def faults(build: Path, kind: str, seed: int) -> Found:
    rng = random.Random(f"{kind} {seed}")
    try:
        wrong = {"full disk": full_disk, "read-only": read_only, "removed folder": removed,
                 "clock": clock, "two trainings": two}[kind](build, rng)
    except PermissionError as error:
        return Found(0, [], {}, f"{kind}: this system lets us mount nothing ({error})")
    return Found(1, [f"{kind} {seed}: {each}" for each in wrong], {kind: 1})


def refused(done) -> list[str]:
    """Unless it ended with one line and exit code 2."""
    lines = done.stderr.strip().splitlines()
    good = done.returncode == 2 and len(lines) == 1 and len(lines[0]) <= 520
    return [] if good else [f"exit code {done.returncode}: {done.stderr[-300:]}"]


def ended(folder: Path, build: Path) -> list[str]:
    """Resume, and compare with the reference."""
    done = victim(folder)
    return [done.stderr[-300:]] if done.returncode else difference(folder, build)


def full_disk(build: Path, rng: random.Random) -> list[str]:
    with small_disk(rng.randint(100, 500)) as disk:
        done = victim(disk / "run")
        wrong = refused(done) if done.returncode else ["a full disk was not noticed"]
        mount("-o", "remount,size=20m", str(disk))
        return wrong + ended(disk / "run", build)


def read_only(build: Path, rng: random.Random) -> list[str]:
    with small_disk(20_000) as disk:
        victim(disk / "run", "kill", rng.randint(150, 300))
        mount("-o", "remount,ro", str(disk))
        wrong = refused(victim(disk / "run"))
        mount("-o", "remount,rw", str(disk))
        return wrong + ended(disk / "run", build)


def removed(build: Path, rng: random.Random) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        wrong = refused(victim(Path(place, "run"), "remove", rng.randint(20, 300)))
        return wrong + ended(Path(place, "run"), build)


def clock(build: Path, rng: random.Random) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        victim(Path(place, "run"), "kill", rng.randint(100, 300))
        done = victim(Path(place, "run"), "clock")
        return [done.stderr[-300:]] if done.returncode else difference(Path(place, "run"), build)


def two(build: Path, rng: random.Random) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "run")
        command = [sys.executable, "-m", "tests.soak.victim", folder, "pause",
                   str(rng.randint(60, 300))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as one:
            one.stdout.readline()
            other = victim(folder)
            wrong = refused(other)
            if f"process {one.pid} " not in other.stderr:
                wrong.append(f"who holds it is not said: {other.stderr[-300:]}")
            (folder.parent / "run.go").touch()
            one.wait()
        return wrong + difference(folder, build)


# -- company and steady work ----------------------------------------------------------------------


def company_units(full: bool) -> list[list]:
    return [[kind, seed] for seed in range(10 if full else 2) for kind in
            ("threads", "fork", "spawn", "forkserver", "exit", "one core")]


def company(build: Path, kind: str, seed: int) -> Found:
    """See ``company.py``, which runs in a process of its own."""
    environment = {"NUMBA_NUM_THREADS": "16"} if kind == "one core" else {}
    done = python("-m", "tests.soak.company", kind, seed, **environment)
    wrong = [] if done.returncode == 0 else [
        f"{kind} {seed}: exit code {done.returncode}: {done.stderr[-500:]}"]
    return Found(1, wrong, {kind: 1})


def steady_units(full: bool) -> list[list]:
    return [[kind, 2000 if full else 400] for kind in ("training", "predictions")]


def steady(build: Path, kind: str, count: int) -> Found:
    done = python("-m", "tests.soak.steady", kind, count, timeout=7200)
    if done.returncode:
        return Found(count, [f"{kind}: {done.stderr[-500:]}"], {})
    warm, most = json.loads(done.stdout.splitlines()[-1])
    wrong = [f"{kind}: {warm:.0f} MB after warm-up, {most:.0f} MB later"] * (most > warm + 20)
    return Found(count, wrong, {f"{kind}: MB after warm-up": warm, f"{kind}: MB at most": most})


# -- fuzzing --------------------------------------------------------------------------------------


def fuzz_units(full: bool) -> list[list]:
    from tests.soak.readers import READERS

    chunks = (200_000 if full else 40_000) // CHUNK
    return [[READERS[chunk % len(READERS)].name, chunk // len(READERS) * CHUNK]
            for chunk in range(chunks)]


def fuzz(build: Path, name: str, first: int) -> Found:
    """Inputs of one reader, in a process of its own; after its end the next goes on behind it."""
    wrong, figures, number = [], {}, first
    while number < first + CHUNK:
        with tempfile.TemporaryDirectory() as place:
            done = python("-m", "tests.soak.fuzz", name, number, first + CHUNK, place)
            lines = [json.loads(line) for line in
                     Path(place, "told").read_text().splitlines()] if Path(
                         place, "told").exists() else []
        for line in lines:
            number = line["number"] + 1
            if "wrong" in line:
                wrong.append(f"{name} {line['number']}: {line['wrong']}")
            for key in ("seconds", "MB"):
                figures[key] = max(figures.get(key, 0), line.get(key, 0))
        if done.returncode:
            wrong.append(f"{name} {number}: its process ended with {done.returncode}: "
                         f"{done.stderr[-300:]}")
            number += 1
    return Found(CHUNK, wrong, figures)


def weight_units(full: bool) -> list[list]:
    return [[seed] for seed in range(10 if full else 2)]


def weights(build: Path, seed: int) -> Found:
    """Spoilt weights of other projects; see ``tests/weights/mutations.py``."""
    done = python("-m", "tests.weights.mutations", 2000, seed, timeout=3600)
    return Found(2000, [f"seed {seed}: {done.stderr[-500:]}"] * bool(done.returncode), {})


def guided_units(full: bool) -> list[list]:
    from tests.soak.guided import NAMES

    return [[name, 10_000 if full else 2_000] for name in NAMES]


def guided(build: Path, name: str, runs: int) -> Found:
    """A coverage-guided fuzzer on one reader; what it finds stays in the folder ``corpus``."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        return Found(0, [], {}, "atheris is not installed; it has no build for this Python")
    corpus = build / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    done = python("-m", "tests.soak.guided", name, corpus, f"-runs={runs}", "-max_len=8192",
                  "-timeout=20", "-rss_limit_mb=2000", f"-artifact_prefix={build}/{name}-",
                  "-verbosity=0", timeout=3600)
    wrong = [f"{name}: {done.stdout[-300:]} {done.stderr[-600:]}"] * bool(done.returncode)
    return Found(runs, wrong, {"longest of a reader, s": time.monotonic() - start})


PARTS = {"kills in training": (kill_units, kills),
         "faults of disk and clock": (fault_units, faults),
         "threads, processes, exits": (company_units, company),
         "steady work": (steady_units, steady), "spoilt inputs": (fuzz_units, fuzz),
         "spoilt weights": (weight_units, weights),
         "coverage-guided inputs": (guided_units, guided)}

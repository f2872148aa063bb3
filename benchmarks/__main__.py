"""minifcn beside PyTorch, ONNX Runtime, OpenVINO and ncnn on this machine.

    python -m benchmarks                  everything, about 50 minutes (make bench)
    python -m benchmarks key peak start   the table of targets, about 10 minutes
    python -m benchmarks --quick          everything on a tiny network, to see that it works
    python -m benchmarks report           tables and charts anew from the results that are there

Every measurement is a fresh process; contenders alternate, round after round, with the same number
of threads, and their results are compared before they are timed. What is done is kept in
results.json at once: interrupt it at any time, and run the parts that are missing later. Nothing
else should run on the machine.
"""
from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import charts, contenders, machine, report
from benchmarks.network import Case

ROOT = Path(__file__).parent.parent
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
           "MINIFCN_NUM_THREADS")
AVX2 = (("NUMBA_CPU_NAME", "haswell"), ("NUMBA_CPU_FEATURES", "+avx,+avx2,+fma,+bmi,+bmi2"))
INTERPRETED = (("NUMBA_DISABLE_JIT", "1"),)
LIMIT_SECONDS = 1800    # for one process
FULL, QUICK = Case(), Case(100, 132, scale=1 / 8, fc_channels=64)
TINY = Case(32, 32, scale=1 / 16, fc_channels=32)    # for plain Python


@dataclasses.dataclass(frozen=True)
class Job:
    task: str
    contender: str
    case: Case
    threads: int
    repeats: int
    environment: tuple[tuple[str, str], ...] = ()


Groups = Iterator[tuple[int, list[Job]]]        # rounds, and the jobs that alternate


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how thoroughly."""

    quick: bool
    threads: int
    rounds: int

    @property
    def case(self) -> Case:
        return QUICK if self.quick else FULL

    def sized(self, height: int, width: int, batch: int = 1) -> Case:
        shrink = 5 if self.quick else 1
        return self.case._replace(height=height // shrink, width=width // shrink, batch=batch)

    @property
    def repeats(self) -> dict[str, int]:
        return {"forward": 2, "training": 1} if self.quick else {"forward": 7, "training": 3}

    def compare(self, case: Case, rounds: int, threads: int | None = None,
                inference=contenders.INFERENCE, training=contenders.TRAINING) -> Groups:
        """The whole network, each contender in turn: forward, then training steps."""
        for task, names in (("forward", inference), ("training", training)):
            jobs = [Job(task, name, case, threads or self.threads, self.repeats[task])
                    for name in names]
            yield rounds, jobs


def key(settings: Settings) -> Groups:
    """500 x 500, batch 1, forward and training step: the targets"""
    yield from settings.compare(settings.case, settings.rounds)


def sizes(settings: Settings) -> Groups:
    """other sizes and batches, and the reference engine"""
    extents = [(224, 224), (360, 480), (500, 500)]
    for height, width in extents[:1] if settings.quick else extents:
        for batch in (1, 4):
            case = settings.sized(height, width, batch)
            if case != settings.case:
                yield from settings.compare(case, 1)
    yield from settings.compare(settings.sized(224, 224), 1, inference=["minifcn reference"],
                                training=["minifcn reference"])


def threads(settings: Settings) -> Groups:
    """fewer threads: 1, 2, 4 ..."""
    count = 1
    while count < settings.threads:
        yield from settings.compare(settings.case, 1, count)
        count *= 2


def pixels(settings: Settings) -> Groups:
    """growth with the picture"""
    for extent in (125,) if settings.quick else (125, 250, 750, 1000):
        yield from settings.compare(settings.sized(extent, extent), 1, training=[])


def large(settings: Settings) -> Groups:
    """predict on 4000 x 3000 pixels"""
    yield 1, [Job("large", "minifcn", settings.sized(3000, 4000), settings.threads, 1)]


def layers(settings: Settings) -> Groups:
    """layer by layer"""
    yield 1, [Job("layers", name, settings.case, settings.threads, 2 if settings.quick else 5)
              for name in contenders.TRAINING]


def peak(settings: Settings) -> Groups:
    """the machine's peak, and the micro-kernel's share of it, with AVX-512 off too"""
    yield 1, [Job("peak", "minifcn", settings.case, settings.threads, 1, environment)
              for environment in ((), AVX2)]


def reference(settings: Settings) -> Groups:
    """the reference engine, compiled and interpreted, on a tiny network"""
    yield 1, [Job("training", "minifcn reference", TINY, 1, repeats, environment)
              for repeats, environment in ((5, ()), (1, INTERPRETED))]


def start(settings: Settings) -> Groups:
    """from the start of Python to a first prediction on two cores, caches empty and full"""
    for scale in (1 / 8,) if settings.quick else (1 / 8, 1.0):
        yield 1, [Job("start", "minifcn", settings.sized(500, 500)._replace(scale=scale), 2, 3)]


PARTS = {part.__name__: part
         for part in (peak, key, start, reference, layers, threads, sizes, pixels, large)}


def environment(job: Job) -> dict[str, str]:
    return {**os.environ, **dict.fromkeys(THREADS, str(job.threads)),
            **dict(job.environment)}


def run(command: list, environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=environment, cwd=ROOT, timeout=LIMIT_SECONDS,
                          capture_output=True, text=True)


def first_predictions(job: Job, expected: Path) -> dict:
    """Seconds of a first start, with nothing compiled, and of the next ones."""
    values = map(str, (job.case.scale, job.case.height, job.case.width))
    command = [sys.executable, "-m", "benchmarks.first_prediction", *values]
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(1 + job.repeats):
            begin = time.monotonic()
            done = run(command, {**environment(job), "NUMBA_CACHE_DIR": cache})
            if done.returncode:
                return {"skipped": last_line(done.stderr)}
            seconds.append(float(done.stdout.split()[-1]) - begin)
    return {"cold": seconds[0], "seconds": seconds[1:]}


def measure(job: Job, expected: Path) -> dict:
    """Run a job in a process of its own; what it found, or why it found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        order, answer = Path(folder, "job.json"), Path(folder, "result.json")
        order.write_text(json.dumps({**record(job), "expected": str(expected)}))
        try:
            done = run([sys.executable, "-m", "benchmarks.worker", order, answer], environment(job))
        except subprocess.TimeoutExpired:
            return {"skipped": f"took more than {LIMIT_SECONDS} s"}
        if done.returncode:
            return {"skipped": last_line(done.stderr) or f"ended with code {done.returncode}"}
        return json.loads(answer.read_text())


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def record(job: Job) -> dict:
    return {**dataclasses.asdict(job), "case": job.case._asdict(),
            "environment": dict(job.environment)}


def run_part(name: str, settings: Settings, folder: Path) -> Iterator[dict]:
    """Measure a part's groups; each record as soon as it is there."""
    for number, (rounds, jobs) in enumerate(PARTS[name](settings)):
        expected = folder / f"{name}-{number}.npz"
        if jobs and jobs[0].task in ("forward", "training"):
            # compiles what is missing, and leaves the result that all others must have
            ours = dataclasses.replace(jobs[0], contender="minifcn", repeats=0, environment=())
            measure(ours, expected)
        for round_number, job in itertools.product(range(rounds), jobs):
            found = (first_predictions if job.task == "start" else measure)(job, expected)
            yield {"part": name, "round": round_number, **record(job), **found}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part",
                        help="; ".join(f"{name}: {part.__doc__}" for name, part in PARTS.items()))
    parser.add_argument("--quick", action="store_true", help="a tiny network, one round")
    parser.add_argument("--threads", type=int, help="default: one for each core")
    parser.add_argument("--rounds", type=int, default=3, help="of the part key")
    parser.add_argument("--output", type=Path, help="folder of results, tables and charts")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {*PARTS, "report"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; "
                     f"there are {', '.join(PARTS)} and report")
    output = arguments.output or Path(__file__).parent / ("quick" if arguments.quick else "results")
    output.mkdir(parents=True, exist_ok=True)
    settings = Settings(arguments.quick, arguments.threads or machine.cores(), arguments.rounds)
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.7 and "report" not in arguments.parts:
        print("warning: this machine is busy with something else, the figures will not hold")

    records = report.read(output)
    interrupted = False
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in [part for part in arguments.parts or PARTS if part != "report"]:
                records = [each for each in records if each["part"] != name]
                for found in run_part(name, settings, Path(folder)):
                    print(report.progress(found), flush=True)
                    records.append(found)
                    report.write(output, records)
    except KeyboardInterrupt:
        interrupted = True
        print("\ninterrupted; what is measured is kept")
    print(report.tables(records))
    charts.draw(output, records)
    print(f"\ntables, charts and results.json are in {output}")
    return 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())

"""Tables of what was measured, the targets beside it."""
from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks import machine
from benchmarks.contenders import INFERENCE, TRAINING
from benchmarks.network import Case, multiplications

PYTORCH = ("PyTorch", "PyTorch channels_last")
OURS = "minifcn"


def read(folder: Path) -> list[dict]:
    path = folder / "results.json"
    return json.loads(path.read_text())["records"] if path.exists() else []


def write(folder: Path, records: list[dict]) -> None:
    """Results and tables; a half-written file never takes the place of a whole one."""
    results = json.dumps({"machine": machine.describe(), "records": records}, indent=1)
    for name, text in (("results.json", results), ("tables.md", tables(records))):
        temporary = folder / f"{name}.part"
        temporary.write_text(text + "\n")
        os.replace(temporary, folder / name)


# ---------------------------------------------------------------------------------------------
# Asking the records
# ---------------------------------------------------------------------------------------------


def case_of(record: dict) -> Case:
    return Case(**record["case"])


def pick(records: list[dict], part: str, **conditions) -> list[dict]:
    """The part's successful records with these values."""
    return [each for each in records if each["part"] == part and "skipped" not in each
            and all(each[name] == value for name, value in conditions.items())]


def medians(records: list[dict], part: str, contender: str, **conditions) -> list[float]:
    """Median seconds of each round; PyTorch is its faster memory format."""
    names = PYTORCH if contender == "PyTorch" else (contender,)
    of_each = [[statistics.median(each["seconds"])
                for each in pick(records, part, contender=name, **conditions)] for name in names]
    return min(filter(None, of_each), key=statistics.median, default=[])


def ratios(peer: list[float], ours: list[float]) -> list[float]:
    return [theirs / mine for theirs, mine in zip(peer, ours)]


def middle(values: list[float]) -> float:
    return statistics.median(values)


def peaks(records: list[dict]) -> tuple[dict | None, dict | None]:
    """The records of part ``peak``: as the machine is, and with AVX-512 off."""
    both = {bool(each["environment"]): each for each in pick(records, "peak")}
    return both.get(False), both.get(True)


# ---------------------------------------------------------------------------------------------
# Targets
# ---------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """A figure with its limit and aim; ``values`` of all rounds, none if it was not measured."""

    name: str
    values: list[float]
    limit: float
    aim: float | None
    unit: str = ""
    at_most: bool = False
    detail: str = ""

    def reached(self, bound: float) -> bool:
        return middle(self.values) <= bound if self.at_most else middle(self.values) >= bound

    @property
    def verdict(self) -> str:
        if not self.values:
            return "not measured"
        if self.aim is not None and self.reached(self.aim):
            return "aim reached"
        return "limit reached" if self.reached(self.limit) else "MISSED"


def of_threads(records: list[dict], threads: int) -> list[Target]:
    """Speed against the peers, at the whole number of threads or at fewer."""
    part = "key" if pick(records, "key", threads=threads) else "threads"

    def target(task, peer, limit, aim):
        both = [medians(records, part, name, task=task, threads=threads) for name in (peer, OURS)]
        detail = " / ".join(f"{middle(seconds):.3f} s" for seconds in both) if all(both) else ""
        what = "forward" if task == "forward" else "training step"
        return Target(f"{what}, {peer} / minifcn", ratios(*both), limit, aim, detail=detail)

    return [target("forward", "PyTorch", 2.2, 3.0), target("forward", "ONNX Runtime", 1.6, 2.1),
            target("forward", "OpenVINO", 1.5, 2.0), target("forward", "ncnn", 1.1, 1.4),
            target("training", "PyTorch", 2.5, 3.2)]


def fewer_threads(records: list[dict], threads: int) -> Target:
    """The speed ratio that suffers most on two threads."""
    pairs = zip(of_threads(records, 2), of_threads(records, threads))
    shares = {few.name: middle(few.values) / middle(all_of_them.values)
              for few, all_of_them in pairs if few.values and all_of_them.values}
    worst = min(shares, key=shares.get, default="")
    return Target("ratios above, 2 threads / all, the smallest", [shares[worst]] if shares else [],
                  0.85, None, detail=worst)


def memory_target(records: list[dict], task: str) -> Target:
    def gigabytes(names):
        lists = [[each["peak_bytes"] / 1e9
                  for each in pick(records, "key", task=task, contender=name)] for name in names]
        return min(filter(None, lists), key=middle, default=[])

    ours, theirs = gigabytes([OURS]), gigabytes(PYTORCH)
    detail = f"{middle(ours):.2f} / {middle(theirs):.2f} GB" if ours and theirs else ""
    return Target(f"peak memory, {task}, minifcn / PyTorch", ratios(ours, theirs), 1.0, 0.8,
                  at_most=True, detail=detail)


def targets(records: list[dict]) -> list[Target]:
    machine_peak, without_avx512 = peaks(records)
    key = pick(records, "key", contender=OURS, task="forward")
    threads = key[0]["threads"] if key else 0
    rows = of_threads(records, threads)

    direct = []
    if machine_peak and key:
        operations = 2 * key[0]["case"]["batch"] * multiplications(case_of(key[0]))
        bound = operations / (machine_peak["micro_kernel"] * threads)
        direct = [bound / middle(each["seconds"]) for each in key]
    rows.append(Target("forward, limit of direct convolution / minifcn", direct, 1.2, 1.6,
                       detail=f"{bound:.3f} s at the micro-kernel's peak" if direct else ""))
    rows.append(fewer_threads(records, threads))
    rows += [memory_target(records, task) for task in ("forward", "training")]

    both = {bool(each["environment"]): middle(each["seconds"])
            for each in pick(records, "reference")}
    interpreted = [both[True] / both[False]] if len(both) == 2 else []
    rows.append(Target("reference engine, interpreted / compiled", interpreted, 100, None))

    starts = {each["case"]["scale"]: each for each in pick(records, "start")}
    cold = [starts[1.0]["cold"]] if 1.0 in starts else []
    eighth = starts.get(1 / 8)
    rows.append(Target("cold first prediction, 2 cores, full width", cold, 30, 15, " s", True))
    rows.append(Target("cold first prediction, 2 cores, width 1/8",
                       [eighth["cold"]] if eighth else [], 30, 15, " s", True))
    rows.append(Target("warm start to a prediction, 2 cores, width 1/8",
                       eighth["seconds"] if eighth else [], 2.0, 1.2, " s", True))
    for name, found in (("micro-kernel / core's peak", machine_peak),
                        ("micro-kernel / core's peak, AVX-512 off", without_avx512)):
        share = [100 * found["micro_kernel"] / found["core"]] if found else []
        detail = ""
        if found:
            detail = f"{found['micro_kernel'] / 1e9:.0f} / {found['core'] / 1e9:.0f} GFLOP/s"
        rows.append(Target(name, share, 85, None, " %", detail=detail))
    return rows


# ---------------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------------


def table(title: str, head: list[str], rows: list[list[str]]) -> str:
    """In Markdown, aligned to be read in a terminal too; nothing without rows."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells):
        padded = [cell.ljust(width) if number == 0 else cell.rjust(width)
                  for number, (cell, width) in enumerate(zip(cells, widths))]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + ("-" if number == 0 else ":")
                    for number, width in enumerate(widths))
    return "\n".join([f"\n{title}\n", line(head), f"|{rule}|", *map(line, rows)])


def spread(values: list[float], unit: str = "", digits: int = 2) -> str:
    """The median, and the smallest and largest of several rounds."""
    if not values:
        return "-"
    text = f"{middle(values):.{digits}f}{unit}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return text


def name_of(case: Case) -> str:
    return f"{case.height}x{case.width}" + (f", batch {case.batch}" if case.batch > 1 else "")


def targets_table(records: list[dict]) -> str:
    key = pick(records, "key", contender=OURS)
    if not key and not pick(records, "peak") and not pick(records, "start"):
        return ""
    size = f", {name_of(case_of(key[0]))}, {key[0]['threads']} threads" if key else ""
    rows = [[row.name, spread(row.values, row.unit, 0 if row.limit > 80 else 2),
             f"{'<=' if row.at_most else '>='} {row.limit:g}", f"{row.aim:g}" if row.aim else "",
             row.verdict, row.detail] for row in targets(records)]
    return table(f"FCN-8s on VGG16, float32{size}: median (range) of the rounds",
                 ["figure", "measured", "limit", "aim", "verdict", "from"], rows)


def compared(records: list[dict], part: str, task: str, names: list[str], title: str) -> str:
    """Seconds by case and contender, with the ratio to ours."""
    columns = sorted({(each["threads"], case_of(each)) for each in pick(records, part, task=task)})
    rows = []
    for threads, case in columns:
        conditions = {"task": task, "threads": threads, "case": case._asdict()}
        ours = medians(records, part, OURS, **conditions)
        cells = []
        for name in names:
            seconds = [middle(each["seconds"])
                       for each in pick(records, part, contender=name, **conditions)]
            cells.append(f"{middle(seconds):.3f}" if seconds else "-")
            if ours and seconds and name != OURS:
                cells[-1] += f" ({middle(ratios(seconds, ours)):.2f})"
        rows.append([f"{name_of(case)}, {threads} threads", *cells])
    return table(title, ["seconds (ratio to minifcn)", *names], rows)


def layer_table(records: list[dict]) -> str:
    by_name = {each["contender"]: each["layers"] for each in pick(records, "layers")}
    if OURS not in by_name or len(by_name) < 2:
        return ""
    peers = [layers for name, layers in by_name.items() if name != OURS]
    rows = []
    for layer, ours in by_name[OURS].items():
        theirs = [min(layers[layer][way] for layers in peers) for way in (0, 1)]
        cells = [f"{1e3 * value:.2f}" for pair in zip(ours, theirs) for value in pair]
        rows.append([layer, *cells[:2], f"{theirs[0] / ours[0]:.2f}",
                     *cells[2:], f"{theirs[1] / ours[1]:.2f}"])
    return table("Layer by layer, milliseconds; PyTorch in its faster memory format",
                 ["layer", "forward", "PyTorch", "ratio", "backward", "PyTorch", "ratio"], rows)


def memory_table(records: list[dict]) -> str:
    rows = []
    for name in INFERENCE:
        cells = []
        for task in ("forward", "training"):
            found = pick(records, "key", contender=name, task=task)
            bytes_of_rounds = [each["peak_bytes"] for each in found]
            cells.append(f"{middle(bytes_of_rounds) / 1e9:.2f}" if found else "-")
        if any(cell != "-" for cell in cells):
            rows.append([name, *cells])
    return table("Peak memory of the process, GB", ["", "forward", "training step"], rows)


def skipped_table(records: list[dict]) -> str:
    reasons = sorted({(each["contender"], each["part"], each["skipped"]) for each in records
                      if "skipped" in each})
    return table("Skipped", ["contender", "part", "reason"], [list(each) for each in reasons])


def tables(records: list[dict]) -> str:
    found = [
        machine.describe(),
        targets_table(records),
        compared(records, "key", "forward", INFERENCE, "Forward"),
        compared(records, "key", "training", TRAINING, "Training step"),
        memory_table(records),
        compared(records, "sizes", "forward", [*INFERENCE, "minifcn reference"],
                 "Forward, by size"),
        compared(records, "sizes", "training", [*TRAINING, "minifcn reference"],
                 "Training step, by size"),
        compared(records, "threads", "forward", INFERENCE, "Forward, by threads"),
        compared(records, "threads", "training", TRAINING, "Training step, by threads"),
        compared(records, "pixels", "forward", INFERENCE, "Forward, growth with the picture"),
        layer_table(records),
        table("predict on a large picture", ["", "seconds", "peak memory, GB"],
              [[name_of(case_of(each)), f"{each['seconds'][0]:.1f}",
                f"{each['peak_bytes'] / 1e9:.2f}"] for each in pick(records, "large")]),
        skipped_table(records),
    ]
    return "\n".join(filter(None, found))


def progress(record: dict) -> str:
    """One line for a measurement that has just ended."""
    what = f"{record['part']:<10}{record['task']:<10}{record['contender']:<24}" \
           f"{name_of(case_of(record)):<20}{record['threads']} threads"
    if "skipped" in record:
        return f"{what}  skipped: {record['skipped']}"
    if "seconds" in record:
        what += f"  {middle(record['seconds']):.3f} s"
    if "error" in record:
        what += f"  differs by {record['error']:.0e}"
    return what

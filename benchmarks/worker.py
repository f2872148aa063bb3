"""One measurement in a process of its own: ``python -m benchmarks.worker job.json result.json``.

Before anything is timed its result is compared with that of minifcn's fast engine, which the runner
has left in a file; what differs is not timed.
"""
from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import contenders, layerwise, memory
from benchmarks.network import Case

TOLERANCE = 2e-4        # largest difference / largest value
SMOOTH = ("score_fr.weight", "score_pool3.weight")
# Behind ReLUs and pooling a rounding error may open a ReLU or choose another maximum, and single
# values jump: PyTorch's own two formats differ by 1e-3. So these gradients are compared as a whole.
BEHIND_KINKS = ("conv1_1.weight", "conv3_3.bias", "conv5_3.weight", "fc7.bias")
KINK_TOLERANCE = 2e-2   # norm of the difference / norm


def relative(got: np.ndarray, expected: np.ndarray, order: float) -> float:
    """Norm of the difference over the norm: ``order`` 2, or infinity for the largest values."""
    if got.shape != expected.shape:
        raise ValueError(f"the result has shape {got.shape}, minifcn's {expected.shape}")
    norms = [np.linalg.norm(each.ravel(), order) for each in (got - expected, expected)]
    return float(norms[0] / norms[1])


def timed(run: Callable, repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return seconds


def checked(values: dict[str, np.ndarray], job: dict, expected: Path) -> float:
    """Largest relative difference from the values of minifcn, which leaves them."""
    if job["contender"] == "minifcn" and not expected.exists():
        np.savez(expected, **values)
    if not expected.exists():
        raise ValueError("minifcn left no result to compare with: not timed")
    largest = 0.0
    with np.load(expected) as theirs:
        for name, value in values.items():
            kinks = name in BEHIND_KINKS
            error = relative(value, theirs[name], 2 if kinks else np.inf)
            if not error <= (KINK_TOLERANCE if kinks else TOLERANCE):
                raise ValueError(f"{name} differs from minifcn's by {error:.1e}: not timed")
            largest = max(largest, error)
    return largest


def forward(job: dict, case: Case, expected: Path) -> dict:
    run, result = contenders.load(job["contender"]).forward(case, job["threads"])
    memory.forget_peak()
    scores = result(run())
    run()
    peak = memory.peak_bytes()
    error = checked({"scores": scores}, job, expected)
    return {"error": error, "peak_bytes": peak, "seconds": timed(run, job["repeats"])}


def training(job: dict, case: Case, expected: Path) -> dict:
    step, gradients = contenders.load(job["contender"]).training(case, job["threads"])
    memory.forget_peak()
    losses = [step()]
    values = {name: np.array(value) for name, value in gradients(SMOOTH + BEHIND_KINKS).items()}
    losses.append(step())
    peak = memory.peak_bytes()
    error = checked({"losses": np.array(losses), **values}, job, expected)
    return {"error": error, "peak_bytes": peak, "seconds": timed(step, job["repeats"])}


def layers(job: dict, case: Case, expected: Path) -> dict:
    return {"layers": layerwise.measure(job["contender"], case, job["threads"], job["repeats"])}


def large(job: dict, case: Case, expected: Path) -> dict:
    """``predict`` on a picture of uint8."""
    from benchmarks.contenders import fast

    model = fast.build(case, job["threads"], "fast")
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (case.height, case.width, 3), np.uint8)
    memory.forget_peak()
    return {"seconds": timed(lambda: model.predict(picture), 1), "peak_bytes": memory.peak_bytes()}


def peak(job: dict, case: Case, expected: Path) -> dict:
    from benchmarks import hardware
    from minifcn.ops.fast.vectors import vector_unit

    size, registers = vector_unit()
    return {"vectors": f"{registers} vector registers of {8 * size} bits",
            "core": hardware.core_peak(), "micro_kernel": hardware.micro_kernel_peak("float32"),
            "bandwidth": hardware.bandwidth(job["threads"])}


TASKS = {task.__name__: task for task in (forward, training, layers, large, peak)}


def main(job_path: str, result_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    try:
        result = TASKS[job["task"]](job, Case(**job["case"]), Path(job["expected"]))
    except (ImportError, ValueError) as error:
        result = {"skipped": f"{type(error).__name__}: {error}"}
    Path(result_path).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])

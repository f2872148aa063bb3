"""Threads and processes beside each other: python -m tests.soak.company KIND SEED."""
import hashlib
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time

import numpy as np


def pictures(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*rng.integers(1, 90, 2), 3), np.uint8) for _ in range(count)]


def predicted(seed: int, count: int = 12) -> str:
    """A digest of masks and probabilities."""
    import minifcn

    model = minifcn.pretrained("streets-8s")
    digest = hashlib.sha256()
    for picture in pictures(seed, count):
        digest.update(model.predict(picture).tobytes())
        digest.update(model.probabilities(picture).tobytes())
    return digest.hexdigest()


def trained(seed: int, steps: int = 20) -> str:
    import minifcn
    from minifcn.training import Recipe, Trainer

    model = minifcn.FCN(classes=7, width=1 / 16, fc_channels=16, seed=seed)
    Trainer(model, minifcn.data.Shapes(8, (48, 48), seed), Recipe(steps, batch=2, rate=1e-2)).run()
    return hashlib.sha256(b"".join(model.parameters[name].tobytes()
                                   for name in model.parameters)).hexdigest()


def threads(seed: int) -> None:
    """Eight threads predict while one trains: the same bits as alone."""
    alone = [predicted(seed + each) for each in range(8)], trained(seed)
    results: dict[int, str] = {}

    def work(each):
        results[each] = trained(seed) if each == 8 else predicted(seed + each)

    workers = [threading.Thread(target=work, args=(each,)) for each in range(9)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert ([results[each] for each in range(8)], results[8]) == alone


def child(seed: int, pipe) -> None:
    pipe.send((predicted(seed), trained(seed, 4)))


def start(method: str, seed: int) -> None:
    """A process that is started after use gives the same bits."""
    mine = predicted(seed), trained(seed, 4)
    context = multiprocessing.get_context(method)
    receiving, sending = context.Pipe(False)
    process = context.Process(target=child, args=(seed, sending))
    process.start()
    assert receiving.poll(300), "no answer within 300 s"
    theirs = receiving.recv()
    process.join(60)
    assert process.exitcode == 0 and theirs == mine


ENDING = """
import random, sys, threading, time
from tests.soak.company import predicted, trained
for each in range(4):
    threading.Thread(target=lambda: [predicted(1) for _ in range(999)], daemon=True).start()
time.sleep(float(sys.argv[1]))
"""


def end(seed: int) -> None:
    """An interpreter that ends while threads work ends, with exit code 0 and without a word."""
    rng = random.Random(seed)
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", ENDING, str(rng.uniform(0, 8))],
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and not done.stderr, (done.returncode, done.stderr[-400:])


def one_core(seed: int) -> None:
    """Sixteen threads on one core give the bits of one thread."""
    code = f"from tests.soak.company import *; print(predicted({seed}), trained({seed}))"
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                           env={**os.environ, "NUMBA_NUM_THREADS": "1"}).stdout.split()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    assert [predicted(seed), trained(seed)] == alone


def main() -> None:
    kind, seed = sys.argv[1], int(sys.argv[2])
    began = time.monotonic()
    if kind in ("fork", "spawn", "forkserver"):
        start(kind, seed)
    else:
        {"threads": threads, "exit": end, "one core": one_core}[kind](seed)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

"""A training that kills itself, or meets some other mishap, at a chosen event.

    python -m tests.soak.victim FOLDER WHAT NUMBER [KIND]

``WHAT`` happens at event ``NUMBER``; events are the beginnings and ends of all that a run does, the
middle of a save among them. With ``KIND``, only those count whose name has it.
"""
from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

RUN = """shapes --size 32 32 --count 12 --steps 40 --batch 2 --evaluate-every 4 --width 0.03
         --fc-channels 8 --flip 0.5 --scale 0.8 1.2 --crop 32 32 --colour 0.2""".split()  # noqa: SIM905


class Events:
    """Counts events; at one of them, ``act`` is called."""

    def __init__(self, number: int, act, kind: str = ""):
        self.number, self.act, self.kind = number, act, kind
        self.count, self.lock = 0, threading.Lock()

    def __call__(self, name: str) -> None:
        if self.kind not in name:
            return
        with self.lock:
            self.count += 1
            if self.count == self.number:
                os.write(1, f"{name}\n".encode())
                self.act()

    def around(self, place, attribute: str, name: str) -> None:
        """Make the beginning and the end of a function events."""
        function = getattr(place, attribute)

        def wrapped(*arguments, **options):
            self(f"before {name}")
            result = function(*arguments, **options)
            self(f"after {name}")
            return result

        setattr(place, attribute, wrapped)


def watch(events: Events) -> None:
    from numba.core.event import Listener, install_listener

    from minifcn.models import FCN, files
    from minifcn.training import trainer
    from minifcn.training.log import Log
    from minifcn.training.optimizers import Adam

    for place, attribute, name in (
            (trainer.Trainer, "_sample", "a sample"), (FCN, "forward", "forward"),
            (FCN, "backward", "backward"), (Adam, "step", "a step"), (Log, "add", "the log"),
            (trainer, "confusion_of", "evaluation"),
            (trainer, "draw_curves", "curves of an evaluation"),
            (os, "replace", "renaming, saving"), (os, "fsync", "fsync, saving")):
        events.around(place, attribute, name)
    save = files.save_file

    def save_file(arrays, path, metadata):
        save(arrays, path, metadata)
        whole = Path(path).read_bytes()
        for part in range(4):                  # as if the save were caught in its middle
            Path(path).write_bytes(whole[:len(whole) * part // 4])
            events("saving")
        Path(path).write_bytes(whole)

    files.save_file = save_file

    class Compiling(Listener):
        def on_start(self, event):
            events("a compilation")

        def on_end(self, event):
            events("a compilation's end")

    Listener.register(Compiling)
    install_listener("numba:compile", Compiling()).__enter__()


def main() -> int:
    folder, what, number = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def pause():
        while not (folder.parent / f"{folder.name}.go").exists():
            time.sleep(0.05)

    acts = {"kill": kill, "remove": lambda: shutil.rmtree(folder), "pause": pause,
            "none": lambda: None, "clock": lambda: None}
    if what == "later":         # truly at any moment, in seconds
        timer = threading.Timer(number, kill)
        timer.daemon = True
        timer.start()
    else:
        watch(Events(int(number), acts[what], *sys.argv[4:]))
    if what == "clock":         # the clock was set back by ten years
        now = time.time
        time.time = lambda: now() - 3e8
    from minifcn.cli import main

    resume = ["--resume"] if (folder / "last.safetensors").exists() else []
    return main(["train", *(resume or RUN), "--out", str(folder), *resume, "--quiet"])


if __name__ == "__main__":
    sys.exit(main())

"""Spoilt inputs of one reader, each measured: python -m tests.soak.fuzz NAME FIRST END FOLDER."""
import json
import signal
import sys
import time
from pathlib import Path

from tests.soak.parts import MEGABYTES, SECONDS
from tests.soak.readers import READERS, mutated, try_input


def memory(name: str) -> float:
    """MB of this process: ``VmRSS`` now, or ``VmHWM`` at most."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) for line in status.read_text().splitlines()
                if line.startswith(name)) / 1000


def main() -> None:
    name, first, end, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    reader = next(each for each in READERS if each.name == name)
    with open(folder / "told", "w", encoding="utf-8") as told:
        for number in range(first, end):
            content = mutated(reader, number)
            Path("/proc/self/clear_refs").write_text("5")       # VmHWM begins anew
            before, start = memory("VmRSS"), time.process_time()
            signal.setitimer(signal.ITIMER_PROF, 4 * SECONDS)    # which ends the process
            line = {"number": number}
            try:
                try_input(reader, content, folder)
            except AssertionError as error:
                line["wrong"] = str(error)
            signal.setitimer(signal.ITIMER_PROF, 0)
            line["seconds"] = time.process_time() - start
            line["MB"] = memory("VmHWM") - before
            if "wrong" not in line and number > first and (
                    line["seconds"] > SECONDS or line["MB"] > MEGABYTES):
                line["wrong"] = f"{line['seconds']:.1f} s, {line['MB']:.0f} MB"
            print(json.dumps(line), file=told, flush=True)


if __name__ == "__main__":
    main()

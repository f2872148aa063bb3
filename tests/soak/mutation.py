"""Changes lines of a room's code, one at a time, and counts how many the tests notice.

    python -m tests.soak.mutation [ROOM ...] [SAMPLE]

cosmic-ray changes a copy in ``build/mutation``; of all changes a sample is tried (100 of a room),
the same each time. A run that was stopped goes on where it was.
"""
from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

ROOMS = {           # code, and the tests that should notice
    "data": ("minifcn/data", "tests/data tests/test_hardening.py -k 'not ctrl_c and not listen'"),
    "training": ("minifcn/training", "tests/training tests/test_hardening.py "
                 "-k 'not ctrl_c and not listen'"),
    "files": ("minifcn/models/files.py", "tests/models/test_files.py tests/test_hardening.py "
              "-k 'test_files or checkpoint or weights or header or names_of'"),
    "weights": ("minifcn/weights", "tests/weights"),
}
PYTEST = "-m pytest -x -q -p no:cacheprovider -m 'not slow and not peers'"
CONFIG = """[cosmic-ray]
module-path = "{code}"
timeout = 900
excluded-modules = []
test-command = "{command}"
distributor.name = "local"
"""


def main(words: list[str]) -> int:
    sample = next((int(word) for word in words if word.isdecimal()), 100)
    rooms = [word for word in words if word in ROOMS] or ROOMS
    rows = [tried(room, sample) for room in rooms if Path(ROOMS[room][0]).exists()]
    print("| room | changes in all | tried | noticed | share |\n|---|---|---|---|---|")
    for room, possible, noticed, count in rows:
        print(f"| {room} | {possible:,} | {count} | {noticed} | {100 * noticed / count:.0f} % |")
    return 0


def tried(room: str, sample: int) -> tuple[str, int, int, int]:
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    code, tests = ROOMS[room]
    folder = Path("build", "mutation", room).absolute()
    session = folder / "session.sqlite"
    if not session.exists():
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("minifcn", "tests", "docs", "setup.cfg", "pyproject.toml"):
            copy = shutil.copytree if Path(name).is_dir() else shutil.copy
            folder.mkdir(parents=True, exist_ok=True)
            copy(name, folder / name)
        (folder / "config.toml").write_text(CONFIG.format(
            code=code, command=f"{sys.executable} {PYTEST} {tests}"))
        ray("init", "config.toml", str(session), folder=folder)
        with use_db(session, WorkDB.Mode.open) as base:
            jobs = sorted(base.work_items, key=lambda item: str(item.mutations))
            chosen = random.Random(0).sample(jobs, min(sample, len(jobs)))
            left = {item.job_id for item in jobs} - {item.job_id for item in chosen}
            base.set_multiple_results(left, WorkResult(WorkerOutcome.SKIPPED))
    ray("exec", "config.toml", str(session), folder=folder)
    with use_db(session, WorkDB.Mode.open) as base:
        possible = base.num_work_items
        results = [result for _, result in base.completed_work_items
                   if result.worker_outcome != WorkerOutcome.SKIPPED]
    for result in results:
        if not result.is_killed:
            print(f"not noticed:\n{result.diff}\n")
    return room, possible, sum(result.is_killed for result in results), len(results)


def ray(*words: str, folder: Path) -> None:
    subprocess.run([str(Path(sys.executable).with_name("cosmic-ray")), *words], cwd=folder,
                   check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

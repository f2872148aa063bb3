"""Tables of numbers that grow while a run goes on, as CSV."""
from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from minifcn.files import read_text, written_whole

LARGEST = 2**30     # bytes


class Log:
    """A CSV file whose first column is the step.

    Rows beyond ``last_step`` are cut when it is opened: they were written after the checkpoint from
    which the run continues, and will come again. So are rows that a power cut has damaged.

    Parameters
    ----------
    path : path
    columns : sequence of str
        The names in the first line.
    last_step : int
        Of the checkpoint; 0 for a new run.
    events : tensorboardX.SummaryWriter, optional
        Gets each row too, a scalar for each column.
    """

    def __init__(self, path: Path, columns: Sequence[str], last_step: int = 0, events=None):
        self.path, self.columns, self.events = path, columns, events
        rows = [row for row in _complete_rows(path, len(columns)) if float(row[0]) <= last_step]
        with written_whole(path) as temporary, \
                open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])

    def add(self, *values: float) -> None:
        """Append a row; it is in the file when this returns."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(values)
        if self.events:
            for name, value in zip(self.columns[1:], values[1:]):
                self.events.add_scalar(f"{self.path.stem}/{name}", value, values[0])


def event_writer():
    """The class that writes TensorBoard's event files.

    Raises
    ------
    ValueError
        If tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError("--tensorboard needs tensorboardX: pip install tensorboardX") from error
    return SummaryWriter


def _complete_rows(path: Path, columns: int) -> list[list[str]]:
    """The rows of numbers below the first line; the last may be cut off by the process's end."""
    if not path.exists():
        return []
    lines = read_text(path, LARGEST, errors="replace").split("\n")[1:-1]
    rows = csv.reader(line for line in lines if "\0" not in line and '"' not in line)
    return [row for row in rows if len(row) == columns and all(map(_is_number, row))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

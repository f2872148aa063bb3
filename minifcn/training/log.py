"""Tables of numbers that grow while a run goes on, as CSV."""
from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from minifcn.files import written_whole


class Log:
    """A CSV file whose first column is the step.

    Rows beyond ``last_step`` are cut when it is opened: they were written after the checkpoint from
    which the run continues, and will come again.

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
        rows = [row for row in _complete_rows(path, len(columns)) if int(row[0]) <= last_step]
        with written_whole(path) as temporary, open(temporary, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])

    def add(self, *values: float) -> None:
        """Append a row; it is in the file when this returns."""
        with open(self.path, "a", newline="") as file:
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
    """The rows below the first line; the last one may be cut off, if the process was killed."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[1:-1]
    return [row for row in csv.reader(lines) if len(row) == columns]

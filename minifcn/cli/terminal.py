"""Between the command line and whoever started it: terminals, and closed pipes."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Printable:
    """A stream that shows what a terminal would obey, and what its encoding does not have.

    Names of files and classes come from strangers, and may hold such characters. With ``optional``
    nobody has to listen: when the other end closes, the rest goes nowhere.
    """

    def __init__(self, stream: TextIO, optional: bool = False):
        self._stream, self._optional = stream, optional

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        shown = "".join(c if c.isprintable() or c in "\n\r\t" else ascii(c)[1:-1] for c in text)
        self._attempt("write", shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        self._attempt("flush")

    def _attempt(self, what: str, *arguments: str) -> None:
        try:
            getattr(self._stream, what)(*arguments)
        except OSError:
            if not self._optional:
                raise
            self._stream = open(os.devnull, "w")     # noqa: SIM115


@contextmanager
def prepared() -> Iterator[None]:
    """Standard streams that are open and printable."""
    for _ in range(3):      # what is opened first takes the place of a closed stream
        place = os.open(os.devnull, os.O_RDWR)
        if place > 2:
            os.close(place)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Printable(stream or open(os.devnull, "w"), optional)    # noqa: SIM115
                              for stream, optional in zip(streams, (False, True)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams

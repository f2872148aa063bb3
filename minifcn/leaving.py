"""How a command ends by Ctrl-C: at once, with 130, after what is half done is tidied up.

A KeyboardInterrupt may arise in any line: in an import it comes out as another error, in a
destructor or a callback of a compiler it is lost. So there is none on the command line. Training
has a handler of its own, which saves first.

This module is imported before everything else, and knows nobody.
"""
from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_to_tidy: list[Callable[[], object]] = []


def main() -> int:
    """The command ``minifcn``."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
    from minifcn.cli import main

    return main()


def leave(*_) -> None:
    """Tidy up, and end the process; a handler of SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for tidy in reversed(_to_tidy):
            tidy()
        os.write(2, b"\n" * os.isatty(2) + b"minifcn: interrupted\n")
    finally:
        os._exit(130)


@contextmanager
def tidied(tidy: Callable[[], object]) -> Iterator[None]:
    """While the block runs, ``tidy`` is called if the process leaves."""
    _to_tidy.append(tidy)
    try:
        yield
    finally:
        _to_tidy.remove(tidy)

"""How far something has come: a bar on a terminal, one line in a notebook, nothing elsewhere.

Files and pipes get no bar, and with ``MINIFCN_PROGRESS=0`` nobody does: whoever executes a notebook
to build or to grade sets it.
"""
from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

COMPILING = "compiling, once: about 15 s"
LINE = "{desc}{n_fmt}/{total_fmt} {unit}s, {elapsed}<{remaining}{postfix}"


@contextmanager
def bar(iterable: Iterable | None = None, quiet: bool = False,
        say: Callable[[str], None] | None = None, **options) -> Iterator[tqdm]:
    """A bar of tqdm's, for a ``with`` block; it says so while kernels are compiled.

    Parameters
    ----------
    iterable, **options
        tqdm's, such as ``total``, ``desc`` and ``unit``.
    quiet : bool
        No bar at all.
    say : function of a line, optional
        Told about compiling where there is no bar.
    """
    from numba.core.event import Listener, install_listener  # who only imports needs no Numba

    Listener.register(Compiling)
    kind = Line if in_notebook() else tqdm
    silent = quiet or os.environ.get("MINIFCN_PROGRESS") == "0"
    # None is tqdm's word for "only on a terminal"; a notebook is none
    disable = True if silent else False if kind is Line else None
    with kind(iterable, disable=disable, dynamic_ncols=True, **options) as shown, \
            install_listener("numba:compile", Compiling(shown, None if silent else say)):
        yield shown


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line that does not tear the bars apart, to ``file`` or standard output."""
    tqdm.write(text, file=file)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


class Line(tqdm):
    """One line below a notebook's cell, which changes in its place and stays when all is done."""

    handle = None

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, file=io.StringIO(), bar_format=LINE, mininterval=0.3,
                         **options)

    def display(self, msg=None, pos=None):
        from IPython.display import display

        data = {"text/plain": str(self) if msg is None else msg}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)
        return True


class Compiling:
    """The bar's title while Numba compiles, which a kernel that was kept does not need.

    A ``Listener`` of Numba's.
    """

    def __init__(self, shown: tqdm, say: Callable[[str], None] | None):
        self.shown, self.say = shown, say
        self.title = None if shown.disable else shown.desc

    def notify(self, event) -> None:
        """Told by Numba when it begins and ends to compile a kernel."""
        if self.shown.disable:
            if self.say:
                self.say(COMPILING)
                self.say = None
        elif event.is_start:
            self.shown.set_description_str(f"{COMPILING}: ")
        else:
            self.shown.set_description_str(self.title, refresh=False)
            self.shown.unpause()        # the time that is left does not count compiling

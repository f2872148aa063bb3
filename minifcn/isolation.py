"""A wall between us and Python code that we do not trust, such as homework.

``Worker`` runs a file in a process of its own, sends it calls, one at a time, and gets arrays back.
What comes back is treated as hostile: a message is a JSON header and ``.npy`` arrays without
pickles, of limited size, so that nothing in it can run. Nothing else of the process is believed.

``isolated.py`` is the other side of the wall: the limits, and what ends the student's process and
all that it has started when we end, in whatever way. What this system cannot limit,
``Worker.missing`` names. The student's process does not load minifcn, so neither file knows more
than the standard library and NumPy.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import os
import re
import signal
import struct
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ENVIRONMENT = {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "NUMBA_NUM_THREADS",
               "MINIFCN_NUM_THREADS"}
HEADER = 1 << 20  # bytes of JSON that a student's process may send
SIZES = struct.Struct(">IQ")  # of header and arrays, at the beginning of a message
NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][biufc]\d{1,2})', "
    rb"'fortran_order': (True|False), 'shape': \(([\d, ]{0,200})\), \} *\n",
    re.DOTALL,
)


class Limits(NamedTuple):
    """Of a student's process; sizes in bytes.

    ``refuse`` are packages that it cannot import. ``hide`` are folders that look empty to it, where
    the system allows that; ``Worker.missing`` says where it does not.
    """

    load: float = 60  # seconds to run the file itself
    cpu: int = 900  # seconds of CPU time
    memory: int = 8 << 30
    files: int = 256 << 20
    processes: int = 200
    message: int = 256 << 20  # all arrays that come back from one call
    output: int = 64 << 10  # what is kept of its prints
    refuse: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()


class Raised(Exception):
    """The student's code raised ``kind``, an exception that says ``words``.

    ``line``, ``code`` and ``path`` are the last place in the student's files, or 0 and empty.
    """

    def __init__(self, kind: str, words: str, line: int = 0, code: str = "", path: str = ""):
        super().__init__(f"{kind}: {words}" if words else kind)
        self.kind, self.words, self.line, self.code, self.path = kind, words, line, code, path


class Ended(Exception):
    """The student's process ended, was stopped, or sent no valid message.

    The text goes on where a name stops: "ended its process with exit code 0".
    """


class Worker:
    """A student's file, loaded in a process of its own; after its end the next call loads it anew.

    Parameters
    ----------
    path : path
        The file. What lies beside it can be imported, after everything else.
    source : bytes, optional
        What to run in place of the file's content.
    probes : sequence of paths
        Files of ours whose functions run beside the student's; they may import NumPy.
    limits : Limits

    Attributes
    ----------
    missing : list of str
        What could not be limited on this system.
    printed : str
        What the process has printed, up to the limit.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "homework.py"
    >>> _ = path.write_text("def double(x):\\n    return 2 * x\\n")
    >>> with Worker(path) as worker:
    ...     worker.call("double", 21, seconds=10)
    42
    """

    def __init__(
        self,
        path: str | Path,
        source: bytes | None = None,
        probes: Sequence[str | Path] = (),
        limits: Limits | None = None,
    ):
        path = Path(path).resolve()
        theirs = {str(path.parent), os.getcwd()}
        self.limits, self.missing, self.printed = limits or Limits(), [], ""
        self._process = None
        self._setup = {
            "path": str(path),
            "source": (path.read_bytes() if source is None else source).decode("latin-1"),
            "probes": [str(each) for each in probes],
            "folders": [each for each in sys.path if os.path.realpath(each) not in theirs],
            **self.limits._asdict(),
        }

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def call(self, name: str, *arguments: Any, seconds: float, **options: Any) -> Any:
        """Call a function of the student's; returns what it returns.

        Arguments and results are arrays, numbers, texts, None, and lists, tuples and dictionaries
        of these; of anything else comes the name of its class, as ``Other``. ``seconds`` are those
        of an idle machine, see ``busy``. Raises ``Raised`` or ``Ended``.
        """
        return self._ask("student", name, arguments, options, seconds)

    def probe(self, name: str, *arguments: Any, seconds: float, **options: Any) -> Any:
        """Call a function of a probe, with the student's module as its first argument."""
        return self._ask("probe", name, arguments, options, seconds)

    def start(self) -> None:
        """Load the file in a new process; ``call`` does so when there is none."""
        import subprocess
        import tempfile

        self.stop()
        self.printed = ""
        self._process = subprocess.Popen(
            [sys.executable, "-IB", str(Path(__file__).with_name("isolated.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if key in ENVIRONMENT},
        )
        self._threads = [self._thread(lambda process=self._process: self._drain(process))]
        setup = {**self._setup, "temporary": tempfile.gettempdir()}
        self.missing = self._exchange(_frame(json.dumps(setup).encode()), self.limits.load)
        self._result(self._exchange(b"", self.limits.load))

    def stop(self) -> None:
        """End the process and everything that it has started."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()  # the supervisor hears it and cleans up
            with contextlib.suppress(Exception):
                process.wait(3)
            process.kill()
            process.wait()
            for thread in self._threads:
                thread.join(3)
            if not any(thread.is_alive() for thread in self._threads):  # else the pipes stay theirs
                process.stdin.close()
                process.stdout.close()

    def _ask(self, whose, name, arguments, options, seconds) -> Any:
        if self._process is None:
            self.start()
        return self._result(self._exchange(pack((whose, name, arguments, options)), seconds))

    def _result(self, reply: Any) -> Any:
        match reply:
            case {"value": value}:
                return value
            case {"raised": (str(kind), str(words), int(line), str(code), str(path))}:
                raise Raised(plain(kind, 80), plain(words), line, plain(code), plain(path))
        self.stop()
        raise Ended("sent something that is no answer")

    def _exchange(self, request: bytes, seconds: float) -> Any:
        """Send a message and wait for one."""
        process, box = self._process, []

        def exchange():
            with contextlib.suppress(OSError, ValueError):  # the pipes' end
                write(process.stdin.fileno(), request)
                box.append(read(process.stdout.fileno(), HEADER, self.limits.message))

        thread = self._thread(exchange)
        self._threads[1:] = [thread]
        end = time.monotonic() + seconds * busy()
        while thread.is_alive() and time.monotonic() < end:
            thread.join(0.2)  # in short steps, so that Ctrl-C is heard on Windows too
        if thread.is_alive():
            self.stop()
            raise Ended(f"was stopped after {seconds:g} s: it hangs, or is far too slow")
        if not box or box[0] is None:
            with contextlib.suppress(Exception):
                process.wait(3)
            self.stop()
            raise Ended(_ending(process.returncode))
        try:
            return unpack(*box[0])
        except Exception as error:  # hostile input may fail in any way
            self.stop()
            raise Ended(f"sent something that is no answer ({type(error).__name__})") from None

    @staticmethod
    def _thread(work) -> threading.Thread:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def _drain(self, process) -> None:
        kept = b""
        with contextlib.suppress(OSError, ValueError), process.stderr as pipe:
            while part := pipe.read(1 << 16):
                if len(kept) < self.limits.output:
                    kept = (kept + part)[: self.limits.output]
                    self.printed = plain(kept.decode("utf-8", "replace"), self.limits.output)


def busy() -> float:
    """How many processes want each core, 1 to 10: by so much limits of time are stretched."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    return min(max(load / (os.cpu_count() or 1), 1), 10)


def plain(text: str, length: int = 400) -> str:
    """A student's text, cut to a length, with everything escaped that a terminal might obey."""
    text = text if len(text) <= length else text[: length - 4] + " ..."
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def without_magic(cell: str) -> list[str]:
    """The lines of a cell, with "pass" in place of what is Jupyter's; none in another language."""
    if cell.lstrip().startswith("%%") and not cell.lstrip().startswith(("%%time", "%%capture")):
        return []
    lines = []
    for line in cell.splitlines():
        code = line.lstrip()
        magic = code.startswith(("%", "!", "?")) or code.rstrip().endswith("?")
        lines.append(line[: len(line) - len(code)] + "pass" if magic else line)
    return lines


def parsed(source: bytes | str) -> list[ast.stmt]:
    """The statements of a student's text; a ValueError says where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        words = plain(getattr(error, "msg", None) or str(error) or "it is nested too deeply")
        raise ValueError(f"cannot be read as Python{where}: {words}") from None


def _ending(code: int) -> str:
    what = {
        "SIGSEGV": " (a segmentation fault: reading or writing outside an array)",
        "SIGKILL": " (it was killed: too much memory or CPU time, or by itself)",
        "SIGXCPU": " (too much CPU time)",
    }
    with contextlib.suppress(ValueError):
        name = signal.Signals(-code if code < 0 else code - 128).name
        return f"ended its process with {name}{what.get(name, '')}"
    return f"ended its process with exit code {code}"


# -- messages -------------------------------------------------------------------------------------


class Other(str):
    """The name of the class of something that no message can hold."""


def pack(value: Any) -> bytes:
    """A message that holds a value."""
    import io

    import numpy as np

    arrays: list[bytes] = []

    def tree(value):
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
            file = io.BytesIO()
            np.lib.format.write_array(file, np.asarray(value), (1, 0), allow_pickle=False)
            arrays.append(file.getvalue())
            return {"array" if isinstance(value, np.ndarray) else "scalar": len(arrays[-1])}
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, (list, tuple)):
            return {"tuple" if isinstance(value, tuple) else "list": [*map(tree, value)]}
        if isinstance(value, dict):
            return {"dict": [[tree(key), tree(each)] for key, each in value.items()]}
        return {"other": type(value).__name__}

    return _frame(json.dumps(tree(value)).encode(), b"".join(arrays))


def unpack(header: bytes, payload: bytes) -> Any:
    """The value in a message from anyone; raises some exception if it is no valid message."""
    import numpy as np

    position = 0

    def array(size):
        nonlocal position
        block = memoryview(payload)[position : position + size]
        position += size
        match = NPY.match(block)
        descr, fortran, dimensions = (each.decode() for each in match.groups())
        shape = [int(each) for each in dimensions.split(",") if each.strip()]
        dtype = np.dtype(descr)
        if math.prod(shape) * dtype.itemsize != len(block) - match.end():
            raise ValueError("the size does not fit the shape")
        flat = np.frombuffer(block[match.end() :], dtype)
        return flat.reshape(shape, order="F" if fortran == "True" else "C").copy("K")

    def tree(node):
        if isinstance(node, str):
            return plain(node, HEADER)
        if node is None or isinstance(node, (bool, int, float)):
            return node
        ((kind, content),) = node.items()
        if kind == "array":
            return array(content)
        if kind == "scalar":
            return array(content)[()]
        if kind == "other":
            return Other(plain(content, 80))
        if kind == "dict":
            return {tree(key): tree(each) for key, each in content}
        return {"list": list, "tuple": tuple}[kind](tree(each) for each in content)

    return tree(json.loads(header))


def _frame(header: bytes, payload: bytes = b"") -> bytes:
    return SIZES.pack(len(header), len(payload)) + header + payload


def read(pipe: int, most_header: float, most_payload: float) -> tuple[bytes, bytes] | None:
    """The next message, or None at the end of the pipe."""

    def exactly(count):
        parts = bytearray()
        while len(parts) < count:
            part = os.read(pipe, min(count - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    try:
        header, payload = SIZES.unpack(exactly(SIZES.size))
        if header > most_header or payload > most_payload:
            return b"too long", b""  # which nobody can unpack
        return exactly(header), exactly(payload)
    except EOFError:
        return None


def write(pipe: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(pipe, view) :]

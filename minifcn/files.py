"""Files: written whole or not at all, read only where they are files, held by one process.

Whatever a stranger's file says passes through here on its way into a message: short, and without
characters that a terminal obeys.
"""
from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TextIO

from minifcn.isolation import plain
from minifcn.leaving import tidied

try:
    import fcntl
except ImportError:     # Windows
    fcntl = None

LONGEST = 480       # characters of a message
TEXT = 2**24        # bytes of a text file that is read
HEADER = 2**21      # bytes of a safetensors file's header


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, and rename it to ``path`` when the block is done.

    After an interrupt, or on a full disk, the temporary file is removed and ``path`` is what it was
    before. The temporary name keeps the suffix, from which Pillow and matplotlib tell the format.

    Raises
    ------
    FileNotFoundError
        If the folder of ``path`` does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    # short, so that every name that the system allows can be written
    temporary = path.with_name(f".{os.urandom(6).hex()}.tmp{path.suffix}"[-200:])
    def remove() -> None:
        temporary.unlink(missing_ok=True)

    with tidied(remove):
        try:
            temporary.touch()
            mode = temporary.stat().st_mode     # of new files here; safetensors makes private ones
            temporary.unlink()
            yield temporary
            temporary.chmod(mode)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())         # on disk before the name points at it
            os.replace(temporary, path)
        finally:
            remove()


# -- reading --------------------------------------------------------------------------------------


def open_file(path: str | Path) -> BinaryIO:
    """Open a file for reading; a pipe or device, which may never end, is refused.

    Raises
    ------
    ValueError
        It is no regular file.
    OSError
        It is missing, a folder, or may not be read.
    """
    def opener(path, flags):
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))

    file = open(path, "rb", opener=opener)      # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{path} is a pipe or a device, not a file")
    return file


def read_text(path: str | Path, most: int = TEXT, errors: str = "strict") -> str:
    """The text of a UTF-8 file, in every locale.

    Raises
    ------
    UnicodeDecodeError
        It is not UTF-8.
    ValueError
        It is larger than ``most`` bytes, or no regular file.
    OSError
        It is missing, or may not be read.
    """
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most:,} bytes, too many for such a file")
    return content.decode("utf-8-sig", errors).replace("\r\n", "\n")


def check_header(path: str | Path) -> None:
    """Refuse a safetensors file whose header would take much memory; the largest has some kB."""
    with open_file(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size + 8 > os.fstat(file.fileno()).st_size:
            raise ValueError(f"{path} is cut off or not a safetensors file")
    if size > HEADER:
        raise ValueError(f"{path} has a header of {size:,} bytes; {HEADER:,} are enough")


@contextmanager
def untrusted(path: str | Path) -> Iterator[None]:
    """For a block that reads a stranger's file: what it raises is short, and can be printed.

    Raises
    ------
    ValueError
        In place of every error but the system's own about the file.
    """
    try:
        yield
    except OSError as error:
        if (short := shortened(str(error))) == str(error):
            raise
        raise type(error)(short) from None
    except (ValueError, MemoryError, RecursionError) as error:
        words = str(error) or type(error).__name__
        words = words if str(path) in words else f"{path}: {words}"
        if (short := shortened(words)) == words and isinstance(error, ValueError):
            raise
        raise ValueError(short) from None


def shortened(text: str, most: int = LONGEST) -> str:
    """At most so many characters, the middle left out, without any that a terminal obeys."""
    if len(text) > 2 * most:
        text = text[:most] + text[-most:]
    text = plain(text, len(text))
    return text if len(text) <= most else f"{text[:most * 2 // 3]} ... {text[-(most // 4):]}"


# -- one process at a time ------------------------------------------------------------------------


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock ends with the block, or with the process.

    Raises
    ------
    ValueError
        Another process, or another thread of this one, holds it; says which.
    """
    if fcntl is None:
        yield
        return
    path = folder / ".lock"
    with _locked(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename} since "
                   f"{datetime.now():%Y-%m-%d %H:%M}\n")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):      # the folder may be gone
                path.unlink()


def _locked(path: Path) -> TextIO:
    """The file, open and locked; one that its holder has just removed does not count."""
    while True:
        file = open(path, "a+", encoding="utf-8")       # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BlockingIOError:
            file.seek(0)
            who = shortened(file.read(200).strip(), 200) or "another process"
            file.close()
            raise ValueError(f"{path.parent} is in use by {who}; wait for it, or stop it") from None
        except OSError:
            return file     # a file system without locks, as of some networks
        file.close()

"""Zip archives: where the bytes of an entry lie, and how much may come out of a compressed one."""
from __future__ import annotations

import io
import struct
import zipfile
import zlib

MOST_TIMES = 20                 # what all entries together may be larger than the archive
SMALL = 1 << 26                 # bytes that any archive may unpack to
DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, KeyError, IndexError,
          struct.error, zlib.error)     # what the library raises for damaged archives


def open_zip(data: memoryview) -> zipfile.ZipFile:
    """The archive, if what it says it holds can be true."""
    try:
        archive = zipfile.ZipFile(Bytes(data))
    except DAMAGE as error:
        raise ValueError(f"it is cut off, or a damaged zip ({error})") from error
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(SMALL, MOST_TIMES * len(data)):
        raise ValueError(f"a zip of {len(data):,} bytes that unpacks to {unpacked:,}: weights do "
                         "not do that")
    return archive


def stored_entry(data: memoryview, entry: zipfile.ZipInfo | None) -> memoryview:
    """The bytes of an entry that is not compressed, as a view; nothing for None."""
    if entry is None:
        return memoryview(b"")
    start = entry.header_offset
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its entry {entry.filename[:80]} is compressed, which PyTorch never does")
    if data[start:start + 4] != b"PK\x03\x04" or start + 30 > len(data):
        raise ValueError(f"its entry {entry.filename[:80]} is not where the zip says")
    name, extra = struct.unpack("<HH", data[start + 26:start + 30])
    start += 30 + name + extra
    if start + entry.file_size > len(data):
        raise ValueError(f"its entry {entry.filename[:80]} is cut off")
    return data[start:start + entry.file_size]


class Bytes(io.RawIOBase):
    """A file of bytes that are in memory, or mapped; ``io.BytesIO`` would copy them."""

    def __init__(self, data: memoryview):
        self.data, self.place = data, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: len(self.data)}[whence]
        if start + offset < 0:
            raise ValueError("a damaged zip")
        self.place = start + offset
        return self.place

    def readinto(self, buffer) -> int:
        piece = self.data[self.place:self.place + len(buffer)]
        buffer[:len(piece)] = piece
        self.place += len(piece)
        return len(piece)

"""The wire format of protocol buffers, as far as Caffe's files need it.

A message is a run of fields. A field begins with the number ``field * 8 + type``; type 0 is a
number in groups of 7 bits, types 1 and 5 are 8 and 4 bytes, and type 2 is a length and as many
bytes: a text, a message, or numbers.
"""
from __future__ import annotations

from collections.abc import Iterator

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
MOST_FIELDS = 200_000           # of a message


def varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value & (1 << 64) - 1, position
    raise ValueError("a message is cut off or damaged")


def fields(data: memoryview, start: int = 0) -> Iterator[tuple[int, int, int | memoryview, int]]:
    """The fields of a message: number, type, value (bytes as a view), and where it ends."""
    count = 0
    while start < len(data):
        count += 1
        if count > MOST_FIELDS:
            raise ValueError(f"a message of more than {MOST_FIELDS:,} fields")
        tag, position = varint(data, start)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, start = varint(data, position)
        else:
            size = {EIGHT: 8, FOUR: 4}.get(kind)
            if kind == BYTES:
                size, position = varint(data, position)
            if size is None or position + size > len(data) or field == 0:
                raise ValueError("a message is cut off or damaged")
            value, start = data[position:position + size], position + size
        yield field, kind, value, start


def number(value: int) -> bytes:
    """Groups of 7 bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def header(field: int, length: int) -> bytes:
    """What stands before ``length`` bytes of a field."""
    return number(field << 3 | BYTES) + number(length)


def text(field: int, value: str) -> bytes:
    return header(field, len(value.encode())) + value.encode()

"""A machine that reads pickles of weights, and can do nothing else.

A pickle is a program: its instructions push values on a stack, and some of them call functions by
name. Python's own machine would call any function of any module. This one knows the instructions
that files of weights consist of, and a list of names, each of which stands for a function of ours;
at any other name it stops and says which it was. Strings of bytes are not copied, they are views
of the file; the number of instructions and of remembered values is limited.
"""
from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MOST_INSTRUCTIONS = 500_000
MOST_REMEMBERED = 200_000
LONGEST_TEXT = 10_000           # characters of a name, or the like


class Chunk(NamedTuple):
    """A string, of bytes or of text, where it lies in the file."""

    view: memoryview

    def text(self) -> str:
        if len(self.view) > LONGEST_TEXT:
            raise ValueError(f"a name of {len(self.view):,} bytes")
        return bytes(self.view).decode("utf-8", "replace")


class Wanted(NamedTuple):
    """A name that the pickle asked for, and our function in its place."""

    name: str
    call: Callable[..., Any]


class Machine:
    """Runs pickles that follow one another.

    Parameters
    ----------
    data : memoryview
    position : int
        Where the first begins; after `run`, where it ended.
    known : mapping of str to function
        By "module.name".
    persistent : function of a value, optional
        What a persistent id stands for.
    """

    def __init__(self, data: memoryview, position: int, known: Mapping[str, Callable[..., Any]],
                 persistent: Callable[[Any], Any] | None = None):
        self.data, self.position = data, position
        self.known, self.persistent = known, persistent
        self.instructions = self.remembered = 0

    def run(self) -> Any:
        """The value of the next pickle.

        Raises
        ------
        ValueError
            It is cut off, too long, no pickle of weights, or asks for what is not on the list.
        """
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        try:
            while True:
                self.instructions += 1
                if self.instructions > MOST_INSTRUCTIONS:
                    raise ValueError(f"a pickle of more than {MOST_INSTRUCTIONS:,} instructions")
                code = self.take(1)[0]
                if code == ord("."):
                    return self.stack.pop()
                step = STEPS.get(code)
                if step is None:
                    raise ValueError(f"instruction {bytes([code])!r} at byte {self.position - 1:,} "
                                     "of the pickle, which files of weights do not have")
                step(self)
        except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ValueError(f"the pickle is damaged at byte {self.position:,}") from error

    def take(self, count: int) -> memoryview:
        if count < 0 or self.position + count > len(self.data):
            raise ValueError("the pickle is cut off")
        self.position += count
        return self.data[self.position - count:self.position]

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        piece = bytes(self.data[self.position:self.position + 300])
        end = piece.find(b"\n")
        if end < 0:
            raise ValueError("the pickle is cut off, or damaged")
        self.position += end + 1
        return piece[:end].decode("utf-8", "replace")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def remember(self, index: int) -> None:
        self.remembered += 1
        if self.remembered > MOST_REMEMBERED:
            raise ValueError(f"a pickle that remembers more than {MOST_REMEMBERED:,} values")
        self.memo[index] = self.stack[-1]

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def ask(self, name: str) -> None:
        if name not in self.known:
            raise ValueError(f"the pickle asks for {name[:200]}, which weights do not need; "
                             "nothing of it was run")
        self.push(Wanted(name, self.known[name]))

    def reduce(self) -> None:
        arguments, wanted = self.stack.pop(), self.stack.pop()
        if not isinstance(wanted, Wanted) or not isinstance(arguments, tuple):
            raise ValueError("the pickle calls what is no function")
        self.push(wanted.call(*arguments))

    def build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if not isinstance(value, dict):             # the state of a dictionary is PyTorch's notes
            value.build(state)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("the pickle is damaged: no dictionary where one is filled")
        target.update((key(name), value) for name, value in zip(items[::2], items[1::2]))

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("the pickle is damaged: no list where one is filled")
        self.stack[-1].extend(items)

    def pops(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("the pickle is damaged: its stack is empty")
        items = self.stack[len(self.stack) - count:]
        del self.stack[len(self.stack) - count:]
        return items

    def identified(self) -> None:
        if self.persistent is None:
            raise ValueError("the pickle refers to something outside of it")
        self.push(self.persistent(self.stack.pop()))


def key(value: Any) -> Any:
    """A key of a dictionary: text, or a number."""
    if isinstance(value, Chunk):
        return value.text()
    if isinstance(value, (int, float)) or value is None:
        return value
    raise ValueError("the pickle has a dictionary with keys that are no names")


def pairs(items: list[Any]) -> dict[Any, Any]:
    return {key(name): value for name, value in zip(items[::2], items[1::2])}


STEPS: dict[int, Callable[[Machine], None]] = {ord(code): step for code, step in {
    "\x80": lambda m: m.take(1) and None,                           # protocol
    "\x95": lambda m: m.take(8) and None,                           # frame
    "(": Machine.mark,
    "0": lambda m: m.pops(1) and None,
    "N": lambda m: m.push(None),
    "\x88": lambda m: m.push(True),
    "\x89": lambda m: m.push(False),
    "J": lambda m: m.push(m.number("<i")),
    "K": lambda m: m.push(m.number("<B")),
    "M": lambda m: m.push(m.number("<H")),
    "\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
    "G": lambda m: m.push(m.number(">d")),
    "U": lambda m: m.push(Chunk(m.take(m.number("<B")))),           # bytes and text, by the
    "T": lambda m: m.push(Chunk(m.take(m.number("<i")))),           # width of their length
    "C": lambda m: m.push(Chunk(m.take(m.number("<B")))),
    "B": lambda m: m.push(Chunk(m.take(m.number("<I")))),
    "\x8e": lambda m: m.push(Chunk(m.take(m.number("<Q")))),
    "\x96": lambda m: m.push(Chunk(m.take(m.number("<Q")))),
    "\x8c": lambda m: m.push(Chunk(m.take(m.number("<B")))),
    "X": lambda m: m.push(Chunk(m.take(m.number("<I")))),
    "\x8d": lambda m: m.push(Chunk(m.take(m.number("<Q")))),
    ")": lambda m: m.push(()),
    "\x85": lambda m: m.push(tuple(m.pops(1))),
    "\x86": lambda m: m.push(tuple(m.pops(2))),
    "\x87": lambda m: m.push(tuple(m.pops(3))),
    "t": lambda m: m.push(tuple(m.to_mark())),
    "]": lambda m: m.push([]),
    "l": lambda m: m.push(m.to_mark()),
    "a": lambda m: m.append(m.pops(1)),
    "e": lambda m: m.append(m.to_mark()),
    "}": lambda m: m.push({}),
    "d": lambda m: m.push(pairs(m.to_mark())),
    "s": lambda m: m.set_items(m.pops(2)),
    "u": lambda m: m.set_items(m.to_mark()),
    "q": lambda m: m.remember(m.number("<B")),
    "r": lambda m: m.remember(m.number("<I")),
    "\x94": lambda m: m.remember(len(m.memo)),
    "h": lambda m: m.push(m.memo[m.number("<B")]),
    "j": lambda m: m.push(m.memo[m.number("<I")]),
    "c": lambda m: m.ask(f"{m.line()}.{m.line()}"),
    "\x93": lambda m: m.ask(".".join(piece.text() for piece in m.pops(2))),
    "R": Machine.reduce,
    "b": Machine.build,
    "Q": Machine.identified,
}.items()}

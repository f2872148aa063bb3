"""Run a function as plain Python and keep every step: what is read, computed and written.

    trace = minifcn.trace(conv2d_forward, x, weight, bias, stride=2)
    trace.steps[7].arithmetic       # y[0,0,0,1] += x[0,0,0,0] * weight[0,0,0,1]  ->  1 + 2 · 3 = 7

A step is a statement that writes cells of arrays or gives a local number its value. Nothing here
knows any operation: the numbers come from the function's own loops.
"""
from __future__ import annotations

import ast
import functools
import inspect
import itertools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from minifcn import ops
from minifcn.teaching.arithmetic import ELEMENT, Made, Template, Truth, Value, digits, render, short
from minifcn.teaching.instrument import Source, instrumented, source_of

STEPS = 20_000
CELLS = 5_000               # of all arrays together
NUMBERS = 500_000           # written in all steps together
NOT_ENTERED = tuple(f"minifcn.ops.{name}" for name in ("checks", "compiling", "engines", "memory"))
EMPTY = (np.empty, np.empty_like, np.ndarray)


class TooLarge(ValueError):
    """More steps or cells than anybody can follow."""


# -------------------------------------------------------------------------------------------------
# What is kept
# -------------------------------------------------------------------------------------------------


class Array:
    """One array of the trace: its name, and where in memory its cells are."""

    def __init__(self, name: str, array: np.ndarray, initial: np.ndarray | None):
        self.name, self.shape, self.dtype = name, array.shape, array.dtype
        self.initial = initial              # flat, before the first step; None: not yet written
        self.shadow = array.reshape(-1).copy()      # the values as recorded so far
        self.has_value = np.full(array.size, initial is not None)
        self.adopt(array)

    def adopt(self, array: np.ndarray) -> None:
        """The memory in which the array lives now."""
        self.array, self.owner = array, owner_of(array)
        offsets = np.zeros(array.shape, np.int64)
        for axis, (extent, stride) in enumerate(zip(array.shape, array.strides)):
            along = np.arange(extent) * (stride // array.itemsize)
            offsets += along.reshape([-1 if k == axis else 1 for k in range(array.ndim)])
        start = (address(array) - address(self.owner)) // array.itemsize
        self.places = np.full(self.owner.nbytes // array.itemsize, -1)
        if array.size:
            self.places[start + offsets.reshape(-1)] = np.arange(array.size)
        self.known = {}

    def cells(self, view: np.ndarray) -> np.ndarray:
        """The numbers of the cells that a view of the same memory shows, in its shape."""
        key = address(view), view.shape, view.strides
        if key not in self.known:
            start = (key[0] - address(self.owner)) // self.array.itemsize
            steps = tuple(each // self.array.itemsize * 8 for each in view.strides)
            self.known[key] = np.lib.stride_tricks.as_strided(
                self.places[start:], view.shape, steps) if view.size else np.zeros(view.shape, int)
        return self.known[key]

    def index(self, cells) -> Any:
        """A cell's number, or several, as an index of the array."""
        if np.ndim(cells) == 0:
            return tuple(int(each) for each in np.unravel_index(int(cells), self.shape)) \
                if self.shape else ()
        if cells.size == self.array.size and (cells.reshape(-1) == np.arange(cells.size)).all():
            return ...
        return np.unravel_index(cells, self.shape)


def owner_of(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Cells:
    """Cells of an array that were read or written, and their values: one, or a region."""

    added = None        # what ufunc.at added

    def __init__(self, array: Array, cells, value, before=None, node=None):
        self.array, self.cells, self.value, self.before = array, cells, value, before
        self.node = node        # of what is written: the target's number, or what it is made of

    def entry(self, before: bool = False) -> tuple[str, Any, Any]:
        value = self.before if before else self.value
        if np.ndim(self.cells):
            index = self.array.index(self.cells)
            whole = index is ... and value is not None
            return self.array.name, index, value.reshape(self.array.shape) if whole else value
        return self.array.name, self.array.index(self.cells), plain(value)


class Number:
    """A local number that was read, or got its value."""

    def __init__(self, name: str, function: str, value, before=None, node=None):
        self.name, self.function, self.value, self.before = name, function, value, before
        self.node = node

    def entry(self, before: bool = False) -> tuple[str, tuple, Any]:
        return self.name, (), plain(self.before if before else self.value)


def plain(value):
    if isinstance(value, tuple):
        return tuple(plain(each) for each in value)
    return value.item() if isinstance(value, np.generic) else value


def is_number(value) -> bool:
    """A number, or a tuple of numbers, such as a stride."""
    if isinstance(value, tuple):
        return 0 < len(value) <= 8 and all(is_number(each) for each in value)
    return isinstance(value, (bool, int, float, complex, np.number, np.bool_))


class Step:
    """One statement, run once.

    Attributes
    ----------
    line : int
        Of the file (in a notebook: of the cell), as a debugger counts.
    function, code : str
        Where it stands, and its text.
    reads, writes : tuple of (name, index, value)
        ``index`` is a tuple of numbers; of a region an index that NumPy takes; ``()`` of a local
        number.
    before : tuple of (name, index, value)
        The values that ``writes`` replaced; None where there was none yet.
    locals : dict
        The local numbers after the step.
    tests : tuple of str
        The conditions that led here since the last step, with their numbers.
    """

    def __init__(self, statement, records, reads, writes, frame, tests, loops):
        self.statement, self.records, self._reads, self._writes = statement, records, reads, writes
        self.locals, self.locals_of = dict(frame.numbers), frame.source.name
        self._tests, self.loops = tests, loops

    @property
    def line(self) -> int:
        return self.statement.line

    @property
    def function(self) -> str:
        return self.statement.source.name

    @property
    def code(self) -> str:
        return self.statement.text

    @property
    def reads(self) -> tuple:
        return tuple(each.entry() for each in self._reads)

    @property
    def writes(self) -> tuple:
        return tuple(each.entry() for each in self._writes)

    @property
    def before(self) -> tuple:
        return tuple(each.entry(before=True) for each in self._writes)

    @property
    def template(self) -> Template:
        """The line with places for its numbers."""
        return render(self.statement, self.records, self._writes)

    @property
    def arithmetic(self) -> str:
        """The line, and the line with its numbers put in: ``y[0] += x[1] * 2  ->  3 + 4 · 2 = 11``.

        What stands right of the arrow evaluates to the value written (``·`` is ``*``, and ``array``
        NumPy's); numbers have all their digits.
        """
        return self.template.fill(self.records, self._writes)

    @property
    def tests(self) -> tuple[str, ...]:
        return tuple(f"{render(statement, records, ()).fill_test(records)} is {str(truth).lower()}"
                     for statement, records, truth in self._tests)

    def __repr__(self) -> str:
        text = self.template.fill(self.records, self._writes, short)
        return f"line {self.line}: {text}"


class Statement:
    """A statement of the source, as it was written."""

    def __init__(self, node, source: Source):
        self.node, self.source = node, source
        self.line, self.last_line = node.lineno, node.end_lineno
        self.text = source.text.splitlines()[node.lineno - source.first].strip()
        self.templates = {}
        self.known_tests: dict[int, Statement] = {}

    def __contains__(self, other: Statement) -> bool:
        return other.source is self.source and self.line <= other.line <= self.last_line

    def test(self, k: int) -> Statement:
        """The test of ``a if test else b`` as a statement of its own."""
        if k not in self.known_tests:
            choice = next(each for each in ast.walk(self.node) if getattr(each, "k", None) == k)
            self.known_tests[k] = Statement(ast.copy_location(ast.Expr(choice.test), self.node),
                                            self.source)
        return self.known_tests[k]


# -------------------------------------------------------------------------------------------------
# The recorder
# -------------------------------------------------------------------------------------------------


class Frame:
    """A call in progress: its local numbers, and the statement that it is at."""

    def __init__(self, source: Source, top: bool):
        self.source, self.top = source, top
        self.numbers: dict[str, Any] = {}
        self.statement, self.notes, self.reads, self.writes = None, [], [], []
        self.returned_names: list[str] = []
        self.from_array = None      # (array, cells) of a ``for`` over an array


class Recorder:
    """What the instrumented copy of a function reports to."""

    def __init__(self):
        self.numbers = itertools.count()        # of nodes
        self.texts: dict[int, str] = {}
        self.inside: dict[int, set[int]] = {}
        self.statements: list[Statement] = []
        self.loops: list[Statement] = []
        self.copies: dict[types.CodeType, tuple] = {}
        self.arrays: dict[str, Array] = {}
        self.memory: dict[int, Array] = {}      # by owner
        self.bindings: dict[tuple[str, str], Array] = {}
        self.uninitialised: dict[int, np.ndarray] = {}
        self.outside: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.steps: list[Step] = []
        self.frames: list[Frame] = []
        self.tests, self.rounds = [], []        # since the last step
        self.written = 0
        self.returned_names: list[str] = []     # by the last call
        self.answers: dict[int, list[str]] = {}         # call -> names of what it returned
        self.too_large: TooLarge | None = None
        self.last: Statement | None = None      # where a function that raises was

    # -- told when the copy is made ---------------------------------------------------------------

    def add_statement(self, node, source: Source) -> int:
        self.statements.append(Statement(node, source))
        return len(self.statements) - 1

    def add_loop(self, node, source: Source) -> int:
        self.loops.append(Statement(node, source))
        return len(self.loops) - 1

    # -- arrays -----------------------------------------------------------------------------------

    def own(self, value):
        """A copy of an array from outside the trace, always the same; anything else itself."""
        if not isinstance(value, np.ndarray) or self.find(value) is not None:
            return value
        if id(value) not in self.outside:
            self.outside[id(value)] = value, np.array(value, order="C")
        return self.outside[id(value)][1]

    def find(self, array: np.ndarray) -> Array | None:
        known = self.memory.get(id(owner_of(array)))
        return known if known is not None and known.owner is owner_of(array) else None

    def array_of(self, array: np.ndarray, name: str) -> Array:
        """The array of the trace that this is a view of; one not seen before is taken in."""
        return self.find(array) if self.find(array) is not None else self.take_in(array, name)

    def take_in(self, array: np.ndarray, name: str, made: bool = False) -> Array:
        """A new array; ``made`` by a step, so that it has no values before."""
        owner = owner_of(array)
        shown = array if array.size == owner.size or array.dtype != owner.dtype else owner
        cells = sum(each.array.size for each in self.arrays.values()) + shown.size
        if cells > CELLS:
            self.stop(f"{name} has shape {shown.shape}; with it the arrays have {cells:,} cells, "
                      f"and a trace shows at most {CELLS:,}. Take smaller arrays: a few rows, "
                      "columns and channels show the same loops")
        unique, count = name, 2
        while unique in self.arrays:
            unique, count = f"{name}_{count}", count + 1
        new = Array(unique, shown, None if made else shown.reshape(-1).copy())
        self.arrays[unique] = self.memory[id(owner)] = new
        return new

    def bind(self, name: str, array: np.ndarray, node=None, made: bool = True) -> None:
        """A name is given to an array; one that was just made is written as a whole."""
        key = self.frame.source.name, name
        known, previous = self.find(array), self.bindings.get(key)
        if known is not None:
            self.bindings[key] = known
            return
        alone = previous is not None and previous.name.split("_")[0] == name.split("_")[0] \
            and sum(each is previous for each in self.bindings.values()) == 1
        if alone and array.size == owner_of(array).size \
                and (previous.shape, previous.dtype) == (array.shape, array.dtype):
            self.memory.pop(id(previous.owner), None)       # made anew, in a loop
            previous.adopt(array)
            self.memory[id(previous.owner)] = previous
            known = previous
        else:
            known = self.take_in(array, name, made)
        self.bindings[key] = known
        if made and self.uninitialised.pop(id(known.owner), None) is None:
            self.write(known, np.arange(known.array.size).reshape(known.shape), node)

    def write(self, array: Array, cells, node, added=None) -> None:
        """Cells have been written; their new values are taken from the array."""
        before = array.shadow[cells] if array.has_value[cells].all() else None
        array.has_value[cells] = True
        flat = array.array.reshape(-1)      # may be a copy: only read here
        value = flat[cells]
        array.shadow[cells] = value
        entry = Cells(array, cells, value, before, node)
        entry.added = added
        self.frame.writes.append(entry)
        self.written += np.size(cells)

    def look_for_changes(self, values) -> None:
        """Cells that a function from elsewhere (``np.copyto``, ``fill``) has changed."""
        for value in values:
            known = self.find(value) if isinstance(value, np.ndarray) else None
            if known is None:
                continue
            now, old = known.array.reshape(-1), known.shadow
            changed = np.flatnonzero((now != old) & ((now == now) | (old == old)))
            if changed.size:
                self.write(known, changed, known.name)

    # -- reported by the running copy -------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    def stop(self, message: str) -> None:
        self.too_large = TooLarge(message)
        raise self.too_large

    def begin(self, statement: int) -> None:
        frame = self.frame
        frame.statement, frame.notes, frame.reads, frame.writes = \
            self.statements[statement], [], [], []
        self.last = frame.statement
        if self.too_large:      # the function has caught it
            raise self.too_large

    def note(self, k: int, thing) -> None:
        self.frame.notes.append((k, thing))

    def leaf(self, k: int, value):
        """A name or attribute in an expression."""
        frame = self.frame
        if isinstance(value, np.ndarray):
            array = self.array_of(value, self.texts[k])
            cells = Cells(array, np.array(array.cells(value)), value.copy())
            frame.notes.append((k, cells))
            frame.reads.append((k, cells))
        elif is_number(value) and frame.numbers.get(self.texts[k]) is value:
            number = Number(self.texts[k], frame.source.name, value)
            frame.notes.append((k, number))
            frame.reads.append((k, number))
        elif digits(value) is not None:
            frame.notes.append((k, Value(value)))
        return value

    def read(self, k: int, base, index):
        """``base[index]`` in an expression."""
        value = base[index]
        if isinstance(base, np.ndarray):
            array = self.array_of(base, self.texts[k])
            cells = array.cells(base)[index]
            kept = value.copy() if isinstance(value, np.ndarray) else value
            entry = Cells(array, np.array(cells) if np.ndim(cells) else int(cells), kept)
            self.note(k, entry)
            self.frame.reads.append((k, entry))
        elif digits(value) is not None:
            self.note(k, Value(value))
        return value

    def at(self, k: int, base):
        """``base`` in ``base[index] = ...``."""
        return Target(self, k, base)

    def call(self, k: int, function, /, *arguments, **keywords):
        enter = self.can_enter(function, arguments, keywords)
        if enter is not None:
            return self.entered(k, *enter, keywords)
        value = function(*arguments, **keywords)
        if not isinstance(function, np.ufunc) or len(arguments) > function.nin or keywords:
            self.look_for_changes([*arguments, *keywords.values()])
        if function in EMPTY:
            value.fill(np.nan if value.dtype.kind in "fc" else 0)
            self.uninitialised[id(owner_of(value))] = owner_of(value)
        self.note_call(k, value, whole=not is_numeric(function))
        return value

    def method(self, k: int, receiver, name: str, /, *arguments, **keywords):
        function = getattr(receiver, name)
        if isinstance(receiver, np.ufunc) and name == "at":
            return self.ufunc_at(k, receiver, *arguments)
        if isinstance(receiver, np.ndarray):
            value = function(*arguments, **keywords)
            self.look_for_changes([receiver, *arguments, *keywords.values()])
            self.note_call(k, value, whole=False)
            return value
        value = self.call(k, function, *arguments, **keywords)
        if not isinstance(receiver, types.ModuleType) and digits(value) is not None:
            self.note(k, Value(value))
        return value

    def note_call(self, k: int, value, whole: bool) -> None:
        if not whole or digits(value) is not None:
            self.note(k, Value(value, whole))

    def ufunc_at(self, k: int, ufunc, base, index, *values) -> None:
        """``np.add.at(base, index, values)``: what it adds to each cell, repeated ones together."""
        array = self.array_of(base, "array")
        cells = np.unique(array.cells(base)[index])
        added = None
        if ufunc is np.add:
            share = np.zeros_like(base)
            np.add.at(share, index, *values)
            all_cells = np.zeros(array.array.size, base.dtype)
            all_cells[array.cells(base)] = share
            added = all_cells[cells]
        ufunc.at(base, index, *values)
        if cells.size == 1:
            cells, added = int(cells[0]), None if added is None else added[0]
        self.write(array, cells, array.name, added)

    def element(self, k: int, value):
        """A round of a comprehension is done."""
        self.note(k, ELEMENT)
        return value

    def choose(self, k: int, value) -> bool:
        """The test of ``a if test else b``."""
        truth = bool(value)
        self.note(k, Truth(truth))
        statement = self.frame.statement
        if statement is not None:
            self.tests.append((statement.test(k), list(self.frame.notes), truth))
        return truth

    def condition(self, _, value):
        """The test of ``if`` or ``while``."""
        frame = self.frame
        self.tests.append((frame.statement, frame.notes, bool(value)))
        return value

    def iterate(self, _, k: int, iterable):
        """What a ``for`` runs over; the numbers of an array with one axis are read from it."""
        frame = self.frame
        if not isinstance(iterable, np.ndarray) or iterable.ndim != 1:
            return iterable
        array = self.array_of(iterable, self.texts[k])
        return self.cells_one_by_one(frame, frame.statement, array, iterable)

    def cells_one_by_one(self, frame, statement, array, values):
        for value, cell in zip(values, array.cells(values)):
            frame.statement, frame.notes, frame.writes = statement, [], []
            entry = Cells(array, int(cell), value)
            frame.notes.append((statement.node.value.k, entry))
            frame.reads = [(statement.node.value.k, entry)]
            frame.from_array = entry
            yield value

    def loop(self, loop: int, names: dict) -> None:
        """A round of a loop begins; the tests of its last round are of no interest any more."""
        self.rounds.append(loop)
        self.tests = [each for each in self.tests if each[0] not in self.loops[loop]]
        frame = self.frame
        if frame.from_array is not None:
            frame.from_array = None
            self.end(names)
            return
        for name, value in names.items():
            if isinstance(value, np.ndarray):
                self.bind(name, value, made=False)
            elif is_number(value):
                frame.numbers[name] = value

    def end(self, names: dict) -> None:
        """A statement is done; ``names`` are those that it gave values to."""
        frame, statement = self.frame, self.frame.statement
        for name, value in names.items():
            if isinstance(value, np.ndarray):
                known = self.find(value)
                if known is not None and isinstance(statement.node, ast.AugAssign):
                    self.write(known, np.array(known.cells(value)), name)
                else:
                    self.bind(name, value, name)
            elif is_number(value) and name != "_":
                before = frame.numbers.get(name)
                frame.writes.append(Number(name, frame.source.name, value, before, name))
                frame.numbers[name] = value
            else:
                frame.numbers.pop(name, None)
        if frame.writes:
            self.add_step(frame.statement, frame.notes, [each for _, each in frame.reads],
                          frame.writes)

    def add_step(self, statement, notes, reads, writes) -> None:
        if statement.source.file == ops.__file__:      # it checks, and hands on to the textbook
            return
        if len(self.steps) == STEPS:
            self.stop(f"the function has run {STEPS:,} steps at line {statement.line} and goes on; "
                      "a trace keeps no more. Take smaller arrays: a few rows, columns and "
                      "channels show the same loops")
        if self.written > NUMBERS:
            self.stop(f"the steps up to line {statement.line} have written {NUMBERS:,} numbers; a "
                      "trace keeps no more. Take smaller arrays")
        self.steps.append(Step(statement, notes, reads, writes, self.frame,
                               tuple(self.tests), tuple(self.rounds)))
        self.tests, self.rounds = [], []

    def slice(self, *ends) -> slice:
        return slice(*ends)

    # -- calls ------------------------------------------------------------------------------------

    def can_enter(self, function, arguments, keywords):
        """(Python form, all positional arguments) of a function that is to be stepped through."""
        function, first = unwrapped(function)
        arguments = (*first, *arguments)
        if not isinstance(function, types.FunctionType):
            return None
        module = function.__module__ or ""
        if module.split(".")[0] in ("numpy", "numba") or module in NOT_ENTERED:
            return None
        if not any(isinstance(each, np.ndarray) for each in (*arguments, *keywords.values())) \
                and not function.__closure__:
            return None
        try:
            self.copy_of(function)
        except ValueError:      # no source, or a generator: it runs as it is
            return None
        return function, arguments

    def copy_of(self, function: types.FunctionType):
        """The instrumented copy, made once; of a closure each time."""
        if function.__code__ not in self.copies or function.__closure__:
            self.copies[function.__code__] = source_of(function), instrumented(function, self)
        return self.copies[function.__code__]

    def entered(self, k: int, function, arguments, keywords):
        """Run a helper step by step."""
        caller = self.frame
        inside = self.inside[k]
        reads = [each for each in caller.reads if each[0] in inside and is_region(each[1])]
        caller.reads = [each for each in caller.reads if each not in reads]
        value = self.run(function, arguments, keywords, reads)
        self.answers[k] = self.returned_names
        if is_number(value):
            answer = Number(f"{function.__name__}()", self.copy_of(function)[0].name, value)
            self.note(k, answer)
            caller.reads.append((k, answer))
        elif digits(value) is not None:
            self.note(k, Value(value))
        return value

    def run(self, function, arguments, keywords, reads=(), top: bool = False):
        source, made = self.copy_of(function)
        bound = inspect.signature(function).bind(*arguments, **keywords)
        bound.apply_defaults()
        caller = None if top else self.frame
        self.frames.append(Frame(source, top))
        try:
            for name, value in bound.arguments.items():
                if isinstance(value, np.ndarray):
                    self.bind(name, value, made=not top and self.find(value) is None)
                elif is_number(value):
                    self.frame.numbers[name] = value
            if self.frame.writes:
                for write in self.frame.writes:
                    write.node = Made(f"{write.array.name} is made for {function.__name__}")
                self.add_step(caller.statement, [], [each for _, each in reads], self.frame.writes)
            return made(*bound.args, **bound.kwargs)
        finally:
            self.returned_names = self.frames.pop().returned_names

    def returned(self, _, value):
        """``return value``; what has no name yet becomes a result."""
        frame = self.frame
        node = frame.statement.node.value
        if getattr(node, "k", None) in self.answers:        # handed on: it has its names
            frame.returned_names = self.answers[node.k]
            return value
        several = isinstance(value, tuple)
        nodes = node.elts if several and isinstance(node, ast.Tuple) else \
            [node] * (len(value) if several else 1)
        base = "result" if frame.top else f"{frame.source.name}()"
        for k, each in enumerate(value if several else (value,)):
            name = f"{base}[{k}]" if several else base
            known = self.find(each) if isinstance(each, np.ndarray) else None
            if known is not None and known.array.size == each.size:
                name = known.name
            elif isinstance(each, np.ndarray):
                self.bind(name, each if known is None else each.copy(), nodes[k])
            elif is_number(each) and isinstance(nodes[k], ast.Name):
                name = nodes[k].id
            elif is_number(each) and not isinstance(nodes[k], (ast.Name, ast.Constant)):
                frame.writes.append(Number(name, frame.source.name, each, None, nodes[k]))
            frame.returned_names.append(name)
        if frame.writes:
            self.add_step(frame.statement, frame.notes, [each for _, each in frame.reads],
                          frame.writes)
        return value


def is_region(thing) -> bool:
    return bool(np.ndim(getattr(thing, "cells", 0)))


def is_numeric(function) -> bool:
    """One that arithmetic may show by its name: NumPy's, math's, or a built-in."""
    return (getattr(function, "__module__", None) or "").split(".")[0] in \
        ("numpy", "math", "builtins") or isinstance(function, np.ufunc)


def unwrapped(function) -> tuple[Any, tuple]:
    """The plain-Python form of a compiled or decorated function, and the object it is bound to."""
    first = ()
    while True:
        if isinstance(function, types.MethodType):
            function, first = function.__func__, (function.__self__, *first)
        elif hasattr(function, "py_func"):
            function = function.py_func
        elif isinstance(function, types.FunctionType) and hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function, first


class Target:
    """Stands for ``base`` in ``base[index] = value`` and ``base[index] += value``."""

    def __init__(self, recorder: Recorder, k: int, base):
        self.recorder, self.k, self.base = recorder, k, base

    def __getitem__(self, index):
        return self.recorder.read(self.k, self.base, index)

    def __setitem__(self, index, value):
        recorder, k = self.recorder, self.k
        if not isinstance(self.base, np.ndarray):
            self.base[index] = value
            name = f"{recorder.texts[k]}[{index!r}]"
            if isinstance(value, np.ndarray):
                recorder.bind(name, value, k)
            elif is_number(value):
                function = recorder.frame.source.name
                recorder.frame.writes.append(Number(name, function, value, node=k))
            return
        array = recorder.array_of(self.base, recorder.texts[k])
        cells = array.cells(self.base)[index]
        cells = np.array(cells) if np.ndim(cells) else int(cells)
        self.base[index] = value
        entry = Cells(array, cells, None)
        recorder.note(k, entry)
        recorder.write(array, cells, k)


# -------------------------------------------------------------------------------------------------
# The trace
# -------------------------------------------------------------------------------------------------


class Trace:
    """What a function did, step by step; a notebook shows it as a stepper.

    Attributes
    ----------
    steps : list of Step
    result : object
        What the function returned; None if it raised.
    error : Exception or None
        What it raised, after the last step.
    line : int or None
        Where it raised.
    source : str
        The text of the function.
    arrays : dict
        Every array that was read or written, as it is at the end.
    returned : tuple of str
        Names of the arrays and numbers that were returned.
    """

    def __init__(self, recorder: Recorder, source: Source, result, error):
        self.recorder, self.steps = recorder, recorder.steps
        self.result, self.error = result, error
        self.line = recorder.last.line if error is not None else None
        self.name, self.source = source.name, source.text
        self.returned = tuple(recorder.returned_names)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {name: array.shadow.reshape(array.shape)
                for name, array in self.recorder.arrays.items()}

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        from minifcn.teaching.stepper import text_of
        return text_of(self)

    @functools.cached_property
    def page(self):
        """The stepper as a ``Page``."""
        from minifcn.teaching.stepper import page_of
        return page_of(self)

    def _repr_html_(self) -> str:
        return self.page._repr_html_()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return self.page._repr_mimebundle_(include, exclude)

    def save(self, path):
        """Write the stepper as one HTML file that needs nothing else; returns its path."""
        return self.page.save(path)


def trace(function: Callable, *arguments, **options) -> Trace:
    """Run a function as plain Python and record every step, with all numbers.

    Parameters
    ----------
    function : function
        Any function written in Python that indexes NumPy arrays: an operation of ``minifcn.ops`` or
        ``minifcn.ops.reference``, or your own. Of a function compiled by Numba the Python form
        runs. Functions that it calls with arrays are stepped through too. The function, its
        globals and the arrays given stay as they are.
    *arguments, **options
        What the function is to be called with.

    Returns
    -------
    trace : Trace
        Shows itself in a notebook; ``trace.save("step.html")`` writes a page. If the function
        raises midway, the trace goes up to there, with the error.

    Raises
    ------
    ValueError
        If there is nothing to step through, or there are more than 20,000 steps or 5,000 cells.

    Examples
    --------
    >>> import numpy as np, minifcn
    >>> x, weight, bias = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5])
    >>> trace = minifcn.trace(minifcn.ops.linear_forward, x, weight, bias)
    >>> print(trace.steps[-1].arithmetic)
    y[0,0] += x[0,1] * weight[1,0]  ->  3.5 + 2 · 4 = 11.5
    """
    plain_function, first = unwrapped(function)
    name = getattr(function, "__name__", None) or type(function).__name__
    if not isinstance(plain_function, types.FunctionType):
        raise ValueError(f"{name} is not written in Python, so it has no lines to step through; "
                         "write the loops as a function of your own")
    source = source_of(plain_function)
    try:
        inspect.signature(plain_function).bind(*first, *arguments, **options)
    except TypeError as wrong:
        raise TypeError(f"{name}: {wrong}") from None
    recorder, result, error = Recorder(), None, None
    arguments = [own_copy(each, recorder) for each in arguments]
    options = {key: own_copy(each, recorder) for key, each in options.items()}
    try:
        with ops.using("reference"):
            result = recorder.run(plain_function, (*first, *arguments), options, top=True)
    except (Exception, SystemExit) as raised:
        error = raised
    if recorder.too_large is not None:
        raise recorder.too_large
    if error is not None and not recorder.steps:
        line = recorder.last.line if recorder.last else source.first
        raise error if isinstance(error, ValueError) else ValueError(
            f"{name} raised {type(error).__name__} at line {line}, before its first step: {error}")
    if not recorder.steps or not recorder.arrays:
        raise ValueError(f"{name} neither reads nor writes a cell of an array, so there is "
                         "nothing to step through")
    return Trace(recorder, source, result, error)


def own_copy(value, recorder: Recorder):
    """A copy of an array, or of a list or tuple with copies of its arrays."""
    if type(value) in (list, tuple):
        return type(value)(own_copy(each, recorder) for each in value)
    return recorder.own(value)

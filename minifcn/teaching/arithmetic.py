"""A statement with its numbers put in: ``y[0,1] += x[2] * 3  ->  4 + 5 · 3 = 19``.

While a statement runs, the recorder notes what its nodes were: cells, local numbers, other values.
Here these take the nodes' places. What a note says comes last, so that all runs of a statement
share one template with numbered places.
"""
from __future__ import annotations

import ast
import copy
import re
from typing import Any, NamedTuple

import numpy as np

ELEMENT = "one round of a comprehension is done"
PLACE = re.compile("⟨([a-z]?)(\\d+)⟩")


class Value(NamedTuple):
    """What a node was, other than cells and local numbers; ``whole``: in place of a whole call."""

    value: Any
    whole: bool = True


class Made(str):
    """What is written was made for a helper: the text of the line."""


class Truth(NamedTuple):
    """How the test of ``a if test else b`` came out."""

    value: bool


def digits(value: Any) -> str | None:
    """A number in its shortest digits, ``2`` for 2.0; also tuples, arrays and dtypes, else None."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        text = str(value)
        return text[:-2] if text.endswith(".0") else text
    if isinstance(value, (int, complex, np.number)):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"array({_nested(value)})"
    if isinstance(value, (np.dtype, type)):
        name = np.dtype(value).name if isinstance(value, np.dtype) else value.__name__
        return name
    if isinstance(value, tuple):
        texts = [digits(each) for each in value]
        return None if None in texts else f"({', '.join(texts)}{',' * (len(texts) == 1)})"
    return None


def short(value: Any) -> str | None:
    """At most four digits that count, and no large arrays."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray):
        return f"array({_nested(value, short)})" if value.size <= 8 else None
    return digits(value)


def _nested(array: np.ndarray, digits=digits) -> str:
    if array.ndim == 0:
        return digits(array[()])
    return f"[{', '.join(_nested(each, digits) for each in array)}]"


class Template(NamedTuple):
    """Places: ``⟨3⟩`` is the third note, ``⟨w0⟩`` the first write, ``⟨b0⟩`` its value before."""

    left: str           # the line; places are cells by name
    right: str          # places are numbers
    result: str

    def fill(self, notes: list, writes: list, digits=digits) -> str:
        left = PLACE.sub(lambda place: label(notes[int(place[2])][1]), self.left)
        right, result = (PLACE.sub(lambda place: number(place, notes, writes, digits), text)
                         for text in (self.right, self.result))
        if digits is short and repeats(left, right, result):
            return f"{left}  ->  {right}"
        return f"{left}  ->  {right} = {result}"

    def fill_test(self, notes: list) -> str:
        return PLACE.sub(lambda place: number(place, notes, ()), self.right)


def repeats(left: str, right: str, result: str) -> bool:
    """Whether the result says nothing new: ``2 = 2``, or ``y = np.zeros(3) = y``."""
    return result == right or left.startswith(result.strip("()") + " ")


def label(thing) -> str:
    """``x[0,1,2,0]``, or the name alone for a region."""
    if np.ndim(thing.cells):
        return thing.array.name
    index = thing.array.index(thing.cells)
    if index == ():
        return thing.array.name
    return f"{thing.array.name}[{','.join(map(str, index))}]"


def number(place: re.Match, notes: list, writes: list, digits=digits) -> str:
    """What stands in a place, with parentheses where a minus would follow an operator."""
    kind, k = place[1], int(place[2])
    thing = writes[k] if kind else notes[k][1]
    value = {"b": "before", "a": "added"}.get(kind, "value")
    text = digits(getattr(thing, value))
    if text is None:
        if hasattr(thing, "array"):
            return label(thing)
        shape = getattr(thing.value, "shape", None)
        return str(thing.value) if shape is None else f"array of {' × '.join(map(str, shape))}"
    after_operator = re.search("[-+·/%@*] $", place.string[:place.start()])
    before_power = place.string[place.end():].startswith(" **")
    return f"({text})" if text[0] == "-" and (after_operator or before_power) else text


# -------------------------------------------------------------------------------------------------
# Templates
# -------------------------------------------------------------------------------------------------


def render(statement, notes: list, writes: list) -> Template:
    """The template of a statement with such notes; made once."""
    key = tuple((k, type(thing), getattr(thing, "whole", None),
                 thing.value if isinstance(thing, Truth) else None,
                 bool(np.ndim(getattr(thing, "cells", 0)))) for k, thing in notes), \
        tuple((write.node, getattr(write, "name", None)) for write in writes)
    if key not in statement.templates:
        statement.templates[key] = _template(statement.node, notes, writes)
    return statement.templates[key]


def _template(node: ast.stmt, notes: list, writes: list) -> Template:
    places, rounds = arrange(notes)
    left = Shown(notes, places, {}, numbers=False)
    right = Shown(notes, places, rounds, numbers=True)
    whole = writes[0].node if writes else None
    if isinstance(whole, Made):
        return Template(whole, "⟨w0⟩", "⟨w0⟩")
    if isinstance(node, ast.Expr) and not writes:       # a test
        return Template("", text(right.of(node.value)), "")
    if isinstance(node, ast.Expr):
        added = getattr(writes[0], "added", None) is not None
        value = "⟨b0⟩ + ⟨a0⟩" if added else "⟨w0⟩"
        return Template(ast.unparse(left.of(node.value)), value, "⟨w0⟩")
    if isinstance(node, ast.Return):
        values = [text(right.of(write.node)) for write in writes]
        return Template(f"return {bare(left.of(node.value))}", ", ".join(values),
                        ", ".join(f"⟨w{k}⟩" for k in range(len(writes))))
    if isinstance(node, ast.AugAssign):
        old = next(k for k, note in enumerate(notes) if note[0] == node.target.k)
        value = ast.BinOp(ast.Name(f"⟨{old}⟩"), node.op, right.of(node.value))
        source = ast.AugAssign(left.of(node.target), node.op, left.of(node.value))
        return Template(ast.unparse(source), text(value), "⟨w0⟩")
    targets = " = ".join(bare(left.of(each)) for each in node.targets)
    return Template(f"{targets} = {bare(left.of(node.value))}", text(right.of(node.value)),
                    text(Results(writes).visit(copy.deepcopy(node.targets[0]))))


def text(node: ast.AST) -> str:
    return ast.unparse(node).replace(" * ", " · ")


def bare(node: ast.AST) -> str:
    """Source, a tuple without its parentheses."""
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        return ", ".join(ast.unparse(each) for each in node.elts)
    return ast.unparse(node)


def arrange(notes: list) -> tuple[dict[int, int], dict[int, list[dict]]]:
    """Node -> number of its note; comprehension -> such a table for each round."""
    places, rounds = {}, {}
    for number, (k, thing) in enumerate(notes):
        if thing is ELEMENT:
            rounds.setdefault(k, []).append(dict(places))
        else:
            places[k] = number
    return places, rounds


class Shown(ast.NodeTransformer):
    """Puts places into a copy of an expression: cells by name, or everything that is a number."""

    def __init__(self, notes, places, rounds, numbers: bool):
        self.notes, self.places, self.rounds, self.numbers = notes, places, rounds, numbers

    def of(self, node: ast.AST) -> ast.AST:
        return self.visit(copy.deepcopy(node))

    def visit_leaf(self, node):
        k = self.places.get(node.k)
        if k is None:
            return self.generic_visit(node) if self.numbers else node
        thing = self.notes[k][1]
        if self.numbers or (hasattr(thing, "cells") and not np.ndim(thing.cells)):
            return ast.Name(f"⟨{k}⟩")
        return node

    visit_Name = visit_Attribute = visit_Subscript = visit_leaf

    def visit_Call(self, node):
        k = self.places.get(node.k)
        if self.numbers and k is not None and getattr(self.notes[k][1], "whole", True):
            return ast.Name(f"⟨{k}⟩")
        return self.generic_visit(node)

    def visit_IfExp(self, node):
        k = self.places.get(node.k)
        if not self.numbers or k is None:
            return self.generic_visit(node)
        return self.visit(node.body if self.notes[k][1].value else node.orelse)

    def visit_BoolOp(self, node):
        """Only what was asked: ``or`` ends at the first that is true."""
        asked = [each for each in node.values
                 if any(getattr(part, "k", None) in self.places for part in ast.walk(each))]
        if self.numbers and 0 < len(asked) < len(node.values):
            if len(asked) == 1:
                return self.visit(asked[0])
            node.values = asked
        return self.generic_visit(node)

    def visit_comprehension_of(self, node):
        if not self.numbers or node.k not in self.rounds:
            return node
        elements = [Shown(self.notes, places, {}, True).of(node.elt)
                    for places in self.rounds[node.k]]
        return ast.List(elements)

    visit_GeneratorExp = visit_ListComp = visit_SetComp = visit_comprehension_of

    def visit_Lambda(self, node):
        return node


class Results(ast.NodeTransformer):
    """Puts the values written into the place of the targets."""

    def __init__(self, writes: list):
        self.writes = writes

    def visit_target(self, node):
        for k, write in enumerate(self.writes):
            if write.node in (node.k, getattr(node, "id", None)):
                return ast.Name(f"⟨w{k}⟩")
        return node

    visit_Name = visit_Subscript = visit_target

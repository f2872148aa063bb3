"""The textbook, edited: what someone gets who makes a mistake in it, and every small edit there is.

A file of ``ops/reference`` is cut into its functions. An edit replaces text in them; the edited
file is run as plain Python (no compiler: an edit may well read outside an array, which must raise).
The named mistakes of ``mistakes.py`` are such edits. Where none of them fits, ``single_edits``
gives every change of one operator, index, bound, constant, name or statement.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

Replacements = tuple[tuple[str, str], ...]


class Edit(NamedTuple):
    """One change of one file of the textbook. ``change`` is the statement before and after it."""

    file: str
    function: str
    kind: str  # "loop_bound", "index_offset", "operator", ...
    line: int
    change: tuple[str, str]
    source: str  # of the whole function, edited


# -- running an edited file -----------------------------------------------------------------------


@functools.cache
def textbook(file: str) -> str:
    """The source of a file of ``ops/reference``."""
    return inspect.getsource(importlib.import_module(f"minifcn.ops.reference.{file}"))


@functools.cache
def parts(file: str) -> dict[str, str]:
    """The file's imports ("") and its functions by name, without decorators."""
    text = textbook(file)
    lines, tree = text.splitlines(), ast.parse(text)
    found = {"": ""}
    for node in tree.body:
        segment = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        if isinstance(node, ast.FunctionDef):
            found[node.name] = segment
        elif not isinstance(node, ast.Expr):
            found[""] += segment + "\n"
    return found


@functools.lru_cache(4096)
def _code(source: str) -> CodeType:
    return compile(source, "<edited textbook>", "exec")


def run(file: str, changed: dict[str, str], **names: Any) -> dict[str, Any]:
    """The namespace of a file in which some functions have another source."""
    namespace = dict(names)
    for name, source in parts(file).items():
        exec(_code(changed.get(name, source)), namespace)
    return namespace


def replaced(file: str, replacements: Replacements) -> dict[str, str]:
    """The functions that replacements of text change, edited. Empty if a text does not occur."""
    changed = {}
    for old, new in replacements:
        here = {
            name: changed.get(name, source).replace(old, new)
            for name, source in parts(file).items()
            if old in changed.get(name, source)
        }
        if not here:
            return {}
        changed |= here
    return changed


def plain(value: Any) -> Any:
    """What a caller of the textbook gives: arrays whose mistakes do not write into it."""
    return value.copy() if isinstance(value, np.ndarray) else value


def answer(function: Callable, arguments: dict[str, Any]) -> tuple:
    with np.errstate(all="ignore"):
        result = function(*(plain(value) for value in arguments.values()))
    return result if isinstance(result, tuple) else (result,)


# -- every single-point edit ----------------------------------------------------------------------

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mod,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.RShift: (ast.LShift,),
    ast.BitXor: (ast.BitOr,),
}
NAMES = {"min": "max", "zeros": "ones", "rows": "columns", "columns": "rows", "log": "exp"}
KINDS = {  # each kind of edit, in words that go before the place
    "loop_bound": "with other bounds",
    "index_offset": "with an index off by one",
    "operator": "with another operator (such as + for -, * for +)",
    "comparison": "with another comparison (such as < for <=)",
    "condition": "with a condition that is always true, always false, or the reverse",
    "constant": "with another number",
    "names_swapped": "with two names exchanged",
    "statement_missing": "with a statement, or a term of it, left out",
    "overlap_assigned": "with = in place of +=",
}
DROPPED = (ast.Assign, ast.AugAssign, ast.Expr, ast.Continue)


class Change(NamedTuple):
    """container[key] = new, where the container is a list of nodes or the ``vars`` of one."""

    kind: str
    container: Any
    key: Any
    new: Any


def shifted(node: ast.expr, by: int) -> ast.expr:
    return ast.BinOp(node, ast.Add() if by > 0 else ast.Sub(), ast.Constant(abs(by)))


def changes(node: ast.AST) -> Iterator[Change]:
    """All changes of one node."""
    this = vars(node)
    match node:
        case ast.Compare(ops=operators):
            for k, operator in enumerate(operators):
                for other in COMPARISONS[type(operator)]:
                    yield Change("comparison", operators, k, other())
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator):
            for other in ARITHMETIC[type(operator)]:
                yield Change("operator", this, "op", other())
        case ast.BoolOp(op=operator):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield Change("condition", this, "op", other)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield Change("condition", this, "operand", ast.UnaryOp(ast.Not(), operand))  # not not
        case ast.IfExp() | ast.If():
            for value in (True, False):
                yield Change("condition", this, "test", ast.Constant(value))
        case ast.Constant(value=bool(value)):
            yield Change("constant", this, "value", not value)
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            yield from (Change("constant", this, "value", value + by) for by in (1, -1))
        case ast.Call(func=ast.Name(id="range"), args=[end]):
            for by in (1, -1):
                yield Change("loop_bound", node.args, 0, shifted(end, by))
            yield Change("loop_bound", this, "args", [ast.Constant(1), end])
        case ast.Call(args=arguments) | ast.Tuple(elts=arguments):
            commutes = isinstance(node, ast.Call) and ast.unparse(node.func) in ("min", "max")
            for k in range(0 if commutes else len(arguments) - 1):
                swapped = [*arguments[:k], arguments[k + 1], arguments[k], *arguments[k + 2 :]]
                key = "args" if isinstance(node, ast.Call) else "elts"
                yield Change("names_swapped", this, key, swapped)
        case ast.Subscript(slice=ast.Tuple(elts=indices)):
            for k, index in enumerate(indices):
                for by in (1, -1):
                    yield Change("index_offset", indices, k, shifted(index, by))
        case ast.Subscript(slice=ast.Name() as index):
            for by in (1, -1):
                yield Change("index_offset", this, "slice", shifted(index, by))
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in NAMES:
            key = "id" if isinstance(node, ast.Name) else "attr"
            yield Change("names_swapped", this, key, NAMES[name])


def larger_changes(node: ast.AST) -> Iterator[Change]:
    """One side of a sum, a product, ... left out; a loop in steps of 2, or up to 16 only."""
    match node:
        case ast.Call(func=ast.Name(id="range"), args=[end]):
            least = ast.Call(ast.Name("min"), [end, ast.Constant(16)], [])
            yield Change("loop_bound", vars(node), "args", [least])
            yield Change("loop_bound", vars(node), "args", [ast.Constant(0), end, ast.Constant(2)])
    for key, child in vars(node).items():
        places = [(vars(node), key, child)]
        if isinstance(child, list):
            places = [(child, k, each) for k, each in enumerate(child)]
        for container, place, each in places:
            if isinstance(each, ast.BinOp):
                for side in (each.left, each.right):
                    yield Change("statement_missing", container, place, side)


def own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The statement and its expressions, without the statements inside of it."""
    yield statement
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt):
            yield from own_nodes(child)


def whole_statements(body: list[ast.stmt], k: int) -> Iterator[Change]:
    """A statement dropped, or += made =."""
    statement = body[k]
    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    if isinstance(statement, DROPPED) and not docstring:
        yield Change("statement_missing", body, k, ast.Pass())
    if isinstance(statement, ast.AugAssign):
        assigned = ast.Assign([statement.target], statement.value, lineno=0)
        yield Change("overlap_assigned", body, k, assigned)


def head(statement: ast.stmt) -> str:
    """The statement on one line, of a compound one its head."""
    lines = ast.unparse(statement).splitlines()
    return next(line for line in lines if not line.startswith("@")).strip()


@functools.cache
def single_edits(file: str, larger: bool = False) -> list[Edit]:
    """Every change of one operator, index, bound, constant, name or statement of a file.

    With ``larger``, terms and factors left out as well, and loops with gaps.
    """
    kinds = (changes, larger_changes) if larger else (changes,)
    lines = {
        node.name: node.lineno - 1
        for node in ast.parse(textbook(file)).body
        if isinstance(node, ast.FunctionDef)
    }
    found = {}
    for function, source in parts(file).items():
        tree = ast.parse(source)
        for statement in (each for each in ast.walk(tree) if isinstance(each, ast.stmt)):
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                continue
            nodes = list(own_nodes(statement))
            places = [(statement, each) for kind in kinds for n in nodes for each in kind(n)]
            for body in (getattr(statement, "body", []), getattr(statement, "orelse", [])):
                for k, inner in enumerate(body):
                    places += [(inner, each) for each in whole_statements(body, k)]
            for old, change in places:
                before, kept = head(old), change.container[change.key]
                change.container[change.key] = change.new
                after = head(change.new if kept is old else old)
                edited = ast.unparse(ast.fix_missing_locations(tree))
                change.container[change.key] = kept
                line = lines.get(function, 0) + old.lineno
                edit = Edit(file, function, change.kind, line, (before, after), edited)
                found.setdefault((function, edited), edit)  # two ways to one source are one edit
    for function, source in parts(file).items():
        found.pop((function, ast.unparse(ast.parse(source))), None)
    return list(found.values())


def difference(file: str, changed: dict[str, str]) -> list[tuple[str, str]]:
    """The lines that an edit changes, before and after."""
    pairs = []
    for name, source in changed.items():
        old, new = parts(file)[name].splitlines(), source.splitlines()
        if len(old) == len(new):
            pairs += [(a.strip(), b.strip()) for a, b in zip(old, new) if a != b]
        else:
            pairs.append((f"def {name}", new[0].strip()))
    return pairs


def head_of(statement: str) -> str:
    """Where a statement stands, in words that do not show how: no answer to copy."""
    if statement.startswith(("for ", "while ")):
        return f"in the loop over {statement.split()[1]}"
    if statement.startswith(("if ", "elif ")):
        return "in a condition"
    if statement.startswith("return"):
        return "in what is returned"
    if statement.startswith(("continue", "pass", "def ")):
        return "in the function"
    target = statement.split(" = ")[0].split(" += ")[0].split(" -= ")[0].split(" /= ")[0]
    return f"where it computes {target}" if len(target) < 40 else "in a call"

"""A copy of a function in which every read, write, call and test passes through a recorder.

The function itself, its globals and NumPy stay as they are: the copy is compiled from the source,
as edited here, and runs on the same names. ``y[i] += x[j] * 2`` becomes, in essence,

    recorder.begin(statement)
    recorder.at(3, y)[i] += recorder.read(4, x, j) * 2
    recorder.end({})

where a number such as 3 stands for a node of the syntax tree. What the recorder keeps under that
number is later put in the node's place, and the line shows itself with its numbers.
"""
from __future__ import annotations

import ast
import copy
import inspect
import textwrap
import types
from typing import NamedTuple

RECORDER = "recorder of minifcn"        # no name of anybody's: it has spaces
LEFT_ALONE = {"locals", "globals", "vars", "dir", "eval", "exec", "super", "breakpoint"}


class Source(NamedTuple):
    """A function's text as it stands in its file."""

    name: str
    file: str
    first: int      # line in the file
    text: str


def source_of(function: types.FunctionType) -> Source:
    """Where a function is written.

    Raises
    ------
    ValueError
        If it has no source to read, or is a lambda, a generator or a coroutine.
    """
    name = function.__qualname__.split("<locals>.")[-1]
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        raise ValueError(f"{name} gives its values one by one (yield or await); "
                         "trace a function that returns")
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise ValueError(f"the source of {name} cannot be found; write the function in a file "
                         "or in a cell of a notebook") from None
    text = textwrap.dedent("".join(lines))
    if name == "<lambda>":
        raise ValueError("a lambda has no lines to step through; write the function with def")
    return Source(name, function.__code__.co_filename, first, text)


def instrumented(function: types.FunctionType, recorder) -> types.FunctionType:
    """The copy. Arrays among its globals and closed-over names are copied, so that they stay."""
    source = source_of(function)
    tree = ast.parse(source.text)
    ast.increment_lineno(tree, source.first - 1)
    (definition,) = tree.body
    definition.decorator_list, definition.returns = [], None
    if hasattr(definition, "type_params"):
        definition.type_params = []
    for argument in ast.walk(definition.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    definition.args.defaults = [ast.Constant(None) for _ in definition.args.defaults]
    definition.args.kw_defaults = [each and ast.Constant(None)
                                   for each in definition.args.kw_defaults]
    rewriter = Rewriter(source, recorder)
    definition.body = [each for statement in definition.body
                       for each in rewriter.statements(statement)]
    # the free names of a closure are made free in the copy by an outer function
    outer = ast.parse("def outer(): pass").body[0]
    outer.args.args = [ast.arg(name) for name in function.__code__.co_freevars]
    outer.body = [definition]
    tree.body = [outer]
    code = compile(ast.fix_missing_locations(tree), source.file, "exec")
    code = next(each for each in next(each for each in code.co_consts if inspect.iscode(each))
                .co_consts if inspect.iscode(each))
    names = {*_names(function.__code__)}
    namespace = {name: recorder.own(value) if name in names else value
                 for name, value in function.__globals__.items()}
    namespace[RECORDER] = recorder
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    closure = tuple(_own_cell(cells[name], recorder) for name in code.co_freevars)
    made = types.FunctionType(code, namespace, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _names(code: types.CodeType):
    yield from code.co_names
    for each in code.co_consts:
        if inspect.iscode(each):
            yield from _names(each)


def _own_cell(cell: types.CellType, recorder) -> types.CellType:
    """The cell itself, or one with a copy of its array."""
    try:
        value = cell.cell_contents
    except ValueError:      # still empty
        return cell
    own = recorder.own(value)
    return cell if own is value else types.CellType(own)


class Rewriter(ast.NodeTransformer):
    """Puts the recorder between a function and what it touches."""

    def __init__(self, source: Source, recorder):
        self.source, self.recorder = source, recorder
        self.in_index = False

    # -- helpers ----------------------------------------------------------------------------------

    def mark(self, node: ast.AST) -> None:
        """Number all nodes of a statement, before any is rewritten."""
        for each in ast.walk(node):
            if not hasattr(each, "k"):
                each.k = next(self.recorder.numbers)

    def number(self, node: ast.AST) -> ast.Constant:
        """The number of a node; the recorder hears what it is called."""
        named = node.value if isinstance(node, ast.Subscript) else node
        self.recorder.texts[node.k] = ast.unparse(named)
        return ast.Constant(node.k)

    def through(self, method: str, *arguments: ast.expr, keywords=()) -> ast.Call:
        return ast.Call(ast.Attribute(ast.Name(RECORDER, ast.Load()), method, ast.Load()),
                        list(arguments), list(keywords))

    def begin(self, statement: ast.stmt) -> ast.Call:
        """Opens a statement; the recorder keeps a copy of it as it was written."""
        statement = copy.deepcopy(statement)
        return self.through("begin", ast.Constant(
            self.recorder.add_statement(statement, self.source)))

    def end(self, names) -> ast.Expr:
        return ast.Expr(self.through("end", self.bound(names)))

    def bound(self, names) -> ast.Dict:
        names = list(dict.fromkeys(names))
        return ast.Dict([ast.Constant(name) for name in names],
                        [ast.Name(name, ast.Load()) for name in names])

    # -- statements -------------------------------------------------------------------------------

    def statements(self, node: ast.stmt) -> list[ast.stmt]:
        """One statement in, some out, with the line of the first."""
        new = self.visit(node)
        new = new if isinstance(new, list) else [new]
        return [ast.copy_location(each, node) for each in new]

    def visit_Assign(self, node):
        self.mark(node)
        begin = ast.Expr(self.begin(node))
        names = [name for target in node.targets for name in names_in(target)]
        value = self.visit(node.value)
        return [begin, ast.Assign([self.target(each) for each in node.targets], value),
                self.end(names)]

    def visit_AnnAssign(self, node):
        if node.value is None:
            return node
        return self.visit_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node):
        self.mark(node)
        begin, value = ast.Expr(self.begin(node)), self.visit(node.value)
        if isinstance(node.target, ast.Name):
            load = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            load.k = node.target.k
            old = ast.Expr(self.through("leaf", self.number(load), load))
            return [begin, old, ast.AugAssign(node.target, node.op, value),
                    self.end([node.target.id])]
        return [begin, ast.AugAssign(self.target(node.target), node.op, value), self.end([])]

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return node
        self.mark(node)
        begin = ast.Expr(self.begin(node))
        return [begin, ast.Expr(self.visit(node.value)), self.end([])]

    def visit_Return(self, node):
        if node.value is None:
            return node
        self.mark(node)
        begin = self.begin(node)
        return ast.Return(self.through("returned", begin, self.visit(node.value)))

    def visit_If(self, node):
        self.mark(node.test)
        begin = self.begin(ast.copy_location(ast.Expr(node.test), node))
        node.test = self.through("condition", begin, self.visit(node.test))
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        return node

    def visit_While(self, node):
        loop = ast.Constant(self.recorder.add_loop(node, self.source))
        node = self.visit_If(node)
        node.body.insert(0, ast.Expr(self.through("loop", loop, self.bound([]))))
        return node

    def visit_For(self, node):
        self.mark(node)
        loop = ast.Constant(self.recorder.add_loop(node, self.source))
        begin = self.begin(ast.copy_location(
            ast.Assign([node.target], node.iter), node))
        node.iter = self.through("iterate", begin, self.number(node.iter), self.visit(node.iter))
        entry = ast.Expr(self.through("loop", loop, self.bound(names_in(node.target))))
        node.body = [entry, *self.block(node.body)]
        node.orelse = self.block(node.orelse)
        return node

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [each for statement in body for each in self.statements(statement)]

    def visit_With(self, node):
        node.body = self.block(node.body)
        return node

    def visit_Try(self, node):
        for body in (node, *node.handlers):
            body.body = self.block(body.body)
        node.orelse, node.finalbody = self.block(node.orelse), self.block(node.finalbody)
        return node

    def leave(self, node):
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = leave
    visit_Assert = visit_Raise = visit_Delete = visit_Match = leave
    visit_JoinedStr = visit_Yield = visit_YieldFrom = visit_Await = visit_DictComp = leave

    # -- targets ----------------------------------------------------------------------------------

    def target(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Subscript):
            array = self.through("at", self.number(node), self.plain(node.value))
            return ast.Subscript(array, self.index(node.slice), ast.Store())
        if isinstance(node, (ast.Tuple, ast.List)):
            return type(node)([self.target(each) for each in node.elts], ast.Store())
        return node

    # -- expressions ------------------------------------------------------------------------------

    def visit_Name(self, node):
        if self.in_index or not isinstance(node.ctx, ast.Load):
            return node
        return self.through("leaf", self.number(node), node)

    def visit_Attribute(self, node):
        made = ast.Attribute(self.plain(node.value), node.attr, ast.Load())
        return made if self.in_index else self.through("leaf", self.number(node), made)

    def visit_Subscript(self, node):
        return self.through("read", self.number(node), self.plain(node.value),
                            self.index(node.slice))

    def plain(self, node: ast.expr) -> ast.expr:
        """What is indexed, or asked for an attribute: it is not itself read."""
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Attribute):
            return ast.Attribute(self.plain(node.value), node.attr, ast.Load())
        if isinstance(node, ast.Subscript):
            return ast.Subscript(self.plain(node.value), self.index(node.slice), ast.Load())
        return self.visit(node)

    def index(self, node: ast.expr) -> ast.expr:
        """An index: of it only what is read from arrays is recorded, not its names."""
        before, self.in_index = self.in_index, True
        node = self.visit(node)
        self.in_index = before
        return node

    def visit_Slice(self, node):
        ends = [self.visit(each) if each else ast.Constant(None)
                for each in (node.lower, node.upper, node.step)]
        return self.through("slice", *ends)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id in LEFT_ALONE:
            return node
        self.recorder.inside[node.k] = {each.k for each in ast.walk(node) if each is not node}
        arguments = [self.visit(each) for each in node.args]
        keywords = [ast.keyword(each.arg, self.visit(each.value)) for each in node.keywords]
        if isinstance(node.func, ast.Attribute):
            return self.through("method", self.number(node), self.visit(node.func.value),
                                ast.Constant(node.func.attr), *arguments, keywords=keywords)
        function = node.func if isinstance(node.func, ast.Name) else self.visit(node.func)
        return self.through("call", self.number(node), function, *arguments, keywords=keywords)

    def visit_Starred(self, node):
        return ast.Starred(self.visit(node.value), node.ctx)

    def visit_IfExp(self, node):
        test = self.through("choose", self.number(node), self.visit(node.test))
        return ast.IfExp(test, self.visit(node.body), self.visit(node.orelse))

    def visit_NamedExpr(self, node):
        return ast.NamedExpr(node.target, self.visit(node.value))

    def visit_comprehension_of(self, node):
        element = self.through("element", self.number(node), self.visit(node.elt))
        generators = [ast.comprehension(each.target, self.visit(each.iter), each.ifs,
                                        each.is_async) for each in node.generators]
        return type(node)(element, generators)

    visit_GeneratorExp = visit_ListComp = visit_SetComp = visit_comprehension_of


def names_in(target: ast.expr) -> list[str]:
    return [each.id for each in ast.walk(target) if isinstance(each, ast.Name)
            and isinstance(each.ctx, ast.Store)]

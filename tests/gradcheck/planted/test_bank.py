"""The bank itself: what is planted is wrong, what is called right is right, nothing comes twice.

No checker takes part: everything is compared with the textbook.
"""
import ast
import collections
import inspect
import textwrap

import pytest

from tests.gradcheck.planted import OPERATIONS, STYLES, bank, functions_of
from tests.gradcheck.planted.compare import trouble, wrong_draws
from tests.gradcheck.right_styles import MORE_STYLES
from tests.gradcheck.right_styles import STYLES as FIRST_STYLES

BUGS = bank()
EDITS = [bug for bug in BUGS if bug.source]

SLOW = "jitted"     # compiles for half a minute


def slow_apart(items, name):
    return [pytest.param(each, marks=pytest.mark.slow) if name(each) == SLOW else each
            for each in items]


def found(module, function, pairs=True):
    """What is wrong with a function; dropout's mask is judged by many draws."""
    return trouble(module, function, pairs) or (
        wrong_draws(module.dropout_forward) if function == "dropout_forward" else None)


def test_every_bug_in_plain_numpy_is_one():
    plain = [bug for bug in BUGS if not bug.source]
    assert [bug.name for bug in plain if not found(bug.module(), bug.function, pairs=False)] == []


@pytest.mark.parametrize("style", slow_apart(STYLES, str))
def test_edits_spoil_what_they_name_and_nothing_else(style):
    for bug in [bug for bug in EDITS if bug.style == style]:
        for name in functions_of(bug.module(), bug.operation):
            problem = found(bug.module(), name)
            assert bool(problem) == (name in bug.functions), (bug.name, name, problem)


@pytest.mark.parametrize("module", slow_apart((*FIRST_STYLES, *MORE_STYLES),
                                              lambda module: module.__name__),
                         ids=lambda module: module.__name__)
def test_right_code_agrees_with_the_textbook(module):
    functions = [name for operation in OPERATIONS for name in functions_of(module, operation)]
    pairs = module not in FIRST_STYLES      # they pool and upsample by single numbers only
    assert {name: found(module, name, pairs) for name in functions} == dict.fromkeys(functions)


def test_two_hundred_right_functions():
    different = {function for module in (*FIRST_STYLES, *MORE_STYLES)
                 for name, function in vars(module).items() if not name.startswith("__")}
    assert len(different) >= 200


def test_bugs_in_many_styles_for_every_operation():
    assert len(EDITS) >= 300
    styles = collections.Counter(bug.style for bug in EDITS)
    assert set(styles) == set(STYLES)
    assert min(styles.values()) >= 12
    operations = collections.Counter(bug.operation for bug in EDITS)
    assert set(operations) == set(OPERATIONS)
    assert min(operations.values()) >= 10


def test_few_edits_expect_that_no_name_fits():
    assert sum("unknown" in bug.causes for bug in EDITS) <= 0.05 * len(EDITS)


class Normal(ast.NodeTransformer):
    """Functions, arguments and variables are named by their order; docstrings are left out."""

    def __init__(self, names):
        self.names = names

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.name, node.decorator_list, node.returns = "function", [], None
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        return node

    def visit_arg(self, node):
        node.arg = self.names.setdefault(node.arg, f"name{len(self.names)}")
        return node

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store) or node.id in self.names:
            node.id = self.names.setdefault(node.id, f"name{len(self.names)}")
        return node


def normalised(source):
    return ast.dump(Normal({}).visit(ast.parse(textwrap.dedent(source))))


def test_no_bug_comes_twice():
    seen = {}
    for bug in BUGS:
        if bug.source:          # edits of one file: the names are the same
            text = "".join(bug.source.split())
        else:
            text = normalised("\n".join(
                inspect.getsource(bug.functions[name]) for name in sorted(bug.functions)))
        key = bug.function, text
        assert key not in seen, (bug.name, seen[key])
        seen[key] = bug.name

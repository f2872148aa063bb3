"""The bank of planted bugs: layers as students write them, each with one mistake, in plain NumPy.

Each bug is a function that stands for one operation, decorated with what is wrong with it.
``Bug.module()`` is a module in which it replaces the right function of ``right.py``; a good
checker notices every one, and says what is wrong.

Bugs in other styles (im2col, einsum, classes, ...) are edits of right code: ``styles/NAME.py`` is
right, ``styles_NAME.py`` lists edits of its text, each of which makes one bug.
"""
from __future__ import annotations

import ast
import importlib
import linecache
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tests.gradcheck.planted import right

OPERATIONS = ("conv2d", "conv_transpose2d", "max_pool2d", "bilinear_upsample", "relu", "linear",
              "dropout", "softmax_cross_entropy")

# The names that a checker must know. "unknown" in a bug's expectation also allows any name beyond
# these: a checker may know more than the list, but must not take one of the list in vain.
CAUSES = frozenset({
    "sign", "constant_factor", "mean_for_sum", "sum_for_mean", "kernel_flipped",
    "kernel_axes_swapped", "channel_axes_swapped", "in_out_exchanged", "stride_ignored",
    "padding_wrong_side", "padding_not_cropped", "last_row_missing", "last_column_missing",
    "last_channel_missing", "last_image_missing", "overlap_assigned", "dy_ignored", "bias_axes",
    "relu_mask", "pool_ties_all", "pool_last_tie", "pool_first_element", "onehot_missing",
    "ignored_not_zero", "ignored_counted", "stateful", "mutates_input", "wrong_dtype",
    "wrong_shape", "nondeterministic", "single_element", "unknown"})

# Names that bugs in other styles may expect besides.
FURTHER_CAUSES = frozenset({
    "abs", "zero", "flipped", "shifted", "axes_swapped", "transposed_memory", "results_swapped",
    "stride_axes_swapped", "padding_ignored", "padding_axes_swapped", "padding_not_zero",
    "clipped", "comparison", "condition", "index_fixed", "log_clipped", "loop_bound",
    "mask_values", "names_swapped", "nearest", "onehot_wrong", "size_ignored",
    "first_row_missing", "first_column_missing", "first_channel_missing", "first_image_missing",
    "bias_missing", "bias_repeated", "leaky", "argmax_index", "image_ignored", "starts_at_zero",
    "border_not_clipped", "mean_for_max", "min_for_max", "wrong_kernel", "channels_mixed",
    "softmax_axis", "wrong_logarithm", "unstable", "class_weights_ignored", "class_weights_twice",
    "class_weights_not_normalised", "class_weights_wrong_axis", "mask_ignored", "mask_inverted",
    "rate_inverted", "wrong_rate", "seed_ignored", "mask_shared", "aliases_input",
    "non_contiguous", "nan", "crashed",
    # kinds of single edits of the textbook
    "index_offset", "operator", "constant", "statement_missing"})

STYLES = ("im2col", "add_at", "einsum", "fft", "strides", "padded", "flat", "nchw", "classes",
          "functional", "jitted")


class Bug(NamedTuple):
    """A planted bug: which function it spoils, and by which names a checker may call it."""

    name: str
    function: str
    causes: frozenset[str]
    description: str
    functions: dict[str, Callable]
    style: str = "plain NumPy"
    shows: str = ""             # where the bug shows, if not everywhere
    source: str = ""            # the text of the spoilt file, if the bug is an edit

    @property
    def operation(self) -> str:
        return operation_of(self.function)

    def module(self) -> ModuleType:
        """The functions of the bug's operation, right ones but for the bug, as if just imported."""
        memory.clear()
        if self.source:
            spoilt = load(self.name, self.source)
            return module_of(self.name, functions_of(spoilt, self.operation))
        return module_of(self.name, functions_of(right, self.operation) | self.functions)

    def named(self, cause: str | None) -> bool:
        """Whether a checker that gave this cause has named the bug rightly."""
        return cause in self.causes or (
            "unknown" in self.causes and cause is not None and cause not in CAUSES)


def operation_of(function: str) -> str:
    return function.removesuffix("_forward").removesuffix("_backward")


def functions_of(module: ModuleType, operation: str) -> dict[str, Callable]:
    return {name: value for name, value in vars(module).items() if operation_of(name) == operation}


def module_of(name: str, functions: dict[str, Callable]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(functions)
    return module


def load(name: str, source: str) -> ModuleType:
    """The module of a text, as if imported just now; tracebacks show its lines."""
    module, file = ModuleType(name), f"<{name}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    exec(compile(source, file, "exec"), vars(module))
    return module


def right_source(style: str) -> str:
    return (Path(__file__).parent / "styles" / f"{style}.py").read_text(encoding="utf-8")


_bank: dict[str, Bug] = {}
memory: dict = {}       # where bugs keep what they should forget


def planted(function: str, *causes: str, **also: Callable) -> Callable:
    """Enter the decorated function into the bank, as a wrong version of ``function``.

    ``also`` are further functions that the bug's module needs in place of the right ones, such as a
    forward that remembers something for its backward.
    """
    assert causes and set(causes) <= CAUSES | FURTHER_CAUSES, causes

    def enter(wrong: Callable) -> Callable:
        name = f"{operation_of(function)}.{wrong.__name__}"
        assert name not in _bank, name
        _bank[name] = Bug(name, function, frozenset(causes), wrong.__doc__.strip(),
                          also | {function: wrong})
        return wrong

    return enter


def edits_of(style: str) -> Callable:
    """What enters bugs of a style: edits of the text of ``styles/STYLE.py``."""
    source = right_source(style)

    def edit(name: str, function: str, causes: str, description: str, *texts: str, shows="",
             also="") -> None:
        """Enter a bug into the bank.

        ``texts`` are pairs of what stands in the file and what replaces it. Each must occur exactly
        once: in ``function``, or else in the whole file. ``causes`` are the names that a checker
        may give, ``also`` the other functions of the operation that the edit spoils.
        """
        names = frozenset(causes.split())
        assert names and names <= CAUSES | FURTHER_CAUSES, names - CAUSES - FURTHER_CAUSES
        edited = source
        for old, new in zip(texts[::2], texts[1::2], strict=True):
            edited = replaced(edited, function, old, new)
        operation = operation_of(function)
        full_name = f"{operation}.{style}_{name}"
        assert full_name not in _bank, full_name
        found = functions_of(load(full_name, edited), operation)
        _bank[full_name] = Bug(full_name, function, names, description,
                               {each: found[each] for each in [function, *also.split()]},
                               style, shows, edited)

    return edit


def replaced(source: str, function: str, old: str, new: str) -> str:
    """The text with its only ``old``, in the function or else anywhere, replaced by ``new``."""
    nodes = [each for each in ast.parse(source).body if getattr(each, "name", "") == function]
    if nodes:
        lines = source.splitlines(keepends=True)
        first, last = nodes[0].lineno - 1, nodes[0].end_lineno
        body = "".join(lines[first:last])
        if body.count(old) == 1:
            return "".join([*lines[:first], body.replace(old, new), *lines[last:]])
    assert source.count(old) == 1, f"{function}: {source.count(old)} times in the file: {old}"
    return source.replace(old, new)


def bank() -> list[Bug]:
    """All planted bugs."""
    for name in [*OPERATIONS, *(f"styles_{style}" for style in STYLES)]:
        importlib.import_module(f"{__name__}.{name}")
    return list(_bank.values())


class Result(NamedTuple):
    """What a checker said about a planted bug."""

    bug: Bug
    noticed: bool
    named: bool
    got: str | None             # the cause given for the spoilt function
    diagnosis: str
    blamed: dict[str, str]      # causes given for functions that are right


def examine(bug: Bug) -> Result:
    """Have ``minifcn.gradcheck`` look at a planted bug."""
    from minifcn.gradcheck import check_module

    reports = check_module(bug.module())
    report = reports[bug.function]
    blamed = {name: each.cause for name, each in reports.items()
              if name not in bug.functions and not each.ok}
    return Result(bug, noticed=not report.ok, named=bug.named(report.cause), got=report.cause,
                  diagnosis=report.diagnosis, blamed=blamed)

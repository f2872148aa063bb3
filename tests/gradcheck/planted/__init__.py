"""The bank of planted bugs: layers as students write them, each with one mistake, in plain NumPy.

Each bug is a function that stands for one operation, decorated with what is wrong with it.
``Bug.module()`` is a module in which it replaces the right function of ``right.py``; a good
checker notices every one, and says what is wrong.
"""
from __future__ import annotations

import importlib
from collections.abc import Callable
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


class Bug(NamedTuple):
    """A planted bug: which function it spoils, and by which names a checker may call it."""

    name: str
    function: str
    causes: frozenset[str]
    description: str
    functions: dict[str, Callable]

    @property
    def operation(self) -> str:
        return operation_of(self.function)

    def module(self) -> ModuleType:
        """The functions of the bug's operation, right ones but for the bug, as if just imported."""
        memory.clear()
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


_bank: dict[str, Bug] = {}
memory: dict = {}       # where bugs keep what they should forget


def planted(function: str, *causes: str, **also: Callable) -> Callable:
    """Enter the decorated function into the bank, as a wrong version of ``function``.

    ``also`` are further functions that the bug's module needs in place of the right ones, such as a
    forward that remembers something for its backward.
    """
    assert causes and CAUSES.issuperset(causes), causes

    def enter(wrong: Callable) -> Callable:
        name = f"{operation_of(function)}.{wrong.__name__}"
        assert name not in _bank, name
        _bank[name] = Bug(name, function, frozenset(causes), wrong.__doc__.strip(),
                          also | {function: wrong})
        return wrong

    return enter


def bank() -> list[Bug]:
    """All planted bugs."""
    for operation in OPERATIONS:
        importlib.import_module(f"{__name__}.{operation}")
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

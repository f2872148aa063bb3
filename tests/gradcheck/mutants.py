"""The checker checked by mutation: any single-point change of the textbook engine must be noticed.

Each mutant is a file of ``minifcn/ops/reference`` with one change (``minifcn.gradcheck.edits``),
executed as a module of its own in plain Python and put before ``gradcheck.check_module``. Those
that it lets pass must stand in ``EQUIVALENT``, with the reason why the change makes no difference;
an entry that fits no survivor is stale, and an error.

    python -m tests.gradcheck.mutants          all planted bugs and all mutants; writes the results
    python -m tests.gradcheck.mutants relu     the mutants of one file, to look at
"""
from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from minifcn.gradcheck import edits
from minifcn.gradcheck.edits import Edit
from tests.gradcheck.planted import Result, bank, examine

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "minifcn" / "ops" / "reference"
RESULTS = ROOT / "docs" / "checker-results.md"
SECONDS = 60        # a mutant that takes longer is in an endless loop, which is noticed too


class Outcome(NamedTuple):
    mutant: Edit
    got: str | None         # what the checker said; None when it noticed nothing

    @property
    def noticed(self) -> bool:
        return self.got is not None

    @property
    def change(self) -> str:
        return "  ->  ".join(self.mutant.change)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.mutant.file, self.mutant.function, self.change

    @property
    def excused(self) -> str | None:
        """The reason why the mutant is equivalent, if there is one."""
        return EQUIVALENT.get(self.key)


# -- judging them ---------------------------------------------------------------------------------


RAISED = "THE CHECKER RAISED "        # which it must never do


class Endless(BaseException):
    """Not an Exception, so that nobody who catches those takes it for a crash of the layer."""


def judge(mutant: Edit) -> Outcome:
    """Put a mutant before the checker, in this process and for a limited time."""
    def stop(*_):
        raise Endless

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        return Outcome(mutant, verdict(mutant))
    except Endless:
        return Outcome(mutant, "does not end")
    except Exception as error:
        return Outcome(mutant, f"{RAISED}{error!r}")
    finally:
        signal.alarm(0)


def verdict(mutant: Edit) -> str | None:
    """What is wrong with a mutant, or None. Most fail in a small case; the rest see all of it."""
    from minifcn.gradcheck import check_module
    from minifcn.gradcheck.cases import FUNCTIONS

    try:
        module = edits.run(mutant.file, {mutant.function: mutant.source})
    except Exception as error:
        return f"does not load: {error}"
    functions = [name for name in FUNCTIONS if name in module]
    for name in functions:
        for case in failing_cases(module, name):
            return f"{name}: {case}"
    reports = check_module(module)
    failures = [f"{name}: {report.cause}" for name, report in reports.items() if not report.ok]
    try:
        return "; ".join(failures) or engine_fault(module)
    except Exception as error:
        return f"raises {error!r}"


def failing_cases(module: dict, name: str) -> Iterator[str]:
    """The small cases of the check's own table in which a function fails, without any diagnosis."""
    from minifcn.gradcheck.module import _Function
    from minifcn.gradcheck.observe import in_process

    if name.startswith("dropout"):
        return              # judged by its properties, in all cases together
    function = _Function(in_process(module), name, True, 0)
    for case in function.operation.cases:
        if size_of(case) < 1000:
            function.try_case(case)
            if function.findings or any(map(function.is_wrong, function.trials)):
                yield case.name


def size_of(case) -> int:
    """Cells of the input times cells of the kernel."""
    given = case.draw(np.random.default_rng(0))
    arrays = [each for each in given.values() if isinstance(each, np.ndarray)]
    return arrays[0].size * (math.prod(given["weight"].shape[:2]) if "weight" in given else 1)


def engine_fault(module: dict) -> str | None:
    """What binds engines, but not everybody's layers: dropout's one mask, and the way of NaN."""
    from minifcn.ops import reference

    if "dropout_mask" in module:
        cases = [((2, 3, 4, 5), 0.5, 0), ((7, 11), 0.3, 2**63 + 12345), ((64,), 0.8, -1)]
        mask = reference.dropout.dropout_mask
        if not all(np.array_equal(module["dropout_mask"](*case), mask(*case)) for case in cases):
            return "another mask than that of the other engines"
    x = np.array([1, np.nan, np.nan, 2, -1, np.nan, 0, np.inf, -np.inf]).reshape(1, 3, 3, 1)
    for name in ("relu_forward", "max_pool2d_forward"):
        if name in module:
            got, right = np.array(module[name](x)), np.array(getattr(reference, name)(x))
            if not np.array_equal(got, right, equal_nan=True):
                return f"{name} loses a NaN"
    return None


def examine_by_name(name: str) -> Result:
    """``examine`` for another process: modules do not travel, names do."""
    result = examine(next(bug for bug in bank() if bug.name == name))
    return result._replace(bug=result.bug._replace(functions={}))


def run(function, items: list, jit: bool, workers: int, title: str) -> list:
    """Map over fresh processes, with the compiler or without it."""
    os.environ["NUMBA_DISABLE_JIT"] = "0" if jit else "1"       # read when a child imports numba
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return list(tqdm(pool.map(function, items, chunksize=4), total=len(items), desc=title))


# -- mutants that differ from the original in nothing that anybody could see, and why -------------

SAME_SUM = "index -1 is the last one: the same values are summed, in another order"
ANY_NEGATIVE = "NumPy takes any negative extent as the one to find out"
# file, function, statement, what is changed in it, into what, why that makes no difference
REVIEWED = (
    ("relu", "_forward", "y[i] = x.dtype.type(0) if x[i] <= 0 else x[i]", "<= 0", "< 0",
     "a value of 0 is returned as itself"),
    *(("relu", "relu_forward", "_forward(dense(x).reshape(-1), y.reshape(-1))",
       f"{array}.reshape(-1)", f"{array}.reshape(-2)", ANY_NEGATIVE)
      for array in ("dense(x)", "y")),
    *(("relu", "relu_backward",
       "_backward(dense(dy).reshape(-1), dense(y).reshape(-1), dx.reshape(-1))",
       f"{array}.reshape(-1)", f"{array}.reshape(-2)", ANY_NEGATIVE)
      for array in ("dense(dy)", "dense(y)", "dx")),
    ("linear", "_backward", "dbias[f] += dy[n, f]", "[n,", "[n - 1,", SAME_SUM),
    *(("conv2d", "_backward", "dbias[f] += dy[n, i, j, f]", f"{index},", f"{index} - 1,", SAME_SUM)
      for index in "nij"),
    *(("conv_transpose2d", "_bias_gradient", "dbias[f] += dy[n, a, b, f]",
       f"{index},", f"{index} - 1,", SAME_SUM) for index in "nab"),
    *(("bilinear", function, f"for k{i} in range(kernel.shape[{axis}]):", f"[{axis}]", f"[{other}]",
       "the kernel is square")
      for function in ("_forward", "_backward")
      for i, axis, other in (("i", 0, 1), ("i", 0, -1), ("j", 1, 0))),
    ("bilinear", "_forward", "y[n, a, b, c] += x[n, i, j, c] * kernel[ki, kj]",
     "ki, kj", "kj, ki", "the kernel is symmetric"),
    ("bilinear", "_backward", "dx[n, i, j, c] += dy[n, a, b, c] * kernel[ki, kj]",
     "ki, kj", "kj, ki", "the kernel is symmetric"),
    ("dropout", "dropout_mask", "return (uniform >= rate).reshape(shape)", ">=", ">",
     "they differ for one value in 2**53"),
    ("softmax_cross_entropy", "_loss_and_gradient", "loss, total = (0.0, 0.0)",
     "loss, total", "total, loss", "both are 0"),
    *(("softmax_cross_entropy", "softmax_cross_entropy",
       "loss, total = _loss_and_gradient(dense(scores).reshape(-1, classes), "
       "labels.astype(np.int64).reshape(-1), ignore, weights, dscores.reshape(-1, classes))",
       f"{array}.reshape(-1", f"{array}.reshape(-2", ANY_NEGATIVE)
      for array in ("dense(scores)", "labels.astype(np.int64)", ", dscores")),
)
EQUIVALENT = {(file, function, f"{before}  ->  {before.replace(old, new)}"): why
              for file, function, before, old, new, why in REVIEWED}


# -- results --------------------------------------------------------------------------------------


def faults(results: list[Result], outcomes: list[Outcome]) -> list[str]:
    """All that must not be, one line each."""
    lines = [f"planted bug not noticed: {each.bug.name}" for each in results if not each.noticed]
    nameable = [each for each in results if has_name(each)]
    named = sum(each.named for each in nameable)
    if named < 0.95 * len(nameable):
        lines.append(f"only {named} of {len(nameable)} planted bugs named rightly")
    lines += [f"{name} is right, but blamed for {cause} beside {each.bug.name}"
              for each in results for name, cause in each.blamed.items()]
    lines += [f"{each.got}, in {' '.join(each.key)}"
              for each in outcomes if (each.got or "").startswith(RAISED)]
    survivors = [each for each in outcomes if not each.noticed]
    lines += [f"mutant survives, in {' '.join(each.key)}"
              for each in survivors if not each.excused]
    files = {each.mutant.file for each in outcomes}
    alive = {each.key for each in survivors}
    lines += [f"stale entry of EQUIVALENT: {key}" for key in EQUIVALENT
              if key not in alive and key[0] in files]
    return lines


def has_name(result: Result) -> bool:
    """Whether a name exists for a bug: where "unknown" is an expected answer it counts for none."""
    return "unknown" not in result.bug.causes


def counted(results: list[Result], key) -> list[tuple]:
    """A row of the table for each operation, or each style, and one for all."""
    groups = {}
    for each in results:
        groups.setdefault(key(each.bug), []).append(each)
    rows = []
    for name, some in [*groups.items(), ("**all**", results)]:
        nameable = [each for each in some if has_name(each)]
        rows.append((name, len(some), sum(each.noticed for each in some), len(nameable),
                     sum(each.named for each in nameable)))
    return rows


def table(head: str, rows: Iterable[Iterable]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + " --- |" * columns]
    for row in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines)


def page(results: list[Result], outcomes: list[Outcome]) -> str:
    """docs/checker-results.md."""
    by_file = {}
    for each in outcomes:
        by_file.setdefault(each.mutant.file, []).append(each)
    survivors = [each for each in outcomes if not each.noticed]
    _, bugs, noticed, nameable, named = counted(results, lambda bug: bug.operation)[-1]
    return f"""# The checker, checked

Made by `make mutants`; do not edit.

## Planted bugs

Layers as students write them, each with one mistake (`tests/gradcheck/planted/`), are put before
`minifcn.gradcheck.check_module`. A bug counts as *named* if the first hint, `report.cause`, is one
of the names expected; bugs for which "unknown" is an expected answer are counted in neither number.
{noticed} of {bugs} are noticed; {named} of {nameable} ({named / nameable:.0%}) are named rightly.

{table("operation | bugs | noticed | with a name | named", counted(results, lambda b: b.operation))}

{table("style | bugs | noticed | with a name | named", counted(results, lambda b: b.style))}

## Mutants

Every function of `minifcn/ops/reference`, with one operator, constant, index, loop bound or name
changed or one statement dropped at a time (`minifcn/gradcheck/edits.py`), in plain Python. A mutant
that is not noticed must be shown to be equivalent.

{table("file | mutants | noticed | equivalent", [
    (f"{name}.py", len(some), sum(o.noticed for o in some), sum(not o.noticed for o in some))
    for name, some in by_file.items()] + [
    ("**all**", len(outcomes), len(outcomes) - len(survivors), len(survivors))])}

The equivalent ones:

{table("function | change | why it makes no difference", [
    (f"{each.mutant.file} `{each.mutant.function}`", f"`{each.change}`", each.excused)
    for each in survivors])}

## Every planted bug

{table("bug | what is wrong | expected | got", [
    (r.bug.name, r.bug.description, " or ".join(sorted(r.bug.causes)),
     (r.got or "**not noticed**") + ("" if r.named else " (misnamed)")) for r in results])}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="files of ops/reference, without .py")
    parser.add_argument("--workers", type=int, default=2, help="number of processes (2)")
    arguments = parser.parse_args()
    files = arguments.files or sorted(path.stem for path in REFERENCE.glob("[!_]*.py"))
    mutants = [mutant for file in files for mutant in edits.single_edits(file)]
    outcomes = run(judge, mutants, False, arguments.workers, "mutants")
    results = []
    if not arguments.files:
        names = [bug.name for bug in bank()]
        results = run(examine_by_name, names, True, arguments.workers, "planted bugs")
        RESULTS.write_text(page(results, outcomes))
    print(f"{len(outcomes)} mutants, {sum(each.noticed for each in outcomes)} noticed; "
          f"{len(results)} planted bugs, {sum(each.noticed for each in results)} noticed, "
          f"{sum(each.named for each in results)} named rightly")
    wrong = faults(results, outcomes)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

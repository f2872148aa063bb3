"""Dropout's forward, which is random by right, is judged by its properties.

Any mask will do, if it holds zeros and ones, keeps the right share, is drawn for each value on its
own, is the same for the same seed and another for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from minifcn.gradcheck import diagnosis
from minifcn.gradcheck.cases import operation_of
from minifcn.gradcheck.trials import Finding, Trial


def properties(trials: list[Trial], other_seed: Callable[[Trial], Trial]) -> Finding | None:
    """What is wrong with dropout_forward; ``other_seed`` calls it again with another seed."""
    for trial in trials:
        found = failure(trial, f", in the case {trial.case!r}")
        if found is not None:
            return found
        for name, array in trial.got.items():
            right = trial.right[name].shape
            if array.shape != right:
                return Finding("wrong_shape", f"{name} has the shape {array.shape} instead of "
                               f"{right} in the case {trial.case!r}")
    tests = (_mask_values, _rate, _scaling, shared_mask)
    return next((found for test in tests if (found := test(trials))), None) or _seeds(
        trials, other_seed
    )


def failure(trial: Trial, where: str = "") -> Finding | None:
    """A crash, or a result of another form."""
    if trial.crash:
        return Finding("crashed", diagnosis.raises(trial) + where)
    if trial.problem:
        return trial.problem._replace(diagnosis=trial.problem.diagnosis + where)
    return None


def _mask_values(trials: list[Trial]) -> Finding | None:
    for trial in trials:
        mask, rate = trial.got["mask"].astype(float), trial.given["rate"]
        if np.isin(mask, (0, 1)).all():
            continue
        if np.isin(np.round(mask * (1 - rate), 6), (0, 1)).all():
            return Finding("constant_factor", "the mask holds 0 and 1 / (1 - rate); it should hold "
                           "0 and 1, or be bool")
        return Finding("mask_values", "the mask should hold 0 and 1 only, or be bool; it holds "
                       f"{mask.min():g} to {mask.max():g}")
    return None


def _rate(trials: list[Trial]) -> Finding | None:
    """The kept share of each trial, within five standard deviations."""
    worst = None
    for trial in trials:
        x, rate = trial.given["x"], trial.given["rate"]
        kept, nonzero = trial.got["mask"].astype(bool), trial.got["y"] != 0
        slack = 5 * np.sqrt(rate * (1 - rate) / x.size)
        if abs(kept.mean() - (1 - rate)) <= slack:
            continue
        dropped = abs(nonzero.mean() - (1 - rate)) <= slack and np.array_equal(nonzero, ~kept)
        if dropped:
            worst = Finding("mask_inverted", "the mask is 1 where a value is dropped; it should be "
                            "1 where it is kept")
        elif abs(kept.mean() - rate) <= slack:
            worst = worst or Finding("rate_inverted", "values are kept with probability rate, not "
                                     f"1 - rate: at rate {rate:g} {kept.mean():.0%} are kept")
        else:
            return shared_mask([trial]) or Finding("wrong_rate", f"at rate {rate:g} "
                           f"{kept.mean():.0%} of the values are kept, not "
                           f"{1 - rate:.0%}")
    return worst


def _scaling(trials: list[Trial]) -> Finding | None:
    """y is to x what dx is to dy: the backward's mistakes, with the mask that came back."""
    again = []
    for trial in trials:
        x, rate, mask = trial.given["x"], trial.given["rate"], trial.got["mask"].astype(bool)
        right = {"dx": np.where(mask, x, 0) / (1 - rate)}
        again.append(Trial("dropout_backward", trial.case, {"dy": x, "mask": mask, "rate": rate},
                           trial.given, right, {"dx": trial.got["y"]},
                           precision=trial.precision))
    found = diagnosis.diagnose(again, operation_of("dropout_backward"))
    if found is None:
        return None
    words = found.diagnosis.replace("dx", "y").replace("dy", "x")
    return found._replace(cause=found.cause.replace("dy_ignored", "x_ignored"), diagnosis=words)


def shared_mask(trials: Iterable[Trial]) -> Finding | None:
    for trial in trials:
        mask = trial.got["mask"].astype(bool)
        if not 0 < trial.given["rate"] < 1 or mask.size < 100:
            continue
        axes = zip(range(mask.ndim), ("images", "rows", "columns", "channels"))
        shared = [name for axis, name in axes
                  if mask.shape[axis] > 1 and (mask == np.take(mask, [0], axis)).all()]
        if shared:
            return Finding("mask_shared", f"all {' and all '.join(shared)} have the same mask; "
                           "every value should be drawn on its own")
    return None


def _seeds(trials: list[Trial], other_seed: Callable[[Trial], Trial]) -> Finding | None:
    for trial in trials:
        if not 0 < trial.given["rate"] < 1:
            continue
        other = other_seed(trial)
        if found := failure(other, ", with another seed"):
            return found
        if np.array_equal(other.got["mask"], trial.got["mask"]):
            return Finding("seed_ignored", "the mask is the same for two different seeds")
    return None

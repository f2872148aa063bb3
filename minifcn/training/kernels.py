"""Optimizer steps in one pass over the memory, in place, all threads at work.

A step reads and writes every parameter once and computes next to nothing, so memory sets its pace:
for 134 million float32 parameters with momentum, 2.7 GB. Every value has its own arithmetic, in
the dtype of the weight: the number of threads cannot be seen in the bits.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minifcn.ops.checks import dense
from minifcn.ops.compiling import block
from minifcn.ops.threads import parallel, shared

BLOCK = 1 << 14     # values: small enough to share out evenly, large enough not to count


class Sgd(NamedTuple):
    """Numbers of a step, in the dtype of the weight."""

    rate: float
    momentum: float
    decay: float


class Adam(NamedTuple):
    """The same; ``scale`` corrects for the mean of squares that started at zero."""

    rate: float
    gain1: float
    gain2: float
    scale: float
    epsilon: float
    decay: float


@block
def _sgd_block(weight, gradient, velocity, numbers):
    rate, momentum, decay = numbers
    for i in range(weight.size):
        velocity[i] = momentum * velocity[i] + rate * (gradient[i] + decay * weight[i])
        weight[i] -= velocity[i]


@parallel
def _sgd(thread, begin, end, weight, gradient, velocity, numbers):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        start, stop = task * BLOCK, min((task + 1) * BLOCK, weight.size)
        _sgd_block(weight[start:stop], gradient[start:stop], velocity[start:stop], numbers)


@block
def _adam_block(weight, gradient, first, second, numbers):
    rate, gain1, gain2, scale, epsilon, decay = numbers
    for i in range(weight.size):
        g = gradient[i] + decay * weight[i]
        first[i] += gain1 * (g - first[i])
        second[i] += gain2 * (g * g - second[i])
        weight[i] -= rate * first[i] / (np.sqrt(second[i]) * scale + epsilon)


@parallel
def _adam(thread, begin, end, weight, gradient, first, second, numbers):
    if shared(thread, begin, end):
        return
    for task in range(begin, end):
        start, stop = task * BLOCK, min((task + 1) * BLOCK, weight.size)
        _adam_block(weight[start:stop], gradient[start:stop], first[start:stop],
                    second[start:stop], numbers)


def _in_place(array: np.ndarray) -> np.ndarray:
    """A flat view; a copy would take the step and be thrown away."""
    if not array.flags.c_contiguous:
        raise ValueError("an optimizer step works in place, on C-contiguous arrays only")
    return array.reshape(-1)


def sgd_step(weight: np.ndarray, gradient: np.ndarray, velocity: np.ndarray,
             rate: float, momentum: float, decay: float) -> None:
    """One step of stochastic gradient descent with momentum, as Caffe does it.

    ``velocity = momentum * velocity + rate * (gradient + decay * weight)``, then
    ``weight -= velocity``.

    Parameters
    ----------
    weight, velocity : array, C-contiguous, float32 or float64
        Changed in place.
    gradient : array like weight
        Not changed.
    rate, momentum, decay : float
    """
    _sgd(-(-weight.size // BLOCK), _in_place(weight), dense(gradient).reshape(-1),
         _in_place(velocity), Sgd(*map(weight.dtype.type, (rate, momentum, decay))))


def adam_step(weight: np.ndarray, gradient: np.ndarray, first: np.ndarray, second: np.ndarray,
              rate: float, beta1: float, beta2: float, epsilon: float, decay: float,
              step: int) -> None:
    """One step of Adam (Kingma and Ba, 2015, algorithm 1), the decay added to the gradient.

    Parameters
    ----------
    weight, first, second : array, C-contiguous, float32 or float64
        The parameter and the running means of the gradient and of its square; changed in place.
    gradient : array like weight
        Not changed.
    rate, beta1, beta2, epsilon, decay : float
    step : int
        The number of this step, from 1: the means start at zero, and are corrected for it.
    """
    scalars = (rate / (1 - beta1**step), 1 - beta1, 1 - beta2, (1 - beta2**step) ** -0.5,
               epsilon, decay)
    _adam(-(-weight.size // BLOCK), _in_place(weight), dense(gradient).reshape(-1),
          _in_place(first), _in_place(second), Adam(*map(weight.dtype.type, scalars)))

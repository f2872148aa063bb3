"""Optimizers: change the model's parameters in place, given their gradients."""
from __future__ import annotations

from collections.abc import Mapping
from math import inf

import numpy as np

from minifcn.training.kernels import adam_step, sgd_step


class SGD:
    """Stochastic gradient descent with momentum, as Caffe does it and the FCN paper uses it.

    For each parameter w with gradient g and velocity v::

        g = g + decay * w
        v = momentum * v + rate * g
        w = w - v

    Biases learn at ``bias_rate`` times the rate, with ``bias_decay`` times the decay.

    Parameters
    ----------
    parameters : mapping of str to array
        ``model.parameters``; names that end in ``bias`` are biases.
    rate : float
        Learning rate, > 0. What is right depends on the reduction of the loss: the paper's 1e-10
        belongs to a sum over pixels, 1e-3 to 1e-2 to a mean.
    momentum : float
        In [0, 1).
    decay : float
        Weight decay, >= 0.
    bias_rate, bias_decay : float
        Multiples of rate and decay for biases, >= 0.

    References
    ----------
    Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation (CVPR 2015).
    """

    def __init__(self, parameters: Mapping[str, np.ndarray], rate: float, momentum: float = 0.9,
                 decay: float = 5e-4, bias_rate: float = 2.0, bias_decay: float = 0.0):
        _require(0 < rate < inf, "rate", rate, "above 0 and finite")
        _require(0 <= momentum < 1, "momentum", momentum, "at least 0 and below 1")
        _require(0 <= decay < inf, "decay", decay, "at least 0 and finite")
        _require(0 <= bias_rate < inf, "bias_rate", bias_rate, "at least 0 and finite")
        _require(0 <= bias_decay < inf, "bias_decay", bias_decay, "at least 0 and finite")
        self.parameters = parameters
        self.rate, self.momentum, self.decay = rate, momentum, decay
        self.bias_rate, self.bias_decay = bias_rate, bias_decay
        self.velocity = {name: np.zeros_like(parameters[name]) for name in parameters}

    def step(self, gradients: Mapping[str, np.ndarray], factor: float = 1.0) -> None:
        """Take one step; ``gradients`` stay as they are.

        Parameters
        ----------
        gradients : mapping of str to array
            One for each parameter, of its shape.
        factor : float
            Multiplies the rate for this step: what a schedule gives.

        Raises
        ------
        ValueError
            If a gradient is missing, unknown or of the wrong shape; nothing is changed then.
        """
        check_gradients(self.parameters, gradients)
        for name, velocity in self.velocity.items():
            rate, decay = self.rate * factor, self.decay
            if name.endswith("bias"):
                rate, decay = rate * self.bias_rate, decay * self.bias_decay
            sgd_step(self.parameters[name], gradients[name], velocity, rate, self.momentum, decay)

    def state(self) -> dict[str, np.ndarray]:
        """What the next step depends on besides the parameters: named arrays, live."""
        return {f"velocity.{name}": array for name, array in self.velocity.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what ``state`` gave. Raises ValueError if it belongs to other parameters."""
        _copy_state(self.state(), state)


class Adam:
    """Adam, for training from scratch in short time.

    At step t, with gradient g, its running mean m and the running mean s of its square::

        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        w = w - rate * m / (1 - beta1**t) / (sqrt(s / (1 - beta2**t)) + epsilon)

    Biases do not decay.

    Parameters
    ----------
    parameters : mapping of str to array
        ``model.parameters``; names that end in ``bias`` are biases.
    rate : float
        Learning rate, > 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        > 0.
    decay : float
        Weight decay, >= 0.

    References
    ----------
    Kingma, Ba: Adam: A Method for Stochastic Optimization (ICLR 2015), algorithm 1.
    """

    def __init__(self, parameters: Mapping[str, np.ndarray], rate: float = 1e-3, beta1: float = 0.9,
                 beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 0.0):
        _require(0 < rate < inf, "rate", rate, "above 0 and finite")
        _require(0 <= beta1 < 1, "beta1", beta1, "at least 0 and below 1")
        _require(0 <= beta2 < 1, "beta2", beta2, "at least 0 and below 1")
        _require(0 < epsilon < inf, "epsilon", epsilon, "above 0 and finite")
        _require(0 <= decay < inf, "decay", decay, "at least 0 and finite")
        self.parameters = parameters
        self.rate, self.beta1, self.beta2 = rate, beta1, beta2
        self.epsilon, self.decay = epsilon, decay
        self.first = {name: np.zeros_like(parameters[name]) for name in parameters}
        self.second = {name: np.zeros_like(parameters[name]) for name in parameters}
        self.steps = np.zeros(1, np.int64)

    def step(self, gradients: Mapping[str, np.ndarray], factor: float = 1.0) -> None:
        """Take one step; arguments and errors as those of `SGD.step`."""
        check_gradients(self.parameters, gradients)
        self.steps += 1
        for name in self.first:
            decay = 0.0 if name.endswith("bias") else self.decay
            adam_step(self.parameters[name], gradients[name], self.first[name], self.second[name],
                      self.rate * factor, self.beta1, self.beta2, self.epsilon, decay,
                      int(self.steps[0]))

    def state(self) -> dict[str, np.ndarray]:
        """What the next step depends on besides the parameters: named arrays, live."""
        return ({f"first.{name}": array for name, array in self.first.items()}
                | {f"second.{name}": array for name, array in self.second.items()}
                | {"steps": self.steps})

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what ``state`` gave. Raises ValueError if it belongs to other parameters."""
        if "steps" in state and not (state["steps"] >= 0).all():
            raise ValueError("the optimizer's state has a negative number of steps")
        _copy_state(self.state(), state)


def check_gradients(parameters: Mapping[str, np.ndarray],
                    gradients: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless there is one gradient for each parameter, of its shape."""
    missing = [name for name in parameters if gradients.get(name) is None]
    if missing:
        raise ValueError(f"no gradient for {_names(missing)}: run backward before each step")
    unknown = [name for name in gradients if name not in parameters]
    if unknown:
        raise ValueError(f"gradients of unknown parameters: {_names(unknown)}")
    for name in parameters:
        expected, given = parameters[name].shape, np.shape(gradients[name])
        if expected != given:
            raise ValueError(f"the gradient of {name} has shape {given}, the parameter {expected}")


def _copy_state(own: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> None:
    different = [name for name in {**own, **given}
                 if name not in own or name not in given or own[name].shape != given[name].shape
                 or own[name].dtype != given[name].dtype or not _finite(given[name])]
    if different:
        raise ValueError(f"the optimizer's state does not fit the parameters: {_names(different)}")
    for name, array in own.items():
        array[...] = given[name]


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _require(holds: bool, name: str, value: float, expected: str) -> None:
    if not holds:       # a NaN holds nothing, so it ends here too
        raise ValueError(f"{name} must be {expected}, not {value}")


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Optimizers do what Caffe and the papers say, and refuse what cannot be right."""
import numpy as np
import pytest

from minifcn.training.optimizers import SGD, Adam


def parameters(dtype=np.float64):
    return {"conv.weight": np.array([[1.0, -2.0]], dtype), "conv.bias": np.array([0.5], dtype)}


def gradients(dtype=np.float64):
    return {"conv.weight": np.array([[0.1, 0.2]], dtype), "conv.bias": np.array([-0.4], dtype)}


def test_sgd_takes_the_steps_computed_by_hand():
    w = parameters()
    optimizer = SGD(w, rate=0.1, momentum=0.5, decay=0.01)
    optimizer.step(gradients())
    # weight: g = 0.1 + 0.01*1 = 0.11 and 0.2 - 0.02 = 0.18; bias: twice the rate, no decay
    np.testing.assert_allclose(w["conv.weight"], [[1 - 0.011, -2 - 0.018]], rtol=1e-14)
    np.testing.assert_allclose(w["conv.bias"], [0.5 + 0.08], rtol=1e-14)
    optimizer.step(gradients())
    # v = 0.5*0.011 + 0.1*(0.1 + 0.01*0.989) = 0.016489; 0.5*0.018 + 0.1*(0.2 - 0.02018) = 0.026982
    expected = [[0.989 - 0.016489, -2.018 - 0.026982]]
    np.testing.assert_allclose(w["conv.weight"], expected, rtol=1e-14)
    np.testing.assert_allclose(w["conv.bias"], [0.58 + 0.5 * 0.08 + 0.08], rtol=1e-14)


def test_the_rate_scales_the_step_and_not_the_velocity():
    """Caffe's rule: when the rate changes, what has been accumulated keeps its size."""
    w = parameters()
    optimizer = SGD(w, rate=0.1, momentum=0.5, decay=0)
    optimizer.step(gradients())
    optimizer.step(gradients(), factor=0.0)
    np.testing.assert_allclose(w["conv.bias"], [0.5 + 0.08 + 0.04], rtol=1e-14)


def test_adam_takes_the_steps_computed_by_hand():
    w = parameters()
    optimizer = Adam(w, rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8)
    optimizer.step(gradients())     # the first step is the rate times the sign of the gradient
    np.testing.assert_allclose(w["conv.weight"], [[0.9, -2.1]], rtol=1e-6)
    np.testing.assert_allclose(w["conv.bias"], [0.6], rtol=1e-6)
    optimizer.step({"conv.weight": np.zeros((1, 2)), "conv.bias": np.array([0.4])})
    first, second = 0.9 * 0.1 * 0.1, 0.99 * 0.01 * 0.1**2
    step = 0.1 * first / (1 - 0.9**2) / (np.sqrt(second / (1 - 0.99**2)) + 1e-8)
    np.testing.assert_allclose(w["conv.weight"][0, 0], 0.9 - step, rtol=1e-6)
    first = 0.9 * 0.1 * -0.4 + 0.1 * 0.4
    step = 0.1 * first / (1 - 0.9**2) / (np.sqrt(0.4**2) + 1e-8)
    np.testing.assert_allclose(w["conv.bias"], [0.6 - step], rtol=1e-6)


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_stay_and_dtypes_are_kept(optimizer, dtype):
    w, g = parameters(dtype), gradients(dtype)
    before = {name: array.copy() for name, array in g.items()}
    for array in g.values():
        array.flags.writeable = False
    optimizer(w, rate=0.1).step(g)
    assert all((g[name] == before[name]).all() for name in g)
    assert all(array.dtype == dtype for array in w.values())


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("change, message", [
    (lambda g: g.pop("conv.bias"), "no gradient for conv.bias"),
    (lambda g: g.update({"conv.bias": None}), "no gradient for conv.bias"),
    (lambda g: g.update({"fc.bias": np.zeros(1)}), "unknown parameters: fc.bias"),
    (lambda g: g.update({"conv.bias": np.zeros(2)}), r"conv.bias has shape \(2,\)"),
])
def test_wrong_gradients_change_nothing(optimizer, change, message):
    w, g = parameters(), gradients()
    change(g)
    made = optimizer(w, rate=0.1)
    with pytest.raises(ValueError, match=message):
        made.step(g)
    assert all((w[name] == parameters()[name]).all() for name in w)
    assert not any(array.any() for array in made.state().values())


@pytest.mark.parametrize("optimizer, arguments", [
    (SGD, {"rate": 0}), (SGD, {"rate": -1}), (SGD, {"rate": np.nan}), (SGD, {"rate": np.inf}),
    (SGD, {"rate": 1, "momentum": 1}), (SGD, {"rate": 1, "momentum": -0.1}),
    (SGD, {"rate": 1, "decay": -1}), (SGD, {"rate": 1, "bias_rate": -1}),
    (SGD, {"rate": 1, "bias_decay": np.nan}),
    (Adam, {"rate": 0}), (Adam, {"beta1": 1}), (Adam, {"beta2": -0.1}), (Adam, {"epsilon": 0}),
    (Adam, {"decay": -1}),
])
def test_arguments_that_cannot_be_right_are_refused(optimizer, arguments):
    with pytest.raises(ValueError, match=f"{list(arguments)[-1]} must be"):
        optimizer(parameters(), **arguments)


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_a_restored_state_continues_with_the_same_bits(optimizer):
    w = parameters()
    made = optimizer(w, rate=0.1)
    for _ in range(3):
        made.step(gradients())
    state = {name: array.copy() for name, array in made.state().items()}
    copy = {name: array.copy() for name, array in w.items()}
    made.step(gradients())
    again = optimizer(copy, rate=0.1)
    again.restore(state)
    again.step(gradients())
    assert all((copy[name] == w[name]).all() for name in w)


def test_the_state_of_another_network_is_refused():
    made = SGD(parameters(), rate=0.1)
    with pytest.raises(ValueError, match=r"does not fit.*velocity.conv.bias"):
        made.restore({"velocity.conv.weight": np.zeros((1, 2))})

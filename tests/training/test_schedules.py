import pytest

from minifcn.training.schedules import SCHEDULES, constant, one_cycle, poly, step_down


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_factors_lie_in_0_to_1_and_reach_1(schedule):
    factors = [schedule(step, 100) for step in range(100)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1, abs=1e-3)


def test_constant_and_poly():
    assert constant(99, 100) == 1
    assert [poly(step, 4, power=2) for step in range(5)] == [1, 0.5625, 0.25, 0.0625, 0]


def test_step_falls_to_a_tenth_at_the_end_of_each_third():
    assert [step_down(step, 9) for step in (0, 2, 3, 5, 6, 8)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01])


def test_one_cycle_rises_then_falls():
    factors = [one_cycle(step, 100, rise=0.3, start=0.1, end=0.01) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[100] == pytest.approx(0.01)
    assert factors[:31] == sorted(factors[:31])
    assert factors[30:] == sorted(factors[30:], reverse=True)


def test_a_run_of_one_step_has_a_rate():
    assert all(schedule(0, 1) > 0 for schedule in SCHEDULES.values())

"""The learning rate of each epoch."""

from __future__ import annotations

from typing import Any

import pytest
from small_runs import recipe

from archspec.training.schedule import Schedule, ScheduleState


def rates(schedule: dict[str, Any], errors: list[float], base: float = 0.01) -> list[float]:
    """The rate of each epoch, whose held-out errors are given."""
    optimizer = {"type": "sgd", "learning_rate": base}
    rule = Schedule(recipe(schedule=schedule, optimizer=optimizer))
    found = []
    for epoch, error in enumerate(errors, start=1):
        found.append(rule.rate(epoch))
        rule.observe(error)
    return found


def test_constant() -> None:
    assert rates({"type": "constant"}, [0.5] * 4) == [0.01] * 4


def test_steps_begin_with_their_epoch() -> None:
    schedule = {"type": "steps", "epochs": [2, 4], "factor": 0.1}
    assert rates(schedule, [0.5] * 5) == [0.01, 0.001, 0.001, 0.0001, 0.0001]


def test_a_step_at_the_first_epoch() -> None:
    assert rates({"type": "steps", "epochs": [1], "factor": 0.5}, [0.5] * 2) == [0.005, 0.005]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        # The best error is two epochs old after the third epoch.
        ([0.5, 0.6, 0.6, 0.6], [1, 1, 1, 0.1]),
        # As good as the best is no improvement.
        ([0.5, 0.5, 0.5, 0.5], [1, 1, 1, 0.1]),
        # An improvement begins the wait anew.
        ([0.5, 0.6, 0.4, 0.5, 0.5, 0.5], [1, 1, 1, 1, 1, 0.1]),
        # After a drop, the wait begins anew; the best error stays.
        ([0.5, 0.6, 0.6, 0.6, 0.6, 0.6], [1, 1, 1, 0.1, 0.1, 0.01]),
        # Two drops at most.
        ([0.5] * 9, [1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]),
        # It improves from epoch to epoch.
        ([0.5, 0.4, 0.3, 0.2, 0.1], [1, 1, 1, 1, 1]),
    ],
)
def test_plateau(errors: list[float], expected: list[float]) -> None:
    schedule = {"type": "plateau", "factor": 0.1, "patience": 2, "drops": 2}
    assert rates(schedule, errors, base=1.0) == expected


def test_a_plateau_goes_on_from_its_state() -> None:
    rule = recipe(schedule={"type": "plateau", "patience": 2, "drops": 3})
    errors = [0.5, 0.6, 0.4, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.3]
    whole, parts = Schedule(rule), Schedule(rule)
    for epoch, error in enumerate(errors, start=1):
        assert parts.rate(epoch) == whole.rate(epoch)
        whole.observe(error)
        parts.observe(error)
        parts = Schedule(rule, parts.state)
    assert whole.state == ScheduleState(best=0.3, stale=1, drops=2)


@pytest.mark.parametrize("base", [0.01, 0.1, 0.3, 0.0007])
def test_rates_have_no_rounding_noise(base: float) -> None:
    schedule = {"type": "steps", "epochs": [2, 3, 4, 5], "factor": 0.1}
    assert all(len(repr(rate)) < 10 for rate in rates(schedule, [0.5] * 5, base))


def test_a_base_rate_stays_as_it_is_written() -> None:
    assert rates({"type": "constant"}, [1.0], base=0.123456789012345) == [0.123456789012345]


def test_a_rate_beyond_what_a_float_holds_is_infinite() -> None:
    schedule = {"type": "steps", "epochs": [1, 2], "factor": 1e200}
    assert rates(schedule, [1.0, 1.0])[1] == float("inf")

"""The learning rate of each epoch."""

from __future__ import annotations

import math
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


def steps(rules: dict[str, Any], epochs: int, batches: int) -> list[float]:
    """The rate of each step of a run at a learning rate of 1, all errors alike."""
    optimizer = {"type": "sgd", "learning_rate": 1.0}
    schedule = Schedule(recipe(optimizer=optimizer, epochs=epochs, **rules))
    found = []
    for epoch in range(1, epochs + 1):
        found += [schedule.rate(epoch, batch, batches) for batch in range(batches)]
        schedule.observe(0.5)
    return found


def test_a_cosine_falls_from_step_to_step() -> None:
    found = steps({"schedule": {"type": "cosine", "final": 0.2}}, epochs=4, batches=5)
    expected = [0.2 + 0.8 * (1 + math.cos(math.pi * step / 20)) / 2 for step in range(20)]
    assert found == pytest.approx(expected, rel=1e-11)
    assert found[0] == 1
    assert found[-1] > 0.2


@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        ({"type": "constant"}, [1.0] * 6),
        ({"type": "steps", "epochs": [2, 4]}, [0.1, 0.1, 0.01, 0.01, 0.01, 0.01]),
        ({"type": "plateau", "patience": 3, "drops": 1}, [1.0] * 4 + [0.1] * 2),
        ({"type": "cosine"}, [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_a_warmup_leads_to_any_schedule(schedule: dict[str, Any], after: list[float]) -> None:
    rules = {"schedule": schedule, "warmup": {"epochs": 2, "factor": 0.2}}
    # Two batches an epoch: what the plateau sees of the first epoch is the best.
    found = steps(rules, epochs=5, batches=2)
    ramp = [0.2, 0.4, 0.6, 0.8]
    dropped = [1, 1, 0.1, 0.1] if schedule["type"] == "steps" else [1] * 4
    assert found == pytest.approx([a * b for a, b in zip(ramp, dropped, strict=True)] + after)


def test_a_warmup_begins_with_nothing_unless_it_says_more() -> None:
    assert steps({"warmup": {"epochs": 1}}, epochs=1, batches=4) == [0.0, 0.25, 0.5, 0.75]


def test_a_step_of_a_longer_run_is_that_of_its_place() -> None:
    """A run that goes on in the middle of an epoch asks for the rate of a batch directly."""
    rules = {"schedule": {"type": "cosine"}, "warmup": {"epochs": 1}}
    optimizer = {"type": "sgd", "learning_rate": 1.0}
    schedule = Schedule(recipe(optimizer=optimizer, epochs=3, **rules))
    assert schedule.rate(2, 3, 7) == steps(rules, epochs=3, batches=7)[7 + 3]


def test_rates_beyond_a_float_are_infinite_at_each_step() -> None:
    found = steps({"schedule": {"type": "steps", "epochs": [1, 2], "factor": 1e200}}, 2, 2)
    assert found == [1e200, 1e200, math.inf, math.inf]

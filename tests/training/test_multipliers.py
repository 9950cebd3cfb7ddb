"""Learning-rate and weight-decay multipliers of single parameters."""

from __future__ import annotations

import pytest
from small_runs import recipe


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("conv1.weight", (1.0, 1.0)),
        ("conv1.bias", (2.0, 0.0)),
        ("fc8.weight", (10.0, 1.0)),
        ("fc8.bias", (10.0, 1.0)),  # the last that matches counts, with both its numbers
        ("FC8.weight", (1.0, 1.0)),
    ],
)
def test_the_last_match_counts(parameter: str, expected: tuple[float, float]) -> None:
    rules = [
        {"match": "*.bias", "learning_rate": 2.0, "weight_decay": 0.0},
        {"match": "fc8.*", "learning_rate": 10.0},
    ]
    assert recipe(parameters=rules).multipliers(parameter) == expected

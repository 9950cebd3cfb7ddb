"""Slices of lists in expressions."""

from __future__ import annotations

from typing import Any

import pytest

from archspec.diagnostics import ProblemsFound
from tests.networks import layer, parsed


def value(expression: str) -> Any:
    graph = parsed(
        [layer("relu", "relu")],
        variables={"items": [3, 1, 4, 1, 5], "value": f"$({expression})"},
    )
    return graph.variables["value"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("items[1:3]", (1, 4)),
        ("items[:2]", (3, 1)),
        ("items[3:]", (1, 5)),
        ("items[:]", (3, 1, 4, 1, 5)),
        ("items[:-1]", (3, 1, 4, 1)),
        ("items[4:9]", (5,)),
        ("items[2:2]", ()),
        ("items[:2 + 1][1]", 1),
        ("sum(items[:3])", 8),
        ("sum(items[:0])", 0),
        ("sum([])", 0),
    ],
)
def test_slices(expression: str, expected: object) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("items[0.5:]", "an index is a whole number, not the number `0.5`"),
        ("items[:true]", "an index is a whole number, not the truth value `true`"),
        ("len(items)[1:]", "`[...]` takes an element of a list, not of the number `5`"),
        ("items[1:2:3]", "`]` is expected, not `:`"),
        ("items[]", "a value is expected, not `]`"),
        ("max(items[:0])", "`max` of an empty list"),
    ],
)
def test_what_is_no_slice(expression: str, message: str) -> None:
    with pytest.raises(ProblemsFound) as found:
        value(expression)
    assert [problem.message for problem in found.value.problems] == [message]

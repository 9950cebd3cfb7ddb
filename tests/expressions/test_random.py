"""Random expressions are worth what Python's own operators make of them; random text is safe."""

from __future__ import annotations

import math
from typing import Any

from environment import Names, filled
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.expressions import ExpressionError, Unusable

derandomized = settings(derandomize=True, database=None, deadline=None, max_examples=400)
VARIABLES: dict[str, Any] = {"a": 3, "b": -7, "c": 0.5, "big": 2**62, "t": True, "word": "x"}
LISTS: dict[str, Any] = {"items": (1, 2, 3), "rows": ((1, 2), (3, 4)), "none": ()}
ENVIRONMENT = Names({**VARIABLES, **LISTS, "broken": None}, {"input": 3})

numbers = st.one_of(
    st.integers(0, 100).map(str),
    st.sampled_from(["0", "1", "2", "0.5", "1.5e1", "1e-3", "a", "b", "c", "big"]),
)


def both(parts: st.SearchStrategy[str], operators: str) -> st.SearchStrategy[str]:
    """Two operands with an operator between them, with parentheses or without."""
    joined = st.tuples(parts, st.sampled_from(operators.split()), parts).map(" ".join)
    return joined | joined.map(lambda text: f"({text})")


arithmetic = st.recursive(
    numbers,
    lambda inner: st.one_of(
        both(inner, "+ - * / // %"),
        inner.map(lambda text: f"-({text})"),
        inner.map(lambda text: f"abs({text})"),
        st.tuples(inner, inner).map(lambda two: f"max({two[0]}, {two[1]})"),
        inner.map(lambda text: f"[{text}, 1][0]"),
    ),
    max_leaves=12,
)
truths = st.recursive(
    st.sampled_from(["true", "false", "t", "a in items", "5 not in items"])
    | st.tuples(arithmetic, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), arithmetic).map(
        lambda three: f"({' '.join(three)})"
    ),
    lambda inner: both(inner, "and or") | inner.map(lambda text: f"(not {text})"),
    max_leaves=6,
)
choices = st.tuples(arithmetic, truths, arithmetic).map(
    lambda three: f"({three[0]}) if {three[1]} else ({three[2]})"
)


def outcome(text: str) -> tuple[Any, ExpressionError | None]:
    """The value of a text, or what is wrong with it."""
    try:
        return filled(text, ENVIRONMENT), None
    except ExpressionError as error:
        return None, error


@derandomized
@given(arithmetic | truths | choices)
def test_agrees_with_python(expression: str) -> None:
    names = {**VARIABLES, **LISTS, "true": True, "false": False, "abs": abs, "max": max}
    try:
        expected = eval(expression, {"__builtins__": {}}, names)
    except (ZeroDivisionError, OverflowError):
        expected = None
    found, error = outcome(f"$({expression})")
    if error is not None:
        # Python divides by zero, too; or it goes on where 64 bits end, or an expression does.
        limit = "64 bits" in error.message or error.rule == "limit-exceeded"
        assert limit or expected is None, error.message
        return
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(found, float):
        assert math.isfinite(found)


SIGNS = "+ - * / // % == != < <= > >= ( ) [ ] , . $ $( $$( ' \" = & | ? ! \\ {"
WORDS = "and or not in if else true false a b c big t word items rows none broken"
FUNCTIONS = "min max round ceil floor abs len sum range round_to channels input open"
PIECES = [
    *f"{SIGNS} {WORDS} {FUNCTIONS}".split(),
    *("0", "1", "2", "3.5", "1e5", "1e999", "9" * 20, "9" * 45, " ", "\n", "ü", "\x00"),
    *("(", ")", "(", ")", "[0]", "range(", "$(a", ")"),
]


@derandomized
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=12))
def test_random_text_gives_a_value_or_an_error_in_it(inside: str) -> None:
    for text in (inside, f"$({inside})", f"x $({inside})"):
        try:
            _, error = outcome(text)
        except Unusable:
            assert "broken" in text
            continue
        if error is not None:
            assert 0 <= error.start < error.end <= len(text) + 1
            assert error.message.isprintable()

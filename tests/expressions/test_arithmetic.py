"""Arithmetic on its own: exact, as a reader with a pencil has it."""

from __future__ import annotations

import ast
import operator
from fractions import Fraction
from typing import Any

import pytest
from environment import Names
from hypothesis import given
from hypothesis import strategies as st

from archspec.expressions import ExpressionError, arithmetic

OPERATIONS: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def by_python(node: ast.AST, text: str) -> Fraction:
    """The value of Python's own tree of the same text, in fractions from the leaves on."""
    if isinstance(node, ast.Expression):
        return by_python(node.body, text)
    if isinstance(node, ast.Constant):
        return Fraction(ast.get_source_segment(text, node) or "")
    if isinstance(node, ast.UnaryOp):
        value: Fraction = OPERATIONS[type(node.op)](by_python(node.operand, text))
        return value
    assert isinstance(node, ast.BinOp)
    left, right = by_python(node.left, text), by_python(node.right, text)
    return Fraction(OPERATIONS[type(node.op)](left, right))


numbers = st.one_of(
    st.integers(0, 999).map(str),
    st.decimals(0, 99, places=2, allow_nan=False).map(str),
)
formulas = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-({})".format),
    ),
    max_leaves=8,
)


@given(formulas)
def test_equals_the_fractions_of_pythons_own_tree(text: str) -> None:
    try:
        expected = by_python(ast.parse(text, mode="eval"), text)
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="divides by zero"):
            arithmetic(text, Names())
        return
    try:
        assert arithmetic(text, Names()) == expected
    except ExpressionError as error:
        assert "64 bits" in error.message  # noqa: PT017 - numerators and denominators are bounded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(27 - 5 + 2)/2 + 1", 13),
        ("(224 - 11)/4 + 1", Fraction(217, 4)),
        ("1/3*3", 1),
        ("1e-3", Fraction(1, 1000)),
        ("ceil((224 - 11)/4) + 1", 55),
        ("floor(7/2)", 3),
        ("round(2.6)", 3),
        ("max(1/3, 0.5)", Fraction(1, 2)),
        ("sum([1/2, 1/2])", 1),
        ("sqrt(2640*2640)", 2640),
        ("sqrt(2)", Fraction("1.4142135623730951")),
        ("1 if 1/3 < 0.34 else 2", 1),
        ("share*3", Fraction(3, 10)),
        ("shares[1]*10", 2),
        ("channels(conv1)*5*5", 2400),
    ],
)
def test_is_exact(text: str, expected: Fraction | int) -> None:
    names = Names({"share": 0.1, "shares": (0.1, 0.2)}, {"conv1": 96})
    found = arithmetic(text, names)
    assert found == expected
    assert type(found) is (Fraction if isinstance(expected, Fraction) else int)


@pytest.mark.parametrize(
    ("text", "rule", "start"),
    [
        ("1) + 2", "invalid-expression", 1),
        ("(1", "invalid-expression", 3),
        ("1 = 1", "invalid-expression", 2),
        ("1 < 2", "expression-fails", 0),
        ("[1]", "expression-fails", 0),
        ("1/2 in [1]+1/2", "expression-fails", 7),
        ("1 and 1/2", "expression-fails", 0),
        ("sqrt(2)*sqrt(2)", "expression-fails", 0),  # more digits than 64 bits hold
        ("2/4/0", "expression-fails", 4),
        ("9223372036854775807*2", "expression-fails", 0),
        ("1/9223372036854775807/2", "expression-fails", 0),
    ],
)
def test_refuses(text: str, rule: str, start: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        arithmetic(text, Names())
    assert (caught.value.rule, caught.value.start) == (rule, start)

"""Texts with expressions in them: what is filled in, what stays as it is."""

from __future__ import annotations

import pytest
from environment import filled

from archspec.expressions import ExpressionError, Value, template


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a", 3),
        ("$(a)", 3),
        ("$( a )", 3),
        ("$(l)", (1, 2)),
        ("$l", (1, 2)),
        ("$(a)$(a)", "33"),
        (" $(a)", " 3"),
        ("ResNet-$(a)", "ResNet-3"),
        ("$(a) layers", "3 layers"),
        ("$(f)x", "0.25x"),
        ("$(true) and $('b')", "true and b"),
        ("a $a", "a $a"),
        ("$", "$"),
        ("$1", "$1"),
        ("$a.b", "$a.b"),
        ("$a b", "$a b"),
        ("costs 5$", "costs 5$"),
        ("$$", "$$"),
        ("$$a", "$a"),
        ("$$$a", "$$a"),
        ("x $$a", "x $$a"),
        ("$$(a)", "$(a)"),
        ("x $$(a) y", "x $(a) y"),
        ("$$(a)$(a)", "$(a)3"),
        ("$(a)$$(a)", "3$(a)"),
        ("$$$(a)", "$$(a)"),
        ("$$(1 +", "$(1 +"),
        ("$('$(a)')", "$(a)"),
        ("$(')')", ")"),
        ("", ""),
    ],
)
def test_filled(text: str, expected: Value) -> None:
    found = filled(text, a=3, l=(1, 2), f=0.25)
    assert found == expected
    assert type(found) is type(expected)


def test_a_text_alone_is_no_template() -> None:
    for text in ("", "a", "$", "$1", "a $b", "5$", "(a)"):
        assert template(text) is None


def test_a_list_cannot_stand_in_a_text() -> None:
    with pytest.raises(ExpressionError, match="a list of 2 cannot stand in a text") as caught:
        filled("sizes $(l)!", l=(1, 2))
    assert (caught.value.start, caught.value.end) == (8, 9)


def test_what_is_filled_in_is_bounded() -> None:
    long = "x" * 400
    assert filled("$(a)$(a) " + "y" * 5000, a=long) == long + long + " " + "y" * 5000
    with pytest.raises(ExpressionError, match="more than 1,000 characters are filled") as caught:
        filled("$(a) $(a) $(a)", a=long)
    assert (caught.value.start, caught.value.end) == (12, 13)

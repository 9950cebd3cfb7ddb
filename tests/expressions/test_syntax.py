"""Expressions that cannot be read: what is wrong, and at which characters."""

from __future__ import annotations

import pytest
from environment import filled, value

from archspec.expressions import MAX_LENGTH, ExpressionError


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("$(1 +)", (5, 6), "a value is expected, not `)`"),
        ("$()", (2, 3), "a value is expected, not `)`"),
        ("$(* 2)", (2, 3), "a value is expected, not `*`"),
        ("$(1 2)", (4, 5), "`)` is expected, not `2`"),
        ("$(a b)", (4, 5), "`)` is expected, not `b`"),
        ("$(3abc)", (3, 6), "`)` is expected, not `abc`"),
        ("$(1.2.3)", (5, 7), "`)` is expected, not `.3`"),
        ("$(1", (3, 4), "the expression ends where `)` is expected | close it with `)`"),
        ("$(max(1", (7, 8), "the expression ends where `)` is expected"),
        ("$(1 +", (5, 6), "the expression ends where a value is expected"),
        ("$(", (2, 3), "the expression ends where a value is expected"),
        ("$((1)", (5, 6), "the expression ends where `)` is expected"),
        ("$([1, 2)", (7, 8), "`]` is expected, not `)`"),
        ("$(a[1)", (5, 6), "`]` is expected, not `)`"),
        ("$(a[])", (4, 5), "a value is expected, not `]`"),
        ("$(a[1, 2])", (5, 6), "`]` is expected, not `,`"),
        ("$([,])", (3, 4), "a value is expected, not `,`"),
        ("$(max(,))", (6, 7), "a value is expected, not `,`"),
        ("$(1 if true)", (11, 12), "`else` is expected, not `)`"),
        ("$(if true else 1)", (2, 4), "a value is expected, not `if`"),
        ("$(1 < 2 < 3)", (8, 9), "comparisons cannot be chained | join two with `and`"),
        ("$(1 == 2 in [3])", (9, 11), "comparisons cannot be chained"),
        ("$(1 not 2)", (8, 9), "`in` is expected, not `2`"),
        ("$(1 = 2)", (4, 5), "`=` means nothing here | equality is `==`"),
        ("$($a + 1)", (2, 3), "inside `$(...)` a variable stands without `$`"),
        ("$(!a)", (2, 3), "write `not a`"),
        ("$(a && b)", (4, 5), "write `and`"),
        ("$(a || b)", (4, 5), "write `or`"),
        ("$(a ? b : c)", (4, 5), "a choice is `a if condition else b`"),
        ("$('abc)", (2, 3), "the text is not closed"),
        ('$("abc)', (2, 3), "the text is not closed"),
        ("$(a ** 2)", (5, 6), "a value is expected, not `*`"),
        ("$(a.b.c(1)", (10, 11), "the expression ends where `)` is expected"),
        ("$(a.1)", (3, 5), "`)` is expected, not `.1`"),
        ("$(a.)", (3, 4), "`.` means nothing here"),
        ("$(a; b)", (3, 4), "`;` means nothing here"),
        ("$(ü)", (2, 3), "`ü` means nothing here"),
        ("$(٣)", (2, 3), "`٣` means nothing here"),
        ("$(\x07)", (2, 3), "`?` means nothing here"),
        ("$(True)", None, "True"),
        ("$(lambda)", None, "lambda"),
        ("x $(1 +) y", (7, 8), "a value is expected, not `)`"),
        ("$(1) $(2 +)", (10, 11), "a value is expected, not `)`"),
    ],
)
def test_error(text: str, at: tuple[int, int] | None, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        filled(text)
    error = caught.value
    assert says in f"{error.message} | {error.help}"
    if at is None:  # it can be read: a name like any other
        assert error.rule == "unknown-variable"
    else:
        assert error.rule == "invalid-expression"
        assert (error.start, error.end) == at


def test_words_stand_for_themselves_in_quotes_only() -> None:
    assert value("'not' + 'in'") == "notin"
    assert value("'(' + ')'") == "()"
    assert value("'if'") == "if"
    for word in ("and", "or", "not", "in", "if", "else"):
        with pytest.raises(ExpressionError, match="a value is expected"):
            value(word)


def test_length() -> None:
    longest = "1" + " " * (MAX_LENGTH - 1)
    assert value(longest) == 1
    with pytest.raises(ExpressionError, match="longer than 1,000 characters") as caught:
        value(longest + " ")
    assert caught.value.rule == "limit-exceeded"


def test_words() -> None:
    assert value("1" + "+1" * 149) == 150
    with pytest.raises(ExpressionError, match="or 300 words"):
        value("1" + "+1" * 150)


@pytest.mark.parametrize(
    ("opening", "closing"), [("(", ")"), ("[", "]"), ("abs(", ")"), ("1 if true else ", "")]
)
def test_nesting(opening: str, closing: str) -> None:
    value(opening * 19 + "1" + closing * 19)
    with pytest.raises(ExpressionError, match="nested more than 20 deep") as caught:
        value(opening * 20 + "1" + closing * 20)
    assert caught.value.rule == "limit-exceeded"


def test_digits() -> None:
    assert value("0" * 39 + "1") == 1
    with pytest.raises(ExpressionError, match="41 characters; at most 40"):
        value("0" * 40 + "1")

"""What operators and functions are worth, and what they refuse."""

from __future__ import annotations

import math

import pytest
from environment import Names, filled, value

from archspec.expressions import MAX_ITEMS, ExpressionError, Unusable, Value


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 - 3 - 4", -5),
        ("24 / 4 / 2", 3.0),
        ("7 // 2 * 2", 6),
        ("7 % 4 * 2", 6),
        ("2 * 7 % 4", 2),
        ("-7 // 2", -4),
        ("-(7 // 2)", -3),
        ("-7 % 4", 1),
        ("7 % -4", -1),
        ("7.5 // 2", 3.0),
        ("- -3", 3),
        ("--3", 3),
        ("+-+3", -3),
        ("2 - -3", 5),
        ("4 / 2", 2.0),
        ("4 // 2", 2),
        ("1.5 + 1", 2.5),
        ("1e3", 1000.0),
        (".5 + 1.", 1.5),
        ("2E-1", 0.2),
        ("007", 7),
        ("1 < 2", True),
        ("2 <= 2", True),
        ("1 > 2", False),
        ("2 >= 3", False),
        ("1 == 1.0", True),
        ("1 != 2", True),
        ("1 + 1 == 2", True),
        ("'a' == \"a\"", True),
        ("'a' == 1", False),
        ("true == 1", False),
        ("false == 0", False),
        ("[1, 2] == [1, 2.0]", True),
        ("[1] == [true]", False),
        ("[1] != [1, 2]", True),
        ("1 in [true, 2]", False),
        ("2 in [1, 2]", True),
        ("2 not in [1, 2]", False),
        ("not 2 in [1, 2]", False),
        ("[1] in [[1], 2]", True),
        ("true or false and false", True),
        ("(true or false) and false", False),
        ("not true or true", True),
        ("not (true or true)", False),
        ("not not true", True),
        ("not 1 == 2", True),
        ("false and 1 // 0 == 1", False),
        ("true or 1 // 0 == 1", True),
        ("1 if true else 1 // 0", 1),
        ("1 // 0 if false else 2", 2),
        ("1 if false else 2 if false else 3", 3),
        ("1 if true else 2 if false else 3", 1),
        ("(1 if false else 2) + 3", 5),
        ("1 + 2 if 2 > 1 or false else 0", 3),
        ("[1, 2, 3][1]", 2),
        ("[1, 2, 3][-1]", 3),
        ("-[1, 2][1]", -2),
        ("[[1, 2], [3]][0][1]", 2),
        ("[1, 2][0] + [1, 2][1]", 3),
        ("[1] + [2, 3]", (1, 2, 3)),
        ("[]", ()),
        ("[1, 2, ]", (1, 2)),
        ("[1, 'a', [true]]", (1, "a", (True,))),
        ("'a' + 'b'", "ab"),
        ("min(3, 1, 2)", 1),
        ("max(3, 1.5)", 3),
        ("min([3, 1, 2])", 1),
        ("max(7)", 7),
        ("sum(1, 2, 3)", 6),
        ("sum([1, 2.5])", 3.5),
        ("round(2.4)", 2),
        ("round(2.6)", 3),
        ("round(-2.6)", -3),
        ("ceil(2.1)", 3),
        ("ceil(-2.1)", -2),
        ("floor(2.9)", 2),
        ("floor(-2.1)", -3),
        ("floor(3)", 3),
        ("abs(-3)", 3),
        ("abs(2.5)", 2.5),
        ("len([1, [2, 3]])", 2),
        ("len('abc')", 3),
        ("len([])", 0),
        ("range(3)", (0, 1, 2)),
        ("range(1, 4)", (1, 2, 3)),
        ("range(0)", ()),
        ("range(3, 1)", ()),
        ("sum(range(5))", 10),
        ("round_to(33, 8)", 32),
        ("round_to(32 * 0.75, 8) // 2", 12),
        ("max(1, 2, )", 2),
        ("max (1, 2)", 2),
    ],
)
def test_value(expression: str, expected: Value) -> None:
    found = value(expression)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("expression", "at", "says"),
    [
        ("1 // (1 - 1)", "1 - 1", "`1 // 0` divides by zero"),
        ("1 / 0.0", "0.0", "`1 / 0.0` divides by zero"),
        ("1 % 0", "0", "divides by zero"),
        ("'a' * 2", "'a'", "the left side of `*` must be a number, not the text `a`"),
        ("2 * [1, 2]", "[1, 2]", "the right side of `*` must be a number, not a list of 2"),
        ("1 + true", "true", "must be a number, not the truth value `true`"),
        ("'a' + 1", "'a'", "the left side of `+` must be a number"),
        ("[1] + 1", "[1]", "the left side of `+` must be a number"),
        ("'a' < 'b'", "'a'", "the left side of `<` must be a number"),
        ("-'a'", "'a'", "what has a sign must be a number"),
        ("-true", "true", "what has a sign must be a number"),
        ("not 1", "1", "what `not` stands before must be true or false, not the number `1`"),
        ("1 and true", "1", "the left side of `and` must be true or false"),
        ("true and 'a'", "'a'", "the right side of `and` must be true or false, not the text `a`"),
        ("false or 0", "0", "the right side of `or`"),
        ("1 if 2 else 3", "2", "the condition of a choice must be true or false"),
        ("1 in 'abc'", "'abc'", "`in` looks into a list, not into the text `abc`"),
        ("3[0]", "3", "takes an element of a list, not of the number `3`"),
        ("'abc'[0]", "'abc'", "takes an element of a list, not of the text `abc`"),
        ("[1, 2][2]", "2", "a list of 2 has no element [2]"),
        ("[1, 2][-3]", "-3", "a list of 2 has no element [-3]"),
        ("[][0]", "0", "a list of 0 has no element [0]"),
        ("[1][0.0]", "0.0", "an index is a whole number"),
        ("[1][false]", "false", "an index is a whole number, not the truth value `false`"),
        ("min()", "min()", "`min` takes at least 1 argument, not 0"),
        ("round(1, 2)", "round(1, 2)", "`round` takes 1 argument, not 2"),
        ("round_to(1)", "round_to(1)", "`round_to` takes 2 arguments, not 1"),
        ("range(1, 2, 3)", "range(1, 2, 3)", "`range` takes 1 to 2 arguments, not 3"),
        ("range(1.0)", "1.0", "`range` takes whole numbers, not the number `1.0`"),
        ("range(true)", "true", "`range` takes whole numbers"),
        ("len(3)", "3", "`len` counts a list, not the number `3`"),
        ("max([])", "max([])", "`max` of an empty list"),
        ("max([1, 'a'])", "[1, 'a']", "an element of the list must be a number"),
        ("max(1, 'a')", "'a'", "an argument of `max` must be a number"),
        ("sum([1], 2)", "[1]", "an argument of `sum` must be a number, not a list of 1"),
        ("ceil('a')", "'a'", "the argument of `ceil` must be a number"),
        ("round_to(8, 0)", "0", "multiples of a whole number above 0, not the number `0`"),
        ("round_to(8, 2.0)", "2.0", "multiples of a whole number"),
        ("round_to(-1, 8)", "-1", "rounds no negative number"),
        ("9223372036854775807 + 1", "9223372036854775807 + 1", "64 bits"),
        ("4e9 * 4e9 * 1e300", "4e9 * 4e9 * 1e300", "64 bits"),
        ("round(1e300)", "round(1e300)", "64 bits"),
        ("floor(1e19)", "floor(1e19)", "64 bits"),
        ("range(0, 9223372036854775807)", "range(0, 9223372036854775807)", "more than 100,000"),
        (f"range({MAX_ITEMS + 1})", f"range({MAX_ITEMS + 1})", "a list of more than 100,000"),
        (
            "range(60000) + range(60000)",
            "range(60000) + range(60000)",
            "a list of more than 100,000 elements",
        ),
        ("[range(60000), range(60000)]", "[range(60000), range(60000)]", "more than 100,000"),
        ("rounds(1)", "rounds", "there is no function `rounds`"),
        ("open('x')", "open", "there is no function `open`"),
        ("__import__('os')", "__import__", "there is no function"),
        ("channels(3)", "channels(3)", "`channels` takes the name of one layer"),
        ("channels('conv1')", "channels('conv1')", "`channels` takes the name of one layer"),
        ("channels(a, b)", "channels(a, b)", "`channels` takes the name of one layer"),
        ("channels()", "channels()", "`channels` takes the name of one layer"),
    ],
)
def test_error(expression: str, at: str, says: str) -> None:
    text = f"$({expression})"
    with pytest.raises(ExpressionError) as caught:
        filled(text)
    error = caught.value
    assert says in error.message
    assert text[error.start : error.end] == at


def test_help() -> None:
    for expression, says in [
        ("rounds(1)", "did you mean `round`?"),
        ("open(1)", "the functions are `min`"),
        ("1 if 2 else 3", "compare it"),
        ("[1][3]", "the last is [0]"),
    ]:
        with pytest.raises(ExpressionError) as caught:
            value(expression)
        assert says in str(caught.value.help)


def test_names() -> None:
    environment = Names({"width": 1.5, "stages": ((1, 2), (3, 4))}, {"input": 3, "stem.conv": 32})
    assert filled("$width", environment) == 1.5
    assert filled("$(width * 2)", environment) == 3
    assert filled("$(stages[1][0])", environment) == 3
    assert filled("$(channels(input) + channels(stem.conv))", environment) == 35
    with pytest.raises(ExpressionError) as caught:
        filled("$(2 * channels(conv9))", environment)
    assert (caught.value.rule, caught.value.start, caught.value.end) == ("unknown-input", 15, 20)
    with pytest.raises(ExpressionError) as caught:
        filled("$(2 * widht)", environment)
    assert (caught.value.rule, caught.value.start, caught.value.end) == ("unknown-variable", 6, 11)


def test_a_variable_that_is_known_to_be_wrong_says_nothing_more() -> None:
    with pytest.raises(Unusable):
        value("a + 1", a=None)
    assert value("1 if true else a", a=None) == 1


def test_numbers_end_where_64_bits_do() -> None:
    assert value("9223372036854775807") == 2**63 - 1
    assert value("-9223372036854775807") == 1 - 2**63
    assert value("1e308") == 1e308
    for expression in (
        "9223372036854775808",
        "1e999",
        "1e308 * 10",
        "sum([1e308, 1e308])",
    ):
        with pytest.raises(ExpressionError, match="64 bits"):
            value(expression)


def test_no_value_is_nan() -> None:
    for expression in ("1e308 // 1e-308", "1e308 % 1e-308", "1e308 * 10 - 1e308 * 10"):
        try:
            found = value(expression)
        except ExpressionError:
            continue
        assert isinstance(found, float)
        assert math.isfinite(found)


def test_texts_and_lists_are_bounded() -> None:
    assert value("a + b", a="x" * 500, b="y" * 500) == "x" * 500 + "y" * 500
    with pytest.raises(ExpressionError, match="1,000 characters"):
        value("a + b", a="x" * 500, b="y" * 501)
    deep: Value = 1
    for _ in range(20):
        deep = (deep,)
    assert value("a", a=deep) == deep
    with pytest.raises(ExpressionError, match="lists in lists, more than 20 deep"):
        value("[a]", a=deep)


def test_work_on_lists_is_counted() -> None:
    environment = Names({"a": tuple(range(1000))})
    filled("$(sum(a) + len(a))", environment)
    assert environment.steps >= 2000
    environment.steps = 0
    filled("$(a == a and 3 in a)", environment)
    assert environment.steps >= 3000

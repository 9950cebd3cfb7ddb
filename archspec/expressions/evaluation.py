"""What an expression is worth: operators, functions, and how far numbers may go."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from archspec.diagnostics import did_you_mean, listing, shortened
from archspec.expressions import syntax
from archspec.expressions.syntax import LARGEST, Expression, ExpressionError

# A list is a tuple here: a value of a spec does not change.
Value = int | float | bool | str | tuple[Any, ...]

MAX_ITEMS = 100_000
MAX_LEVELS = 20
MAX_TEXT = 1000


class Unusable(Exception):
    """A value that is not there because of a problem that is reported already."""


class Environment(Protocol):
    """Where an expression stands: what its names mean."""

    def variable(self, name: str, start: int, end: int) -> Value:
        """The value of a variable. Raises ExpressionError or Unusable."""

    def channels(self, name: str, start: int, end: int) -> int:
        """The channels of a layer's output. Raises ExpressionError or Unusable."""

    def spend(self, steps: int) -> None:
        """Count the elements of a list that are looked at; ends the work when it is too much."""


@dataclass(frozen=True, slots=True)
class Exact:
    """An environment in which arithmetic is that of a reader: 1/3 is a third, 0.1 a tenth.

    Only a square root that is none of a whole number is rounded, to the digits of a float.
    """

    within: Environment

    def variable(self, name: str, start: int, end: int) -> Value:
        """The value of a variable. Raises ExpressionError or Unusable."""
        value: Value = _exactly(self.within.variable(name, start, end))
        return value

    def channels(self, name: str, start: int, end: int) -> int:
        """The channels of a layer's output. Raises ExpressionError or Unusable."""
        return self.within.channels(name, start, end)

    def spend(self, steps: int) -> None:
        """Count the elements of a list that are looked at; ends the work when it is too much."""
        self.within.spend(steps)


def evaluate(tree: Expression, environment: Environment) -> Value:
    """The value of an expression. Raises ExpressionError, or Unusable for what is known."""
    return _EVALUATED[type(tree)](tree, environment)


def arithmetic(text: str, environment: Environment) -> int | Fraction:
    """What a text is worth that is an expression by itself, exactly.

    Raises ExpressionError, also where that is no number, or Unusable.
    """
    # The parser reads up to the bracket that closes `$(`.
    tree, end = syntax.parse(f"{text})", 0)
    if end <= len(text):
        raise ExpressionError("invalid-expression", "`)` closes no bracket", end - 1, end)
    environment.spend(tree.steps)
    found: Any = evaluate(tree, Exact(environment))
    if isinstance(found, bool) or not isinstance(found, (int, Fraction)):
        raise _fails(tree, f"arithmetic gives a number, not {kind(found)}")
    return found


def kind(value: Value) -> str:
    """What a value is, as it stands in messages."""
    if isinstance(value, bool):
        return f"the truth value `{written(value)}`"
    if isinstance(value, _NUMERIC):
        return f"the number `{value}`"
    if isinstance(value, str):
        return f"the text `{shortened(value)}`"
    return f"a list of {len(value)}"


def written(value: Value) -> str:
    """A value as a spec would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(written(item) for item in value)}]"
    return str(value)


def _choice(tree: syntax.Choice, environment: Environment) -> Value:
    chosen = _truth(tree.condition, environment, "the condition of a choice")
    return evaluate(tree.value if chosen else tree.other, environment)


def _binary(tree: syntax.Binary, environment: Environment) -> Value:
    operator = tree.operator
    if operator in ("and", "or"):
        left = _truth(tree.left, environment, f"the left side of `{operator}`")
        if left == (operator == "or"):
            return left
        return _truth(tree.right, environment, f"the right side of `{operator}`")
    a, b = evaluate(tree.left, environment), evaluate(tree.right, environment)
    if operator in _ARITHMETIC and type(a) in _NUMBERS and type(b) in _NUMBERS:
        return _arithmetic(tree, operator, a, b, environment)  # most of them are
    for side in (a, b):
        if isinstance(side, tuple):
            environment.spend(elements(side))
    if operator == "==":
        return _equal(a, b)
    if operator == "!=":
        return not _equal(a, b)
    if operator == "in":
        if not isinstance(b, tuple):
            raise _fails(tree.right, f"`in` looks into a list, not into {kind(b)}")
        return any(_equal(a, item) for item in b)
    if operator == "+" and isinstance(a, tuple) and isinstance(b, tuple):
        return _list(tree, a + b, environment)
    if operator == "+" and isinstance(a, str) and isinstance(b, str):
        return _bounded(tree, a + b)
    first = _number(tree.left, a, "the left side of", operator)
    second = _number(tree.right, b, "the right side of", operator)
    return _arithmetic(tree, operator, first, second, environment)


def _arithmetic(
    tree: syntax.Binary, operator: str, a: Any, b: Any, environment: Environment
) -> Value:
    if operator == "/" and isinstance(environment, Exact):
        a = Fraction(a)
    if operator in ("/", "//", "%") and b == 0:
        raise _fails(tree.right, f"`{written(a)} {operator} {written(b)}` divides by zero")
    try:
        return _bounded(tree, _ARITHMETIC[operator](a, b))
    except OverflowError:
        raise _too_large(tree) from None


# To Python a truth value is a number; its type is another.
_NUMBERS = frozenset({int, float, Fraction})
_NUMERIC = (int, float, Fraction)
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _equal(a: Value, b: Value) -> bool:
    # To Python 1 is True; here a number is no truth value.
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _unary(tree: syntax.Unary, environment: Environment) -> Value:
    if tree.operator == "not":
        return not _truth(tree.operand, environment, "what `not` stands before")
    value = _number(tree.operand, evaluate(tree.operand, environment), "what has a sign")
    return -value if tree.operator == "-" else value


def _element(tree: syntax.Element, environment: Environment) -> Value:
    items = _listed(tree.items, environment)
    index = _index(tree.index, environment)
    if not -len(items) <= index < len(items):
        last = f"; the last is [{len(items) - 1}]" if items else ""
        message = f"a list of {len(items)} has no element [{index}]"
        raise _fails(tree.index, message, f"elements are counted from 0{last}")
    found: Value = items[index]
    return found


def _slice(tree: syntax.Slice, environment: Environment) -> Value:
    items = _listed(tree.items, environment)
    first = _index(tree.first, environment) if tree.first is not None else None
    last = _index(tree.last, environment) if tree.last is not None else None
    return _list(tree, items[first:last], environment)


def _listed(tree: Expression, environment: Environment) -> tuple[Any, ...]:
    items = evaluate(tree, environment)
    if not isinstance(items, tuple):
        raise _fails(tree, f"`[...]` takes an element of a list, not of {kind(items)}")
    return items


def _index(tree: Expression, environment: Environment) -> int:
    index = evaluate(tree, environment)
    if isinstance(index, bool) or not isinstance(index, int):
        raise _fails(tree, f"an index is a whole number, not {kind(index)}")
    return index


def _truth(tree: Expression, environment: Environment, what: str) -> bool:
    value = evaluate(tree, environment)
    if not isinstance(value, bool):
        help_ = "compare it: `x > 0`" if isinstance(value, _NUMERIC) else None
        raise _fails(tree, f"{what} must be true or false, not {kind(value)}", help_)
    return value


def _number(tree: Expression, value: Value, what: str, of: str = "") -> int | float:
    """The value, which must be a number; in messages it is `what` of the function or sign `of`."""
    if isinstance(value, bool) or not isinstance(value, _NUMERIC):
        what += f" `{of}`" if of else ""
        raise _fails(tree, f"{what} must be a number, not {kind(value)}")
    return value


def _bounded(tree: Expression, value: Any) -> Value:
    """The value, unless it is beyond what a spec may hold."""
    if isinstance(value, Fraction):
        if max(abs(value.numerator), value.denominator) > LARGEST:
            raise _too_large(tree)
        value = value.numerator if value.denominator == 1 else value
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise _too_large(tree)
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise _too_large(tree)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise _too_long(tree, f"a text of more than {MAX_TEXT:,} characters")
    result: Value = value
    return result


def _list(tree: Expression, items: tuple[Value, ...], environment: Environment) -> Value:
    environment.spend(elements(items))
    wrong = too_large(items)
    if wrong is not None:
        raise _too_long(tree, wrong)
    return items


def elements(items: tuple[Value, ...]) -> int:
    """How many elements a list has, with those of the lists in it, counted to `MAX_ITEMS` + 1.

    Lists of lists of one list grow with every level, while they take no memory themselves.
    """
    count = 0
    stack = [items]
    while stack and count <= MAX_ITEMS:
        part = stack.pop()
        count += len(part)
        stack.extend(item for item in part if isinstance(item, tuple))
    return min(count, MAX_ITEMS + 1)


def too_large(items: tuple[Value, ...]) -> str | None:
    """What a list is that no spec may hold, in the words of a message; None for any other."""
    if elements(items) > MAX_ITEMS:
        return f"a list of more than {MAX_ITEMS:,} elements"
    level, levels = [items], 0
    while level and levels <= MAX_LEVELS:
        level = [item for part in level for item in part if isinstance(item, tuple)]
        levels += 1
    return f"lists in lists, more than {MAX_LEVELS} deep" if levels > MAX_LEVELS else None


def _too_long(tree: Expression, what: str) -> ExpressionError:
    return ExpressionError("limit-exceeded", what, tree.start, tree.end, "shorten it")


def _too_large(tree: Expression) -> ExpressionError:
    return _fails(tree, "the result is larger than 64 bits hold")


def _fails(tree: Expression, message: str, help: str | None = None) -> ExpressionError:
    return ExpressionError("expression-fails", message, tree.start, tree.end, help)


def _call(tree: syntax.FunctionCall, environment: Environment) -> Value:
    if tree.name == "channels":
        return _channels(tree, environment)
    function = FUNCTIONS.get(tree.name)
    if function is None:
        known = [*FUNCTIONS, "channels"]
        raise ExpressionError(
            "invalid-expression",
            f"there is no function `{shortened(tree.name)}`",
            tree.start,
            tree.start + len(tree.name),
            did_you_mean(tree.name, known) or f"the functions are {listing(known)}",
        )
    least, most, apply = function
    count = len(tree.arguments)
    if not least <= count <= (most or count):
        wanted = str(least) if least == most else f"at least {least}"
        if most is not None and most > least:
            wanted = f"{least} to {most}"
        plural = "argument" if (most or least) == 1 else "arguments"
        raise _fails(tree, f"`{tree.name}` takes {wanted} {plural}, not {count}")
    values = [evaluate(argument, environment) for argument in tree.arguments]
    for value in values:
        if isinstance(value, tuple):
            environment.spend(elements(value))
    try:
        result = apply(tree, values)
        if isinstance(environment, Exact):
            result = _exactly(result)
        return (
            _list(tree, result, environment)
            if isinstance(result, tuple)
            else _bounded(tree, result)
        )
    except OverflowError:
        raise _too_large(tree) from None


def _exactly(value: Any) -> Any:
    """A number as the digits say that it is written with."""
    if isinstance(value, float):
        return Fraction(str(value))
    return tuple(_exactly(item) for item in value) if isinstance(value, tuple) else value


def _literal(tree: syntax.Literal, environment: Environment) -> Value:
    if isinstance(tree.value, float) and isinstance(environment, Exact):
        return _bounded(tree, _exactly(tree.value))
    return tree.value


def _channels(tree: syntax.FunctionCall, environment: Environment) -> int:
    if len(tree.arguments) != 1 or not isinstance(tree.arguments[0], syntax.Variable):
        raise ExpressionError(
            "invalid-expression",
            "`channels` takes the name of one layer",
            tree.start,
            tree.end,
            "write `channels(input)` or `channels(conv1)`",
        )
    name = tree.arguments[0]
    return environment.channels(name.name, name.start, name.end)


_Values = list[Value]


def _numbers(tree: syntax.FunctionCall, values: _Values) -> list[int | float]:
    """The arguments, or the elements of the one list among them, as numbers."""
    if len(values) == 1 and isinstance(values[0], tuple):
        return [_number(tree.arguments[0], item, "an element of the list") for item in values[0]]
    return [
        _number(argument, value, "an argument of", tree.name)
        for argument, value in zip(tree.arguments, values, strict=True)
    ]


def _single(function: Callable[[Any], Any]) -> Callable[[syntax.FunctionCall, _Values], Any]:
    def apply(tree: syntax.FunctionCall, values: _Values) -> Any:
        return function(_number(tree.arguments[0], values[0], "the argument of", tree.name))

    return apply


def _extreme(function: Callable[[Any], Any]) -> Callable[[syntax.FunctionCall, _Values], Any]:
    def apply(tree: syntax.FunctionCall, values: _Values) -> Any:
        numbers = _numbers(tree, values)
        if not numbers:
            raise _fails(tree, f"`{tree.name}` of an empty list")
        return function(numbers)

    return apply


def _sum(tree: syntax.FunctionCall, values: _Values) -> int | float:
    return sum(_numbers(tree, values))


def _length(tree: syntax.FunctionCall, values: _Values) -> int:
    if not isinstance(values[0], (tuple, str)):
        raise _fails(tree.arguments[0], f"`len` counts a list, not {kind(values[0])}")
    return len(values[0])


def _range(tree: syntax.FunctionCall, values: _Values) -> tuple[int, ...]:
    for argument, value in zip(tree.arguments, values, strict=True):
        if isinstance(value, bool) or not isinstance(value, int):
            raise _fails(argument, f"`range` takes whole numbers, not {kind(value)}")
    numbers = range(*values)  # type: ignore[arg-type]
    if len(numbers) > MAX_ITEMS:
        raise _too_long(tree, f"a list of more than {MAX_ITEMS:,} elements")
    return tuple(numbers)


def round_to(value: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `value`, half up, and never 10 % below it.

    The channel rounding of the MobileNet papers, as their authors' code computes it: at least
    one multiple, and the next one where rounding down would take more than a tenth away.
    """
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


def _sqrt(tree: syntax.FunctionCall, values: _Values) -> float:
    value = _number(tree.arguments[0], values[0], "the argument of", tree.name)
    if value < 0:
        raise _fails(tree.arguments[0], f"`sqrt` takes no negative number: {kind(value)}")
    return math.sqrt(value)


def _round_to(tree: syntax.FunctionCall, values: _Values) -> int:
    value = _number(tree.arguments[0], values[0], "what `round_to` rounds")
    divisor = values[1]
    if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
        message = f"`round_to` rounds to multiples of a whole number above 0, not {kind(divisor)}"
        raise _fails(tree.arguments[1], message)
    if value < 0:
        raise _fails(tree.arguments[0], f"`round_to` rounds no negative number: {kind(value)}")
    return round_to(value, divisor)


_Function = tuple[int, int | None, Callable[[syntax.FunctionCall, _Values], Any]]

# Each function with the fewest and the most arguments it takes.
FUNCTIONS: dict[str, _Function] = {
    "min": (1, None, _extreme(min)),
    "max": (1, None, _extreme(max)),
    "sum": (1, None, _sum),
    "round": (1, 1, _single(round)),
    "ceil": (1, 1, _single(math.ceil)),
    "floor": (1, 1, _single(math.floor)),
    "abs": (1, 1, _single(abs)),
    "sqrt": (1, 1, _sqrt),
    "len": (1, 1, _length),
    "range": (1, 2, _range),
    "round_to": (2, 2, _round_to),
}


_EVALUATED: dict[type[Expression], Callable[[Any, Environment], Value]] = {
    syntax.Literal: _literal,
    syntax.Variable: lambda tree, environment: environment.variable(
        tree.name, tree.start, tree.end
    ),
    syntax.Items: lambda tree, environment: _list(
        tree, tuple([evaluate(item, environment) for item in tree.items]), environment
    ),
    syntax.Unary: _unary,
    syntax.Binary: _binary,
    syntax.Choice: _choice,
    syntax.Element: _element,
    syntax.Slice: _slice,
    syntax.FunctionCall: _call,
}

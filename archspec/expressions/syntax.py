"""From the text of an expression to its tree: a tokenizer and a precedence-climbing parser.

expression  = choice
choice      = either [ "if" either "else" choice ]
either      = both { "or" both }
both        = negation { "and" negation }
negation    = "not" negation | comparison
comparison  = sum [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in" ) sum ]
sum         = product { ( "+" | "-" ) product }
product     = signed { ( "*" | "/" | "//" | "%" ) signed }
signed      = ( "-" | "+" ) signed | indexed
indexed     = atom { "[" ( expression | [ expression ] ":" [ expression ] ) "]" }
atom        = number | text | "true" | "false" | list | name [ "(" arguments ")" ]
            | "(" expression ")"
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MAX_LENGTH = 1000
# Both keep the parser and the evaluation, which call themselves, far from Python's own limit.
MAX_NESTING = 20
MAX_TOKENS = 300
MAX_DIGITS = 40
LARGEST = 2**63 - 1

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<sign>//|==|!=|<=|>=|[-+*/%<>()\[\],:])"
)
_SPACE = re.compile(r"[ \t\r\n]*")
# Words with a meaning of their own; the other names are variables and functions.
WORDS = frozenset({"and", "or", "not", "in", "if", "else", "true", "false"})
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in")


class ExpressionError(Exception):
    """What is wrong with an expression, and the characters of its text that it is about.

    `rule` names the diagnostic.
    """

    def __init__(
        self, rule: str, message: str, start: int, end: int, help: str | None = None
    ) -> None:
        self.rule = rule
        self.message = message
        self.start = start
        self.end = end
        self.help = help
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Expression:
    """A part of an expression; `start` and `end` are its characters in the text."""

    start: int
    end: int

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        return ()

    @property
    def steps(self) -> int:
        """How many expressions there are in it, itself included."""
        count, stack = 0, [self]
        while stack:
            count += 1
            stack.extend(stack.pop().parts)
        return count

    @property
    def depth(self) -> int:
        """How many expressions stand in one another."""
        level: tuple[Expression, ...] = (self,)
        depth = 0
        while level:
            depth += 1
            level = tuple([part for expression in level for part in expression.parts])
        return depth


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """A number, a text or a truth value."""

    value: int | float | bool | str


@dataclass(frozen=True, slots=True)
class Variable(Expression):
    """The value of a variable, a parameter or a loop's name."""

    name: str


@dataclass(frozen=True, slots=True)
class Items(Expression):
    """A list: [a, b]."""

    items: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        return self.items


@dataclass(frozen=True, slots=True)
class Unary(Expression):
    """-a, +a, not a."""

    operator: str
    operand: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        return (self.operand,)


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """a + b and the like; `and` and `or` look at the right side only where it matters."""

    operator: str
    left: Expression
    right: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        return (self.left, self.right)


@dataclass(frozen=True, slots=True)
class Choice(Expression):
    """value if condition else other."""

    condition: Expression
    value: Expression
    other: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        return (self.condition, self.value, self.other)


@dataclass(frozen=True, slots=True)
class Element(Expression):
    """list[index]."""

    items: Expression
    index: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        return (self.items, self.index)


@dataclass(frozen=True, slots=True)
class Slice(Expression):
    """list[first:end]; without `first` from the start, without `end` to the end."""

    items: Expression
    first: Expression | None
    last: Expression | None

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        bounds = (self.first, self.last)
        return (self.items, *(bound for bound in bounds if bound is not None))


@dataclass(frozen=True, slots=True)
class FunctionCall(Expression):
    """name(arguments)."""

    name: str
    arguments: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""
        return self.arguments


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse(text: str, begin: int) -> tuple[Expression, int]:
    """The expression that begins at `begin`, behind `$(`, and the index behind its `)`.

    Raises ExpressionError.
    """
    parser = _Parser(text, begin)
    tree = parser.expression()
    if parser.next.text != ")":
        raise parser.unexpected("`)`")
    return tree, parser.next.end


class _Parser:
    """Reads one expression from left to right, one token ahead."""

    def __init__(self, text: str, begin: int) -> None:
        self.text = text
        self.begin = begin
        self.depth = 0
        self.tokens = 0
        self.next = self._token(begin)

    def expression(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExpressionError(
                "limit-exceeded",
                f"an expression is nested more than {MAX_NESTING} deep",
                self.next.start,
                self.next.end,
                "split it: a variable may be an expression of others",
            )
        value = self.either()
        if self.take("if"):
            condition = self.either()
            self.expect("else")
            other = self.expression()
            value = Choice(value.start, other.end, condition, value, other)
        self.depth -= 1
        return value

    def either(self) -> Expression:
        left = self.both()
        while self.take("or"):
            right = self.both()
            left = Binary(left.start, right.end, "or", left, right)
        return left

    def both(self) -> Expression:
        left = self.negation()
        while self.take("and"):
            right = self.negation()
            left = Binary(left.start, right.end, "and", left, right)
        return left

    def negation(self) -> Expression:
        starts = []
        while self.next.text == "not":
            starts.append(self.advance().start)
        value = self.comparison()
        for start in reversed(starts):
            value = Unary(start, value.end, "not", value)
        return value

    def comparison(self) -> Expression:
        left = self.sum()
        operator = self.next.text if self.next.kind != "text" else ""
        if operator == "not":
            self.advance()
            self.expect("in")
            right = self.sum()
            inside = Binary(left.start, right.end, "in", left, right)
            return Unary(left.start, right.end, "not", inside)
        if operator not in _COMPARISONS:
            return left
        self.advance()
        right = self.sum()
        if self.next.text in _COMPARISONS and self.next.kind != "text":
            raise ExpressionError(
                "invalid-expression",
                "comparisons cannot be chained",
                self.next.start,
                self.next.end,
                "join two with `and`: `a < b and b < c`",
            )
        return Binary(left.start, right.end, operator, left, right)

    def sum(self) -> Expression:
        left = self.product()
        while self.next.text in ("+", "-") and self.next.kind == "sign":
            operator = self.advance().text
            right = self.product()
            left = Binary(left.start, right.end, operator, left, right)
        return left

    def product(self) -> Expression:
        left = self.signed()
        while self.next.text in ("*", "/", "//", "%") and self.next.kind == "sign":
            operator = self.advance().text
            right = self.signed()
            left = Binary(left.start, right.end, operator, left, right)
        return left

    def signed(self) -> Expression:
        signs = []
        while self.next.text in ("+", "-") and self.next.kind == "sign":
            signs.append(self.advance())
        value = self.indexed()
        for sign in reversed(signs):
            value = Unary(sign.start, value.end, sign.text, value)
        return value

    def indexed(self) -> Expression:
        value = self.atom()
        while self.take("["):
            value = self.elements(value)
        return value

    def elements(self, items: Expression) -> Expression:
        """The element or the slice that is taken of `items`, behind the bracket."""
        first = self.expression() if self.next.text != ":" else None
        if first is not None and self.next.text != ":":
            return Element(items.start, self.expect("]").end, items, first)
        self.expect(":")
        last = self.expression() if self.next.text != "]" else None
        return Slice(items.start, self.expect("]").end, items, first, last)

    def atom(self) -> Expression:
        token = self.next
        if token.kind == "number":
            self.advance()
            return Literal(token.start, token.end, _number(token))
        if token.kind == "text":
            self.advance()
            return Literal(token.start, token.end, token.text[1:-1])
        if token.kind == "name" and token.text in ("true", "false"):
            self.advance()
            return Literal(token.start, token.end, token.text == "true")
        if token.kind == "name" and token.text not in WORDS:
            self.advance()
            if not self.take("("):
                return Variable(token.start, token.end, token.text)
            arguments, end = self.listed(")")
            return FunctionCall(token.start, end, token.text, arguments)
        if self.take("("):
            value = self.expression()
            self.expect(")")
            return value
        if self.take("["):
            items, end = self.listed("]")
            return Items(token.start, end, items)
        raise self.unexpected("a value")

    def listed(self, close: str) -> tuple[tuple[Expression, ...], int]:
        """What stands between commas up to `close`, and where that ends."""
        found: list[Expression] = []
        while self.next.text != close or self.next.kind == "text":
            found.append(self.expression())
            if not self.take(","):
                break
        return tuple(found), self.expect(close).end

    def take(self, text: str) -> bool:
        """Go on behind `text` if it is next."""
        if self.next.text != text or self.next.kind == "text":
            return False
        self.advance()
        return True

    def expect(self, text: str) -> _Token:
        if self.next.text != text or self.next.kind == "text":
            raise self.unexpected(f"`{text}`")
        return self.advance()

    def advance(self) -> _Token:
        token = self.next
        self.next = self._token(token.end)
        return token

    def unexpected(self, wanted: str) -> ExpressionError:
        found = self.next
        if found.kind == "end":
            # What YAML cut off: a comma or a bracket ends an unquoted value between braces.
            return ExpressionError(
                "invalid-expression",
                f"the expression ends where {wanted} is expected",
                found.start,
                found.end,
                'close it with `)`; between braces, quote one that has commas: "$(max(a, b))"',
            )
        help_ = None
        if found.text == "=":
            help_ = "equality is `==`"
        return ExpressionError(
            "invalid-expression",
            f"{wanted} is expected, not `{found.text}`",
            found.start,
            found.end,
            help_,
        )

    def _token(self, index: int) -> _Token:
        match = _SPACE.match(self.text, index)
        index = match.end() if match else index
        self.tokens += 1
        if index - self.begin > MAX_LENGTH or self.tokens > MAX_TOKENS:
            raise ExpressionError(
                "limit-exceeded",
                f"an expression is longer than {MAX_LENGTH:,} characters or {MAX_TOKENS} words",
                self.begin,
                self.begin + 1,
                "split it: a variable may be an expression of others",
            )
        if index >= len(self.text):
            return _Token("end", "", len(self.text), len(self.text) + 1)
        token = _TOKEN.match(self.text, index)
        if token is not None:
            return _Token(token.lastgroup or "", token[0], index, token.end())
        char = self.text[index]
        help_ = {
            "$": "inside `$(...)` a variable stands without `$`",
            "=": "equality is `==`",
            "!": "write `not a`, or `a != b`",
            "&": "write `and`",
            "|": "write `or`",
            "?": "a choice is `a if condition else b`",
            "'": "the text is not closed",
            '"': "the text is not closed",
        }.get(char)
        shown = char if char.isprintable() else "?"
        raise ExpressionError(
            "invalid-expression", f"`{shown}` means nothing here", index, index + 1, help_
        )


def _number(token: _Token) -> int | float:
    if len(token.text) > MAX_DIGITS:
        raise ExpressionError(
            "limit-exceeded",
            f"a number of {len(token.text):,} characters; at most {MAX_DIGITS} are read",
            token.start,
            token.end,
            "shorten it",
        )
    number = int(token.text) if token.text.isdigit() else float(token.text)
    if abs(number) > LARGEST and (isinstance(number, int) or math.isinf(number)):
        message = f"`{token.text}` is larger than 64 bits hold"
        raise ExpressionError("limit-exceeded", message, token.start, token.end)
    return number

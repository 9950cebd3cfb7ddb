"""A text of a spec with what is filled into it: `$name`, `$(...)`, or text around `$(...)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from archspec.expressions.evaluation import (
    MAX_TEXT,
    Environment,
    Value,
    evaluate,
    kind,
    written,
)
from archspec.expressions.syntax import Expression, ExpressionError, Variable, parse

_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_ESCAPED_REFERENCE = re.compile(r"\$(\$+[A-Za-z_][A-Za-z0-9_]*)")
_OPEN = "$("
_ESCAPED = "$$("


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of a text; a single expression keeps the type of its value.

    It takes about `steps` steps to fill in, and its expressions are nested `depth` deep.
    """

    parts: tuple[str | Expression, ...]
    steps: int = 0
    depth: int = 0

    def fill(self, environment: Environment) -> Value:
        """The value. Raises ExpressionError, or Unusable."""
        first = self.parts[0]
        if len(self.parts) == 1 and isinstance(first, Expression):
            return evaluate(first, environment)
        texts: list[str] = []
        filled = 0
        for part in self.parts:
            text = part if isinstance(part, str) else _text(part, environment)
            texts.append(text)
            filled += 0 if isinstance(part, str) else len(text)
            # Texts in texts grow with every level, however short each is.
            if filled > MAX_TEXT and not isinstance(part, str):
                message = f"more than {MAX_TEXT:,} characters are filled into a text"
                raise ExpressionError("limit-exceeded", message, part.start, part.end, "shorten it")
        return "".join(texts)

    @property
    def names(self) -> frozenset[str]:
        """The variables that it asks for; a layer whose channels it asks for counts as one."""
        stack = [part for part in self.parts if isinstance(part, Expression)]
        found = set()
        while stack:
            part = stack.pop()
            stack.extend(part.parts)
            if isinstance(part, Variable):
                found.add(part.name)
        return frozenset(found)


def variable_in(text: str) -> str | None:
    """The name of the variable that a text stands for, None where it is any other text."""
    reference = _REFERENCE.fullmatch(text)
    return reference[1] if reference is not None else None


@lru_cache(maxsize=4096)
def template(text: str) -> Template | None:
    """What is to be filled into a text, None where it is only text.

    Raises ExpressionError where an expression in it cannot be read. `$$(` is a text's own `$(`,
    and `$$name` its own `$name`.
    """
    reference = _REFERENCE.fullmatch(text)
    if reference is not None:
        return Template((Variable(0, len(text), reference[1]),), steps=1, depth=1)
    escaped = _ESCAPED_REFERENCE.fullmatch(text)
    if escaped is not None:
        return Template((escaped[1],))
    if _OPEN not in text:
        return None
    parts: list[str | Expression] = []
    index = 0
    while (found := text.find(_OPEN, index)) >= 0:
        if found > 0 and text.startswith(_ESCAPED, found - 1) and found > index:
            parts.append(text[index : found - 1] + _OPEN)
            index = found + len(_OPEN)
            continue
        if found > index:
            parts.append(text[index:found])
        tree, index = parse(text, found + len(_OPEN))
        parts.append(tree)
    if index < len(text):
        parts.append(text[index:])
    expressions = [part for part in parts if isinstance(part, Expression)]
    steps = sum(expression.steps for expression in expressions)
    depth = max((expression.depth for expression in expressions), default=0)
    return Template(tuple(parts), len(text) // 10 + steps, depth)


def _text(part: Expression, environment: Environment) -> str:
    value = evaluate(part, environment)
    if isinstance(value, tuple):
        raise ExpressionError(
            "expression-fails", f"{kind(value)} cannot stand in a text", part.start, part.end
        )
    return written(value)

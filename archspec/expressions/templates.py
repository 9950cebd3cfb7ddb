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
    """The parts of a text; a single expression keeps the type of its value."""

    parts: tuple[str | Expression, ...]

    def fill(self, environment: Environment) -> Value:
        """The value. Raises ExpressionError, or Unusable."""
        first = self.parts[0]
        if len(self.parts) == 1 and isinstance(first, Expression):
            return evaluate(first, environment)
        return "".join(
            part if isinstance(part, str) else _text(part, environment) for part in self.parts
        )


@lru_cache(maxsize=4096)
def template(text: str) -> Template | None:
    """What is to be filled into a text, None where it is only text.

    Raises ExpressionError where an expression in it cannot be read. `$$(` is a text's own `$(`,
    and `$$name` its own `$name`.
    """
    reference = _REFERENCE.fullmatch(text)
    if reference is not None:
        return Template((Variable(0, len(text), reference[1]),))
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
    return Template(tuple(parts))


def _text(part: Expression, environment: Environment) -> str:
    value = evaluate(part, environment)
    if isinstance(value, tuple):
        raise ExpressionError(
            "expression-fails", f"{kind(value)} cannot stand in a text", part.start, part.end
        )
    text = written(value)
    if len(text) > MAX_TEXT:  # texts in texts grow with every level
        raise ExpressionError(
            "limit-exceeded",
            f"a text of more than {MAX_TEXT:,} characters cannot stand in another",
            part.start,
            part.end,
            "shorten it",
        )
    return text

"""Expressions: `$name` and `$(...)` in the values of a spec.

A small language of its own, read by a parser of its own: a spec is untrusted, so nothing of it
is ever given to Python's `eval`. Every number stays within 64 bits, every list within
`MAX_ITEMS`, and every error points at the characters that it is about.
"""

from archspec.expressions.evaluation import (
    FUNCTIONS,
    MAX_ITEMS,
    MAX_LEVELS,
    Environment,
    Unusable,
    Value,
    arithmetic,
    elements,
    too_large,
    written,
)
from archspec.expressions.syntax import MAX_LENGTH, WORDS, ExpressionError
from archspec.expressions.templates import Template, template, variable_in

__all__ = [
    "FUNCTIONS",
    "MAX_ITEMS",
    "MAX_LENGTH",
    "MAX_LEVELS",
    "WORDS",
    "Environment",
    "ExpressionError",
    "Template",
    "Unusable",
    "Value",
    "arithmetic",
    "elements",
    "template",
    "too_large",
    "variable_in",
    "written",
]

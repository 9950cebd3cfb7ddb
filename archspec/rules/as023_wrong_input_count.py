"""A layer reads more or fewer layers than its type can."""

from archspec.rules.base import Rule

RULE = Rule("AS023", "wrong-input-count", "error")

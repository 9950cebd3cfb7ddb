"""A key that the language does not know."""

from archspec.rules.base import Rule

RULE = Rule("AS010", "unknown-key", "error")

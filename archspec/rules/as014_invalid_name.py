"""A name that is not an identifier, or that has a meaning of its own."""

from archspec.rules.base import Rule

RULE = Rule("AS014", "invalid-name", "error")

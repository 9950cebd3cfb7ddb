"""A mapping gives one key twice."""

from archspec.rules.base import Rule

RULE = Rule("AS004", "duplicate-key", "error")

"""A key that is needed is not there."""

from archspec.rules.base import Rule

RULE = Rule("AS011", "missing-key", "error")

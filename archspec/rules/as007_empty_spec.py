"""The file holds no spec."""

from archspec.rules.base import Rule

RULE = Rule("AS007", "empty-spec", "error")

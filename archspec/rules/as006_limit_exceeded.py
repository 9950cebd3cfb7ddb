"""The spec is larger, deeper or longer than archspec reads."""

from archspec.rules.base import Rule

RULE = Rule("AS006", "limit-exceeded", "error")

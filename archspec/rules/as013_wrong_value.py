"""A value has the right type and cannot be used."""

from archspec.rules.base import Rule

RULE = Rule("AS013", "wrong-value", "error")

"""Layers read one another in a circle."""

from archspec.rules.base import Rule

RULE = Rule("AS024", "cycle", "error")

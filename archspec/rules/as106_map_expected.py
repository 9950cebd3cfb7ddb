"""A layer that works on maps reads a vector."""

from archspec.rules.base import Rule

RULE = Rule("AS106", "map-expected", "error")

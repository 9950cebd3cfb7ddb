"""A value has the wrong type: text where a number is needed, and the like."""

from archspec.rules.base import Rule

RULE = Rule("AS012", "wrong-type", "error")

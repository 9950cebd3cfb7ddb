"""A normalisation window of an even number of channels has no centre."""

from archspec.rules.base import Rule

RULE = Rule("AS109", "even-window", "error")

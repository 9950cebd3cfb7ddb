"""A layer has a type that does not exist."""

from archspec.rules.base import Rule

RULE = Rule("AS020", "unknown-layer-type", "error")

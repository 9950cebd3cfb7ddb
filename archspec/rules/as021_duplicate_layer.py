"""Two layers have one name."""

from archspec.rules.base import Rule

RULE = Rule("AS021", "duplicate-layer", "error")

"""A YAML tag or a merge key stands in the spec."""

from archspec.rules.base import Rule

RULE = Rule("AS005", "yaml-tag", "error")

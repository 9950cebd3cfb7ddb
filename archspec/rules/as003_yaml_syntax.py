"""The text is not valid YAML."""

from archspec.rules.base import Rule

RULE = Rule("AS003", "yaml-syntax", "error")

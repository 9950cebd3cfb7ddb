"""The file is not UTF-8 text, or holds characters that YAML does not allow."""

from archspec.rules.base import Rule

RULE = Rule("AS002", "not-text", "error")

"""The spec file cannot be read: it is missing, a directory, or not permitted."""

from archspec.rules.base import Rule

RULE = Rule("AS001", "unreadable-file", "error")

"""A layer reads, or a claim is about, something that is no layer."""

from archspec.rules.base import Rule

RULE = Rule("AS022", "unknown-input", "error")

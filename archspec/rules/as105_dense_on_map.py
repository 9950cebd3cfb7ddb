"""A dense layer reads a map that was not flattened."""

from archspec.rules.base import Rule

RULE = Rule("AS105", "dense-on-map", "error")

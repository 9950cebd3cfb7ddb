"""A kernel or pooling window is larger than its padded input."""

from archspec.rules.base import Rule

RULE = Rule("AS102", "window-larger-than-input", "error")

"""A split asks for channels that its input does not have."""

from archspec.rules.base import Rule

RULE = Rule("AS107", "channels-out-of-range", "error")

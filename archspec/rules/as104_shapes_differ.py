"""Branches of different shapes are joined."""

from archspec.rules.base import Rule

RULE = Rule("AS104", "shapes-differ", "error")

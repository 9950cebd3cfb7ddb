"""Channels cannot be divided into the given number of groups."""

from archspec.rules.base import Rule

RULE = Rule("AS103", "groups-do-not-divide", "error")

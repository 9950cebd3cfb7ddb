"""The padding of a pool is so wide that a window would hold nothing else."""

from archspec.rules.base import Rule

RULE = Rule("AS108", "padding-covers-window", "error")

"""`$name` or `--set name=value` names a variable that is not declared."""

from archspec.rules.base import Rule

RULE = Rule("AS015", "unknown-variable", "error")

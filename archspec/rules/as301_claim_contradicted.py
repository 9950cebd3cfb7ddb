"""A stated figure is not what the network has."""

from archspec.rules.base import Rule

RULE = Rule("AS301", "claim-contradicted", "warning")

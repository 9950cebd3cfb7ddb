"""Nothing reads a layer, and it is not the network's output."""

from archspec.rules.base import Rule

RULE = Rule("AS025", "unused-layer", "error")

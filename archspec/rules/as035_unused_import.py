"""A file is imported and none of its blocks is used.

It has to lie beside the spec all the same, and is read and checked. The blocks of `imports:
{mobile: blocks.yaml}` are used as `block: mobile.unit`."""

from archspec.rules.base import Rule

RULE = Rule("AS035", "unused-import", "warning")

"""The spec file cannot be read: it is missing, a directory, a pipe, or not permitted.

archspec reads a spec from one regular file, or takes the name of a spec that it ships
(`archspec specs` lists them). A pipe or a device is refused because reading it may never end.
When the last part of a path that does not exist is the name of a shipped spec, the message says
so: write `archspec analyze alexnet`, not `archspec analyze models/alexnet.yaml`.
"""

from archspec.rules.base import Rule

RULE = Rule("AS001", "unreadable-file", "error")

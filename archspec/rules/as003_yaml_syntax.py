"""The text is not valid YAML.

A bracket or a quote is not closed, keys of one mapping are indented differently, or a text that
contains `: ` or begins with a special character is not quoted. Nothing behind such a place can
be understood, so it is the last problem that is reported: repair it and run again. Also refused,
although YAML has them: a second document in the file, a list or mapping as a key, and an alias
that stands inside its own anchor.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: relu1, type: relu

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: relu1, type: relu}

References:

    YAML 1.2.2 (https://yaml.org/spec/1.2.2/)
"""

from archspec.rules.base import Rule

RULE = Rule("AS003", "yaml-syntax", "error")

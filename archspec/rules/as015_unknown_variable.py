"""`$name` or `--set name=value` names a variable that is not declared.

Every variable is declared with a value under `variables:` at the top of the spec, so a spec is
complete by itself and `--set` only changes what is there. A variable stands for a whole value:
`units: $classes` is one, `units: 2*$classes` is a text.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc, type: dense, units: $clases}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc, type: dense, units: $classes}
"""

from archspec.rules.base import Rule

RULE = Rule("AS015", "unknown-variable", "error")

"""Something is defined by itself: a variable, a block, a spec that extends itself.

Variables may be expressions of other variables in any order, blocks may use other blocks, and
specs may extend and import others; following them must come to an end. A block that should
stand several times behind itself is repeated with `repeat`.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: $(depth * 2), depth: $(width // 2)}
    layers:
      - {name: conv, type: conv2d, filters: $width, kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: $(depth * 2), depth: 8}
    layers:
      - {name: conv, type: conv2d, filters: $width, kernel_size: 3}
"""

from archspec.rules.base import Rule

RULE = Rule("AS018", "circular-reference", "error")

"""An expression can be read, and has no value.

Operators and functions take what they can work with: arithmetic takes numbers, `and` and a
choice take `true` or `false`, `[0]` takes an element of a list that is long enough. Nothing is
converted behind the author's back: `true` is no number, and `/` gives a number with a fraction
also where it divides evenly (`//` gives a whole number). Results stay within 64 bits.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: 16, towers: 0}
    layers:
      - {name: conv, type: conv2d, filters: $(width // towers), kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: 16, towers: 2}
    layers:
      - {name: conv, type: conv2d, filters: $(width // towers), kernel_size: 3}
"""

from archspec.rules.base import Rule

RULE = Rule("AS017", "expression-fails", "error")

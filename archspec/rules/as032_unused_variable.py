"""A variable is declared and nothing asks for it.

`--set` on it then changes nothing, and its readers think that it does. Often a number is still
written out where `$name` was meant. Variables of a spec that this one extends are not looked at:
they may be there for other variants.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: 64}
    layers:
      - {name: conv1, type: conv2d, filters: 64, kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: 64}
    layers:
      - {name: conv1, type: conv2d, filters: $width, kernel_size: 3}
"""

from archspec.rules.base import Rule

RULE = Rule("AS032", "unused-variable", "warning")

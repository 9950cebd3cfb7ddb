"""A mapping gives one key twice.

YAML forbids it, yet most YAML readers say nothing and keep the last value. In a long layer list
that hides real mistakes: a layer that was copied and edited has the stride that stands further
right, and nobody sees the one that was lost. archspec goes on with the first value to look for
other problems, and reports each repetition with the line of the first.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, stride: 1, padding: 1, stride: 2}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, stride: 1, padding: 1}

References:

    YAML 1.2.2, section 3.2.1.3: keys are unique (https://yaml.org/spec/1.2.2/)
"""

from archspec.rules.base import Rule

RULE = Rule("AS004", "duplicate-key", "error")

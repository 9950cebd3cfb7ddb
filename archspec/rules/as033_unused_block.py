"""A block is defined and no layer uses it.

Its layers are not part of the network, although they stand in the file. It is left over, or the
name of another block stands where this one was meant. Where an expression gives the name of a
block, any may be meant, and nothing is reported.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    blocks:
      unit:
        layers:
          - {name: conv, type: conv2d, filters: 8, kernel_size: 3}
          - {name: relu, type: relu}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    blocks:
      unit:
        layers:
          - {name: conv, type: conv2d, filters: 8, kernel_size: 3}
          - {name: relu, type: relu}
    layers:
      - {name: conv1, block: unit}
"""

from archspec.rules.base import Rule

RULE = Rule("AS033", "unused-block", "warning")

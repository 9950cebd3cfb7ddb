"""A block does nothing with one of its parameters.

Whatever is given for it where the block is used, the layers are the same. Usually one of them has a
number where the parameter was meant.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    blocks:
      unit:
        parameters: {filters, stride: 1}
        layers:
          - {name: conv, type: conv2d, filters: $filters, kernel_size: 3, padding: 1}
          - {name: relu, type: relu}
    layers:
      - {name: conv1, block: unit, filters: 8}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    blocks:
      unit:
        parameters: {filters, stride: 1}
        layers:
          - {name: conv, type: conv2d, filters: $filters, kernel_size: 3, padding: 1,
             stride: $stride}
          - {name: relu, type: relu}
    layers:
      - {name: conv1, block: unit, filters: 8}
"""

from archspec.rules.base import Rule

RULE = Rule("AS034", "unused-parameter", "warning")

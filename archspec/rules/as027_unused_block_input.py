"""A block never reads one of its inputs.

The first layer of a block reads the block's input unless its `inputs` name something else;
others read it as `input`, or by the names that the block's own `inputs` give. A block that
reads nothing of what stands before it cuts the network in two.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    blocks:
      residual:
        inputs: [left, right]
        layers:
          - {name: conv, type: conv2d, filters: 3, kernel_size: 1, inputs: [left]}
          - {name: add, type: add, inputs: [conv, left]}
    layers:
      - {name: relu, type: relu}
      - {name: unit, block: residual, inputs: [relu, input]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    blocks:
      residual:
        inputs: [left, right]
        layers:
          - {name: conv, type: conv2d, filters: 3, kernel_size: 1, inputs: [left]}
          - {name: add, type: add, inputs: [conv, right]}
    layers:
      - {name: relu, type: relu}
      - {name: unit, block: residual, inputs: [relu, input]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS027", "unused-block-input", "error")

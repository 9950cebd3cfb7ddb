"""A layer reads more or fewer layers than its type can.

`add`, `multiply` and `concat` join two or more layers, which `inputs:` must name: without it a
layer reads the one before it alone. All other layers read exactly one. Networks drawn with two
arrows into a convolution, such as the third layer of AlexNet that sees both towers, concatenate
first, or never had two branches and use `groups`.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1}
      - {name: sum, type: add}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1}
      - {name: sum, type: add, inputs: [conv1, input]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS023", "wrong-input-count", "error")

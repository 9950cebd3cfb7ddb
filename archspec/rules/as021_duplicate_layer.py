"""Two layers have one name.

A name says which layer is read by another, whose weights a checkpoint holds, and what a claim is
about; with two layers of one name none of these has an answer. Layers without weights need names
of their own as well: `relu1`, `relu2`, and so on.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu, type: relu}
      - {name: conv2, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu1, type: relu}
      - {name: conv2, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu2, type: relu}
"""

from archspec.rules.base import Rule

RULE = Rule("AS021", "duplicate-layer", "error")

"""Nothing reads a layer, and it is not the network's output.

The output of a network is its last layer; outputs in training alone are listed in `auxiliary`. A
layer that no other reads would be computed, would count in every total and would never be trained,
because no gradient reaches it. Usually a join lacks one of its branches, or an `inputs:` jumps over
the layer.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1}
      - {name: shortcut, type: conv2d, filters: 3, kernel_size: 1, inputs: [input]}
      - {name: sum, type: add, inputs: [conv1, input]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1}
      - {name: shortcut, type: conv2d, filters: 3, kernel_size: 1, inputs: [input]}
      - {name: sum, type: add, inputs: [conv1, shortcut]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS025", "unused-layer", "error")

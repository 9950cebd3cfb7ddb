"""Branches of different shapes are joined.

`add` needs equal shapes, `concat` equal heights and widths, `multiply` equal shapes or
(channels, 1, 1) to scale channels. Frameworks that broadcast may accept a shape by accident and
compute something else, so nothing else is stretched here. A shortcut around a block that changes
the number of channels or the size of the map needs a 1 x 1 convolution with the block's stride.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, padding: 1}
      - {name: sum, type: add, inputs: [conv1, input]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, padding: 1}
      - {name: shortcut, type: conv2d, filters: 8, kernel_size: 1, inputs: [input]}
      - {name: sum, type: add, inputs: [conv1, shortcut]}

References:

    He et al. (2015): Deep residual learning, section 3.3 (https://arxiv.org/abs/1512.03385)
"""

from archspec.rules.base import Rule

RULE = Rule("AS104", "shapes-differ", "error")

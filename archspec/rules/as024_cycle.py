"""Layers read one another in a circle.

A network is computed once, in one direction, so no layer can need its own output. The usual cause
is a name in `inputs:` that was meant to be an earlier layer; the message points at the first
input that names a layer further down and lists the whole circle. A shortcut around a block begins
before the block: it reads the layer that the block reads.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1, inputs: [sum]}
      - {name: sum, type: add, inputs: [conv1, input]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1, inputs: [input]}
      - {name: sum, type: add, inputs: [conv1, input]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS024", "cycle", "error")

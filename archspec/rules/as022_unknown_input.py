"""A layer reads, or a claim is about, something that is no layer.

`inputs:` names layers of the same spec, before or after the layer itself, or `input`, the image.
A claim is about a layer, about `input`, or about `network`, which is the whole. Names are
compared letter by letter: `Conv1` is not `conv1`.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1}
      - {name: sum, type: add, inputs: [conv_1, input]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 3, kernel_size: 3, padding: 1}
      - {name: sum, type: add, inputs: [conv1, input]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS022", "unknown-input", "error")

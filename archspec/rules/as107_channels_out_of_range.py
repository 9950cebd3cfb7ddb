"""A split asks for channels that its input does not have.

`channels: [first, end]` counts from 0 and leaves out its end, like a slice in Python: the halves of
96 channels are [0, 48] and [48, 96]. Slices of Python and tensors are cut short in silence when
they reach too far, and the layer behind then has fewer channels than the author believes.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: red, type: split, channels: [1, 4]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: red, type: split, channels: [0, 1]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS107", "channels-out-of-range", "error")

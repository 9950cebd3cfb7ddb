"""A layer that works on maps reads a vector.

Convolutions, pools, zero padding and local response normalisation need channels, height and
width. Behind `flatten`, `dense` or a global average pool there is only a vector. Move the layer
before that one; a global average pool with `keep_dims: true` gives (channels, 1, 1) instead.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: flatten, type: flatten}
      - {name: pool, type: max_pool2d, kernel_size: 2}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool, type: max_pool2d, kernel_size: 2}
      - {name: flatten, type: flatten}
"""

from archspec.rules.base import Rule

RULE = Rule("AS106", "map-expected", "error")

"""The file holds no spec.

It is empty or holds nothing but comments. The smallest spec has four keys: the version of the
language, the network's name, the shape of one input image, and a list with at least one layer.

Example:

    # my network

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
"""

from archspec.rules.base import Rule

RULE = Rule("AS007", "empty-spec", "error")

"""Two sources state different figures, and the network has that of one of them.

A claim fails where another claim about the same quantity holds: the spec agrees with one source
against the other. Either the sources describe two networks (a paper and its reimplementation), or
they count differently; then give each the quantity that it means. Where the figure that fails is
a known confusion, the code of that one is reported.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, shape: [96, 55, 55], source: the author's code}
      - {about: conv1, shape: [96, 54, 54], source: a blog post}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, shape: [96, 55, 55], source: the author's code}
"""

from archspec.rules.base import Rule

RULE = Rule("AS322", "claims-disagree", "warning")

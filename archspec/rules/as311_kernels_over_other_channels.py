"""Kernels are stated that see another number of channels.

A kernel is as deep as the map it reads, divided by the layer's groups. A count with another depth
was made for another layer (copied, and the channels not changed), or forgets the groups: in the
paper's network each kernel of conv2 sees 48 of the 96 channels, and most reimplementations give
it all 96.

Example:

    archspec: 1
    name: example
    input: {channels: 96, height: 27, width: 27}
    layers:
      - {name: relu1, type: relu}
      - {name: conv2, type: conv2d, filters: 256, kernel_size: 5, padding: 2, groups: 2}
    claims:
      - {about: conv2, params: 614656, source: "a notebook, (5*5*96 + 1)*256"}

Instead:

    archspec: 1
    name: example
    input: {channels: 96, height: 27, width: 27}
    layers:
      - {name: relu1, type: relu}
      - {name: conv2, type: conv2d, filters: 256, kernel_size: 5, padding: 2, groups: 2}
    claims:
      - {about: conv2, params: 307456, source: (5*5*48 + 1)*256}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.5
"""

from archspec.rules.base import Rule

RULE = Rule("AS311", "kernels-over-other-channels", "warning")

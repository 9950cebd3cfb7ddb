"""Channels cannot be divided into the given number of groups.

A grouped convolution gives each group the same share of the input channels and of the filters, so
both must be multiples of `groups` (a depthwise convolution has as many groups as channels). In
AlexNet the two groups of conv2, conv4 and conv5 are the two graphics cards of the paper. The
message lists the numbers of groups that would do.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, groups: 2}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 9, kernel_size: 3, groups: 3}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.5 and figure 2
"""

from archspec.rules.base import Rule

RULE = Rule("AS103", "groups-do-not-divide", "error")

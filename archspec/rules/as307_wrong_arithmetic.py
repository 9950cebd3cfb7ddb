"""A calculation that a source prints does not give what it says.

`formula` is arithmetic on its own: it is evaluated exactly, with `/` as division, so that
(224 - 11)/4 + 1 is 54.25 and not 54. Variables of the spec and `channels(conv1)` may stand in it.
What a source rounds can have a `tolerance`. Such a mistake often decides the next sentence: here
a stride and a padding are given up because they seem to give 11.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {formula: (27 - 5 + 2)/2 + 1, claimed: 11, source: a notebook}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {formula: (27 - 5 + 2)/2 + 1, claimed: 13, source: computed}
      - {formula: floor((224 - 11)/4) + 1, claimed: 54, source: computed}
"""

from archspec.rules.base import Rule

RULE = Rule("AS307", "wrong-arithmetic", "warning")

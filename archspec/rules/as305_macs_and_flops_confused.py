"""Multiply-accumulates are stated as floating-point operations, or the other way round.

A multiply-accumulate is one multiplication and one addition: two floating-point operations. Many
papers and tools print the number of MACs under the name FLOPs, others count both, so figures of
two sources may differ by a factor of two for one and the same network. archspec keeps them apart:
`macs` are those of convolutions and dense layers, `flops` are twice as many and everything else.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, flops: 105415200, source: a table}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, macs: 105415200, source: a table}
"""

from archspec.rules.base import Rule

RULE = Rule("AS305", "macs-and-flops-confused", "warning")

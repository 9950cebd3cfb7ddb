"""The padding of a transposed convolution takes away its whole output.

A transposed convolution is a convolution read backwards, and so is its padding: it removes pixels
from the output, O = (W - 1) S - P + D (F - 1) + 1 + output_padding, where a convolution's adds
some to the input. Much padding for a small kernel on a small map leaves nothing.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 4, width: 4}
    layers:
      - {name: up, type: conv2d_transpose, filters: 8, kernel_size: 3, stride: 2, padding: 5}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 4, width: 4}
    layers:
      - {name: up, type: conv2d_transpose, filters: 8, kernel_size: 4, stride: 2, padding: 1}

References:

    Dumoulin and Visin (2016): A guide to convolution arithmetic for deep learning (https://arxiv.org/abs/1603.07285)
"""

from archspec.rules.base import Rule

RULE = Rule("AS110", "padding-removes-output", "error")

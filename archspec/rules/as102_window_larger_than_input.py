"""A kernel or pooling window is larger than its padded input.

The output would have no pixel at all. It happens at the end of a deep network that is given
smaller images than it was made for: every stride divides the map until a window no longer fits.
A dilated kernel counts with its gaps: (F - 1) D + 1 pixels.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 11}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}

References:

    Dumoulin and Visin (2016): A guide to convolution arithmetic for deep learning (https://arxiv.org/abs/1603.07285)
"""

from archspec.rules.base import Rule

RULE = Rule("AS102", "window-larger-than-input", "error")

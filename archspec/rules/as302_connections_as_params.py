"""A number of connections is stated as one of parameters.

Every neuron of a map has a connection to each pixel of its window and one to its bias, but all
neurons of one map share the same weights: that is what makes it a convolution. Neurons times
weights therefore counts connections (and, without the biases, multiply-accumulates). Parameters
are counted once a kernel, however large the map is.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 105705600, source: a blog post}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 34944, source: computed}
      - {about: conv1, connections: 105705600, source: a blog post}

References:

    LeCun, Bottou, Bengio and Haffner (1998), section II.B, which states both
"""

from archspec.rules.base import Rule

RULE = Rule("AS302", "connections-as-params", "warning")

"""No map of the layer's channels has the stated number of neurons.

The neurons of a convolution are channels x height x width. A figure that the number of channels
does not divide, or that leaves no square for a square input, is none of any input size, padding
or stride: it is a mistake of the source, whatever the spec says. The paper's 253,440 for the
first layer is 96 x 2640, and 2640 is no square; the layer has 96 x 55 x 55 = 290,400.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, neurons: 253440, source: figure 2}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, neurons: 290400, source: computed}

References:

    Krizhevsky, Sutskever and Hinton (2012), figure 2
"""

from archspec.rules.base import Rule

RULE = Rule("AS309", "impossible-map", "warning")

"""The network has more or fewer layers of a type than its source.

`layers: {dropout: 2}` counts the layers of a type, `weighted_layers: 8` the convolutions and dense
layers together. Parameters and shapes do not show a dropout that is missing or a normalisation
that is another one: the network trains, only worse than the original. Layers that are used in
training alone (auxiliary classifiers) are not counted for the network.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: network, layers: {conv2d: 1, local_response_norm: 1}, source: section 3.3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: network, layers: {conv2d: 1, local_response_norm: 0}, source: section 3.3}

References:

    Krizhevsky, Sutskever and Hinton (2012), sections 3.3 and 4.2
"""

from archspec.rules.base import Rule

RULE = Rule("AS312", "layer-count-differs", "warning")

"""A number of neurons is stated as one of parameters.

Neurons are the outputs of a layer, channels x height x width; parameters are its weights and
biases. A figure that draws the maps gives the first, and it is easily copied as the second. The
two are equal only by accident.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 290400, source: a lecture}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, params: 34944, source: computed}
      - {about: conv1, neurons: 290400, source: a lecture}

References:

    Krizhevsky, Sutskever and Hinton (2012), figure 2, which prints neurons
"""

from archspec.rules.base import Rule

RULE = Rule("AS303", "neurons-as-params", "warning")

"""A claim cannot be checked: there is nothing to compare it with.

The layer has no weight of which a shape could be claimed, its receptive field differs from place
to place (an adaptive pool, an upsampling), or the spec has no recipe. The claim is neither right
nor wrong and has no verdict. Claims about layers behind an error are left open without a word, as
the error says why.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: training, settings: {weight_decay: 0.0005}, source: section 5}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    training:
      epochs: 90
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
    claims:
      - {about: training, settings: {weight_decay: 0.0005}, source: section 5}
"""

from archspec.rules.base import Rule

RULE = Rule("AS321", "claim-unchecked", "note")

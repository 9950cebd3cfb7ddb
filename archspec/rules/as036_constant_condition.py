"""The condition of an entry is the same for every value of every variable.

With `when: false` the layer is never there: it is a dead branch that reads as if it were part of
the network. With `when: true` it always is, and the condition only distracts. A condition that
depends on a variable, a parameter or the channels of a layer is a switch, whatever its value is
here.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu1, type: relu, when: false}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {activation: false}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu1, type: relu, when: $activation}
"""

from archspec.rules.base import Rule

RULE = Rule("AS036", "constant-condition", "warning")

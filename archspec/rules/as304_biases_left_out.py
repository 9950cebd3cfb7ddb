"""A number of parameters is stated without the biases.

A layer has one bias for each kernel or unit unless it says `bias: false`. Inputs times outputs
is only the size of the weight; frameworks print the sum of both. The difference is small (4096 of
37,752,832 here), which is why it is overlooked, but two counts that should be equal are not.

Example:

    archspec: 1
    name: example
    input: {channels: 256, height: 6, width: 6}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc6, type: dense, units: 4096}
    claims:
      - {about: fc6, params: 37748736, source: 9216*4096 in a notebook}

Instead:

    archspec: 1
    name: example
    input: {channels: 256, height: 6, width: 6}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc6, type: dense, units: 4096}
    claims:
      - {about: fc6, params: 37752832, source: (9216 + 1)*4096}
"""

from archspec.rules.base import Rule

RULE = Rule("AS304", "biases-left-out", "warning")

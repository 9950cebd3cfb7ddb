"""A stated figure is not what the network has.

`claims:` holds the figures that a paper, a blog post or a comment states, each with its source;
every one is computed and compared. A claim that does not hold means that the spec differs from
the source, or that the source is wrong. Where a common confusion gives exactly the stated number
the message names it: connections or neurons counted as parameters, biases left out,
multiply-accumulates called floating-point operations. `tolerance: 0.05` accepts 5 % either way,
for figures such as "60 million".

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

    Krizhevsky, Sutskever and Hinton (2012), section 3.5 and figure 2
"""

from archspec.rules.base import Rule

RULE = Rule("AS301", "claim-contradicted", "warning")

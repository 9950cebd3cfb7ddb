"""A stated figure is not what the network has.

`claims:` holds the figures that a paper, a blog post or a comment states, each with its source;
every one is computed and compared. A claim that does not hold means that the spec differs from
the source, or that the source is wrong. Common confusions that give exactly the stated number
have codes of their own, from AS302 on; this one is said of all others. `tolerance: 0.05` accepts
5 % either way, for figures such as "60 million".

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, shape: [96, 54, 54], source: a blog post}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: conv1, shape: [96, 55, 55], source: computed}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.5 and figure 2
"""

from archspec.rules.base import Rule

RULE = Rule("AS301", "claim-contradicted", "warning")

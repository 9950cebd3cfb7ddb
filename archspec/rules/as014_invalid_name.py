"""A name that is not an identifier, or that has a meaning of its own.

Layer names become attributes and variables of the emitted source, so they consist of letters A to
Z, digits and underscores, do not begin with a digit or with two underscores, are no keyword of
Python and have at most 100 characters. That is also what keeps a spec from smuggling code into
the source. `input` (the image) and `network` (the whole, in claims) cannot name a layer. The name
of a network may also have inner hyphens: `alexnet-224`.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv-1, type: conv2d, filters: 8, kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv_1, type: conv2d, filters: 8, kernel_size: 3}

References:

    Python: identifiers and keywords (https://docs.python.org/3/reference/lexical_analysis.html#identifiers)
"""

from archspec.rules.base import Rule

RULE = Rule("AS014", "invalid-name", "error")

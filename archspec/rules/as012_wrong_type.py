"""A value has the wrong type: text where a number is needed, and the like.

Values are not converted: "96" in quotes is a text, 96.0 is no number of filters, and 1 is not
`true`. Scalars follow YAML 1.2, where `1e-4` is a number and `yes`, `no`, `on` and `off` are
words; many readers follow YAML 1.1 and see it the other way round. A variable stands alone as
`$classes`; `$classes / 2` is a text.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: "8", kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}

References:

    YAML 1.2.2, section 10.3: core schema (https://yaml.org/spec/1.2.2/)
"""

from archspec.rules.base import Rule

RULE = Rule("AS012", "wrong-type", "error")

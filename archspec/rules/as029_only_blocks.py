"""A file holds blocks and no network.

Such a file is there to be imported by specs, so it is no mistake, and `archspec check` looks for
mistakes in its blocks all the same. What depends on their parameters is only known where a spec
uses them; there is nothing to analyse or to build in the file alone.

Example:

    archspec: 1
    blocks:
      unit:
        parameters: {filters}
        layers:
          - {name: conv, type: conv2d, filters: $filters, kernel_size: 3}
          - {name: relu, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    blocks:
      unit:
        parameters: {filters}
        layers:
          - {name: conv, type: conv2d, filters: $filters, kernel_size: 3}
          - {name: relu, type: relu}
    layers:
      - {name: first, block: unit, filters: 8}
"""

from archspec.rules.base import Rule

RULE = Rule("AS029", "only-blocks", "note")

"""An entry uses a block that is not defined.

Blocks are defined under `blocks:` of the same spec, of a spec that it extends, or of a file
under `imports:`, whose blocks carry the import's name: `mobile.inverted_residual`.

Example:

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
      - {name: first, block: units, filters: 8}

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

RULE = Rule("AS026", "unknown-block", "error")

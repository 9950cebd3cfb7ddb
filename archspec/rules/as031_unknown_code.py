"""A diagnostic is ignored that does not exist.

Codes are those that `archspec check` prints and `archspec explain` explains. A code that does not
exist silences nothing: it is mistyped, or belongs to another version of archspec.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
    ignore:
      - {code: AS999, reason: it is meant}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 1, stride: 7,
         ignore: [{code: AS114, reason: one pixel stands for all}]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS031", "unknown-code", "warning")

"""A diagnostic is ignored that would not have been reported.

`ignore: [{code: AS206, reason: ...}]` says that a finding is meant: beside a layer, a block or a
claim, in `training`, or for the whole spec. When the network has changed and the finding is gone,
the entry stays behind and would hide the next mistake of its kind. An entry in a file that this one
extends or imports is not looked at here, because that file may need it. Errors cannot be ignored.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false,
         ignore: [{code: AS206, reason: the published weights have the bias}]}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3,
         ignore: [{code: AS206, reason: the published weights have the bias}]}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}
"""

from archspec.rules.base import Rule

RULE = Rule("AS030", "unused-ignore", "warning")

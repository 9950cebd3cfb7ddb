"""A layer has a type that does not exist.

The message suggests the nearest type, or archspec's word for what another library calls it:
`Linear` (PyTorch) and `InnerProduct` (Caffe) are `dense`, `BatchNormalization` (Keras) is
`batch_norm`, `LRN` is `local_response_norm`, `swish` is `silu`. `archspec schema` describes every
type. Structures such as an Inception module are no types; they are written out layer by layer.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv, filters: 8, kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
"""

from archspec.rules.base import Rule

RULE = Rule("AS020", "unknown-layer-type", "error")

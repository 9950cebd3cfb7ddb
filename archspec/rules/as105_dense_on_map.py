"""A dense layer reads a map that was not flattened.

PyTorch and Keras then apply the layer to the last axis alone: every row of the map gets the same
weights, the parameter count is far too small, and no error appears. Put `flatten` before the
layer, which keeps the order channels, height, width in every backend, or a global average pool.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: fc, type: dense, units: 10}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc, type: dense, units: 10}

References:

    torch.nn.Linear (https://pytorch.org/docs/stable/generated/torch.nn.Linear.html)
    keras.layers.Dense (https://keras.io/api/layers/core_layers/dense/)
"""

from archspec.rules.base import Rule

RULE = Rule("AS105", "dense-on-map", "error")

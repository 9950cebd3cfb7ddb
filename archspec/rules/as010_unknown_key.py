"""A key that the language does not know.

Nothing is ignored: a misspelt `paddding: 2` would otherwise leave the padding at 0 and change
every shape behind it. The message suggests the nearest key, or archspec's word for what another
library calls it: `strides` (Keras) is `stride`, `out_channels` (PyTorch) and `num_output` (Caffe)
are `filters`, `pad` (Caffe) is `padding`, `depth_radius` (TensorFlow) is `size`. Some keys have no
counterpart because they follow from the network: `in_channels` is what the layer before it gives.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, pading: 1}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, padding: 1}
"""

from archspec.rules.base import Rule

RULE = Rule("AS010", "unknown-key", "error")

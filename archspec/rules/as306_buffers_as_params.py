"""Running statistics are counted as parameters.

Batch normalisation keeps a running mean and variance for each channel beside the factor and the
summand that it learns. No gradient reaches them and no optimiser updates them: they are buffers.
Keras' summary adds them to its total as non-trainable parameters; PyTorch's `parameters()` leaves
them out.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4, bias: false}
      - {name: norm1, type: batch_norm, eps: 1.0e-3, decay: 0.99}
    claims:
      - {about: norm1, params: 384, source: a summary}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4, bias: false}
      - {name: norm1, type: batch_norm, eps: 1.0e-3, decay: 0.99}
    claims:
      - {about: norm1, params: 192, source: computed}
      - {about: norm1, non_trainable_params: 192, source: a summary}

References:

    Ioffe and Szegedy (2015), algorithm 2
"""

from archspec.rules.base import Rule

RULE = Rule("AS306", "buffers-as-params", "warning")

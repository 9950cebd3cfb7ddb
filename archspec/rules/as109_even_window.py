"""A normalisation window of an even number of channels has no centre.

Local response normalisation divides each channel by its neighbours on both sides, (size - 1)/2 of
each. With an even size the frameworks place the window differently, one channel further up or
down. TensorFlow takes a radius: its `depth_radius: 2` is `size: 5` in the paper, in Caffe, in
PyTorch and here; a radius that was copied as a size is the usual cause.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: norm1, type: local_response_norm, size: 2, alpha: 1.0e-4, beta: 0.75, k: 2,
         alpha_mode: sum}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: norm1, type: local_response_norm, size: 5, alpha: 1.0e-4, beta: 0.75, k: 2,
         alpha_mode: sum}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.3: n = 5
    tf.nn.local_response_normalization (https://www.tensorflow.org/api_docs/python/tf/nn/local_response_normalization)
"""

from archspec.rules.base import Rule

RULE = Rule("AS109", "even-window", "error")

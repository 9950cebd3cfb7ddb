"""A key that is needed is not there.

Some keys have no default because no choice is safe. What the frameworks disagree on must be said
in the spec: a silent default is how two networks of one name come to compute different numbers.
`alpha_mode` and `k` of local_response_norm, `eps` and `decay` of batch_norm, `negative_slope` of
leaky_relu, and `count_include_pad` of an avg_pool2d that has padding.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: norm1, type: local_response_norm, size: 5, alpha: 1.0e-4, beta: 0.75, k: 2}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: norm1, type: local_response_norm, size: 5, alpha: 1.0e-4, beta: 0.75, k: 2,
         alpha_mode: sum}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.3: alpha multiplies the sum
    torch.nn.LocalResponseNorm: alpha is divided by size (https://pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html)
"""

from archspec.rules.base import Rule

RULE = Rule("AS011", "missing-key", "error")

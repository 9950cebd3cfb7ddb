"""Weights are drawn from a cut normal distribution, which frameworks cut at different places.

Here, in TensorFlow, Keras and JAX it is cut at two standard deviations, and what is left has 0.88
of the standard deviation that is asked for. PyTorch's `trunc_normal_` cuts at -2 and 2, whatever
the deviation: for weights that is no cut at all, and they start 14 % larger. Where a source gives a
deviation for one of them, the other needs another.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3,
         weight_init: {type: truncated_normal, std: 0.02}}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3,
         weight_init: {type: normal, std: 0.02}}

References:

    torch.nn.init.trunc_normal_ (https://docs.pytorch.org/docs/stable/nn.init.html)
    keras.initializers.TruncatedNormal (https://keras.io/api/layers/initializers/)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.base import WeightedLayer
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers
from archspec.spec.initializers import TruncatedNormal

# The standard deviation of a normal variable cut at two of its own.
_DENSITY = math.exp(-2) / math.sqrt(2 * math.pi)
LEFT = math.sqrt(1 - 4 * _DENSITY / math.erf(math.sqrt(2)))


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, WeightedLayer):
        rule = layer.weight_init
        # PyTorch's cut at 2 is the same where the deviation is about 1.
        if isinstance(rule, TruncatedNormal) and 0 < rule.std < 0.5:
            yield Problem(
                "where-normal-is-cut",
                f"{node.name}: cut at two deviations, std {rule.std:g} gives weights with "
                f"{rule.std * LEFT:.3g}; PyTorch's trunc_normal_ cuts at -2 and 2 and gives "
                f"{rule.std:g}, and would need std {rule.std * LEFT:.3g} for the same",
                layer=node.name,
                field="weight_init",
            )


RULE = Rule("AS411", "where-normal-is-cut", "note", check=_check)

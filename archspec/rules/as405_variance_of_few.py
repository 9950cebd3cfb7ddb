"""The running variance of a batch normalisation is of so few values that n or n - 1 matters.

PyTorch remembers the variance that is divided by n - 1, Keras the one divided by n, where n is
batch x height x width; both normalise with the latter in training. Over thousands of values that
is the same. On a map of 1 x 1 with a small batch it is not, and inference is off by the factor.
`running_variance` says which is meant, and archspec computes that in both frameworks.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool, type: global_avg_pool2d}
      - {name: norm, type: batch_norm, eps: 1.0e-5, decay: 0.9}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 8
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: norm, type: batch_norm, eps: 1.0e-5, decay: 0.9}
      - {name: pool, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 8
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9}

References:

    torch.nn.BatchNorm2d (https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.base import show
from archspec.layers.batch_norm import BatchNorm
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers

# From how much of the variance on it is worth a word.
SHARE = 0.02


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None:
        return
    for node, layer in layers(analysis.graph, BatchNorm):
        if node.name not in analysis.shapes.layers or not layer.trainable:
            continue
        shape = analysis.shapes.of(node.name)
        values = recipe.batch_size * math.prod(shape[1:])
        if values < 2 or 1 / (values - 1) < SHARE:
            continue
        factor = values / (values - 1)
        map_ = f"a map of {show(shape[1:])}" if shape[1:] else "a vector"
        yield Problem(
            "variance-of-few",
            f"{node.name}: on {map_} in batches of {recipe.batch_size} a variance is of "
            f"{values} values, and PyTorch's running variance is {factor:.3g} times Keras'; "
            f"this one is `{layer.running_variance}`",
            layer=node.name,
        )


RULE = Rule("AS405", "variance-of-few", "note", check=_check)

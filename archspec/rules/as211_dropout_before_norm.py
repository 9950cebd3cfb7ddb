"""Batch normalisation reads what dropout has changed.

With inverted dropout the mean is the same in training and at inference, and the variance is not:
with a rate r the mean square is 1/(1 - r) times as large in training. Batch normalisation remembers
the variance of training and divides by it at inference, where it no longer holds. It is a note,
because wide residual networks do it; the loss in accuracy is measured by Li et al. Dropout stands
behind the last normalisation.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: drop, type: dropout, rate: 0.5}
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1e-5, decay: 0.9}
      - {name: relu1, type: relu}
      - {name: drop, type: dropout, rate: 0.5}

References:

    Li, Chen, Hu and Yang (2019): Understanding the disharmony between dropout and batch norm (https://arxiv.org/abs/1801.05134)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import percent
from archspec.diagnostics import Problem
from archspec.layers.activations import Activation
from archspec.layers.base import WeightedLayer
from archspec.layers.batch_norm import BatchNorm
from archspec.layers.dropout import Dropout
from archspec.layers.flatten import Flatten
from archspec.rules.base import Rule
from archspec.rules.walk import layers, read_by

# How many layers of weights and activations may stand between the two.
NEAR = 3


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, BatchNorm):
        if not layer.trainable:
            continue
        before = read_by(analysis.graph, node)
        for _ in range(NEAR):
            if before is None or not isinstance(before.layer, (WeightedLayer, Activation, Flatten)):
                break
            before = read_by(analysis.graph, before)
        if before is None or not isinstance(before.layer, Dropout) or not before.layer.rate:
            continue
        if before.layer.scaling == "inverted":
            rate = before.layer.rate
            yield Problem(
                "dropout-before-norm",
                f"{node.name}: {before.name} drops {percent(rate)} before it: what "
                f"{before.name} hands on has {1 / (1 - rate):.3g} times the mean square in "
                f"training that it has at inference, where {node.name} still "
                "divides by the deviation of training",
                f"put {before.name} behind the last batch normalisation",
                layer=node.name,
                field="type",
            )


RULE = Rule("AS211", "dropout-before-norm", "note", check=_check)

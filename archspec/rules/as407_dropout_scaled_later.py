"""Dropout scales at inference, as in the paper, which no framework's own layer does.

The paper multiplies the outputs by the share of kept ones at test time; Caffe, PyTorch, Keras and
all others divide by it in training and leave inference alone. Both keep the mean. They differ in
what the next layer sees in training, and so in the size of its weights: those trained with one
give logits that are too large or too small with the other. archspec emits either.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool, type: global_avg_pool2d}
      - {name: drop, type: dropout, rate: 0.5, scaling: at_inference}
      - {name: fc, type: dense, units: 10}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool, type: global_avg_pool2d}
      - {name: drop, type: dropout, rate: 0.5, scaling: inverted}
      - {name: fc, type: dense, units: 10}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 4.2
    Srivastava et al. (2014), section 10: both ways
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.dropout import Dropout
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(
        Problem(
            "dropout-scaled-later",
            f"{node.name} multiplies by {1 - layer.rate:g} at inference; the dropout of "
            f"frameworks divides by it in training: weights trained there see values "
            f"{1 / (1 - layer.rate):.3g} times as large as here",
            layer=node.name,
            field="scaling",
        )
        for node, layer in layers(analysis.graph, Dropout)
        if layer.scaling == "at_inference" and layer.rate > 0
    )


RULE = Rule("AS407", "dropout-scaled-later", "note", check=_check)

"""A hard sigmoid is a steeper function in old versions of Keras than anywhere else.

Here, in PyTorch and in Keras 3 it is min(max(x + 3, 0), 6)/6, with the slope 1/6; in Keras 1 and 2
it was min(max(0.2 x + 0.5, 0), 1), with the slope 1/5. The two are up to 1/12 apart, at 2.5 and
-2.5. Squeeze-and-excitation gates trained with one are not those of the other.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: gate, type: hard_sigmoid}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: gate, type: sigmoid}

References:

    Howard et al. (2019): Searching for MobileNetV3 (https://arxiv.org/abs/1905.02244)
    keras.activations.hard_sigmoid (https://keras.io/api/layers/activations/#hard_sigmoid-function)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.activations import HardSigmoid
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(
        Problem(
            "hard-sigmoid-slope",
            f"{node.name} has the slope 1/6 of PyTorch and Keras 3; that of Keras 2 is 1/5, and "
            "its gates differ by up to 0.083 (at 2.5: 0.917 here, 1 there)",
            layer=node.name,
        )
        for node, _ in layers(analysis.graph, HardSigmoid)
    )


RULE = Rule("AS409", "hard-sigmoid-slope", "note", check=_check)

"""Batch normalisation is trained on batches of one image.

With one image a batch, the statistics are those of that image: its contrast and brightness are
taken out in training, each image its own, and at inference the running statistics take out the
average ones. The network that is evaluated is not the one that was trained. `group_norm` does not
look at the batch.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1, bias: false}
      - {name: norm1, type: batch_norm, eps: 1.0e-5, decay: 0.9}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 1
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9}
      preprocessing: {mean: data, std: data}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1, bias: false}
      - {name: norm1, type: group_norm, groups: 4, eps: 1.0e-5}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 1
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9}
      preprocessing: {mean: data, std: data}

References:

    Wu and He (2018): Group Normalization (https://arxiv.org/abs/1803.08494)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.batch_norm import BatchNorm
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None or recipe.batch_size > 1:
        return
    for node, layer in layers(analysis.graph, BatchNorm):
        if not layer.trainable or node.name not in analysis.shapes.layers:
            continue
        positions = math.prod(analysis.shapes.of(node.name)[1:])
        if positions > 1:  # else it is of one value, which is another finding
            yield Problem(
                "norm-of-one-image",
                f"{node.name} normalises each channel by {positions:,} values of one image, and at "
                "inference by the running statistics of all",
                "use a larger batch_size, or `group_norm`",
                layer=node.name,
            )


RULE = Rule("AS509", "norm-of-one-image", "warning", check=_check)

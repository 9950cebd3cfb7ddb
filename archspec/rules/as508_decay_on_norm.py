"""Weight decay also shrinks the scales and shifts of normalisations.

Decay is a penalty on large weights. The size of the weights before a normalisation has no effect,
and the scale behind it is the size of the layer's output: shrinking it is another network, not a
simpler one. Recipes since 2018 leave normalisations (and biases) out; the paper of 2012, Caffe and
PyTorch's own training of ResNet do not. Either way it should be said: see `training.parameters`.

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
      epochs: 90
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      preprocessing: {mean: data, std: data}

Instead:

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
      epochs: 90
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      parameters:
        - {match: 'norm*', weight_decay: 0}
      preprocessing: {mean: data, std: data}

References:

    He et al. (2019): Bag of Tricks for Image Classification, section 3.1 (https://arxiv.org/abs/1812.01187)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.affine import AffineLayer
from archspec.rules.base import Rule
from archspec.rules.recipe import place


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None or recipe.optimizer.weight_decay == 0:
        return
    by_name = analysis.graph.by_name
    decayed = [
        weight
        for name, weight in analysis.parameters
        if isinstance(by_name[name.rpartition(".")[0]].layer, AffineLayer)
        and weight.trainable
        and recipe.multipliers(name)[1] > 0
    ]
    if decayed:
        yield Problem(
            "decay-on-norm",
            f"weight_decay {recipe.optimizer.weight_decay:g} is also applied to the "
            f"{sum(weight.size for weight in decayed):,} scales and shifts of normalisations",
            "give them `weight_decay: 0` in `training.parameters`, if that is not meant",
            span=place(analysis, "optimizer", "weight_decay"),
        )


RULE = Rule("AS508", "decay-on-norm", "note", check=_check)

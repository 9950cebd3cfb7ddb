"""The weight decay is so large that weights forget what they learn within a few steps.

Decay shrinks a weight by learning rate x decay / (1 - momentum) at each step. Where that alone
takes it to 1/e within 100 steps, a weight knows the last 100 batches at most, and most networks go
to zero. The usual cause is a decay for another optimiser: AdamW's 0.05 is multiplied by a learning
rate of 0.001 and by no momentum; here 0.05 works a thousand times as strongly.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 90
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.5}
      preprocessing: {mean: data, std: data}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 90
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      preprocessing: {mean: data, std: data}

References:

    Loshchilov and Hutter (2019): Decoupled Weight Decay Regularization (https://arxiv.org/abs/1711.05101)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.rules.base import Rule
from archspec.rules.recipe import down, place, shrinking

STEPS = 100
# The largest decay of most published recipes for SGD: up to it, the learning rate is at fault.
USUAL = 0.001


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None:
        return
    share = shrinking(recipe)
    excess = share * STEPS
    if excess <= 1 or math.isclose(excess, 1):
        return
    sgd = recipe.optimizer
    # One step's decay, with all that its velocity does later, may be more than the weight.
    effect = f"to 1/e in {1 / share:.3g} steps" if share < 1 else "no less than the whole weight"
    if sgd.weight_decay > USUAL:
        field = "weight_decay"
        help_ = (
            f"use at most {down(sgd.weight_decay / excess):g}; recipes for SGD have 0.0001 to "
            f"{USUAL:g}"
        )
    else:
        field = "learning_rate"
        help_ = (
            f"use a learning rate of at most {down(sgd.learning_rate / excess):g}; recipes "
            "for SGD have 0.01 to 0.1"
        )
    yield Problem(
        "decay-overwhelms",
        f"weight_decay {sgd.weight_decay:g} shrinks a weight by {share:.2g} a step "
        f"({sgd.learning_rate:g} x {sgd.weight_decay:g} / (1 - {sgd.momentum:.12g})): {effect}",
        help_,
        span=place(analysis, "optimizer", field),
    )


RULE = Rule("AS502", "decay-overwhelms", "warning", check=_check)

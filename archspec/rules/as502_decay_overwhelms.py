"""The weight decay is so large that weights forget what they learn within a few steps.

Decay shrinks a weight by learning rate x decay / (1 - momentum) at each step. Where that alone
takes it to 1/e within 100 steps, a weight knows the last 100 batches at most, and most networks go
to zero. The usual cause is a decay for another optimiser: AdamW's 0.05 is multiplied by a learning
rate of 0.001 and by no momentum; here 0.05 works a thousand times as strongly. With AdamW, decay
shrinks a weight by learning rate x decay; nothing is said of Adam, where it is coupled to the
gradient, whose size is divided out.

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
from archspec.rules.recipe import DECAYS, RATES, down, place
from archspec.spec.recipe import Sgd

STEPS = 100


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None:
        return
    share = recipe.optimizer.shrinking
    if share is None:
        return
    excess = share * STEPS
    if excess <= 1 or math.isclose(excess, 1):
        return
    rule = recipe.optimizer
    name = {"sgd": "SGD", "adamw": "AdamW"}[rule.type]
    least, largest = DECAYS[rule.type]
    # One step's decay, with all that its velocity does later, may be more than the weight.
    effect = f"to 1/e in {1 / share:.3g} steps" if share < 1 else "no less than the whole weight"
    # Up to the largest usual decay, the learning rate is at fault.
    if rule.weight_decay > largest:
        field = "weight_decay"
        help_ = (
            f"use at most {down(rule.weight_decay / excess):g}; recipes for {name} have "
            f"{least:g} to {largest:g}"
        )
    else:
        field = "learning_rate"
        help_ = (
            f"use a learning rate of at most {down(rule.learning_rate / excess):g}; recipes "
            f"for {name} have {RATES[rule.type][0]:g} to {RATES[rule.type][1]:g}"
        )
    momentum = f" / (1 - {rule.momentum:.12g})" if isinstance(rule, Sgd) else ""
    yield Problem(
        "decay-overwhelms",
        f"weight_decay {rule.weight_decay:g} shrinks a weight by {share:.2g} a step "
        f"({rule.learning_rate:g} x {rule.weight_decay:g}{momentum}): {effect}",
        help_,
        span=place(analysis, "optimizer", field),
    )


RULE = Rule("AS502", "decay-overwhelms", "warning", check=_check)

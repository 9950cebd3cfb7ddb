"""The learning rate is larger than what the initial weights survive.

What one step does to the logits of an image follows from the initialisers: learning rate x K / C,
where K is the product of the gradients of a logit at two images (the neural tangent kernel) and C
the number of classes. Where that is many times the size that the logits have, or 1, the first step
throws the weights to where no gradient leads back: the loss is that of chance for ever, or not a
number. The estimate is made for natural images after the recipe's preprocessing; pixels of 0 to
255 alone make it ten thousand times as large as normalised ones do. With normalisation layers,
which forget the size of the weights, nothing is said, nor with Adam, whose steps do not depend on
the size of the gradient. With a warm-up it is the first step at its full rate that counts.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool1, type: max_pool2d, kernel_size: 4}
      - {name: flatten, type: flatten}
      - {name: fc1, type: dense, units: 64}
      - {name: relu2, type: relu}
      - {name: fc2, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 32
      optimizer: {type: sgd, learning_rate: 1.0, momentum: 0.9}
      preprocessing: {mean: data}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool1, type: max_pool2d, kernel_size: 4}
      - {name: flatten, type: flatten}
      - {name: fc1, type: dense, units: 64}
      - {name: relu2, type: relu}
      - {name: fc2, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 32
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9}
      preprocessing: {mean: data, std: data}

References:

    Jacot, Gabriel and Hongler (2018): Neural Tangent Kernel (https://arxiv.org/abs/1806.07572)
    Lewkowycz et al. (2020): The large learning rate phase of deep learning (https://arxiv.org/abs/2003.02218)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.affine import AffineLayer
from archspec.rules.base import Rule
from archspec.rules.recipe import place
from archspec.spec.fields import INPUT
from archspec.spec.recipe import Sgd

# By how many times their size the first step may move the logits. Small networks that were
# trained at many rates (tests/rules/test_recipe.py has some of them) all failed from 36 on, some
# from 1 on; published recipes have 0.2 at most.
TIMES = 30


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None or not isinstance(recipe.optimizer, Sgd):
        return
    if any(isinstance(n.layer, AffineLayer) for n in analysis.graph.nodes):
        return
    signals = analysis.signals
    if signals is None:
        return
    image = signals.forward[INPUT]
    size = signals.forward[signals.logits].rms
    classes = math.prod(analysis.shapes.of(signals.logits))
    rate = recipe.optimizer.learning_rate
    step = rate * signals.kernel / classes
    if not step > TIMES * max(size, 1.0):
        return
    largest = TIMES * max(size, 1.0) * classes / signals.kernel
    yield Problem(
        "first-step-too-large",
        f"with a learning rate of {rate:g} the first step moves the logits by about {step:.2g}, "
        f"{step / max(size, 1.0):.2g} times {'their size' if size > 1 else 'what is usual'}",
        f"use less than about {largest:.1g}"
        + (
            f", or smaller inputs: pixels are about {image.rms:.2g} here, with "
            "`preprocessing: {mean: data, std: data}` they are 1"
            if image.rms > 10
            else ", or smaller initial weights"
        ),
        span=place(analysis, "optimizer", "learning_rate"),
    )


RULE = Rule("AS503", "first-step-too-large", "warning", check=_check)

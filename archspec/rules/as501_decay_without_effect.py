"""The weight decay is so small that it does nothing in the whole run.

Decay shrinks a weight by learning rate x decay / (1 - momentum) at each step. Over a run it should
have its say at least once: where all steps together shrink a weight by less than a factor of e, the
regularisation that the recipe seems to have is not there. The steps are counted for the 1,281,167
images of ImageNet, so that on fewer images it is even less. Of a decay of 0.0001 or more (0.01 with
AdamW, which has no momentum to add up its decay), as recipes have it, nothing is said: a short run
or a small learning rate is no mistake in it. A usual cause is a decay that has been multiplied by
the learning rate already, as in updates that are written out by hand; with AdamW, a decay of a
recipe for SGD. Nothing is said of Adam, which divides the size of a coupled decay out.

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
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 5.0e-6}
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

    Wang and Aitchison (2024): How to set AdamW's weight decay as you scale model and dataset size (https://arxiv.org/abs/2405.13698)
    Krizhevsky, Sutskever and Hinton (2012), section 5: 0.0005 was important to learn at all
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.rules.base import Rule
from archspec.rules.recipe import DECAYS, IMAGES, place, shrunk, up
from archspec.spec.recipe import Recipe, Sgd


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None or not recipe.optimizer.weight_decay:
        return
    exponent, shrinking = shrunk(recipe), recipe.optimizer.shrinking
    if not exponent or not shrinking or exponent >= 1:
        return
    # From there on a small effect is that of a short run or a small learning rate, as in
    # fine-tuning, and no mistake in the decay.
    least, _ = DECAYS[recipe.optimizer.type]
    decay = recipe.optimizer.weight_decay
    if decay >= least:
        return
    fixes = _without_rate(recipe, exponent)
    if fixes:
        why = (
            f"{decay:g} is {decay / recipe.optimizer.learning_rate:g} times the learning rate of "
            f"{recipe.optimizer.learning_rate:g}: has it been multiplied by that already?"
        )
    elif exponent and math.isfinite(decay / exponent):
        why = f"use at least {min(up(decay / exponent), least):g} for an effect, or 0 for none"
    else:
        why = "use 0: at this learning rate no decay has an effect"
    run = "the one epoch" if recipe.epochs == 1 else f"all {recipe.epochs} epochs"
    yield Problem(
        "decay-without-effect",
        f"weight_decay {decay:g} shrinks a weight by {shrinking:.2g} a step, in {run} of "
        f"{IMAGES:,} images to {math.exp(-exponent):.0%} of itself: it does next to nothing",
        why,
        span=place(analysis, "optimizer", "weight_decay"),
        fixes=fixes,
    )


def _without_rate(recipe: Recipe, exponent: float) -> tuple[Fix, ...]:
    """The decay before it was multiplied by the learning rate, if that is a plausible one."""
    if not isinstance(recipe.optimizer, Sgd):
        return ()
    rate = recipe.optimizer.learning_rate
    decay = float(f"{recipe.optimizer.weight_decay / rate:.12g}")
    digits = f"{decay:e}".split("e")[0].rstrip("0")
    if exponent / rate < 1 or decay > 0.01 or len(digits) > len("1.5"):
        return ()
    effect = f"it shrinks a weight by {recipe.optimizer.shrinking / rate:.2g} a step"
    return (Fix(f"weight_decay {decay:g}", effect, {"training.optimizer.weight_decay": decay}),)


RULE = Rule("AS501", "decay-without-effect", "warning", check=_check)

"""What several rules about recipes compute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase

from archspec.analysis import Analysis
from archspec.diagnostics import Span
from archspec.layers.base import Weight
from archspec.spec.recipe import Recipe, StepSchedule

# The images of ImageNet's training set, the largest that recipes here are written for: on fewer
# images an epoch has fewer steps.
IMAGES = 1_281_167


def place(analysis: Analysis, *path: str | int) -> Span:
    """Where something of the recipe is written."""
    return analysis.graph.document.root.locate(("training", *path))


def down(value: float) -> float:
    """A positive number cut to its first digit: what may be advised as a most."""
    exponent = math.floor(math.log10(value))
    return float(f"{math.floor(value / 10.0**exponent + 1e-9)}e{exponent}")


def up(value: float) -> float:
    """A positive number raised to its first digit: what may be advised as a least."""
    exponent = math.floor(math.log10(value))
    return float(f"{math.ceil(value / 10.0**exponent - 1e-9)}e{exponent}")


def matching(analysis: Analysis, pattern: str) -> list[tuple[str, Weight]]:
    """The parameters whose name matches a pattern of `training.parameters`."""
    return [(name, w) for name, w in analysis.parameters if fnmatchcase(name, pattern)]


def shrinking(recipe: Recipe) -> float:
    """What weight decay multiplies a weight with at each step, as 1 minus this number.

    The decay is part of the velocity, whose sum over all later steps is 1/(1 - momentum) of it.
    """
    sgd = recipe.optimizer
    return sgd.learning_rate * sgd.weight_decay / (1 - sgd.momentum)


def shrunk(recipe: Recipe) -> float:
    """Minus the logarithm of what decay alone leaves of a weight in the whole run on ImageNet.

    A plateau is taken never to come, so that this is an upper bound.
    """
    steps = -(-IMAGES // recipe.batch_size)
    return shrinking(recipe) * steps * sum(_rates(recipe))


def _rates(recipe: Recipe) -> Iterator[float]:
    """The learning rate of each epoch as a share of the first."""
    schedule = recipe.schedule
    if not isinstance(schedule, StepSchedule):
        yield float(recipe.epochs)
        return
    starts = [1, *(epoch for epoch in schedule.epochs if epoch <= recipe.epochs)]
    ends = [*starts[1:], recipe.epochs + 1]
    share = 1.0
    for start, end in zip(starts, ends, strict=True):
        yield (end - start) * share
        share *= schedule.factor  # not a power, which raises where this is infinite

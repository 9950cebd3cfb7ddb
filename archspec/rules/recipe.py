"""What several rules about recipes compute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache

from archspec.analysis import Analysis
from archspec.analysis.shapes import Shapes
from archspec.analysis.signal import Signals, pixels, propagate
from archspec.diagnostics import Span
from archspec.layers.base import Weight
from archspec.spec.recipe import Recipe, StepSchedule

# The images of ImageNet's training set, the largest that recipes here are written for: on fewer
# images an epoch has fewer steps.
IMAGES = 1_281_167


@lru_cache(maxsize=1)
def start(shapes: Shapes) -> Signals | None:
    """How large activations and gradients are when the run begins, for natural images.

    None without a recipe, and where that cannot be told: where a layer is not known, or the
    spec's numbers are so extreme that a float does not hold what becomes of them.
    """
    recipe = shapes.graph.spec.training
    if recipe is None:
        return None
    try:
        return propagate(shapes.graph, shapes, pixels(recipe.preprocessing))
    except OverflowError:
        return None


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


def parameters(analysis: Analysis) -> tuple[tuple[str, Weight], ...]:
    """The parameters by canonical name, frozen ones too, and no running statistics."""
    return _parameters(analysis.shapes)


@lru_cache(maxsize=1)
def _parameters(shapes: Shapes) -> tuple[tuple[str, Weight], ...]:
    return tuple(
        (f"{node.name}.{weight.name}", weight)
        for node in shapes.graph.nodes
        if node.name in shapes.layers
        for weight in node.layer.weights(shapes.inputs(node))
        if not weight.buffer
    )


def matching(analysis: Analysis, pattern: str) -> list[tuple[str, Weight]]:
    """The parameters whose name matches a pattern of `training.parameters`."""
    return [(name, w) for name, w in parameters(analysis) if fnmatchcase(name, pattern)]


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

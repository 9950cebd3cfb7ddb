"""What several rules about recipes compute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase

from archspec.analysis import Analysis
from archspec.diagnostics import Span
from archspec.layers.base import Weight
from archspec.spec.recipe import Recipe

# The images of ImageNet's training set, the largest that recipes here are written for: on fewer
# images an epoch has fewer steps.
IMAGES = 1_281_167

# The weight decays and the learning rates of most published recipes, least and largest.
DECAYS = {"sgd": (0.0001, 0.001), "adamw": (0.01, 0.3)}
RATES = {"sgd": (0.01, 0.1), "adamw": (0.0001, 0.003)}

# The epochs whose learning rates are added up one by one.
MOST = 10_000


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


def shrunk(recipe: Recipe) -> float | None:
    """Minus the logarithm of what decay alone leaves of a weight in the whole run on ImageNet.

    A plateau is taken never to come, so that this is an upper bound. None where decay depends on
    the gradients (`Optimizer.shrinking`).
    """
    shrinking = recipe.optimizer.shrinking
    if shrinking is None:
        return None
    steps = -(-IMAGES // recipe.batch_size)
    return shrinking * steps * sum(_shares(recipe))


def _shares(recipe: Recipe) -> Iterator[float]:
    """The learning rate in the middle of each epoch as a share of the first.

    Of a long run these are the middles of MOST parts of it.
    """
    count = min(recipe.epochs, MOST)
    for part in range(count):
        epoch, within = divmod((part + 0.5) * recipe.epochs / count, 1)
        yield recipe.share(int(epoch) + 1, within) * recipe.epochs / count

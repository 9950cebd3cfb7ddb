"""What the optimisers of all backends share: whom they train, and how their state is called.

The state of an optimiser is a dictionary of arrays under names such as
``velocity.conv1.weight``: the kind of the tensor, as in `Optimizer.state` of the recipe, and the
parameter, in canonical layout. Numbers, of shape (), have names of one word: ``count`` is the steps
that were taken. A backend that keeps velocities in another unit than the update's saves them as
they are, because multiplying them rounds, with ``velocity_scale``: each is to be multiplied by
that and by the parameter's learning-rate multiplier. An empty state is that of the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from archspec.diagnostics import ArchspecError
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array

VELOCITY, FIRST_MOMENT, SECOND_MOMENT = "velocity", "first_moment", "second_moment"
COUNT, SCALE = "count", "velocity_scale"
# What a loss is multiplied by, and the steps since that changed.
LOSS_SCALE, LOSS_SCALE_STEPS = "loss_scale", "loss_scale_steps"


def updated(parameters: Iterable[str], recipe: Recipe) -> list[str]:
    """The parameters that the recipe updates: those whose learning-rate multiplier is not 0.

    Raises ArchspecError where there are none.
    """
    found = [name for name in parameters if recipe.multipliers(name)[0]]
    if not found:
        raise ArchspecError(
            "the recipe trains nothing: `parameters` multiplies the learning rate of every "
            "parameter by 0"
        )
    return found


def named(kind: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors by parameter, as entries of a state: ``conv1.bias`` is ``velocity.conv1.bias``."""
    return {f"{kind}.{name}": tensor for name, tensor in tensors.items()}


def part(kind: str, state: Mapping[str, Array]) -> dict[str, Array]:
    """The entries of one kind, by parameter: what `named` made entries of."""
    start = f"{kind}."
    return {
        key.removeprefix(start): a for key, a in state.items() if key.startswith(start)
    }


def velocities(state: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    """The velocities by parameter, in the unit of the update w <- w + v."""
    found = part(VELOCITY, state)
    if SCALE not in state:
        return found
    scale = float(state[SCALE])
    return {
        name: array * (scale * recipe.multipliers(name)[0])
        for name, array in found.items()
    }

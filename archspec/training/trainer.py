"""What the loop needs of a backend: a model on a device with the recipe's update."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any, Protocol

from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]
    Labels = npt.NDArray[np.integer[Any]]


class Trainer(Protocol):
    """A model that learns. Images are N,H,W,C in float32, labels N class numbers.

    The update is the paper's, with the learning rate inside the velocity:
    v <- momentum v - lr (g + weight_decay w);  w <- w + v.
    """

    engine: str
    device: str

    def step(self, images: Array, labels: Labels, learning_rate: float) -> Any:
        """One update. Returns the batch's mean loss before it, as something `float` takes."""

    def logits(self, images: Array) -> Array:
        """The network's output at inference, N x classes."""

    def weights(self) -> dict[str, Array]:
        """The weights and buffers, canonical."""

    def velocities(self) -> dict[str, Array]:
        """The velocity of every trained parameter, canonical; empty without momentum."""

    def load_velocities(self, velocities: dict[str, Array], learning_rate: float) -> None:
        """Go on with these velocities, which belong to a step at `learning_rate`."""


def multipliers(recipe: Recipe, parameter: str) -> tuple[float, float]:
    """The learning-rate and weight-decay multipliers of a parameter; the last match counts."""
    found = (1.0, 1.0)
    for rule in recipe.parameters:
        if fnmatch.fnmatchcase(parameter, rule.match):
            found = (rule.learning_rate, rule.weight_decay)
    return found

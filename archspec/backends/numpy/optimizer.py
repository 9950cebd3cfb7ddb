"""The recipe's optimisers in NumPy, as their papers print them, one formula a line.

They update in place: AlexNet's weights are half a gigabyte, and memory is slow to come by.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from archspec.backends.optimizing import (
    COUNT,
    FIRST_MOMENT,
    SECOND_MOMENT,
    VELOCITY,
    named,
    part,
    updated,
    velocities,
)
from archspec.spec.recipe import Adam, AdamW, Recipe, Sgd

if TYPE_CHECKING:
    from archspec.backends.base import Array


class NumpyOptimizer(ABC):
    """The update of a recipe for the weights that it trains, which are changed in place.

    Weights whose learning-rate multiplier is 0 have no part in it.
    """

    # The kinds of tensors that it remembers.
    kinds: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe, weights: Mapping[str, np.ndarray]) -> None:
        self._recipe = recipe
        self._weights = {name: weights[name] for name in updated(weights, recipe)}
        self._memory = {
            kind: {name: np.zeros_like(w) for name, w in self._weights.items()}
            for kind in self.kinds
            if kind in recipe.optimizer.state
        }
        self._count = 0
        self._room = np.empty_like(max(self._weights.values(), key=np.size)).ravel()

    def step(self, gradients: Mapping[str, np.ndarray], rate: float) -> None:
        """Update the weights with gradients of the loss at learning rate `rate`.

        First, all gradients are multiplied by min(1, gradient_clipping / the norm of them all).
        """
        mine = {name: gradients[name] for name in self._weights}
        limit = self._recipe.gradient_clipping
        if limit is not None:
            norm = math.sqrt(math.fsum(float(np.vdot(g, g)) for g in mine.values()))
            if norm > limit:
                mine = {name: g * (limit / norm) for name, g in mine.items()}
        self._count += 1
        for name, g in mine.items():
            faster, heavier = self._recipe.multipliers(name)
            w = self._weights[name]
            room = self._room[: w.size].reshape(w.shape)
            decay = self._recipe.optimizer.weight_decay * heavier
            self._update(name, w, g, rate * faster, decay, room)

    @abstractmethod
    def _update(
        self,
        name: str,
        w: np.ndarray,
        g: np.ndarray,
        lr: float,
        d: float,
        room: np.ndarray,
    ) -> None:
        """The update of one parameter; `room` is like it, to compute in."""

    def state(self) -> dict[str, Array]:
        """What it remembers, as in `archspec.backends.optimizing`."""
        found: dict[str, Array] = {}
        for kind, tensors in self._memory.items():
            found |= named(
                kind, {name: tensor.copy() for name, tensor in tensors.items()}
            )
        return found

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on with a state."""
        for kind, tensors in self._memory.items():
            found = (
                velocities(state, self._recipe)
                if kind == VELOCITY
                else part(kind, state)
            )
            for name, tensor in tensors.items():
                if name in found:
                    tensor[...] = found[name]


class NumpySgd(NumpyOptimizer):
    """v <- m v - lr (g + d w);  w <- w + v, or w + m v - lr (g + d w) with Nesterov's momentum."""

    kinds = (VELOCITY,)

    def _update(
        self,
        name: str,
        w: np.ndarray,
        g: np.ndarray,
        lr: float,
        d: float,
        room: np.ndarray,
    ) -> None:
        rule = self._recipe.optimizer
        assert isinstance(rule, Sgd)
        change = np.multiply(w, -d, out=room)
        change -= g
        change *= lr
        if rule.momentum:
            v = self._memory[VELOCITY][name]
            v *= rule.momentum
            v += change
            if rule.nesterov:
                w += change
                change = np.multiply(v, rule.momentum, out=room)
            else:
                change = v
        w += change


class NumpyAdam(NumpyOptimizer):
    """Adam with g' = g + d w, in step t.

    m <- b1 m + (1 - b1) g';  v <- b2 v + (1 - b2) g'^2
    w <- w - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)
    """

    kinds = (FIRST_MOMENT, SECOND_MOMENT)
    coupled = True

    def _update(
        self,
        name: str,
        w: np.ndarray,
        g: np.ndarray,
        lr: float,
        d: float,
        room: np.ndarray,
    ) -> None:
        rule = self._recipe.optimizer
        assert isinstance(rule, (Adam, AdamW))
        m, v = self._memory[FIRST_MOMENT][name], self._memory[SECOND_MOMENT][name]
        if self.coupled and d:
            g = g + np.multiply(w, d, out=room)
        m *= rule.beta1
        m += np.multiply(g, 1 - rule.beta1, out=room)
        v *= rule.beta2
        square = np.multiply(g, g, out=room)
        square *= 1 - rule.beta2
        v += square
        root = np.sqrt(np.divide(v, 1 - rule.beta2**self._count, out=room), out=room)
        root += rule.epsilon
        step = np.divide(m, root, out=room)
        step *= lr / (1 - rule.beta1**self._count)
        if not self.coupled:
            w *= 1 - lr * d
        w -= step

    def state(self) -> dict[str, Array]:
        return super().state() | {COUNT: np.array(self._count)}

    def load(self, state: Mapping[str, Array]) -> None:
        super().load(state)
        self._count = int(state.get(COUNT, 0))


class NumpyAdamW(NumpyAdam):
    """Adam without d w in g', and w <- w - lr d w beside its step."""

    coupled = False


# Each optimiser of the recipe.
OPTIMIZERS: dict[str, type[NumpyOptimizer]] = {
    "sgd": NumpySgd,
    "adam": NumpyAdam,
    "adamw": NumpyAdamW,
}


def optimizer(recipe: Recipe, weights: Mapping[str, np.ndarray]) -> NumpyOptimizer:
    """The recipe's optimiser for the weights that learn, by canonical name."""
    return OPTIMIZERS[recipe.optimizer.type](recipe, weights)

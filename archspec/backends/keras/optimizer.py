"""The recipe's optimisers in Keras, on whichever engine it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from archspec.backends.keras import canonical
from archspec.backends.optimizing import (
    COUNT,
    FIRST_MOMENT,
    SECOND_MOMENT,
    VELOCITY,
    named,
    part,
    velocities,
)
from archspec.spec.recipe import Adam, AdamW, Recipe, Sgd

if TYPE_CHECKING:
    from archspec.backends.base import Array


class KerasOptimizer(keras.optimizers.Optimizer):
    """The update of a recipe for variables, given with their canonical names.

    Keras' own optimisers know no multipliers, shrink all weights alike beside the update, and add
    Adam's epsilon elsewhere, so that only what keeps and calls them is used.
    """

    # The kinds of tensors that it remembers.
    kinds: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe, names: Sequence[str]) -> None:
        super().__init__(
            learning_rate=recipe.optimizer.learning_rate, name=recipe.optimizer.type
        )
        self._recipe, self._names = recipe, tuple(names)
        self._multipliers = [recipe.multipliers(name) for name in names]
        self._kept = [kind for kind in self.kinds if kind in recipe.optimizer.state]

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._memory = {
            kind: self.add_optimizer_variables(variables, kind) for kind in self._kept
        }

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        """First, multiply all gradients by min(1, gradient_clipping / the norm of them all)."""
        limit = self._recipe.gradient_clipping
        if limit is not None:
            norm = keras.ops.sqrt(
                sum(keras.ops.sum(keras.ops.square(g)) for g in grads)
            )
            scale = keras.ops.minimum(_like(limit, norm) / norm, _like(1.0, norm))
            grads = [g * keras.ops.cast(scale, g.dtype) for g in grads]
        return super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        faster, heavier = self._multipliers[index]
        weight = keras.ops.convert_to_tensor(variable)
        gradient = keras.ops.cast(gradient, weight.dtype)
        rate = keras.ops.cast(learning_rate, weight.dtype) * _like(faster, weight)
        decay = _like(self._recipe.optimizer.weight_decay * heavier, weight) * weight
        memory = [self._memory[kind][index] for kind in self._kept]
        self._update(variable, gradient, decay, rate, memory)

    def _update(
        self, variable: Any, g: Any, decay: Any, rate: Any, memory: list[Any]
    ) -> None:
        """The update of one variable, whose decay is d w."""
        raise NotImplementedError

    def state(self, axes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """What it remembers, as in `archspec.backends.optimizing`.

        `axes` lead from canonical layout to that of each variable.
        """
        found: dict[str, Array] = {}
        for kind, tensors in self._memory.items():
            arrays = {
                name: canonical(tensor, axes[name])
                for name, tensor in zip(self._names, tensors, strict=True)
            }
            found |= named(kind, arrays)
        return found

    def load(
        self, state: Mapping[str, Array], axes: Mapping[str, tuple[int, ...]]
    ) -> None:
        """Go on with a state."""
        for kind, tensors in self._memory.items():
            found = (
                velocities(state, self._recipe)
                if kind == VELOCITY
                else part(kind, state)
            )
            for name, tensor in zip(self._names, tensors, strict=True):
                if name in found:
                    tensor.assign(found[name].transpose(axes[name]))


class KerasSgd(KerasOptimizer):
    """SGD whose weight decay is part of the gradient, with the learning rate in the velocity."""

    kinds = (VELOCITY,)

    def _update(
        self, variable: Any, g: Any, decay: Any, rate: Any, memory: list[Any]
    ) -> None:
        rule = self._recipe.optimizer
        assert isinstance(rule, Sgd)
        change = -rate * (g + decay)
        if memory:
            momentum = _like(rule.momentum, change)
            velocity = momentum * keras.ops.convert_to_tensor(memory[0]) + change
            self.assign(memory[0], velocity)
            change = momentum * velocity + change if rule.nesterov else velocity
        self.assign_add(variable, change)


class KerasAdam(KerasOptimizer):
    """Adam with the decay in the gradient and epsilon beside the root of the corrected moment."""

    kinds = (FIRST_MOMENT, SECOND_MOMENT)
    coupled = True

    def _update(
        self, variable: Any, g: Any, decay: Any, rate: Any, memory: list[Any]
    ) -> None:
        rule = self._recipe.optimizer
        assert isinstance(rule, (Adam, AdamW))
        if self.coupled:
            g = g + decay
        steps = keras.ops.cast(self.iterations + 1, g.dtype)
        moments = []
        for tensor, value, beta in zip(
            memory, (g, g * g), (rule.beta1, rule.beta2), strict=True
        ):
            new = (
                _like(beta, g) * keras.ops.convert_to_tensor(tensor)
                + _like(1 - beta, g) * value
            )
            self.assign(tensor, new)
            moments.append(new / _complement(beta, steps))
        first, second = moments
        step = rate * first / (keras.ops.sqrt(second) + _like(rule.epsilon, g))
        self.assign_sub(variable, step if self.coupled else step + rate * decay)

    def state(self, axes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        count = keras.ops.convert_to_numpy(self.iterations)
        return super().state(axes) | {COUNT: np.array(int(count))}

    def load(
        self, state: Mapping[str, Array], axes: Mapping[str, tuple[int, ...]]
    ) -> None:
        super().load(state, axes)
        self.iterations.assign(int(state.get(COUNT, 0)))


class KerasAdamW(KerasAdam):
    """Adam with the decay beside the step."""

    coupled = False


def _like(number: float, tensor: Any) -> Any:
    """A number in the precision of a tensor. Of Python's, TensorFlow would make a float32."""
    return keras.ops.convert_to_tensor(number, dtype=tensor.dtype)


def _complement(beta: float, steps: Any) -> Any:
    """1 - beta^steps, to the last digits in float32 too, where 1 - 0.999 has only four."""
    if not beta:
        return keras.ops.ones_like(steps)
    return -keras.ops.expm1(steps * _like(math.log(beta), steps))


# Each optimiser of the recipe.
OPTIMIZERS: dict[str, type[KerasOptimizer]] = {
    "sgd": KerasSgd,
    "adam": KerasAdam,
    "adamw": KerasAdamW,
}


def optimizer(recipe: Recipe, names: Sequence[str]) -> KerasOptimizer:
    """The recipe's optimiser, not built yet, for variables with these canonical names."""
    return OPTIMIZERS[recipe.optimizer.type](recipe, names)

"""The recipe's optimisers in PyTorch: the fused kernels of `torch.optim`, the recipe's formulas."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from archspec.backends.optimizing import (
    COUNT,
    FIRST_MOMENT,
    SCALE,
    SECOND_MOMENT,
    VELOCITY,
    named,
    part,
    updated,
    velocities,
)
from archspec.backends.torch.parallel import divided, fill, whole
from archspec.spec.recipe import Adam, AdamW, Recipe, Sgd

if TYPE_CHECKING:
    from archspec.backends.base import Array


class TorchOptimizer(ABC):
    """The update of a recipe for the parameters of a model, which have canonical names.

    Parameters whose learning-rate multiplier is 0 have no part in it. `torch` is what computes,
    for a loss scaler to step: after `clip` and `set_rate`, which `step` does too. `may_skip` says
    that a loss scaler can make the device leave a step out.
    """

    def __init__(
        self,
        recipe: Recipe,
        parameters: Mapping[str, torch.Tensor],
        may_skip: bool = False,
    ) -> None:
        self._recipe, self._may_skip = recipe, may_skip
        self._parameters = {
            name: parameters[name] for name in updated(parameters, recipe)
        }
        groups: dict[tuple[float, float], list[torch.Tensor]] = {}
        for name, parameter in self._parameters.items():
            groups.setdefault(recipe.multipliers(name), []).append(parameter)
        rule = recipe.optimizer
        self.torch = self._made(
            [
                {
                    "params": members,
                    "lr": rule.learning_rate * rate,
                    "weight_decay": rule.weight_decay * decay,
                    "multiplier": rate,
                }
                for (rate, decay), members in groups.items()
            ]
        )

    def clip(self) -> None:
        """Multiply all gradients by min(1, gradient_clipping / their norm), if the recipe clips.

        The norm is the Euclidean one of all of them together, without weight decay. They must be
        those of the loss itself, without a loss scale. Nothing waits for the device.
        (`torch.nn.utils.clip_grad_norm_` divides by norm + 1e-6, Keras does not.)
        """
        limit = self._recipe.gradient_clipping
        if limit is not None:
            gradients = [
                p.grad for p in self._parameters.values() if p.grad is not None
            ]
            norm = torch.nn.utils.get_total_norm(gradients)
            torch._foreach_mul_(gradients, (limit / norm).clamp(max=1.0))

    def step(self, rate: float) -> None:
        """Clip the gradients, and update the parameters at learning rate `rate`."""
        self.clip()
        self.set_rate(rate)
        self.torch.step()

    def set_rate(self, rate: float) -> None:
        """Let the next step of `torch` be one at learning rate `rate`. Call it once a step."""
        for group in self.torch.param_groups:
            group["lr"] = rate * group["multiplier"]

    @abstractmethod
    def _made(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimiser of `torch.optim` for these groups, with its state."""

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """What it remembers, as in `archspec.backends.optimizing`."""

    @abstractmethod
    def load(self, state: Mapping[str, Array]) -> None:
        """Go on with a state, to the last bit."""


class TorchSgd(TorchOptimizer):
    """The recipe's velocity v in `torch.optim.SGD`'s buffer b, as v = -u b with a unit u.

    PyTorch's kernel does b <- p b + (1 - t) (g + d w), w <- w - l b (with Nesterov's momentum
    w <- w - l (g + d w + p b)) for a momentum p, a dampening t and a learning rate l. With the
    recipe's momentum m and its learning rate r of this step, that is the paper's update for

        p = m u / u',  1 - t = r / u',  l = u'

    with any units u before and u' after the step. Here u stays what it is, the power of two next
    to the parameter's first learning rate, so that v = -u b is exact whatever becomes of r.
    Nesterov's needs l = r, and r p = m u' in its second term, which makes u' = sqrt(r u).
    So a learning rate that changes at each step costs no pass over the buffers, and r = 0 is no
    exception. Only where the device may skip a step of Nesterov's, after which u would be another
    one than is thought here, are the buffers rescaled when the rate changes, which makes u' = r.
    """

    def _made(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        rule = self._recipe.optimizer
        assert isinstance(rule, Sgd)
        self._momentum, self._nesterov = rule.momentum, rule.nesterov
        optimizer = torch.optim.SGD(
            groups,
            momentum=rule.momentum,
            nesterov=rule.nesterov,
            # PyTorch has no fused kernel for parameters of which each process has a part.
            fused=not divided(self._parameters.values()),
        )
        for group in optimizer.param_groups:
            # In the groups, so that who puts these back puts it back too.
            group["unit"] = (
                rule.learning_rate
                if rule.nesterov
                else 2.0 ** round(math.log2(group["lr"]))
            )
            for parameter in group["params"] if rule.momentum else ():
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(
                    parameter
                )
        return optimizer

    def set_rate(self, rate: float) -> None:
        if not self._momentum:
            super().set_rate(rate)
            return
        if not self._nesterov:
            for group in self.torch.param_groups:
                unit = group["unit"]
                group.update(lr=unit, dampening=1 - rate * group["multiplier"] / unit)
            return
        momentum, before = self._momentum, self._unit()
        if not rate:  # v <- m v; w <- w + m v
            values = {"lr": momentum * before, "momentum": momentum, "dampening": 1.0}
        else:
            if self._may_skip and rate != before:
                torch._foreach_mul_(
                    [self._buffer(n) for n in self._parameters], before / rate
                )
                before = rate
            unit = math.sqrt(rate * before)
            values = {
                "lr": rate,
                "momentum": momentum * before / unit,
                "dampening": 1 - rate / unit,
                "unit": unit,
            }
        for group in self.torch.param_groups:
            group.update(
                values, lr=values["lr"] * group["multiplier"], nesterov=bool(rate)
            )

    def state(self) -> dict[str, Array]:
        if not self._momentum:
            return {}
        if self._nesterov:
            buffers = {name: -_array(self._buffer(name)) for name in self._parameters}
            return named(VELOCITY, buffers) | {SCALE: np.array(self._unit())}
        units = self._units()
        return named(
            VELOCITY,
            {
                n: _array(self._buffer(n)) * np.float32(-units[n])
                for n in self._parameters
            },
        )

    def load(self, state: Mapping[str, Array]) -> None:
        if not self._momentum:
            return
        if self._nesterov and SCALE in state:
            found, units = part(VELOCITY, state), dict.fromkeys(self._parameters, 1.0)
            for group in self.torch.param_groups:
                group["unit"] = float(state[SCALE])
        else:
            found, units = velocities(state, self._recipe), self._units()
        for name, velocity in found.items():
            fill(self._buffer(name), velocity)
            self._buffer(name).div_(-units[name])

    def _unit(self) -> float:
        """The unit of Nesterov's buffers, without the multipliers."""
        return float(self.torch.param_groups[0]["unit"])

    def _units(self) -> dict[str, float]:
        """What the buffer of each parameter is multiplied by, and -1, to be its velocity."""
        of = {
            id(p): group["unit"] * (group["multiplier"] if self._nesterov else 1)
            for group in self.torch.param_groups
            for p in group["params"]
        }
        return {name: of[id(parameter)] for name, parameter in self._parameters.items()}

    def _buffer(self, name: str) -> torch.Tensor:
        buffer: torch.Tensor = self.torch.state[self._parameters[name]][
            "momentum_buffer"
        ]
        return buffer


class TorchAdam(TorchOptimizer):
    """`torch.optim.Adam`, whose weight decay is coupled and whose epsilon is beside sqrt(v-hat)."""

    _kind: type[torch.optim.Adam] = torch.optim.Adam

    def _made(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        rule = self._recipe.optimizer
        assert isinstance(rule, (Adam, AdamW))
        optimizer = self._kind(
            groups, betas=(rule.beta1, rule.beta2), eps=rule.epsilon, fused=True
        )
        for parameter in self._parameters.values():
            optimizer.state[parameter].update(
                # As PyTorch makes it: on the device, where a step that is skipped does not count.
                step=torch.zeros((), dtype=torch.float32, device=parameter.device),
                exp_avg=torch.zeros_like(parameter),
                exp_avg_sq=torch.zeros_like(parameter),
            )
        return optimizer

    def state(self) -> dict[str, Array]:
        states = {name: self.torch.state[p] for name, p in self._parameters.items()}
        first = {name: _array(state["exp_avg"]) for name, state in states.items()}
        second = {name: _array(state["exp_avg_sq"]) for name, state in states.items()}
        count = next(int(state["step"]) for state in states.values())
        return (
            named(FIRST_MOMENT, first)
            | named(SECOND_MOMENT, second)
            | {COUNT: np.array(count)}
        )

    def load(self, state: Mapping[str, Array]) -> None:
        for kind, key in ((FIRST_MOMENT, "exp_avg"), (SECOND_MOMENT, "exp_avg_sq")):
            for name, array in part(kind, state).items():
                own = self.torch.state[self._parameters[name]]
                fill(own[key], array)
                own["step"].fill_(float(state[COUNT]))


class TorchAdamW(TorchAdam):
    """`torch.optim.AdamW`, whose decay is lr d w beside the step."""

    _kind = torch.optim.AdamW


def _array(tensor: torch.Tensor) -> Array:
    """A copy, which later steps leave alone."""
    copied = whole(tensor.detach()).to(
        "cpu", copy=True, memory_format=torch.contiguous_format
    )
    array: Array = copied.numpy()
    return array


# Each optimiser of the recipe.
OPTIMIZERS: dict[str, type[TorchOptimizer]] = {
    "sgd": TorchSgd,
    "adam": TorchAdam,
    "adamw": TorchAdamW,
}


def optimizer(
    recipe: Recipe, parameters: Mapping[str, torch.Tensor], may_skip: bool = False
) -> TorchOptimizer:
    """The recipe's optimiser for the parameters, which are given by canonical name."""
    return OPTIMIZERS[recipe.optimizer.type](recipe, parameters, may_skip)

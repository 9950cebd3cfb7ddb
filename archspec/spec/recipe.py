"""The training recipe: one, for every backend."""

from __future__ import annotations

import fnmatch
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from archspec.spec.fields import Count, Finite, NonNegative, Positive, SpecModel, is_integer
from archspec.spec.ignore import ABOUT_IGNORE, Ignores


class Sgd(SpecModel):
    """Stochastic gradient descent with momentum, as Krizhevsky et al. (2012) print it.

    v <- momentum v - weight_decay lr w - lr g;  w <- w + v
    """

    type: Literal["sgd"]
    learning_rate: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NonNegative = Field(
        default=0.0, description="coupled: added to the gradient as weight_decay x weight"
    )


class Multipliers(SpecModel):
    """What the parameters whose name matches a pattern do differently.

    `match` is a shell pattern over canonical names: ``*.bias``, ``fc8.*``. Where several match
    a parameter, the last one counts.
    """

    match: str
    learning_rate: NonNegative = 1.0
    weight_decay: NonNegative = 1.0


class ConstantSchedule(SpecModel):
    """The learning rate stays."""

    type: Literal["constant"] = "constant"


class StepSchedule(SpecModel):
    """The learning rate is multiplied by `factor` when each of `epochs` begins (from 1)."""

    type: Literal["steps"]
    epochs: Annotated[tuple[int, ...], BeforeValidator(lambda value: _epochs(value))]
    factor: Positive = 0.1


class PlateauSchedule(SpecModel):
    """The learning rate is multiplied by `factor` when the held-out error stops improving.

    It stopped improving when the best error is `patience` epochs old; this happens at most
    `drops` times.
    """

    type: Literal["plateau"]
    factor: Positive = 0.1
    patience: Count = 5
    drops: Count = 3


def _epochs(value: Any) -> Any:
    if (
        not isinstance(value, (list, tuple))
        or not all(is_integer(v) and v >= 1 for v in value)
        or sorted(set(value)) != list(value)
    ):
        raise PydanticCustomError("spec", "expected epochs from 1 in ascending order")
    return tuple(value)


Statistic = Annotated[
    Literal["data"] | tuple[Finite, ...],
    BeforeValidator(lambda value: _statistic(value)),
]


def _statistic(value: Any) -> Any:
    if value == "data":
        return value
    if isinstance(value, (list, tuple)) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in value
    ):
        return tuple(float(v) for v in value)
    raise PydanticCustomError("spec", "expected `data` or one number a channel")


def _deviation(value: Any) -> Any:
    if isinstance(value, tuple) and any(number <= 0 for number in value):
        raise PydanticCustomError("spec", "a standard deviation is above 0")
    return value


class Preprocessing(SpecModel):
    """What a pixel value p of 0 to 255 becomes: (p x rescale - mean) / std.

    `mean` and `std` are one number a channel, or `data`: measured on the training images
    (after `rescale`).
    """

    rescale: Positive = 1.0
    mean: Statistic = "data"
    std: Annotated[Statistic | None, AfterValidator(lambda value: _deviation(value))] = None


class Recipe(SpecModel):
    """How the network is trained, with the cross-entropy of its logits as the loss."""

    epochs: Count
    batch_size: Count
    optimizer: Sgd
    schedule: Annotated[
        ConstantSchedule | StepSchedule | PlateauSchedule, Field(discriminator="type")
    ] = ConstantSchedule()
    parameters: Annotated[tuple[Multipliers, ...], Field(strict=False)] = ()
    preprocessing: Preprocessing = Preprocessing()
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    ignore: Ignores = Field(default=(), description=ABOUT_IGNORE)

    def multipliers(self, parameter: str) -> tuple[float, float]:
        """The learning-rate and weight-decay multipliers of a parameter; the last match counts.

        `parameter` is a canonical name such as ``conv1.bias``.
        """
        found = (1.0, 1.0)
        for rule in self.parameters:
            if fnmatch.fnmatchcase(parameter, rule.match):
                found = (rule.learning_rate, rule.weight_decay)
        return found

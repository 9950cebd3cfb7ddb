"""The training recipe: one, for every backend."""

from __future__ import annotations

import fnmatch
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from archspec.spec.fields import Count, NonNegative, Positive, SpecModel, is_integer
from archspec.spec.ignore import ABOUT_IGNORE, Ignores
from archspec.spec.preprocessing import Augmentation, Preprocessing


class Sgd(SpecModel):
    """Stochastic gradient descent with momentum, as Krizhevsky et al. (2012) print it.

    v <- momentum v - weight_decay lr w - lr g;  w <- w + v
    """

    type: Literal["sgd"]
    learning_rate: Positive = Field(description="the step size at the beginning")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="the share of the last step that is kept: 0.9"
    )
    weight_decay: NonNegative = Field(
        default=0.0, description="coupled: added to the gradient as weight_decay x weight"
    )


class Multipliers(SpecModel):
    """What the parameters whose name matches a pattern do differently.

    `match` is a shell pattern over canonical names: ``*.bias``, ``fc8.*``. Where several match
    a parameter, the last one counts.
    """

    match: str = Field(
        description="a shell pattern over parameters: `*.bias`, `fc8.*`; "
        "of several that match the last counts"
    )
    learning_rate: NonNegative = Field(
        default=1.0, description="times the recipe's learning rate; 0 freezes them"
    )
    weight_decay: NonNegative = Field(
        default=1.0, description="times the recipe's weight decay; 0 leaves it out"
    )


class ConstantSchedule(SpecModel):
    """The learning rate stays."""

    type: Literal["constant"] = "constant"


class StepSchedule(SpecModel):
    """The learning rate is multiplied by `factor` when each of `epochs` begins (from 1)."""

    type: Literal["steps"]
    epochs: Annotated[tuple[int, ...], BeforeValidator(lambda value: _epochs(value))] = Field(
        description="the epochs, from 1, at whose beginning the learning rate drops"
    )
    factor: Positive = Field(default=0.1, description="what the learning rate is multiplied by")


class PlateauSchedule(SpecModel):
    """The learning rate is multiplied by `factor` when the held-out error stops improving.

    It stopped improving when the best error is `patience` epochs old; this happens at most
    `drops` times.
    """

    type: Literal["plateau"]
    factor: Positive = Field(default=0.1, description="what the learning rate is multiplied by")
    patience: Count = Field(
        default=5, description="epochs without a better held-out error before it drops"
    )
    drops: Count = Field(default=3, description="how often it drops at most")


def _epochs(value: Any) -> Any:
    if (
        not isinstance(value, (list, tuple))
        or not all(is_integer(v) and v >= 1 for v in value)
        or sorted(set(value)) != list(value)
    ):
        raise PydanticCustomError("spec", "expected epochs from 1 in ascending order")
    return tuple(value)


class Recipe(SpecModel):
    """How the network is trained, with the cross-entropy of its logits as the loss."""

    epochs: Count = Field(description="how often all training images are seen")
    batch_size: Count = Field(description="images in a step")
    optimizer: Sgd = Field(description="how parameters are updated")
    schedule: Annotated[
        ConstantSchedule | StepSchedule | PlateauSchedule, Field(discriminator="type")
    ] = Field(default=ConstantSchedule(), description="how the learning rate falls")
    parameters: Annotated[tuple[Multipliers, ...], Field(strict=False)] = Field(
        default=(), description="what some parameters do differently, by pattern over their names"
    )
    preprocessing: Preprocessing = Field(
        default=Preprocessing(), description="what becomes of images and of pixel values"
    )
    augmentation: Augmentation = Field(
        default=Augmentation(), description="what is done to training images by chance"
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default=0, description="for initial weights, order of the images and dropout"
    )
    ignore: Ignores = Field(default=(), description=ABOUT_IGNORE)

    @field_validator("augmentation")
    @classmethod
    def _room(cls, value: Augmentation, info: ValidationInfo) -> Augmentation:
        preprocessing = info.data.get("preprocessing")
        if (
            preprocessing is not None
            and preprocessing.short_side is None
            and value.random_crop is not None
            and value.random_crop.padding == 0
        ):
            raise PydanticCustomError(
                "spec",
                "without `short_side` in `preprocessing` images have the size of the input, and "
                "`random_crop` nothing to choose from: say that, or `random_crop.padding`",
            )
        return value

    def multipliers(self, parameter: str) -> tuple[float, float]:
        """The learning-rate and weight-decay multipliers of a parameter; the last match counts.

        `parameter` is a canonical name such as ``conv1.bias``.
        """
        found = (1.0, 1.0)
        for rule in self.parameters:
            if fnmatch.fnmatchcase(parameter, rule.match):
                found = (rule.learning_rate, rule.weight_decay)
        return found


# The recipe of a spec that has none.
DEFAULT_RECIPE = Recipe(
    epochs=10,
    batch_size=32,
    optimizer=Sgd(type="sgd", learning_rate=0.01, momentum=0.9),
    preprocessing=Preprocessing(mean="data", std="data"),
)

"""The training recipe: one, for every backend."""

from __future__ import annotations

import fnmatch
import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from archspec.spec.fields import (
    Count,
    NonNegative,
    Positive,
    SpecModel,
    is_integer,
    wrong_value,
)
from archspec.spec.ignore import ABOUT_IGNORE, Ignores
from archspec.spec.preprocessing import Augmentation, Preprocessing

Share = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(SpecModel):
    """How a step updates each parameter w, whose gradient of the loss is g.

    `learning_rate` lr and `weight_decay` d are those of the parameter: times its multipliers, and
    times what schedule and warm-up make of lr. A parameter whose multiplier is 0, or whose layer
    is frozen, gets neither step nor decay.
    """

    type: str
    learning_rate: Positive = Field(description="the step size at the beginning")

    # Whether the update depends on the number of steps before it.
    counts_steps: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it is called."""
        raise NotImplementedError

    @property
    def state(self) -> tuple[str, ...]:
        """The tensors that it remembers of each parameter."""
        raise NotImplementedError

    @property
    def shrinking(self) -> float | None:
        """What decay alone takes from a weight in a step at the first learning rate, as a share.

        None where that depends on the gradients.
        """
        raise NotImplementedError


class Sgd(Optimizer):
    """Stochastic gradient descent with momentum m, as Krizhevsky et al. (2012) print it.

    v <- m v - lr (g + d w);  w <- w + v

    With Nesterov's momentum the second is w <- w + m v - lr (g + d w): the parameters are those
    that Sutskever et al. (2013) look ahead to, as in PyTorch and Keras. Theirs is the same
    where lr does not change.
    """

    type: Literal["sgd"]
    momentum: Share = Field(default=0.0, description="the share of the last step that is kept: 0.9")
    nesterov: Annotated[bool, AfterValidator(lambda v, given: _nesterov(v, given))] = Field(
        default=False, description="look ahead along the momentum (Nesterov's momentum)"
    )
    weight_decay: NonNegative = Field(
        default=0.0, description="coupled: added to the gradient as weight_decay x weight"
    )

    @property
    def title(self) -> str:
        if self.nesterov:
            return "SGD with Nesterov's momentum"
        return "SGD with momentum" if self.momentum else "SGD"

    @property
    def state(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    @property
    def shrinking(self) -> float:
        """Each decay is part of the velocity, whose sum over all later steps is 1/(1 - m) of it."""
        return self.learning_rate * self.weight_decay / (1 - self.momentum)


def _nesterov(value: bool, given: ValidationInfo) -> bool:
    if value and given.data.get("momentum") == 0:
        raise wrong_value("`false` where there is no `momentum`")
    return value


class _Moments(Optimizer):
    counts_steps: ClassVar[bool] = True
    beta1: Share = Field(default=0.9, description="the share of the mean gradient that is kept")
    beta2: Share = Field(
        default=0.999, description="the share of the mean squared gradient that is kept"
    )
    epsilon: Positive = Field(
        default=1e-8, description="added to the root of the mean squared gradient"
    )

    @property
    def state(self) -> tuple[str, ...]:
        return ("first_moment", "second_moment")


class Adam(_Moments):
    """Adam, algorithm 1 of Kingma and Ba (2015), with the decay coupled: g' = g + d w.

    In step t, from 1:

    m <- beta1 m + (1 - beta1) g';  v <- beta2 v + (1 - beta2) g'^2
    w <- w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)

    Epsilon stands beside the root of the corrected v, as in the paper and in PyTorch; Keras' own
    Adam adds it to sqrt(v) and corrects afterwards.
    """

    type: Literal["adam"]
    weight_decay: NonNegative = Field(
        default=0.0, description="coupled: added to the gradient as weight_decay x weight"
    )

    @property
    def title(self) -> str:
        return "Adam"

    @property
    def shrinking(self) -> float | None:
        """The gradient's size is divided out, and with it that of the decay."""
        return None if self.weight_decay else 0.0


class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as in PyTorch and Keras.

    The moments are those of g, without decay, and the update is
    w <- w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) - lr d w
    """

    type: Literal["adamw"]
    weight_decay: NonNegative = Field(
        description="decoupled: lr x weight_decay x weight is taken from the weight; PyTorch's "
        "default is 0.01, Keras' 0.004"
    )

    @property
    def title(self) -> str:
        return "AdamW"

    @property
    def shrinking(self) -> float:
        """The step beside the decay does not know of it."""
        return self.learning_rate * self.weight_decay


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


class ScheduleRule(SpecModel):
    """What becomes of the learning rate in the course of a run."""

    def share(self, recipe: Recipe, epoch: int, part: float, drops: int) -> float:
        """What the recipe's learning rate is multiplied by in `epoch`, which counts from 1.

        `part` (0 to 1) of the epoch is done; a plateau has made `drops`. Raises OverflowError for
        what no float holds.
        """
        raise NotImplementedError


class ConstantSchedule(ScheduleRule):
    """The learning rate stays."""

    type: Literal["constant"] = "constant"

    def share(self, recipe: Recipe, epoch: int, part: float, drops: int) -> float:
        return 1.0


class StepSchedule(ScheduleRule):
    """The learning rate is multiplied by `factor` when each of `epochs` begins (from 1)."""

    type: Literal["steps"]
    epochs: Annotated[tuple[int, ...], BeforeValidator(lambda value: _epochs(value))] = Field(
        description="the epochs, from 1, at whose beginning the learning rate drops"
    )
    factor: Positive = Field(default=0.1, description="what the learning rate is multiplied by")

    def share(self, recipe: Recipe, epoch: int, part: float, drops: int) -> float:
        passed: float = self.factor ** sum(epoch >= milestone for milestone in self.epochs)
        return passed


class PlateauSchedule(ScheduleRule):
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

    def share(self, recipe: Recipe, epoch: int, part: float, drops: int) -> float:
        dropped: float = self.factor**drops
        return dropped


class CosineSchedule(ScheduleRule):
    """The learning rate falls along half a cosine, from step to step (Loshchilov & Hutter, 2017).

    It is lr (final + (1 - final) (1 + cos(pi p)) / 2), where p goes from 0, at the beginning or
    where the warm-up ends, to 1, which it would be in the step after the last.
    """

    type: Literal["cosine"]
    final: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="the share of the learning rate that is left in the end"
    )

    def share(self, recipe: Recipe, epoch: int, part: float, drops: int) -> float:
        begin = recipe.warmup.epochs if recipe.warmup is not None else 0
        passed = max(0.0, epoch - 1 + part - begin) / max(1, recipe.epochs - begin)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * passed)) / 2


class Warmup(SpecModel):
    """The learning rate of the schedule is reached from below, in equal parts from step to step.

    In step t, from 0, of the n in the first `epochs` it is multiplied by
    factor + (1 - factor) t / n (Goyal et al., 2017).
    """

    epochs: Count = Field(description="the epochs that it takes")
    factor: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="what the learning rate of the first step is multiplied by"
    )

    def share(self, epoch: int, part: float) -> float:
        """What the schedule's learning rate is multiplied by when `part` of `epoch` is done."""
        return self.factor + (1 - self.factor) * min(1.0, (epoch - 1 + part) / self.epochs)


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
    optimizer: Annotated[Sgd | Adam | AdamW, Field(discriminator="type")] = Field(
        description="how parameters are updated"
    )
    schedule: Annotated[
        ConstantSchedule | StepSchedule | PlateauSchedule | CosineSchedule,
        Field(discriminator="type"),
    ] = Field(default=ConstantSchedule(), description="how the learning rate falls")
    warmup: Annotated[Warmup | None, AfterValidator(lambda v, given: _warmup(v, given))] = Field(
        default=None, description="how the learning rate begins, whatever its schedule"
    )
    label_smoothing: Share = Field(
        default=0.0,
        description="the share s of the label that all classes get alike: (1 - s) of one class, "
        "and s / classes of each",
    )
    gradient_clipping: Positive | None = Field(
        default=None,
        description="the largest norm of all gradients together, before weight decay is added; "
        "larger ones are scaled down to it",
    )
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

    def share(self, epoch: int, part: float = 0.0, drops: int = 0) -> float:
        """What `optimizer.learning_rate` is multiplied by when `part` (0 to 1) of `epoch` is done.

        Epochs count from 1; a plateau has made `drops`. It is infinite where no float holds it.
        """
        try:
            found = self.schedule.share(self, epoch, part, drops)
        except OverflowError:  # a factor above 1: the first step will show it
            found = math.inf
        return found * self.warmup.share(epoch, part) if self.warmup is not None else found


def _warmup(value: Warmup | None, given: ValidationInfo) -> Warmup | None:
    epochs = given.data.get("epochs")
    if value is not None and epochs is not None and value.epochs > epochs:
        raise wrong_value(f"at most the {epochs} of the run", at=("epochs",))
    return value


# The recipe of a spec that has none.
DEFAULT_RECIPE = Recipe(
    epochs=10,
    batch_size=32,
    optimizer=Sgd(type="sgd", learning_rate=0.01, momentum=0.9),
    preprocessing=Preprocessing(mean="data", std="data"),
)

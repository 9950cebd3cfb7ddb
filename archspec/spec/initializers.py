"""Initialisers: how a weight or a bias is drawn before training.

`fan_in` is the number of inputs that one output sees (kernel height x width x input channels
per group); `fan_out` is kernel height x width x output channels, as PyTorch and Keras count it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from archspec.spec.fields import Finite, NonNegative, Positive, SpecModel, wrong_value


class Zeros(SpecModel):
    """All zeros."""

    type: Literal["zeros"] = "zeros"


class Ones(SpecModel):
    """All ones."""

    type: Literal["ones"] = "ones"


class Constant(SpecModel):
    """Every element is `value`."""

    type: Literal["constant"]
    value: Finite = Field(description="the value of every element")


class Normal(SpecModel):
    """Gaussian with `mean` and standard deviation `std`."""

    type: Literal["normal"]
    mean: Finite = Field(default=0.0, description="the mean")
    std: NonNegative = Field(description="the standard deviation")


class TruncatedNormal(SpecModel):
    """Gaussian redrawn until it lies within two standard deviations of `mean`."""

    type: Literal["truncated_normal"]
    mean: Finite = Field(default=0.0, description="the mean")
    std: NonNegative = Field(description="the standard deviation")


class Uniform(SpecModel):
    """Uniform on [low, high)."""

    type: Literal["uniform"]
    low: Finite = Field(description="the least value")
    high: Finite = Field(description="the end of the range, not included")

    @field_validator("high", mode="after")
    @classmethod
    def _above_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low")
        if low is not None and high < low:
            raise wrong_value(f"a number of at least {low:g}, which `low` is")
        return high


class _Xavier(SpecModel):
    gain: Positive = Field(default=1.0, description="what the standard deviation is multiplied by")

    def std(self, fan_in: int, fan_out: int) -> float:
        """Gain x sqrt(2 / (fan_in + fan_out)): Glorot and Bengio (2010), equation 12."""
        return self.gain * math.sqrt(2.0 / (fan_in + fan_out))


class XavierNormal(_Xavier):
    """Gaussian with std = gain x sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""

    type: Literal["xavier_normal"]


class XavierUniform(_Xavier):
    """Uniform with the same variance as `xavier_normal` (Glorot and Bengio, 2010)."""

    type: Literal["xavier_uniform"]


class _Kaiming(SpecModel):
    mode: Literal["fan_in", "fan_out"] = Field(
        default="fan_in",
        description="the fan: inputs that an output sees, or outputs that an input reaches",
    )
    negative_slope: NonNegative = Field(
        default=0.0, description="the slope of the leaky ReLU behind it"
    )

    def std(self, fan_in: int, fan_out: int) -> float:
        """sqrt(2 / ((1 + a^2) x fan)): He et al. (2015), equations 10 and 15."""
        fan = fan_in if self.mode == "fan_in" else fan_out
        return math.sqrt(self.scale / fan)

    @property
    def scale(self) -> float:
        """The variance times the fan: 2 for ReLU, 2 / (1 + a^2) for a leaky one."""
        return 2.0 / (1.0 + self.negative_slope**2)


class KaimingNormal(_Kaiming):
    """Gaussian with std = sqrt(2 / fan), for layers before a ReLU (He et al., 2015)."""

    type: Literal["kaiming_normal"] = "kaiming_normal"


class KaimingUniform(_Kaiming):
    """Uniform with the same variance as `kaiming_normal` (He et al., 2015)."""

    type: Literal["kaiming_uniform"]


def drawing(rule: AnyInitializer, fan_in: int, fan_out: int) -> tuple[str, dict[str, float]]:
    """The distribution that a weight with these fans is drawn from, and its numbers.

    It is `constant` (value), `normal` or `truncated_normal` (mean, std) or `uniform` (low, high).
    """
    match rule:
        case Zeros():
            return "constant", {"value": 0.0}
        case Ones():
            return "constant", {"value": 1.0}
        case Constant():
            return "constant", {"value": rule.value}
        case Normal():
            return "normal", {"mean": rule.mean, "std": rule.std}
        case TruncatedNormal():
            return "truncated_normal", {"mean": rule.mean, "std": rule.std}
        case Uniform():
            return "uniform", {"low": rule.low, "high": rule.high}
        case XavierNormal() | KaimingNormal():
            return "normal", {"mean": 0.0, "std": rule.std(fan_in, fan_out)}
        case XavierUniform() | KaimingUniform():
            # A uniform variable on [-a, a) has the standard deviation a / sqrt(3).
            bound = math.sqrt(3.0) * rule.std(fan_in, fan_out)
            return "uniform", {"low": -bound, "high": bound}


def _bare_name(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


AnyInitializer = (
    Zeros
    | Ones
    | Constant
    | Normal
    | TruncatedNormal
    | Uniform
    | XavierNormal
    | XavierUniform
    | KaimingNormal
    | KaimingUniform
)
# `zeros` is short for `{type: zeros}`: an initialiser that needs no argument is its name.
Initializer = Annotated[
    Annotated[AnyInitializer, Field(discriminator="type")], BeforeValidator(_bare_name)
]

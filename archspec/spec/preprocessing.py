"""What becomes of pixel values before a network reads them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from archspec.spec.fields import Finite, Positive, SpecModel

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

    rescale: Positive = Field(
        default=1.0,
        description="what pixel values of 0 to 255 are multiplied by first: 1/255 is 0.00392157",
    )
    mean: Statistic = Field(
        default="data",
        description="what is subtracted: one number a channel, or `data`, measured on the training "
        "images",
    )
    std: Annotated[Statistic | None, AfterValidator(lambda value: _deviation(value))] = Field(
        default=None,
        description="what it is divided by: one number a channel, or `data`; nothing when left out",
    )

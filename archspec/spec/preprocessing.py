"""What becomes of an image on its way to the network: always, and in training by chance."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from archspec.spec.fields import (
    Count,
    Finite,
    Pair,
    Positive,
    Size2d,
    SpecModel,
    wrong_value,
)

# Pixels of padding that make sense: more is a mistake.
MAX_PADDING = 4096

Statistic = Annotated[
    Literal["data"] | tuple[Finite, ...],
    BeforeValidator(lambda value: _statistic(value)),
]


def _statistic(value: Any) -> Any:
    if value == "data":
        return value
    numbers = _numbers(value)
    if numbers is None:
        raise PydanticCustomError("spec", "expected `data` or one number a channel")
    return numbers


def _numbers(value: Any) -> tuple[float, ...] | None:
    if isinstance(value, (list, tuple)) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in value
    ):
        return tuple(float(v) for v in value)
    return None


def _deviation(value: Any) -> Any:
    if isinstance(value, tuple) and any(number <= 0 for number in value):
        raise PydanticCustomError("spec", "a standard deviation is above 0")
    return value


class Preprocessing(SpecModel):
    """What becomes of an image: its size, and of a pixel value p: (p x rescale - mean) / std.

    `mean` and `std` are one number a channel, or `data`: measured on the training images
    (after `rescale`).
    """

    short_side: Count | None = Field(
        default=None,
        description="the image is scaled until its shorter side has so many pixels, and the "
        "network's input is cut out of that; without it, the largest part of the input's "
        "proportions is scaled to the input",
    )
    center_crop: Size2d | None = Field(
        default=None,
        description="the part out of the middle of the scaled image that the input is cut out of: "
        "256 is 256 x 256; all of it when left out",
    )
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

    @field_validator("center_crop")
    @classmethod
    def _inside(cls, value: Pair | None, info: ValidationInfo) -> Pair | None:
        side = info.data.get("short_side")
        if value is not None and "short_side" in info.data:
            if side is None:
                raise PydanticCustomError(
                    "spec", "it is cut out of what `short_side` leaves: say that too"
                )
            if max(value) > side:
                raise wrong_value(f"at most {side}, which `short_side` is")
        return value


class RandomCrop(SpecModel):
    """The input is cut out at a random position instead of the middle, each as likely."""

    padding: Annotated[int, Field(ge=0, le=MAX_PADDING)] = Field(
        default=0, description="so many black pixels around the image to cut out of, too"
    )


class RandomResizedCrop(SpecModel):
    """A part of random area and proportions is scaled to the input (Szegedy et al. 2015)."""

    scale: Annotated[tuple[float, float], BeforeValidator(lambda value: _range(value, 1.0))] = (
        Field(default=(0.08, 1.0), description="the share of the image's area: least and most")
    )
    ratio: Annotated[tuple[float, float], BeforeValidator(lambda value: _range(value))] = Field(
        default=(0.75, 1.333), description="its width to its height: least and most"
    )


def _range(value: Any, most: float = math.inf) -> Any:
    if (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
        and 0 < value[0] <= value[1] <= most
        and value[1] < math.inf
    ):
        return (float(value[0]), float(value[1]))
    limit = f" to {most:g}" if most < math.inf else ""
    raise wrong_value(f"[least, most] of numbers above 0{limit}")


Components = Annotated[
    Literal["data"] | tuple[tuple[Finite, ...], ...],
    BeforeValidator(lambda value: _components(value)),
]
Eigenvalues = Annotated[
    Statistic,
    AfterValidator(lambda value: _eigenvalues(value)),
]


def _components(value: Any) -> Any:
    if value == "data":
        return value
    if isinstance(value, (list, tuple)) and value:
        rows = [_numbers(row) for row in value]
        if all(row is not None and len(row) == len(rows) for row in rows):
            return tuple(rows)
    raise PydanticCustomError(
        "spec", "expected `data` or a list of vectors of one number a channel"
    )


def _eigenvalues(value: Any) -> Any:
    if isinstance(value, tuple) and any(number < 0 for number in value):
        raise PydanticCustomError("spec", "a covariance has no eigenvalue below 0")
    return value


class PcaJitter(SpecModel):
    """Colours shift along the principal components of the pixel values, by chance.

    Each channel of an image gets its part of [p1 p2 p3] [a1 m1, a2 m2, a3 m3]^T, where p are the
    eigenvectors of the covariance of the channels, m what `magnitude` says and a are drawn for
    each image and epoch: Krizhevsky et al. (2012), section 4.1.
    """

    std: Positive = Field(default=0.1, description="the standard deviation of a")
    magnitude: Literal["deviation", "eigenvalue"] = Field(
        default="deviation",
        description="m: the standard deviation along the component, as in the code that the "
        "authors published, or its square, the eigenvalue, as the paper prints it",
    )
    eigenvalues: Eigenvalues = Field(
        default="data",
        description="one number a channel, the variance along its component after `rescale`, or "
        "`data`, measured on the training images",
    )
    eigenvectors: Components = Field(
        default="data",
        # Left out beside eigenvalues in numbers it is wrong, too.
        validate_default=True,
        description="a vector for each eigenvalue, or `data`",
    )

    @field_validator("eigenvectors")
    @classmethod
    def _one_each(cls, value: Any, info: ValidationInfo) -> Any:
        if "eigenvalues" in info.data:
            of = info.data["eigenvalues"]
            if (value == "data") != (of == "data"):
                raise PydanticCustomError(
                    "spec", "eigenvalues and eigenvectors are both `data` or both numbers"
                )
            if len(value) != len(of):
                raise PydanticCustomError(
                    "spec", "each of the {values} eigenvalues has one vector", {"values": len(of)}
                )
        return value


class Augmentation(SpecModel):
    """What is done to a training image by chance, anew in each epoch.

    It depends on the recipe's seed, the epoch and the image alone.
    """

    random_crop: RandomCrop | None = Field(
        default=None, description="cut the input out anywhere, instead of in the middle"
    )
    random_resized_crop: RandomResizedCrop | None = Field(
        default=None, description="cut out a part of any size and scale it to the input"
    )
    horizontal_flip: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="how likely the mirror image is taken: 0.5"
    )
    pca_jitter: PcaJitter | None = Field(
        default=None, description="shift the colours along their principal components"
    )

    @field_validator("random_resized_crop")
    @classmethod
    def _one_crop(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("random_crop") is not None:
            raise PydanticCustomError("spec", "`random_crop` cuts already: one of them is enough")
        return value

    @property
    def changes(self) -> bool:
        """Whether anything is done."""
        parts = (self.random_crop, self.random_resized_crop, self.pca_jitter)
        return self.horizontal_flip > 0 or any(part is not None for part in parts)

    @property
    def smallest(self) -> float:
        """The side of the smallest part that is scaled to the input, to that of the image."""
        crop = self.random_resized_crop
        return (
            1.0
            if crop is None
            else math.sqrt(crop.scale[0] * min(crop.ratio[0], 1 / crop.ratio[1]))
        )

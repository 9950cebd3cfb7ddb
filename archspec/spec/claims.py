"""Claims: figures that a paper, a blog post or a comment states about the network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from archspec.diagnostics import ArchspecError
from archspec.spec.fields import (
    INPUT,
    MAX_SIZE,
    LayerName,
    NonNegative,
    Size2d,
    SpecModel,
    is_integer,
    missing_key,
    wrong_type,
    wrong_value,
)
from archspec.spec.ignore import ABOUT_IGNORE, Ignores
from archspec.spec.quantities import parse_bytes

# What a claim may be about that is no layer.
NETWORK = "network"
TRAINING = "training"

Figure = Annotated[int, Field(ge=0)]


def _shape(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 3):
        raise PydanticCustomError("spec", "expected [channels, height, width] or [features]")
    return _sizes(value)


def _weight_shape(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= 4:
        raise PydanticCustomError(
            "spec", "expected [filters, channels / groups, height, width] or [units, features]"
        )
    return _sizes(value)


def _sizes(value: list[Any] | tuple[Any, ...]) -> tuple[int, ...]:
    if not all(is_integer(v) and 1 <= v <= MAX_SIZE for v in value):
        raise PydanticCustomError("spec", "expected whole numbers of at least 1")
    return tuple(value)


def _bytes(value: Any) -> Any:
    """Whole bytes, from a number or from a text such as `240 MB` (to the nearest byte)."""
    expected = "a whole number of bytes, or a text such as `240 MB` or `233 MiB`"
    if not isinstance(value, str):
        if not is_integer(value):
            raise wrong_type(expected)
        return value
    try:
        return parse_bytes(value)
    except ArchspecError:
        raise wrong_value(expected) from None


def _formula(value: Any) -> Any:
    if is_integer(value) or isinstance(value, float):
        return str(value)  # YAML reads `formula: 55` as a number
    return value


def _counts(value: Any) -> Any:
    if not isinstance(value, dict):
        raise wrong_type(
            "a mapping such as `conv2d: 5`; how many have weights is `weighted_layers`"
        )
    return value


def _setting(value: Any) -> Any:
    """A value of a key: a list becomes a tuple, as in the layers."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(part, (bool, int, float, str)) for part in parts):
        raise wrong_type("a number, text, `true`, `false` or a list of such")
    if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
        raise wrong_value("finite")
    return value if parts is not value else tuple(value)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type("a number")
    if not math.isfinite(value):
        raise wrong_value("finite")
    return value


_SCALAR = {"type": ["number", "boolean", "string"]}
Setting = Annotated[
    Any,
    BeforeValidator(_setting),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]}),
]
Number = Annotated[Any, BeforeValidator(_number), WithJsonSchema({"type": "number"})]
Bytes = Annotated[
    Figure,
    BeforeValidator(_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([kKMGTP]i?)?B$"},
            ]
        }
    ),
]


@dataclass(frozen=True, slots=True)
class Stated:
    """One figure of a claim: what it is called, where it stands in the claim, what it is."""

    quantity: str
    place: tuple[str, ...]
    figure: Any

    @property
    def key(self) -> str:
        """The last step of the place: the layer type or the setting that is meant."""
        return self.place[-1]


class Claim(SpecModel):
    """One stated figure: what it is about, one quantity, its tolerance and its source."""

    about: LayerName | None = Field(
        default=None, description="a layer, a block or group, `network`, `input` or `training`"
    )
    shape: Annotated[tuple[int, ...], BeforeValidator(_shape)] | None = Field(
        default=None, description="of the output: [channels, height, width] or [features]"
    )
    weight_shape: Annotated[tuple[int, ...], BeforeValidator(_weight_shape)] | None = Field(
        default=None,
        description="of a layer's kernels: [filters, channels / groups, height, width]",
    )
    params: Figure | None = None
    trainable_params: Figure | None = None
    non_trainable_params: Figure | None = None
    macs: Figure | None = None
    flops: Figure | None = None
    backward_flops: Figure | None = None
    training_step_matmul_flops: Figure | None = Field(
        default=None, description="forward and backward, 2 FLOPs a MAC and nothing else"
    )
    neurons: Figure | None = None
    connections: Figure | None = None
    receptive_field: Size2d | None = Field(default=None, description="its size in input pixels")
    weight_bytes: Bytes | None = Field(
        default=None, description="of parameters and buffers in float32: bytes, or `240 MB`"
    )
    activation_bytes: Bytes | None = Field(
        default=None, description="of the outputs for one image in float32: bytes, or `2.6 MB`"
    )
    weighted_layers: Figure | None = Field(
        default=None, description="convolutions and dense layers together"
    )
    layers: Annotated[dict[str, Figure], BeforeValidator(_counts), Field(min_length=1)] | None = (
        Field(default=None, description="layers of each type: {conv2d: 5, dense: 3}")
    )
    settings: Annotated[dict[str, Setting], Field(min_length=1)] | None = Field(
        default=None, description="keys of a layer or of the recipe: {rate: 0.5}"
    )
    formula: Annotated[str, BeforeValidator(_formula)] | None = Field(
        default=None, description="arithmetic on its own: (27 - 5 + 2*2)/1 + 1"
    )
    claimed: Number | None = Field(default=None, description="what the source says `formula` is")
    tolerance: NonNegative = Field(default=0.0, description="relative: 0.05 accepts 5 % either way")
    bound: Literal["at_least", "at_most"] | None = Field(
        default=None, description='for "more than" and "less than"'
    )
    source: str | None = Field(default=None, description="where it is stated: a section, a URL")
    ignore: Ignores = Field(default=(), description=ABOUT_IGNORE)

    @model_validator(mode="after")
    def _one_quantity(self) -> Claim:
        given = [quantity for quantity in QUANTITIES if getattr(self, quantity) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "spec",
                "a claim states exactly one of " + ", ".join(f"`{q}`" for q in QUANTITIES),
            )
        if (self.quantity == "formula") != (self.claimed is not None):
            if self.claimed is None:
                raise missing_key("claimed")
            raise PydanticCustomError("spec", "`claimed` is what a `formula` is said to be")
        if self.quantity == "formula":
            if self.about is not None:
                raise PydanticCustomError("spec", "arithmetic stands on its own: leave `about` out")
        elif self.about is None:
            raise missing_key("about")
        self._check_subject()
        if (self.tolerance or self.bound) and isinstance(getattr(self, self.quantity), tuple):
            raise PydanticCustomError(
                "spec", f"`{self.quantity}` is equal or not: leave `tolerance` and `bound` out"
            )
        return self

    def _check_subject(self) -> None:
        """Raise where the quantity is none of what the claim is about."""
        of_layers = self.about not in (INPUT, NETWORK, TRAINING)
        if self.about == TRAINING and self.quantity != "settings":
            raise PydanticCustomError(
                "spec", "a claim about `training` states `settings`, such as {momentum: 0.9}"
            )
        if not of_layers and self.about != TRAINING and self.quantity == "settings":
            raise PydanticCustomError("spec", "`settings` are those of a layer or of `training`")
        if not of_layers and self.quantity == "weight_shape":
            raise PydanticCustomError("spec", "`weight_shape` is that of a layer")

    @property
    def quantity(self) -> str:
        """Which figure is claimed."""
        return next(quantity for quantity in QUANTITIES if getattr(self, quantity) is not None)

    def stated(self) -> Iterator[Stated]:
        """The figures of the claim: one, or one for each entry of `layers` or `settings`."""
        quantity = self.quantity
        if quantity == "formula":
            yield Stated(quantity, ("claimed",), self.claimed)
        elif quantity in ("layers", "settings"):
            for key, figure in getattr(self, quantity).items():
                yield Stated(f"{quantity}.{key}", (quantity, key), figure)
        else:
            yield Stated(quantity, (quantity,), getattr(self, quantity))


# The keys of which a claim has one, in the order of the pages.
QUANTITIES: tuple[str, ...] = tuple(
    key
    for key in Claim.model_fields
    if key not in ("about", "claimed", "tolerance", "bound", "source", "ignore")
)

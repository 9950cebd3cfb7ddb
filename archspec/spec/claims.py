"""Claims: figures that a paper, a blog post or a comment states about the network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from archspec.spec.fields import MAX_SIZE, LayerName, NonNegative, SpecModel, is_integer
from archspec.spec.ignore import ABOUT_IGNORE, Ignores

Figure = Annotated[int, Field(ge=0)]
Quantity = Literal["shape", "params", "macs", "flops", "neurons", "connections"]
QUANTITIES: tuple[Quantity, ...] = (
    "shape",
    "params",
    "macs",
    "flops",
    "neurons",
    "connections",
)


def _shape(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 3):
        raise PydanticCustomError("spec", "expected [channels, height, width] or [features]")
    if not all(is_integer(v) and 1 <= v <= MAX_SIZE for v in value):
        raise PydanticCustomError("spec", "expected whole numbers of at least 1")
    return tuple(value)


class Claim(SpecModel):
    """One stated figure: what it is about, one quantity, its tolerance and its source."""

    about: LayerName
    shape: Annotated[tuple[int, ...], BeforeValidator(_shape)] | None = None
    params: Figure | None = None
    macs: Figure | None = None
    flops: Figure | None = None
    neurons: Figure | None = None
    connections: Figure | None = None
    tolerance: NonNegative = Field(default=0.0, description="relative: 0.05 accepts 5 % either way")
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
        return self

    @property
    def quantity(self) -> Quantity:
        """Which figure is claimed."""
        for quantity in QUANTITIES:
            if getattr(self, quantity) is not None:
                return quantity
        raise AssertionError("a validated claim states one quantity")

    @property
    def claimed(self) -> int | tuple[int, ...]:
        """The figure as the source states it."""
        value: int | tuple[int, ...] = getattr(self, self.quantity)
        return value

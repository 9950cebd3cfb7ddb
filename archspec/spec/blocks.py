"""Blocks, groups and changes: the parts of the language that become layers."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from archspec.spec.fields import INPUT, LayerName, Name, SpecModel, Version

# What an entry of a list of layers may have beside its own keys: how often it is there, and what
# is meant in it that a rule would report.
ENTRY_KEYS = ("when", "repeat", "for_each", "in", "ignore")

Scalar = int | float | bool | str
# Lists may hold lists: the rows of a table. What they hold is checked where it is used.
VariableValue = Scalar | list[Any]


class Block(SpecModel):
    """Layers under one name, with parameters.

    It is used like a layer: `{name: layer1, block: bottleneck, filters: 64}`.
    """

    description: str | None = None
    parameters: dict[Name, VariableValue | None] = Field(
        default={}, description="its parameters with their defaults; one without must be given"
    )
    inputs: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] = Field(
        default=(INPUT,), description="names for what it reads"
    )
    outputs: Annotated[tuple[LayerName, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None, description="the layers it hands on; the last one when left out"
    )
    layers: list[Any] = Field(min_length=1, description="the layers, in order")


class BlockUse(SpecModel):
    """A use of a block: the keys beside the parameters."""

    beside: ClassVar[tuple[str, ...]] = ENTRY_KEYS

    name: LayerName
    block: str = Field(description="the name of a block, or of an import and a block: `res.basic`")
    inputs: Annotated[tuple[LayerName, ...] | None, Field(strict=False)] = Field(
        default=None, description="the layers it reads; the one before it when left out"
    )


class Group(SpecModel):
    """Layers under one name, written where they are used."""

    beside: ClassVar[tuple[str, ...]] = ENTRY_KEYS

    name: LayerName
    layers: list[Any] = Field(min_length=1, description="the layers, in order")
    inputs: Annotated[tuple[LayerName, ...] | None, Field(strict=False)] = Field(
        default=None, description="the layer it reads; the one before it when left out"
    )


class Library(SpecModel):
    """The keys of a file that is only imported."""

    archspec: Version = Field(description="the version of the language")
    description: str | None = None
    variables: dict[Name, VariableValue] = {}
    imports: dict[Name, str] = {}
    blocks: dict[Name, Block] = {}

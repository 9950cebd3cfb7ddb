"""The network as written: everything but its layers, which `archspec.expand` reads one by one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from archspec.spec.blocks import Block, VariableValue
from archspec.spec.claims import Claim
from archspec.spec.fields import (
    Count,
    LayerName,
    Name,
    NetworkName,
    NonNegative,
    Rounding,
    SpecModel,
    Version,
)
from archspec.spec.ignore import ABOUT_IGNORE, IgnoresAbout
from archspec.spec.initializers import Initializer, KaimingNormal, Zeros
from archspec.spec.recipe import Recipe


class InputShape(SpecModel):
    """The shape of one image: channels, height and width."""

    channels: Count
    height: Count
    width: Count


class Defaults(SpecModel):
    """What layers do that do not say it themselves."""

    weight_init: Initializer = KaimingNormal()
    bias_init: Initializer = Zeros()
    rounding: Rounding = "exact"


class Auxiliary(SpecModel):
    """A second output, in training alone: its loss, times `loss_weight`, is added to the loss.

    The layers that only lead to it (an auxiliary classifier) are left out at inference.
    """

    layer: LayerName = Field(description="the layer whose output it is")
    loss_weight: NonNegative = Field(default=1.0, description="0.3 in GoogLeNet")


class NetworkSpec(SpecModel):
    """The keys of a spec file."""

    archspec: Version = Field(description="the version of the language")
    name: NetworkName
    title: str | None = Field(default=None, description="one line for people")
    description: str | None = None
    source: str | None = Field(default=None, description="the paper or the code it comes from")
    input: InputShape
    extends: str | None = Field(
        default=None, description="a shipped spec's name, or a file next to this one (.yaml)"
    )
    imports: dict[Name, str] = Field(
        default={}, description="files next to this one to use blocks of: `{mobile: mobile.yaml}`"
    )
    variables: dict[Name, VariableValue] = Field(
        default={}, description="values that `$name` stands for; `--set name=value` changes them"
    )
    blocks: dict[Name, Block] = Field(default={}, description="layers under one name")
    defaults: Defaults = Defaults()
    layers: list[Any] = Field(min_length=1, description="the layers, in order")
    changes: list[Any] = Field(default=[], description="changes to the layers that it extends")
    auxiliary: Annotated[tuple[Auxiliary, ...], Field(strict=False)] = Field(
        default=(), description="outputs in training alone"
    )
    claims: Annotated[tuple[Claim, ...], Field(strict=False)] = ()
    training: Recipe | None = None
    ignore: IgnoresAbout = Field(default=(), description=ABOUT_IGNORE)

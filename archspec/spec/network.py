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

    channels: Count = Field(description="channels of the image: 3 for colour, 1 for grey")
    height: Count = Field(description="its height in pixels")
    width: Count = Field(description="its width in pixels")


class Defaults(SpecModel):
    """What layers do that do not say it themselves."""

    weight_init: Initializer = Field(default=KaimingNormal(), description="how weights start")
    bias_init: Initializer = Field(default=Zeros(), description="how biases start")
    rounding: Rounding = Field(
        default="exact",
        description="what to do with a non-integer output size: `exact` reports it, `floor` and "
        "`ceil` round it",
    )


class Auxiliary(SpecModel):
    """A second output, in training alone: its loss, times `loss_weight`, is added to the loss.

    The layers that only lead to it (an auxiliary classifier) are left out at inference.
    """

    layer: LayerName = Field(description="the layer whose output it is")
    loss_weight: NonNegative = Field(default=1.0, description="0.3 in GoogLeNet")


class NetworkSpec(SpecModel):
    """The keys of a spec file."""

    archspec: Version = Field(description="the version of the language")
    name: NetworkName = Field(
        description="the network's name; its class and its files are called after it"
    )
    title: str | None = Field(default=None, description="one line for people")
    description: str | None = Field(
        default=None, description="what is worth knowing about it, in any length"
    )
    source: str | None = Field(default=None, description="the paper or the code it comes from")
    input: InputShape = Field(description="the shape of one image")
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
    defaults: Defaults = Field(
        default=Defaults(), description="what layers do that do not say it themselves"
    )
    layers: list[Any] = Field(min_length=1, description="the layers, in order")
    changes: list[Any] = Field(default=[], description="changes to the layers that it extends")
    auxiliary: Annotated[tuple[Auxiliary, ...], Field(strict=False)] = Field(
        default=(), description="outputs in training alone"
    )
    claims: Annotated[tuple[Claim, ...], Field(strict=False)] = Field(
        default=(), description="figures that the source states, to be checked"
    )
    training: Recipe | None = Field(default=None, description="how the network is trained")
    ignore: IgnoresAbout = Field(default=(), description=ABOUT_IGNORE)

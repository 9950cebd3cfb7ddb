"""The fully connected layer."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Shape, Weight, WeightedLayer, show
from archspec.layers.saved import Saved
from archspec.spec.fields import Count


class Dense(WeightedLayer):
    """Every unit sees every feature of a vector.

    Weight: (units, features). MACs: units x features; FLOPs add one addition a unit for the
    bias.
    """

    type: Literal["dense"]
    units: Count = Field(description="output features")
    is_neurons = True
    overwritable = True

    examples = (
        Example({"units": 5}, ((7,),)),
        Example({"units": 3, "bias": False}, ((4,),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        shape = inputs[0]
        if len(shape) != 1:
            raise self.fail(
                "dense-on-map",
                f"dense reads a vector and gets a map of {show(shape)}",
                f"put a `flatten` layer before it, which gives {math.prod(shape)} features",
                field="type",
            )
        return Inferred((self.units,), f"{shape[0]} -> {self.units}", sees="all")

    def weights(self, inputs: tuple[Shape, ...]) -> tuple[Weight, ...]:
        features = inputs[0][0]
        return self.weight_and_bias((self.units, features), self.units, features, self.units)

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        features = inputs[0][0]
        return Cost(
            macs=features * self.units,
            other_flops=self.units if self.bias else 0,
            connections=self.units * (features + self.bias),
            macs_formula=f"{features}*{self.units}",
        )

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        return Saved((0,) if self.trainable else ())

    def params_formula(self, inputs: tuple[Shape, ...]) -> str:
        return f"({inputs[0][0]}{' + 1' if self.bias else ''})*{self.units}"

"""A learned factor for each channel."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Shape, Weight, WeightedLayer
from archspec.layers.saved import Saved
from archspec.spec.initializers import Initializer, Ones, Zeros


class Scale(WeightedLayer):
    """weight x, and with `bias` weight x + bias, a number for each channel (each feature).

    The layer scale of ConvNeXt (Touvron et al., 2021) starts at
    `weight_init: {type: constant, value: 1e-6}`; Caffe's Scale, which stands behind its batch
    normalisation, has a bias. `defaults` do not apply here. FLOPs an element: 1, with a bias 2.
    """

    type: Literal["scale"]
    overwritable = True
    bias: bool = Field(default=False, description="whether a number is added to each channel")
    weight_init: Initializer = Field(default=Ones(), description="how the factors start")
    bias_init: Initializer = Field(default=Zeros(), description="how what is added starts")

    examples = (
        Example({}, ((3, 4, 5),)),
        Example({"weight_init": {"type": "constant", "value": 1e-6}}, ((3, 2, 2),)),
        Example({"bias": True, "weight_init": {"type": "normal", "std": 1.0}}, ((4, 3, 2),)),
        Example({"bias": True}, ((5,),)),
        Example({"trainable": False}, ((6,),)),
    )

    def weights(self, inputs: tuple[Shape, ...]) -> tuple[Weight, ...]:
        channels = inputs[0][0]
        return self.weight_and_bias((channels,), channels, 1, 1)

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=(1 + self.bias) * math.prod(output))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        return Saved((0,) if self.trainable else ())

    def params_formula(self, inputs: tuple[Shape, ...]) -> str:
        return f"2*{inputs[0][0]}" if self.bias else str(inputs[0][0])

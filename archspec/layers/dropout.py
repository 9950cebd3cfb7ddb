"""Dropout (Hinton et al., 2012)."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Layer, Shape


class Dropout(Layer):
    """Zeroes each element with probability `rate` in training.

    `scaling: inverted` divides what stays by 1 - rate in training (every framework);
    `at_inference` multiplies by 1 - rate at inference (Krizhevsky et al., 2012, section 4.2).
    FLOPs at inference: none when inverted, else 1 an element.
    """

    type: Literal["dropout"]
    rate: Annotated[float, Field(ge=0, lt=1)]
    scaling: Literal["inverted", "at_inference"] = "inverted"
    noise_off = {"rate": 0.0}

    examples = (
        Example({"rate": 0.5}, ((6,),)),
        Example({"rate": 0.4, "scaling": "at_inference"}, ((3, 4, 5),)),
    )

    @property
    def training_fields(self) -> frozenset[str]:
        here = {"rate"} if self.scaling == "inverted" or not self.rate else set()
        return super().training_fields | here

    def computed(self, inputs: tuple[Shape, ...]) -> dict[str, Any]:
        """A dropout that drops nothing scales nothing either."""
        found = super().computed(inputs)
        return found if self.rate else {**found, "scaling": "inverted"}

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=math.prod(output) if self.scaling == "at_inference" else 0)

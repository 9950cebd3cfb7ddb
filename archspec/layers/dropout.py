"""Dropout (Hinton et al., 2012)."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape
from archspec.layers.saved import Extra, Saved, Sharing


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
        Example({"rate": 0.0}, ((2, 3, 4),)),
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

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        # On a CPU; the kernel for GPUs keeps one byte an element.
        mask = Extra("the mask, float32", math.prod(inferred.shape))
        return Saved(extra=() if self._passes() else (mask,))

    def shares(self, inputs: tuple[Shape, ...], training: bool) -> Sharing:
        at_rest = not training and self.scaling == "inverted"
        return "always" if at_rest or self._passes() else "no"

    def _passes(self) -> bool:
        """Whether PyTorch hands the input on, in training too."""
        return self.rate == 0 and self.scaling == "inverted"

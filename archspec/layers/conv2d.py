"""Two-dimensional convolution (cross-correlation, as every framework computes it)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Shape, Weight, WeightedLayer
from archspec.layers.saved import Extra, Saved
from archspec.layers.windowed import WindowedLayer
from archspec.spec.fields import Count, Pair, Size2d


class Conv2d(WindowedLayer, WeightedLayer):
    """`filters` kernels slide over the map; with `groups`, each sees its share of the channels.

    Weight: (filters, channels / groups, kernel height, kernel width). MACs: every output
    element is one dot product of kernel height x width x channels / groups. FLOPs add one
    addition an output element for the bias.
    """

    type: Literal["conv2d"]
    filters: Count = Field(description="output channels")
    dilation: Size2d = Field(
        default=(1, 1), description="the distance of neighbouring kernel elements in pixels"
    )
    groups: Count = Field(default=1, description="both channels and filters are divided by it")
    is_neurons = True
    overwritable = True
    arranges = "usual"

    examples = (
        Example({"filters": 6, "kernel_size": 3}, ((4, 7, 6),)),
        Example(
            {"filters": 6, "kernel_size": [3, 2], "stride": [2, 1], "bias": False}, ((4, 7, 6),)
        ),
        Example({"filters": 8, "kernel_size": 3, "groups": 2, "padding": 1}, ((4, 5, 6),)),
        Example({"filters": 4, "kernel_size": 3, "groups": 4, "padding": [2, 1]}, ((4, 6, 7),)),
        Example({"filters": 3, "kernel_size": 3, "padding": [0, 1, 2, 1]}, ((2, 5, 5),)),
        Example({"filters": 3, "kernel_size": 4, "stride": 2, "padding": "same"}, ((2, 7, 9),)),
        Example({"filters": 3, "kernel_size": 1, "stride": 2, "padding": "same"}, ((2, 6, 6),)),
        Example({"filters": 3, "kernel_size": 3, "padding": "same"}, ((2, 5, 4),)),
        Example(
            {"filters": 3, "kernel_size": 3, "dilation": [2, 1], "padding": "valid"}, ((2, 7, 6),)
        ),
        Example(
            {"filters": 4, "kernel_size": 3, "dilation": 2, "padding": 2, "groups": 2}, ((2, 6, 6),)
        ),
        Example({"filters": 3, "kernel_size": 3, "stride": 2, "rounding": "floor"}, ((2, 8, 6),)),
        Example(
            {"filters": 4, "kernel_size": 5, "stride": 4, "rounding": "ceil", "groups": 2},
            ((2, 11, 10),),
        ),
        Example({"filters": 2, "kernel_size": 1, "stride": 3, "rounding": "floor"}, ((2, 9, 8),)),
        Example({"filters": 6, "kernel_size": 5, "padding": "same", "groups": 3}, ((3, 6, 5),)),
    )

    def dilations(self) -> Pair:
        return self.dilation

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, _, _ = self.require_map(inputs[0])
        self.divide({"input channels": channels, "filters": self.filters}, self.groups)
        window, problems = self.slide(inputs[0])
        return Inferred((self.filters, *window.output), window.formula, window, "window", problems)

    def weights(self, inputs: tuple[Shape, ...]) -> tuple[Weight, ...]:
        seen = inputs[0][0] // self.groups
        area = math.prod(self.kernel_size)
        return self.weight_and_bias(
            (self.filters, seen, *self.kernel_size),
            self.filters,
            area * seen,
            area * self.filters,
        )

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        seen = math.prod(self.kernel_size) * (inputs[0][0] // self.groups)
        neurons = math.prod(output)
        return Cost(
            macs=neurons * seen,
            other_flops=neurons if self.bias else 0,
            connections=neurons * (seen + self.bias),
            macs_formula="*".join(map(str, (*output[1:], output[0]))) + f"*{self._seen(inputs)}",
        )

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        window = inferred.window
        assert window is not None
        # Also where the weight is frozen: PyTorch computes both gradients in one function.
        if window.symmetric:
            return Saved((0,))
        area = math.prod(window.padded)
        return Saved(extra=(Extra("the padded input", inputs[0][0] * area),))

    def params_formula(self, inputs: tuple[Shape, ...]) -> str:
        bias = " + 1" if self.bias else ""
        return f"({self._seen(inputs)}{bias})*{self.filters}"

    def _seen(self, inputs: tuple[Shape, ...]) -> str:
        """The weights that one neuron sees, as kernel height*width*channels/groups."""
        height, width = self.kernel_size
        groups = f"/{self.groups}" if self.groups > 1 else ""
        return f"{height}*{width}*{inputs[0][0]}{groups}"

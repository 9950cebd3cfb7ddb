"""Elementwise nonlinearities, and softmax."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape, show
from archspec.layers.saved import Extra, Kept, Saved
from archspec.spec.fields import NonNegative

_ANY = (Example({}, ((3, 4, 5),)), Example({}, ((7,),)))


class Activation(Layer):
    """A function of each element; `flops_each` is what one element costs."""

    flops_each: ClassVar[int] = 1
    keeps: ClassVar[Kept] = ("inputs",)
    examples: ClassVar[tuple[Example, ...]] = _ANY

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=self.flops_each * math.prod(output))


class Relu(Activation):
    """max(x, 0). FLOPs an element: 1."""

    type: Literal["relu"]
    keeps = ("output",)


class Relu6(Activation):
    """min(max(x, 0), 6). FLOPs an element: 2."""

    type: Literal["relu6"]
    flops_each = 2


class LeakyRelu(Activation):
    """x where it is positive, else negative_slope x. FLOPs an element: 2."""

    type: Literal["leaky_relu"]
    negative_slope: NonNegative = Field(description="0.01 in PyTorch, 0.3 in older Keras")
    flops_each = 2
    examples = (
        Example({"negative_slope": 0.01}, ((3, 4, 5),)),
        Example({"negative_slope": 0.3}, ((7,),)),
    )


class Sigmoid(Activation):
    """1 / (1 + exp(-x)). FLOPs an element: 4."""

    type: Literal["sigmoid"]
    elementary = 1
    flops_each = 4
    keeps = ("output",)


class HardSigmoid(Activation):
    """min(max(x + 3, 0), 6) / 6. FLOPs an element: 4."""

    type: Literal["hard_sigmoid"]
    flops_each = 4

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        return Saved(extra=(Extra("x + 3", math.prod(inferred.shape)),))


class HardSwish(Activation):
    """x min(max(x + 3, 0), 6) / 6 (Howard et al., 2019). FLOPs an element: 5."""

    type: Literal["hard_swish"]
    flops_each = 5


class Silu(Activation):
    """x / (1 + exp(-x)), also called swish. FLOPs an element: 4."""

    type: Literal["silu"]
    elementary = 1
    flops_each = 4


class Gelu(Activation):
    """x times the Gaussian distribution function (Hendrycks and Gimpel, 2016).

    `approximate: tanh` is the paper's second form. FLOPs an element: 5 with the error function
    (scale, erf, add, two products), 9 with tanh.
    """

    type: Literal["gelu"]
    elementary = 1
    approximate: Literal["none", "tanh"] = Field(
        default="none",
        description="`none`: the error function; `tanh`: the approximation of the paper",
    )
    examples = (*_ANY, Example({"approximate": "tanh"}, ((3, 4, 5),)))

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=(5 if self.approximate == "none" else 9) * math.prod(output))


class Tanh(Activation):
    """The hyperbolic tangent. FLOPs an element: 1."""

    type: Literal["tanh"]
    elementary = 1
    keeps = ("output",)


class Softmax(Layer):
    """exp(x) over its sum along the channels (the features of a vector).

    FLOPs for n channels, each position: n - 1 comparisons for the maximum, n subtractions,
    n exponentials, n - 1 additions and n divisions: 5 n - 2.
    """

    type: Literal["softmax"]
    elementary = 1
    keeps = ("output",)
    arranges = "in order"
    examples = _ANY

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        return Inferred(inputs[0], show(inputs[0]), sees="all" if len(inputs[0]) == 1 else "one")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        positions = math.prod(output[1:])
        return Cost(other_flops=positions * (5 * output[0] - 2))

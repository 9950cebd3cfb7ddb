"""Normalisations within one image, the same in training and at inference."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from archspec.layers.affine import AffineLayer
from archspec.layers.base import Cost, Example, Inferred, Shape, show
from archspec.layers.saved import Extra, Saved
from archspec.spec.fields import Count


class _ImageNorm(AffineLayer):
    overwritable = True

    def flops(self, output: Shape, sets: int) -> Cost:
        """The cost of normalising an output that consists of `sets` sets of elements."""
        each = 7 if self.affine else 5
        return Cost(other_flops=each * math.prod(output) + 2 * sets)


class LayerNorm(_ImageNorm):
    """Across the channels of each position to mean 0 and variance 1, then scale and shift.

    On maps that is the normalisation of ConvNeXt (Liu et al., 2022): every position for itself,
    where the one of Ba, Kiros and Hinton (2016) takes a whole image together; on vectors the two
    are one. The variance divides by n. FLOPs an element: 5 (sum, difference, square, sum of
    squares, division), 7 with scale and shift; a position adds 2, for eps and the root.
    """

    type: Literal["layer_norm"]
    arranges = "channels last"

    examples = (
        Example({"eps": 1e-3}, ((4, 3, 5),)),
        Example({"eps": 1e-6, "affine": False}, ((5, 2, 3),)),
        Example({"eps": 1e-3}, ((6,),)),
        Example({"eps": 1e-5, "affine": False}, ((7,),)),
        Example({"eps": 1e-3, "trainable": False}, ((4, 2, 3),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        return Inferred(inputs[0], show(inputs[0]), sees="all" if len(inputs[0]) == 1 else "one")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return self.flops(output, math.prod(output[1:]))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        sets = math.prod(inferred.shape[1:])
        return Saved((0,), extra=(Extra("mean and 1/deviation of each position", 2 * sets),))


class GroupNorm(_ImageNorm):
    """Each group of channels, all positions together, to mean 0 and variance 1 (Wu and He, 2018).

    Then scale and shift of each channel. One group is the layer normalisation of Ba, Kiros and
    Hinton (2016), as many groups as channels are instance normalisation. The variance divides by
    n. FLOPs an element: 5 (sum, difference, square, sum of squares, division), 7 with scale and
    shift; a group adds 2, for eps and the root.
    """

    type: Literal["group_norm"]
    arranges = "usual"
    groups: Count = Field(description="the channels are divided by it")

    examples = (
        Example({"groups": 2, "eps": 1e-3}, ((4, 3, 5),)),
        Example({"groups": 1, "eps": 1e-5}, ((3, 2, 3),)),
        Example({"groups": 3, "eps": 1e-3, "affine": False}, ((3, 4, 2),)),
        Example({"groups": 2, "eps": 1e-3}, ((6,),)),
        Example({"groups": 2, "eps": 1e-3, "trainable": False}, ((4, 2, 3),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        self.divide({"channels": inputs[0][0]}, self.groups)
        return Inferred(inputs[0], show(inputs[0]), sees="all")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return self.flops(output, self.groups)

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        statistics = Extra("mean and 1/deviation of each group", 2 * self.groups)
        return Saved((0,), extra=(statistics,), in_one_piece=True)

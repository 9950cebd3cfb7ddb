"""Stochastic depth (Huang et al., 2016), also called drop path."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape
from archspec.layers.saved import Extra, Saved, Sharing


class StochasticDepth(Layer):
    """Zeroes the whole of an image with probability `rate` in training, for each image by itself.

    It stands at the end of a residual branch, before the `add`, so that the block is the shortcut
    alone for the images it drops. What stays is divided by 1 - rate, so that inference is the
    identity (torchvision's mode `row`; Huang et al. multiply by 1 - rate at inference instead).
    FLOPs at inference: none.
    """

    type: Literal["stochastic_depth"]
    rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="the share of images for which the branch is zeroed in training"
    )
    noise_off = {"rate": 0.0}

    examples = (
        Example({"rate": 0.2}, ((3, 4, 5),)),
        Example({"rate": 0.5}, ((6,),)),
        Example({"rate": 0.0}, ((2, 3, 3),)),
    )

    @property
    def training_fields(self) -> frozenset[str]:
        return super().training_fields | {"rate"}

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        return Saved(extra=(Extra("the factor of each image", 1),))

    def shares(self, inputs: tuple[Shape, ...], training: bool) -> Sharing:
        return "no" if training else "always"

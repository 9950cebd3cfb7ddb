"""Upsampling by a whole factor."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape
from archspec.spec.fields import Size2d


class Upsample2d(Layer):
    """Each side `scale` times as long.

    `nearest` repeats every pixel. `bilinear` takes pixels as areas: output i lies at
    (i + 1/2) / scale - 1/2 of the input and is interpolated between the two pixels around that
    place, at the edge the outermost pixel (PyTorch's `align_corners=False`, TensorFlow's
    half-pixel centres). FLOPs: none for `nearest`, 7 an output element for `bilinear` (four
    products, three additions).
    """

    type: Literal["upsample2d"]
    scale: Size2d = Field(
        description="how many times as long each side becomes: one number, or [height, width]"
    )
    keeps = ()
    arranges = "usual"
    mode: Literal["nearest", "bilinear"] = Field(
        default="nearest",
        description="`nearest` repeats pixels, `bilinear` interpolates between their centres",
    )

    examples = (
        Example({"scale": 2}, ((3, 4, 5),)),
        Example({"scale": [3, 1], "mode": "nearest"}, ((2, 1, 4),)),
        Example({"scale": 2, "mode": "bilinear"}, ((3, 4, 5),)),
        Example({"scale": [1, 3], "mode": "bilinear"}, ((2, 3, 2),)),
        Example({"scale": [4, 5], "mode": "bilinear"}, ((2, 1, 3),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, height, width = self.require_map(inputs[0])
        down, across = self.scale
        shape = (channels, height * down, width * across)
        vertical = f"{height}*{down} = {shape[1]}"
        horizontal = f"{width}*{across} = {shape[2]}"
        formula = vertical if vertical == horizontal else f"{vertical}; {horizontal}"
        return Inferred(shape, formula, sees="one" if self.scale == (1, 1) else "irregular")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=7 * math.prod(output) if self.mode == "bilinear" else 0)

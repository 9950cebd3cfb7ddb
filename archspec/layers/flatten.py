"""A map to a vector, in the order channels, height, width, in every backend."""

from __future__ import annotations

import math
from typing import Literal

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape
from archspec.layers.saved import Sharing


class Flatten(Layer):
    """(C, H, W) to (C x H x W,); the last axis runs fastest. FLOPs: none."""

    type: Literal["flatten"]
    keeps = ()
    examples = (Example({}, ((3, 4, 5),)), Example({}, ((6,),)))

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        size = math.prod(inputs[0])
        return Inferred((size,), "*".join(map(str, inputs[0])) + f" = {size}")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()

    def shares(self, inputs: tuple[Shape, ...], training: bool) -> Sharing:
        return "in order"

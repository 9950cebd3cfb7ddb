"""Averages over regions that follow from the output size: global and adaptive pooling."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape, show
from archspec.layers.saved import Saved
from archspec.layers.window import resolve
from archspec.spec.fields import Size2d


class GlobalAvgPool2d(Layer):
    """The mean of each channel over the whole map: (C, H, W) to (C,).

    FLOPs a channel: H x W - 1 additions and one division.
    """

    type: Literal["global_avg_pool2d"]
    arranges = "in order"
    keeps = ()
    keep_dims: bool = Field(default=False, description="true gives (C, 1, 1) instead of (C,)")

    examples = (
        Example({}, ((3, 5, 4),)),
        Example({"keep_dims": True}, ((3, 5, 4),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, height, width = self.require_map(inputs[0])
        shape: Shape = (channels, 1, 1) if self.keep_dims else (channels,)
        return Inferred(shape, f"mean over {height} x {width} = {show(shape)}", sees="all")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=math.prod(inputs[0]))


class AdaptiveAvgPool2d(Layer):
    """The mean over `output_size` regions that cover the map.

    Region i of n over a side of size W runs from floor(i W / n) to ceil((i + 1) W / n), as in
    PyTorch; neighbours overlap where n does not divide W. FLOPs: the elements of every region
    (the additions and the division).
    """

    type: Literal["adaptive_avg_pool2d"]
    arranges = "usual"
    output_size: Size2d

    examples = (
        Example({"output_size": 2}, ((3, 6, 8),)),
        Example({"output_size": [3, 2]}, ((3, 7, 5),)),
        Example({"output_size": 6}, ((2, 6, 6),)),
        Example({"output_size": 6}, ((2, 3, 4),)),
        Example({"output_size": 1}, ((2, 3, 4),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, height, width = self.require_map(inputs[0])
        rows, columns = self.output_size
        shape, formula = (
            (channels, rows, columns),
            f"{height} x {width} in {rows} x {columns} regions",
        )
        if height % rows or width % columns:
            return Inferred(shape, formula, sees="irregular")
        step = (height // rows, width // columns)
        window = resolve((height, width), step, step, "valid", "exact")
        return Inferred(shape, formula, window, sees="window")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        _, height, width = inputs[0]
        rows = covered(height, self.output_size[0])
        columns = covered(width, self.output_size[1])
        return Cost(other_flops=output[0] * rows * columns)

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        return Saved(() if self.output_size == (1, 1) else (0,))  # PyTorch's one region is a mean


def covered(size: int, count: int) -> int:
    """The pixels of all `count` regions over a side of `size` together.

    Neighbours share a pixel wherever a border does not fall between two of them, which happens
    at all inner borders but those that divide both: size + count - gcd(size, count).
    """
    return size + count - math.gcd(size, count)

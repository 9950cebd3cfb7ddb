"""A border of zeros around a map."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape
from archspec.layers.window import resolve
from archspec.spec.fields import Border


class ZeroPad2d(Layer):
    """Adds `padding` zeros: one number, [vertical, horizontal] or [top, bottom, left, right].

    FLOPs: none.
    """

    type: Literal["zero_pad2d"]
    padding: Border = Field(
        description="pixels: one number, [vertical, horizontal] or [top, bottom, left, right]"
    )
    keeps = ()
    arranges = "usual"

    examples = (
        Example({"padding": 1}, ((2, 4, 5),)),
        Example({"padding": [0, 2, 1, 3]}, ((2, 4, 5),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, height, width = self.require_map(inputs[0])
        top, bottom, left, right = self.padding
        # A window of one pixel: it moves nothing but says where the border is.
        window = resolve((height, width), (1, 1), (1, 1), self.padding, "exact")
        shape = (channels, *window.output)
        formula = f"{height} + {top} + {bottom} = {shape[1]}"
        across = f"{width} + {left} + {right} = {shape[2]}"
        text = formula if formula == across else f"{formula}; {across}"
        return Inferred(shape, text, window, "window")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()

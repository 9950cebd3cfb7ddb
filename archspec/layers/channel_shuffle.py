"""The channel shuffle of ShuffleNet (Zhang et al., 2017)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape, show
from archspec.spec.fields import Count


class ChannelShuffle(Layer):
    """The first channel of every group, then the second of every group, and so on.

    With g groups of n channels, output channel i g + j is input channel j n + i. FLOPs: none.
    """

    type: Literal["channel_shuffle"]
    groups: Count = Field(description="the channels are divided by it")
    keeps = ()
    arranges = "usual"

    examples = (
        Example({"groups": 2}, ((6, 3, 4),)),
        Example({"groups": 3}, ((6, 2, 3),)),
        Example({"groups": 1}, ((2, 2, 2),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, _, _ = self.require_map(inputs[0])
        self.divide({"channels": channels}, self.groups)
        return Inferred(inputs[0], show(inputs[0]))

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()

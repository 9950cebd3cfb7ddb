"""Transposed convolution, also called deconvolution (Zeiler et al., 2010)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from archspec.layers.base import Cost, Example, Inferred, Shape, Weight, WeightedLayer
from archspec.layers.window import Window, resolve
from archspec.spec.fields import Border, Count, Offset2d, Pair, Size2d, wrong_value


class Conv2dTranspose(WeightedLayer):
    """The input gradient of a convolution as a layer: each pixel adds its kernels to the output.

    Pixel i adds to the outputs S i to S i + D (F - 1); `padding` then takes pixels away at each
    side, and `output_padding` adds some at the bottom and right: O = (W - 1) S - P + D (F - 1) +
    1 + output_padding (Dumoulin and Visin, 2016, relationship 14). With `groups`, each share of
    the channels adds to its share of the filters.

    Weight: (channels, filters / groups, kernel height, kernel width), PyTorch's layout; its fans
    are those of the convolution that it transposes, as in PyTorch and Keras. MACs: every input
    element is multiplied by kernel height x width x filters / groups weights, those included
    whose product the padding takes away. FLOPs add one addition an output element for the bias.
    `connections` are the MACs and the biases.
    """

    type: Literal["conv2d_transpose"]
    filters: Count = Field(description="output channels")
    kernel_size: Size2d = Field(description="the kernel in pixels: one number, or [height, width]")
    stride: Size2d = Field(
        default=(1, 1), description="the distance of neighbouring input pixels in the output"
    )
    dilation: Size2d = Field(
        default=(1, 1), description="the distance of neighbouring kernel elements in pixels"
    )
    padding: Border = Field(
        default=(0, 0, 0, 0), description="pixels to take away from each side of the output"
    )
    output_padding: Offset2d = Field(
        default=(0, 0), description="pixels to add to the output at the bottom and right"
    )
    groups: Count = Field(default=1, description="both channels and filters are divided by it")
    is_neurons = True
    keeps = ("inputs",)
    overwritable = True
    arranges = "usual"

    examples = (
        Example({"filters": 3, "kernel_size": 3}, ((2, 4, 5),)),
        Example({"filters": 3, "kernel_size": 4, "stride": 2, "padding": 1}, ((2, 4, 3),)),
        Example(
            {"filters": 3, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
            ((2, 4, 3),),
        ),
        Example(
            {"filters": 3, "kernel_size": [3, 2], "stride": [2, 3], "output_padding": [0, 2]},
            ((2, 3, 4),),
        ),
        Example({"filters": 4, "kernel_size": 2, "stride": 2, "bias": False}, ((2, 3, 4),)),
        Example({"filters": 2, "kernel_size": 1, "stride": 3}, ((3, 3, 2),)),
        Example(
            {"filters": 2, "kernel_size": 3, "stride": 2, "padding": [0, 1, 2, 0]}, ((2, 4, 4),)
        ),
        Example(
            {
                "filters": 6,
                "kernel_size": 3,
                "stride": 2,
                "groups": 2,
                "padding": [1, 0, 0, 0],
                "output_padding": [1, 0],
            },
            ((4, 3, 4),),
        ),
        Example({"filters": 3, "kernel_size": 3, "groups": 3, "padding": 2}, ((3, 5, 4),)),
        Example(
            {"filters": 2, "kernel_size": [3, 2], "stride": [1, 2], "dilation": 2, "padding": 1},
            ((2, 4, 3),),
        ),
        Example(
            {"filters": 2, "kernel_size": 2, "dilation": [3, 1], "output_padding": [2, 0]},
            ((2, 3, 4),),
        ),
    )

    @field_validator("output_padding", mode="after")
    @classmethod
    def _within_a_step(cls, added: Pair, info: ValidationInfo) -> Pair:
        if not {"stride", "dilation"} <= info.data.keys():
            return added  # one of them is wrong itself
        steps = zip(added, info.data["stride"], info.data["dilation"], strict=True)
        if any(pixels >= max(stride, dilation) for pixels, stride, dilation in steps):
            raise wrong_value("below the stride or the dilation, whichever is larger")
        return added

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, height, width = self.require_map(inputs[0])
        self.divide({"input channels": channels, "filters": self.filters}, self.groups)
        rows, down = self._side(0, height)
        columns, across = self._side(1, width)
        for name, size, formula in (("height", rows, down), ("width", columns, across)):
            if size < 1:
                raise self.fail(
                    "padding-removes-output",
                    f"its padding leaves no pixel in {name}: {formula}",
                    "the padding of a transposed convolution takes pixels away; use less of it",
                    field="padding",
                )
        formula = down if down == across else f"{down}; {across}"
        shape = (self.filters, rows, columns)
        if self.stride != (1, 1):
            return Inferred(shape, formula, sees="irregular")
        return Inferred(shape, formula, self._window((height, width)), "window")

    def _side(self, axis: int, size: int) -> tuple[int, str]:
        """The output along an axis, and the arithmetic that gives it."""
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        dilation, added = self.dilation[axis], self.output_padding[axis]
        before, after = self.padding[2 * axis : 2 * axis + 2]
        extent = dilation * (kernel - 1) + 1
        output = (size - 1) * stride - before - after + extent + added
        padding = f"2*{before}" if before == after else f"({before} + {after})"
        reach = str(kernel) if dilation == 1 else f"({dilation}*({kernel} - 1) + 1)"
        more = f" + {added}" if added else ""
        return output, f"({size} - 1)*{stride} - {padding} + {reach}{more} = {output}"

    def _window(self, size: Pair) -> Window:
        """The window through which an output sees the input when the stride is 1."""
        vertical = self.dilation[0] * (self.kernel_size[0] - 1)
        horizontal = self.dilation[1] * (self.kernel_size[1] - 1)
        top, bottom, left, right = self.padding
        down, across = self.output_padding
        sides = (
            vertical - top,
            vertical - bottom + down,
            horizontal - left,
            horizontal - right + across,
        )
        return resolve(size, self.kernel_size, (1, 1), sides, "exact", self.dilation)

    def weights(self, inputs: tuple[Shape, ...]) -> tuple[Weight, ...]:
        channels, each = inputs[0][0], self.filters // self.groups
        area = math.prod(self.kernel_size)
        return self.weight_and_bias(
            (channels, each, *self.kernel_size), self.filters, area * each, area * channels
        )

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        added = math.prod(self.kernel_size) * (self.filters // self.groups)
        macs = math.prod(inputs[0]) * added
        biases = math.prod(output) if self.bias else 0
        pixels = "*".join(map(str, (*inputs[0][1:], inputs[0][0])))
        return Cost(
            macs=macs,
            other_flops=biases,
            connections=macs + biases,
            macs_formula=f"{pixels}*{self._added()}",
        )

    def params_formula(self, inputs: tuple[Shape, ...]) -> str:
        bias = f" + {self.filters}" if self.bias else ""
        return f"{inputs[0][0]}*{self._added()}{bias}"

    def _added(self) -> str:
        """The weights of one input element, as kernel height*width*filters/groups."""
        height, width = self.kernel_size
        groups = f"/{self.groups}" if self.groups > 1 else ""
        return f"{height}*{width}*{self.filters}{groups}"

"""What convolutions and pools share: a window over a map, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from archspec.diagnostics import Problem
from archspec.layers.base import Layer, Shape
from archspec.layers.window import Axis, AxisName, Window, decimal, resolve
from archspec.spec.fields import Padding, Pair, Rounding, Sides, Size2d


class WindowedLayer(Layer):
    """A layer that slides a window over a map."""

    kernel_size: Size2d = Field(description="the window in pixels: one number, or [height, width]")
    stride: Size2d | None = Field(
        default=None,
        description="the step of the window: one number, or [vertical, horizontal]; "
        "default: 1, for a pool its kernel size",
    )
    padding: Padding = Field(
        default=(0, 0, 0, 0),
        description="pixels around the input: one number, [vertical, horizontal], "
        "[top, bottom, left, right], `valid` (none) or `same` (the least for an output of "
        "input/stride, the odd pixel at the bottom and right)",
    )
    rounding: Rounding | None = Field(
        default=None,
        description="what to do with a non-integer output size; default: `defaults.rounding`",
    )

    computed_from = {"padding": ("padding", "rounding")}

    def computed(self, inputs: tuple[Shape, ...]) -> dict[str, Any]:
        """With the pixels that the windows really read beyond the input, on each side.

        That is less than the padding where windows do not reach it (a negative number: pixels
        of the input that no window reads) and more where the output size is rounded up. A step
        means nothing where there is one window, and neither does dilation where the kernel is 1.
        """
        window = self.window(inputs[0])
        axes = (window.height, window.width)
        before, after = zip(*((axis.before, axis.read_after) for axis in axes), strict=True)
        found = super().computed(inputs)
        del found["rounding"]
        found["padding"] = (before[0], after[0], before[1], after[1])
        found["stride"] = tuple(axis.stride if axis.output > 1 else 1 for axis in axes)
        if "dilation" in found:
            found["dilation"] = tuple(a.dilation if a.kernel > 1 else 1 for a in axes)
        return found

    def strides(self) -> Pair:
        """(vertical, horizontal) step where the spec may leave it out."""
        return self.stride or (1, 1)

    def dilations(self) -> Pair:
        """(vertical, horizontal) dilation; pools have none."""
        return (1, 1)

    def window(self, shape: Shape) -> Window:
        """The window resolved on an input of `shape` (channels, height, width)."""
        _, height, width = self.require_map(shape)
        padding: Sides | Literal["same", "valid"] = self.padding
        return resolve(
            (height, width),
            self.kernel_size,
            self.strides(),
            padding,
            self.rounding or "exact",
            self.dilations(),
        )

    def slide(self, shape: Shape) -> tuple[Window, tuple[Problem, ...]]:
        """The window on `shape`, and what is wrong with an output size that is to be `exact`.

        Raises ProblemsFound when the window is larger than the padded input.
        """
        window = self.window(shape)
        axes: tuple[tuple[AxisName, Axis], ...] = (
            ("height", window.height),
            ("width", window.width),
        )
        for name, axis in axes:
            if axis.output < 1:
                raise self.fail(
                    "window-larger-than-input",
                    f"its window is {axis.extent} pixels in {name} and the padded input has "
                    f"{axis.size + axis.before + axis.after}: "
                    f"{axis.left_side} = {decimal(axis.quotient)}",
                    "use a smaller kernel, more padding, less stride before it, or a larger input",
                    field="kernel_size",
                )
        # One finding a layer, and equal axes are told once.
        inexact = {
            axis.formula: axis for _, axis in axes if axis.rounding == "exact" and not axis.exact
        }
        return window, (self._non_integer(list(inexact.values())),) if inexact else ()

    def _non_integer(self, axes: Sequence[Axis]) -> Problem:
        quotients = [f"{axis.left_side} = {decimal(axis.quotient)}" for axis in axes]
        message = f"{self.name}: {quotients[0]} is not a whole number"
        if len(quotients) > 1:
            message += f", and neither is {quotients[1]}"
        return Problem("non-integer-output", message, layer=self.name, field=_field(self))


def _field(layer: WindowedLayer) -> str:
    """The field that the message points at: the divisor, where the spec has one."""
    return "stride" if layer.stride is not None else "kernel_size"


def pixels(count: int) -> str:
    """1 pixel, 2 pixels."""
    return "1 pixel" if count == 1 else f"{count} pixels"


def dropped(axis: Axis) -> str:
    """What the windows of an axis leave out, in words: "the last 2 pixels of the input"."""
    unread = axis.dropped - axis.after
    count, place = (unread, "input") if unread > 0 else (axis.dropped, "padding")
    return f"the last {pixels(count) if count > 1 else 'pixel'} of the {place}"

"""What convolutions and pools share: a window over a map, and what can go wrong with it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from archspec.diagnostics import Problem
from archspec.layers.base import Layer, Shape
from archspec.layers.window import Axis, AxisName, Window, decimal, resolve
from archspec.spec.fields import Padding, Pair, Rounding, Sides, Size2d


class WindowedLayer(Layer):
    """A layer that slides a window over a map."""

    kernel_size: Size2d
    stride: Size2d | None = None
    padding: Padding = (0, 0, 0, 0)
    rounding: Rounding | None = Field(
        default=None,
        description="what to do with a non-integer output size; default: `defaults.rounding`",
    )

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
        """The window on `shape`, and what to say about its output size.

        Raises ProblemsFound when the window is larger than the padded input.
        """
        window = self.window(shape)
        axes: tuple[tuple[AxisName, Axis], ...] = (
            ("height", window.height),
            ("width", window.width),
        )
        for name, axis in axes:
            padded = axis.size + axis.before + axis.after
            if axis.output < 1 or (axis.extent > padded and axis.rounding != "ceil"):
                raise self.fail(
                    "window-larger-than-input",
                    f"its window is {axis.extent} pixels in {name} and the padded input has "
                    f"{padded}: {axis.left_side} = {decimal(axis.quotient)}",
                    "use a smaller kernel or stride above it, more padding, or a larger input",
                    field="kernel_size",
                )
        found = {axis.formula: axis for _, axis in axes if not axis.exact}
        return window, tuple(self._non_integer(axis) for axis in found.values())

    def _non_integer(self, axis: Axis) -> Problem:
        message = (
            f"{self.name}: {axis.left_side} = {decimal(axis.quotient)} is not a whole number"
        )
        if axis.rounding == "exact":
            return Problem("non-integer-output", message, layer=self.name, field=_field(self))
        consequence = (
            f"rounded down to {axis.output}: the last {_pixels(axis.dropped)} of the input "
            "are never read"
            if axis.rounding == "floor"
            else f"rounded up to {axis.output}: the last window reaches {_pixels(axis.overhang)} "
            "past the input"
        )
        if axis.rounding == "ceil" and axis.overhang == 0:
            consequence = (
                f"rounding up would begin a window outside the input, so it is {axis.output}"
            )
        return Problem(
            "non-integer-output",
            f"{message}; {consequence}",
            layer=self.name,
            field="rounding",
            severity="note",
        )


def _field(layer: WindowedLayer) -> str:
    return "stride" if layer.stride is not None else "kernel_size"


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count} pixels"

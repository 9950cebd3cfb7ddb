"""Sliding windows: O = (W - F + 2P)/S + 1 and all that the formula leaves open.

Convolutions and pools share this arithmetic. It resolves padding and rounding to four
integers and an overhang before any backend sees them (Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning", 2016, relationships 5 and 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from archspec.spec.fields import Pair, Rounding, Sides

AxisName = Literal["height", "width"]


@dataclass(frozen=True, slots=True)
class Axis:
    """A window along one axis, in pixels.

    `before` and `after` are the padding; `overhang` is how far the last window reaches past
    the padded input (only with rounding `ceil`); `dropped` is how many pixels at the end of the
    padded input no window reads. `same` marks padding that was derived from the wanted output.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    rounding: Rounding
    same: bool
    output: int
    overhang: int
    dropped: int

    @property
    def extent(self) -> int:
        """Pixels from the first to the last element of the window: F, or (F - 1) D + 1."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def span(self) -> int:
        """W - F + P: how far the window can move, negative where it does not fit."""
        return self.size - self.extent + self.before + self.after

    @property
    def quotient(self) -> Fraction:
        """(W - F + P)/S + 1 before any rounding."""
        return Fraction(self.span, self.stride) + 1

    @property
    def exact(self) -> bool:
        """Whether the formula gives a whole number."""
        return self.same or self.span % self.stride == 0

    @property
    def clipped(self) -> bool:
        """Whether `ceil` was not allowed to round up (the window would begin outside)."""
        return self.rounding == "ceil" and not self.exact and self.overhang == 0

    @property
    def read_after(self) -> int:
        """Pixels behind the input that the last window reads; negative where it ends before it."""
        return (self.output - 1) * self.stride + self.extent - self.before - self.size

    @property
    def left_side(self) -> str:
        """The formula with its numbers, without rounding and result."""
        if self.same:
            return f"ceil({self.size}/{self.stride})"
        extent = str(self.extent)
        if self.dilation != 1:
            extent = f"(({self.kernel} - 1)*{self.dilation} + 1)"
        padding = (
            f"2*{self.before}" if self.before == self.after else f"{self.before} + {self.after}"
        )
        return f"({self.size} - {extent} + {padding})/{self.stride} + 1"

    @property
    def formula(self) -> str:
        """The formula with its numbers and its result, rounding shown where it acts."""
        if self.exact:
            return f"{self.left_side} = {self.output}"
        if self.rounding == "exact":
            return f"{self.left_side} = {decimal(self.quotient)}"
        less = " - 1" if self.clipped else ""
        return f"{self.rounding}({self.left_side}){less} = {self.output}"


@dataclass(frozen=True, slots=True)
class Window:
    """A two-dimensional window with everything resolved."""

    height: Axis
    width: Axis

    @property
    def output(self) -> Pair:
        """(height, width) of the output."""
        return self.height.output, self.width.output

    @property
    def kernel_size(self) -> Pair:
        """(height, width) of the kernel, dilation not counted."""
        return self.height.kernel, self.width.kernel

    @property
    def stride(self) -> Pair:
        """(vertical, horizontal) step."""
        return self.height.stride, self.width.stride

    @property
    def dilation(self) -> Pair:
        """(vertical, horizontal) distance between kernel elements."""
        return self.height.dilation, self.width.dilation

    @property
    def padding(self) -> Sides:
        """Padding as the spec says it: top, bottom, left, right."""
        return self.height.before, self.height.after, self.width.before, self.width.after

    @property
    def overhang(self) -> Pair:
        """How far the last window reaches past the padded input: bottom, right."""
        return self.height.overhang, self.width.overhang

    @property
    def reach(self) -> Sides:
        """Padding and overhang together: what must be added so that every window fits."""
        top, bottom, left, right = self.padding
        return top, bottom + self.overhang[0], left, right + self.overhang[1]

    @property
    def symmetric(self) -> bool:
        """Whether opposite sides reach equally far, so that frameworks can pad by themselves."""
        top, bottom, left, right = self.reach
        return top == bottom and left == right

    @property
    def padded(self) -> Pair:
        """(height, width) of the input with all that windows reach."""
        top, bottom, left, right = self.reach
        return self.height.size + top + bottom, self.width.size + left + right

    @property
    def formula(self) -> str:
        """One formula where both axes agree, else one for each."""
        vertical = self.height.formula
        if self.height is self.width:
            return vertical
        horizontal = self.width.formula
        return vertical if vertical == horizontal else f"{vertical}; {horizontal}"


def decimal(value: Fraction) -> str:
    """54.25, or 3.333... where three digits are not all."""
    thousandths = value * 1000
    text = f"{int(thousandths) / 1000:.3f}"
    return text.rstrip("0").rstrip(".") if thousandths.denominator == 1 else f"{text}..."


def resolve_axis(
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int] | Literal["same"],
    rounding: Rounding,
) -> Axis:
    """Resolve one axis. `output` is below 1 where the window does not fit.

    - ``same``: O = ceil(W/S); the padding is the least that reaches it, its odd pixel after.
    - ``ceil``: the last window may reach past the padded input but must begin inside the input
      or the padding before it (Caffe's clipping, which PyTorch and ONNX share). A whole number
      stays what it is, wherever its last window begins.
    - ``exact``: a non-integer quotient is reported by whoever called, and rounded down here so
      that the analysis can go on.
    """
    extent = (kernel - 1) * dilation + 1
    same = padding == "same"
    if padding == "same":
        output = -(-size // stride)
        total = max((output - 1) * stride + extent - size, 0)
        before, after = total // 2, total - total // 2
    else:
        before, after = padding
        span = size - extent + before + after
        if rounding == "ceil":
            output = -(-span // stride) + 1
            if span % stride and output > 1 and (output - 1) * stride >= size + before:
                output -= 1
        else:
            output = span // stride + 1
    used = (output - 1) * stride + extent
    rest = size + before + after - used
    return Axis(
        size,
        kernel,
        stride,
        dilation,
        before,
        after,
        rounding,
        same,
        output,
        overhang=max(-rest, 0),
        dropped=0 if same else max(rest, 0),
    )


def resolve(
    size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Sides | Literal["same", "valid"],
    rounding: Rounding,
    dilation: Pair = (1, 1),
) -> Window:
    """Resolve a window over a map of `size` (height, width)."""
    vertical: tuple[int, int] | Literal["same"]
    horizontal: tuple[int, int] | Literal["same"]
    if padding == "same":
        vertical = horizontal = "same"
    elif padding == "valid":
        vertical = horizontal = (0, 0)
    else:
        vertical, horizontal = (padding[0], padding[1]), (padding[2], padding[3])
    across = (size[1], kernel_size[1], stride[1], dilation[1], horizontal)
    down = (size[0], kernel_size[0], stride[0], dilation[0], vertical)
    height = resolve_axis(*down, rounding)
    return Window(height, height if down == across else resolve_axis(*across, rounding))

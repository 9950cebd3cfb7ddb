"""Pooling with a sliding window: the maximum or the mean of what it covers."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Shape
from archspec.layers.saved import Extra, Saved
from archspec.layers.window import Window
from archspec.layers.windowed import WindowedLayer
from archspec.spec.fields import Pair


class Pool2d(WindowedLayer):
    """The stride is the kernel size unless the spec says another."""

    arranges = "usual"

    def strides(self) -> Pair:
        return self.stride or self.kernel_size

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        window, problems = self.slide(inputs[0])
        for name, axis in (("height", window.height), ("width", window.width)):
            if max(axis.before, axis.after) >= axis.extent:
                raise self.fail(
                    "padding-covers-window",
                    f"the padding of {max(axis.before, axis.after)} in {name} holds a whole "
                    f"window of {axis.kernel}, which would pool nothing",
                    f"pad by {axis.kernel - 1} at most, or by a zero_pad2d before it",
                    field="padding",
                )
        self.check(window)
        return Inferred((inputs[0][0], *window.output), window.formula, window, "window", problems)

    def check(self, window: Window) -> None:
        """What one kind of pooling asks for beyond a window that fits."""

    def padded_before(self, window: Window) -> bool:
        """Whether PyTorch's pools cannot pad so, and the input is padded before them.

        They pad both sides alike and by at most half a window, and round both axes alike.
        """
        top, bottom, left, right = window.padding
        within = 2 * top <= window.kernel_size[0] and 2 * left <= window.kernel_size[1]
        mixed = any(window.overhang) and bool(window.height.dropped or window.width.dropped)
        return not (top == bottom and left == right and within) or mixed


class MaxPool2d(Pool2d):
    """The largest value in the window; padding never wins (it counts as minus infinity).

    FLOPs: kernel height x width - 1 comparisons an output element.
    """

    type: Literal["max_pool2d"]

    examples = (
        Example({"kernel_size": 2}, ((3, 6, 8),)),
        Example({"kernel_size": 3, "stride": 2}, ((3, 7, 9),)),
        Example({"kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 0]}, ((3, 7, 5),)),
        Example({"kernel_size": 3, "stride": 2, "padding": 1, "rounding": "floor"}, ((3, 8, 6),)),
        Example({"kernel_size": 3, "stride": 2, "rounding": "ceil"}, ((3, 6, 9),)),
        Example({"kernel_size": 3, "stride": 2, "padding": 1, "rounding": "ceil"}, ((3, 6, 8),)),
        Example(
            {"kernel_size": 3, "stride": 2, "padding": [0, 2, 1, 0], "rounding": "floor"},
            ((3, 6, 7),),
        ),
        Example({"kernel_size": 3, "stride": 2, "padding": "same"}, ((3, 6, 7),)),
        Example({"kernel_size": 2, "stride": 1, "padding": "same"}, ((3, 4, 5),)),
        Example({"kernel_size": 3, "stride": 1, "padding": 2}, ((2, 4, 4),)),
    )

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=math.prod(output) * (math.prod(self.kernel_size) - 1))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        window = inferred.window
        assert window is not None
        places = Extra("the place of each maximum, int64", math.prod(inferred.shape), 8)
        if not self.padded_before(window):
            return Saved((0,), extra=(places,))
        area = math.prod(window.padded)
        return Saved(extra=(Extra("the padded input", inputs[0][0] * area), places))


class AvgPool2d(Pool2d):
    """The mean of the window.

    `count_include_pad` says whether padded zeros count in the divisor, which the frameworks
    disagree on; it must be given when there is padding. What `ceil` reaches beyond the padded
    input never counts. FLOPs: kernel height x width an output element (the additions and the
    division).
    """

    type: Literal["avg_pool2d"]
    computed_from = {
        "padding": ("padding", "rounding"),
        "counted": ("count_include_pad",),
    }
    count_include_pad: bool | None = Field(
        default=None, description="whether padding counts in the mean; needed with padding"
    )

    examples = (
        Example({"kernel_size": 2}, ((3, 6, 8),)),
        Example({"kernel_size": 3, "stride": 2}, ((3, 7, 9),)),
        Example(
            {
                "kernel_size": 3,
                "stride": 2,
                "padding": 1,
                "count_include_pad": True,
                "rounding": "floor",
            },
            ((3, 6, 7),),
        ),
        Example(
            {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}, ((3, 7, 7),)
        ),
        Example({"kernel_size": 3, "stride": 2, "rounding": "ceil"}, ((3, 6, 9),)),
        Example(
            {
                "kernel_size": 3,
                "stride": 2,
                "padding": 1,
                "count_include_pad": True,
                "rounding": "ceil",
            },
            ((3, 6, 8),),
        ),
        Example(
            {
                "kernel_size": 3,
                "stride": 2,
                "padding": 1,
                "count_include_pad": False,
                "rounding": "ceil",
            },
            ((3, 6, 8),),
        ),
        Example(
            {
                "kernel_size": [3, 2],
                "padding": [0, 1, 1, 0],
                "stride": 1,
                "count_include_pad": True,
            },
            ((2, 5, 5),),
        ),
        Example(
            {"kernel_size": 2, "stride": 1, "padding": "same", "count_include_pad": False},
            ((3, 4, 5),),
        ),
        Example(
            {"kernel_size": 3, "stride": 1, "padding": 2, "count_include_pad": False}, ((2, 4, 4),)
        ),
    )

    def computed(self, inputs: tuple[Shape, ...]) -> dict[str, Any]:
        """With the padding that counts in the mean, where there is any."""
        found = super().computed(inputs)
        if found.pop("count_include_pad"):
            top, bottom, left, right = found["padding"]
            below, beyond = self.window(inputs[0]).overhang
            counted = (top, bottom - below, left, right - beyond)
            if max(counted) > 0:
                found["counted"] = counted
        return found

    def check(self, window: Window) -> None:
        if self.count_include_pad is None and any(window.padding):
            raise self.fail(
                "missing-key",
                "an average pool with padding needs the key `count_include_pad`: the "
                "frameworks disagree on whether padding counts in the mean",
                "add `count_include_pad: true` (PyTorch's and Caffe's default) or `false` "
                "(TensorFlow's)",
                field="padding",
            )

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=math.prod(output) * math.prod(self.kernel_size))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        window = inferred.window
        assert window is not None
        if not self.padded_before(window):
            return Saved((0,))
        padded = Extra("the padded input", inputs[0][0] * math.prod(window.padded))
        counts = Extra("the pixels in each window", math.prod(inferred.shape[1:]), per="batch")
        return Saved(extra=(padded, counts))

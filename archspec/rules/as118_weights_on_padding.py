"""A kernel reaches beyond a small map on both sides, so some of its weights only meet padding.

On a map of one pixel, a 3 x 3 kernel with padding 1 sees that pixel with its centre and zeros with
the other eight weights: for every image and every position. Those weights cost memory and
operations and never learn. It happens where an input is smaller than the network was made for:
every stride halves the map until nothing is left of it.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 2, width: 2}
    layers:
      - {name: pool1, type: max_pool2d, kernel_size: 2}
      - {name: conv2, type: conv2d, filters: 8, kernel_size: 3, padding: 1}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 4, width: 4}
    layers:
      - {name: pool1, type: max_pool2d, kernel_size: 2}
      - {name: conv2, type: conv2d, filters: 8, kernel_size: 3, padding: 1}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.graph import Node
from archspec.layers.base import show
from archspec.layers.conv2d import Conv2d
from archspec.layers.window import Axis, Window
from archspec.rules.base import Rule
from archspec.rules.walk import windows


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, window, dead in unused_weights(analysis):
        if max(window.dilation) == 1:
            area = window.height.kernel * window.width.kernel
            message = (
                f"{node.name}: on a map of {window.height.size} x {window.width.size}, {dead} of "
                f"the {area} weights of each {show(window.kernel_size)} kernel only ever meet "
                "padding"
            )
            help_ = "use a smaller kernel, less stride before it, or a larger input"
            field = "kernel_size"
            yield Problem("weights-on-padding", message, help_, layer=node.name, field=field)


def unused_weights(analysis: Analysis) -> Iterator[tuple[Node, Window, int]]:
    """The convolutions with weights of a kernel (of one channel) that meet no pixel of the map."""
    for node, _, window in windows(analysis, Conv2d):
        down, across = window.height, window.width
        used = _used(down) * (_used(across) if across is not down else _used(down))
        dead = down.kernel * across.kernel - used
        if dead:
            yield node, window, dead


def _used(axis: Axis) -> int:
    """How many elements of the kernel meet a line of the map at some position."""
    last = (axis.output - 1) * axis.stride - axis.before
    if last >= 0 and axis.extent - 1 - axis.before < axis.size and axis.stride <= axis.size:
        # The first element begins before the map's end and gets into it, and so do all others.
        return axis.kernel
    begins = [number * axis.stride - axis.before for number in range(axis.output)]
    return sum(
        any(0 <= begin + element * axis.dilation < axis.size for begin in begins)
        for element in range(axis.kernel)
    )


RULE = Rule("AS118", "weights-on-padding", "warning", check=_check)

"""The padding of a convolution is as wide as its kernel, so outputs at the edge see nothing.

A window that lies in the padding alone multiplies zeros: its output is the bias, or 0, the same
for every image. That happens where padding is at least as wide as the (dilated) kernel; a padding
of F // 2 keeps the size of the map for odd F. For a pool it is an error (AS108), because a maximum
of nothing has no meaning.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 1, padding: 1}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 1}

References:

    Dumoulin and Visin (2016): A guide to convolution arithmetic for deep learning (https://arxiv.org/abs/1603.07285)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.conv2d import Conv2d
from archspec.layers.window import Axis
from archspec.rules.base import Rule
from archspec.rules.walk import windows


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer, window in windows(analysis, Conv2d):
        down, across = window.height, window.width
        if max(down.before, down.after) < down.extent and max(across.before, across.after) < (
            across.extent
        ):
            continue
        positions = down.output * across.output
        blind = positions - _seeing(down) * _seeing(across)
        if blind:
            message = (
                f"{node.name}: padding {max(window.padding)} around a kernel of {down.extent} x "
                f"{across.extent} lets {blind:,} of its {positions:,} windows see padding alone; "
                f"what they give is {'the bias' if layer.bias else '0'}"
            )
            keep = f"`padding: {down.extent // 2}` keeps the size of the map"
            help_ = keep if down.extent == across.extent and down.extent % 2 else None
            yield Problem("padding-covers-kernel", message, help_, layer=node.name, field="padding")


def _seeing(axis: Axis) -> int:
    """The windows on an axis that hold at least one line of the map."""
    begins = (number * axis.stride - axis.before for number in range(axis.output))
    return sum(begin < axis.size and begin + axis.extent > 0 for begin in begins)


RULE = Rule("AS115", "padding-covers-kernel", "warning", check=_check)

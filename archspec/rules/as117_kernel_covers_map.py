"""A large kernel with a stride covers most of the map it reads.

Large kernels with a stride belong at the start of a network, where one position is a small part of
the image. On a map that the network has made small they are the mark of a copied layer: its few
outputs overlap almost entirely, and it has many times the parameters of the usual 3 x 3. The
message names the earlier layer that has the same filters, kernel and stride, if there is one. A
kernel that covers the map exactly, as a dense layer does, is meant.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 13, width: 13}
    layers:
      - {name: conv5, type: conv2d, filters: 96, kernel_size: 11, stride: 4, padding: same}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 13, width: 13}
    layers:
      - {name: conv5, type: conv2d, filters: 96, kernel_size: 3, padding: same}

References:

    Simonyan and Zisserman (2015): Very deep convolutional networks, section 2.3 (https://arxiv.org/abs/1409.1556)
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

# Kernels of up to so many pixels are what every network has on its last maps.
USUAL = 3


def _check(analysis: Analysis) -> Iterator[Problem]:
    first: dict[tuple[object, ...], Node] = {}
    for node, layer, window in windows(analysis, Conv2d):
        if min(window.kernel_size) <= USUAL or max(window.stride) < 2:
            continue
        what = (layer.filters, window.kernel_size, window.stride, window.dilation)
        before = first.setdefault(what, node)
        if not (_covers(window.height) and _covers(window.width)) or _whole(window):
            continue
        params = analysis.by_name[node.name].costs.params
        message = (
            f"{node.name}: its kernel of {show(window.kernel_size)} covers "
            f"{_share(window):.0%} of the map of {window.height.size} x {window.width.size} that "
            f"it reads with stride {show(window.stride)}, for {params:,} parameters"
        )
        if before is not node:
            message += (
                f"; {before.name} on line {before.line} has the same {layer.filters} filters, "
                "kernel and stride: was it copied?"
            )
        help_ = "on a small map use a small kernel with stride 1, such as 3 with `padding: 1`"
        yield Problem("kernel-covers-map", message, help_, layer=node.name, field="kernel_size")


def _covers(axis: Axis) -> bool:
    return 2 * axis.extent > axis.size


def _whole(window: Window) -> bool:
    """Whether it is a dense layer in other words: one window that is the map."""
    return all(a.extent == a.size and a.output == 1 for a in (window.height, window.width))


def _share(window: Window) -> float:
    down, across = window.height, window.width
    covered = min(down.extent, down.size) * min(across.extent, across.size)
    return covered / (down.size * across.size)


RULE = Rule("AS117", "kernel-covers-map", "warning", check=_check)

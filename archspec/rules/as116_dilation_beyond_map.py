"""A dilated kernel reaches so far that some of its weights never meet the map.

Dilation puts D - 1 pixels between the weights of a kernel. On a map that is smaller than that, the
outer weights always lie on padding: they are multiplied by zero for every image and every position,
and never learn. A 3 x 3 kernel with a dilation as large as the map is a 1 x 1 kernel with eight
weights too many (Chen et al., 2017, section 3.2).

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, dilation: 8, padding: 8}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, dilation: 2, padding: 2}

References:

    Chen et al. (2017): Rethinking atrous convolution for semantic image segmentation (https://arxiv.org/abs/1706.05587)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.base import show
from archspec.rules.as118_weights_on_padding import unused_weights
from archspec.rules.base import Rule


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, window, dead in unused_weights(analysis):
        if max(window.dilation) > 1:
            down, across = window.height, window.width
            area = down.kernel * across.kernel
            message = (
                f"{node.name}: with a dilation of {show(window.dilation)} its kernel reaches over "
                f"{down.extent} x {across.extent} pixels, and the map has {down.size} x "
                f"{across.size}: {dead} of the {area} weights of each kernel always lie on padding"
            )
            help_ = "use a smaller dilation, or less stride before it"
            yield Problem("dilation-beyond-map", message, help_, layer=node.name, field="dilation")


RULE = Rule("AS116", "dilation-beyond-map", "warning", check=_check)

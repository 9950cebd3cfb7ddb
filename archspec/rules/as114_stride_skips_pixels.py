"""A stride is larger than the kernel, so pixels between the windows are never read.

With a kernel of F pixels and a stride of S > F, the S - F lines between two windows are seen by no
window. In most cases kernel and stride were exchanged, or one of them was changed alone. A kernel
of 1 with stride 2, the shortcut of a residual network, is only noted: it is published, but three
quarters of what was computed before it go unread (He et al., 2019, put an average pool of stride 2
before it instead).

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 35, width: 35}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 2, stride: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 35, width: 35}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, stride: 2}

References:

    He et al. (2019): Bag of tricks for image classification with convolutional neural networks (https://arxiv.org/abs/1812.01187)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.base import show
from archspec.layers.window import Axis
from archspec.rules.base import Rule
from archspec.rules.walk import windows


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, _, window in windows(analysis):
        down, across = window.height, window.width
        if down.stride <= down.extent and across.stride <= across.extent:
            continue
        read, pixels = _lines_read(down) * _lines_read(across), down.size * across.size
        if read == pixels:
            continue
        message = (
            f"{node.name}: with a kernel of {show(window.kernel_size)} and a stride of "
            f"{show(window.stride)} its windows read {read:,} of the {pixels:,} pixels of each "
            f"map ({read / pixels:.0%})"
        )
        single = window.kernel_size == (1, 1)
        yield Problem(
            "stride-skips-pixels",
            message,
            None if single else "use a kernel at least as large as the stride",
            layer=node.name,
            field="stride" if node.source.get("stride") else None,
            severity="note" if single else None,
        )


def _lines_read(axis: Axis) -> int:
    """The lines of the map that lie in some window."""
    if axis.stride <= axis.extent:
        return axis.size - max(axis.dropped - axis.after, 0)
    read = 0
    for number in range(axis.output):
        begin = number * axis.stride - axis.before
        read += max(min(begin + axis.extent, axis.size) - max(begin, 0), 0)
    return read


RULE = Rule("AS114", "stride-skips-pixels", "warning", check=_check)

"""Rounding down leaves pixels of the input unread.

Where (W - F + 2P)/S + 1 is no whole number, `rounding: floor` takes the next one below, and the
last rows and columns of the map are read by no window: they were computed for nothing, and what an
image shows there is not seen. Padding that goes unread costs nothing and is not reported. It is a
note, because most published networks do it; an input size that fits, more padding at the end or
`rounding: ceil` uses every pixel.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 224, width: 224}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4, rounding: floor}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 224, width: 224}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4, padding: 2,
         rounding: floor}

References:

    Dumoulin and Visin (2016): A guide to convolution arithmetic for deep learning (https://arxiv.org/abs/1603.07285)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.window import Axis, Window, decimal
from archspec.rules.base import Rule
from archspec.rules.walk import windows


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, _, window in windows(analysis):
        if window.height.dropped or window.width.dropped:
            rows, columns = _unread(window.height), _unread(window.width)
            if rows or columns:
                message = f"{node.name}: {_message(window, rows, columns)}"
                yield Problem("pixels-dropped", message, layer=node.name, field="rounding")


def _unread(axis: Axis) -> int:
    """Lines of the map behind the last window, where that is due to rounding.

    A stride larger than the kernel skips lines everywhere (AS114).
    """
    return max(axis.dropped - axis.after, 0) if axis.stride <= axis.extent else 0


def _message(window: Window, rows: int, columns: int) -> str:
    down, across = window.height, window.width
    formulas = dict.fromkeys(
        f"{axis.left_side} = {decimal(axis.quotient)} is rounded down to {axis.output}"
        for axis, lines in ((down, rows), (across, columns))
        if lines
    )
    lost = [_lines(rows, "row")] * bool(rows) + [_lines(columns, "column")] * bool(columns)
    pixels = down.size * across.size
    unread = pixels - (down.size - rows) * (across.size - columns)
    return (
        f"{' and '.join(formulas)}, so no window reads the last {' and the last '.join(lost)} of "
        f"the input: {unread:,} of its {pixels:,} pixels"
    )


def _lines(count: int, line: str) -> str:
    return line if count == 1 else f"{count} {line}s"


RULE = Rule("AS112", "pixels-dropped", "note", check=_check)

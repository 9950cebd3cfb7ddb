"""Rounding up lets the last window reach past the input.

With `rounding: ceil` the last windows are cut off by the edge of the map (Caffe's pooling, and
PyTorch's `ceil_mode`). A maximum ignores what lies outside, a convolution reads zeros there, and a
mean divides by fewer pixels than elsewhere. TensorFlow and Keras have no such rounding: the
emitted code pads there, which is exact. It is a note: the shapes agree with code that rounds down
only by chance.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 112, width: 112}
    layers:
      - {name: pool1, type: max_pool2d, kernel_size: 3, stride: 2, rounding: ceil}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 113, width: 113}
    layers:
      - {name: pool1, type: max_pool2d, kernel_size: 3, stride: 2, rounding: ceil}

References:

    torch.nn.MaxPool2d (https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.window import Axis, decimal
from archspec.layers.windowed import pixels
from archspec.rules.base import Rule
from archspec.rules.walk import windows


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, _, window in windows(analysis):
        axes = [a for a in (window.height, window.width) if a.rounding == "ceil" and not a.exact]
        if axes:
            parts = "; ".join(dict.fromkeys(map(_rounded, axes)))
            message = f"{node.name}: {parts}"
            yield Problem("window-past-edge", message, layer=node.name, field="rounding")


def _rounded(axis: Axis) -> str:
    """What rounding up does on one axis."""
    quotient = f"{axis.left_side} = {decimal(axis.quotient)}"
    if axis.clipped:
        return (
            f"{quotient} would begin a window outside the input when rounded up, so it is "
            f"{axis.output}"
        )
    return (
        f"{quotient} is rounded up to {axis.output}: the last window reaches "
        f"{pixels(axis.overhang)} past the {'padded ' if axis.after else ''}input"
    )


RULE = Rule("AS113", "window-past-edge", "note", check=_check)

"""Padding `same` comes to one pixel more at the bottom and right than at the top and left.

`same` is the least padding with which the output is the input divided by the stride. Where that is
an odd number of pixels, TensorFlow (and archspec) puts the odd one at the bottom and right. The
padding of PyTorch's layers, Caffe's and Theano's is equal on both sides: where the shape comes out
the same, each window reads other pixels, and weights trained with one give other numbers with the
other. The four integers in its place say what is meant in every framework, at this input size.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, stride: 2, padding: same}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 33, width: 33}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, stride: 2, padding: same}

References:

    tf.nn.convolution, notes on padding (https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.window import Axis
from archspec.layers.windowed import WindowedLayer
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import windows


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    for node, layer, window in windows(analysis, WindowedLayer):
        top, bottom, left, right = window.padding
        if layer.padding != "same" or (top == bottom and left == right):
            continue
        padding = list(window.padding)
        equal = [_equal(axis) for axis in (window.height, window.width)]
        if None in equal:
            other = "no padding that is equal on both sides gives this shape"
        else:
            sides = f"{equal[0]}" if equal[0] == equal[1] else f"[{equal[0]}, {equal[1]}]"
            other = f"padding {sides} on both sides gives this shape too, and other numbers"
        yield Problem(
            "asymmetric-same",
            f"{node.name}: `same` is {padding} here (top, bottom, left, right); {other}",
            layer=node.name,
            field="padding",
            fixes=(
                Fix(
                    f"padding {padding}",
                    "the same network at this input size; at another, `same` can come to others",
                    {f"{node.name}.padding": padding},
                ),
            ),
        )


def _equal(axis: Axis) -> int | None:
    """A padding equal on both sides with which the axis, rounded down, has the same output."""
    for pixels in (axis.before, axis.after):
        if (axis.size - axis.extent + 2 * pixels) // axis.stride + 1 == axis.output:
            return pixels
    return None


RULE = Rule("AS402", "asymmetric-same", "note", check=_check)

"""An average pool has padding, which the frameworks count in the mean or do not.

In a window at the edge some values are padding. TensorFlow and Keras divide by the number of real
ones; PyTorch and Caffe by default by the size of the window, so that the mean shrinks towards the
edge. Both give the same shape. `count_include_pad` says which is meant; the note has the factor
between the two at a corner.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool1, type: avg_pool2d, kernel_size: 3, stride: 1, padding: 1,
         count_include_pad: true}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: pool1, type: avg_pool2d, kernel_size: 2, stride: 2}

References:

    torch.nn.AvgPool2d (https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html)
    tf.nn.avg_pool2d (https://www.tensorflow.org/api_docs/python/tf/nn/avg_pool2d)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.pool2d import AvgPool2d
from archspec.layers.window import Axis
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import windows


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    for node, layer, window in windows(analysis, AvgPool2d):
        if not any(window.padding):
            continue
        whole = math.prod(layer.kernel_size)
        real = _least(window.height) * _least(window.width)
        counted = "counts padding" if layer.count_include_pad else "does not count padding"
        others = (
            "TensorFlow and Keras never do"
            if layer.count_include_pad
            else "PyTorch and Caffe do by default"
        )
        yield Problem(
            "mean-over-padding",
            f"{node.name} {counted} in its mean, and {others}: at a corner, {real} of {whole} "
            f"values are real, and the two means differ by a factor of {whole / real:.3g}",
            layer=node.name,
            field="count_include_pad",
        )


def _least(axis: Axis) -> int:
    """How many elements of the first or of the last window lie on the input, the fewer."""
    last = (axis.output - 1) * axis.stride - axis.before
    return min(
        sum(0 <= start + i < axis.size for i in range(axis.kernel))
        for start in (-axis.before, last)
    )


RULE = Rule("AS403", "mean-over-padding", "note", check=_check)

"""Bilinear upsampling reads between pixels whose places the frameworks do not agree on.

With pixels as areas (archspec, Keras, PyTorch's default) output i lies at (i + 1/2)/scale - 1/2 of
the input; with aligned corners (`align_corners=True` in PyTorch and TensorFlow 1, Caffe models) at
i (n - 1)/(scale n - 1); TensorFlow 1 has it at i/scale by default. All give the same shape. The
note has the largest distance between the first two, in pixels of the input.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: up, type: upsample2d, scale: 2, mode: bilinear}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: up, type: upsample2d, scale: 2, mode: nearest}

References:

    torch.nn.Upsample (https://docs.pytorch.org/docs/stable/generated/torch.nn.Upsample.html)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.upsample2d import Upsample2d
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, Upsample2d):
        if layer.mode != "bilinear" or node.name not in analysis.shapes.layers:
            continue
        _, height, width = analysis.shapes.inputs(node)[0]
        apart = max(_apart(height, layer.scale[0]), _apart(width, layer.scale[1]))
        if apart > 0:
            yield Problem(
                "corners-or-areas",
                f"{node.name} takes pixels as areas; with aligned corners its outputs are read up "
                f"to {apart:.3g} pixels away from there",
                layer=node.name,
                field="mode",
            )


def _apart(size: int, scale: int) -> float:
    """The largest distance between the places that the two read for one output, in pixels."""
    outputs = size * scale
    if outputs == 1:
        return 0.0
    return max(
        abs(min(max((i + 0.5) / scale - 0.5, 0), size - 1) - i * (size - 1) / (outputs - 1))
        for i in range(outputs)
    )


RULE = Rule("AS410", "corners-or-areas", "note", check=_check)

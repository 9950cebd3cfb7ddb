"""Two linear layers follow each other with nothing between, and one could do the same.

A linear function of a linear function is linear: two dense layers in a row compute what one matrix
does, two 3 x 3 convolutions what one 5 x 5 does. Usually an activation was forgotten. It is meant
where the one between is narrow (a bottleneck has fewer parameters than what it stands for) or where
the two differ in kind (a depthwise and a pointwise convolution): such pairs are not reported. Batch
normalisation and dropout between two of them are linear at inference.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc1, type: dense, units: 256}
      - {name: fc2, type: dense, units: 10}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc1, type: dense, units: 256}
      - {name: relu1, type: relu}
      - {name: fc2, type: dense, units: 10}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import counted
from archspec.diagnostics import Problem
from archspec.graph import Graph, Node
from archspec.layers.batch_norm import BatchNorm
from archspec.layers.conv2d import Conv2d
from archspec.layers.dense import Dense
from archspec.layers.dropout import Dropout
from archspec.layers.scale import Scale
from archspec.rules.base import Rule
from archspec.rules.walk import layers, only_reader, read_by

# What is linear in its input once the network is trained.
LINEAR = (BatchNorm, Dropout, Scale)


def _check(analysis: Analysis) -> Iterator[Problem]:
    graph = analysis.graph
    for kind in (Dense, Conv2d):
        for node, second in layers(graph, kind):
            before, normed = _linear_before(graph, node)
            if before is None or not {node.name, before.name} <= analysis.shapes.layers.keys():
                continue
            first = before.layer
            if isinstance(second, Dense) and isinstance(first, Dense):
                found = _dense(analysis, before, first, second, normed)
            elif isinstance(second, Conv2d) and isinstance(first, Conv2d):
                found = _convolutions(analysis, before, first, second, normed)
            else:
                continue
            if found:
                message = f"{node.name}: nothing but linear layers between {before.name} and it: "
                help_ = f"put an activation behind {before.name}, or leave one of the two out"
                yield Problem(
                    "linear-layers-in-a-row",
                    message + found,
                    help_,
                    layer=node.name,
                    field="type",
                )


def _linear_before(graph: Graph, node: Node) -> tuple[Node | None, bool]:
    """What a node reads over linear layers alone, and whether one of those normalises."""
    above = read_by(graph, node)
    normed = False
    while above is not None and only_reader(graph, above.name) is not None:
        if not isinstance(above.layer, LINEAR):
            return above, normed
        normed = normed or not isinstance(above.layer, Dropout)
        above = read_by(graph, above)
    return None, normed


def _dense(analysis: Analysis, before: Node, first: Dense, second: Dense, normed: bool) -> str:
    (features,) = analysis.shapes.inputs(before)[0]
    if normed or first.units < min(features, second.units):
        return ""
    pair = first.units * (features + second.units)
    return (
        f"{pair:,} weights for what one matrix of {features:,} x {second.units:,} = "
        f"{features * second.units:,} can do"
    )


def _convolutions(
    analysis: Analysis, before: Node, first: Conv2d, second: Conv2d, normed: bool
) -> str:
    """What one convolution can do, away from the edges: K = K1 + (K2 - 1) S1 on each axis.

    With a kernel of one pixel the pair may be a linear bottleneck, which is normalised between.
    """
    if first.groups > 1 or second.groups > 1 or max(*first.dilation, *second.dilation) > 1:
        return ""
    channels = analysis.shapes.inputs(before)[0][0]
    (high1, wide1), (high2, wide2) = first.kernel_size, second.kernel_size
    steps = first.strides()
    high, wide = high1 + (high2 - 1) * steps[0], wide1 + (wide2 - 1) * steps[1]
    one = high * wide * channels * second.filters
    pair = high1 * wide1 * channels * first.filters + high2 * wide2 * first.filters * second.filters
    stacked = min(high1, high2) > 1 or min(wide1, wide2) > 1
    if not stacked and (normed or pair < one):
        return ""
    return (
        f"{pair:,} weights for what one convolution of {high} x {wide} over "
        f"{counted(channels, 'channel')} can do with {one:,}, but for the edges"
    )


RULE = Rule("AS205", "linear-layers-in-a-row", "warning", check=_check)

"""A dense layer reads a flattened map, whose order is not the same in every framework.

PyTorch, Caffe and archspec flatten channel by channel, Keras and TensorFlow (with channels last)
pixel by pixel. The counts are equal and a network trained from the start does not care; weights
that come from elsewhere are read in the wrong order, and nothing complains. Loaded from a model
with channels last, the columns of the first dense layer must be permuted once.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: flatten, type: flatten}
      - {name: fc, type: dense, units: 10}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}

References:

    keras.layers.Flatten (https://keras.io/api/layers/reshaping_layers/flatten/)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.graph import Node
from archspec.layers.activations import Activation
from archspec.layers.base import show
from archspec.layers.dense import Dense
from archspec.layers.dropout import Dropout
from archspec.layers.flatten import Flatten
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers, only_reader


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    for node, _ in layers(analysis.graph, Flatten):
        if node.name not in analysis.shapes.layers:
            continue
        shape = analysis.shapes.inputs(node)[0]
        if shape[0] == 1 or math.prod(shape[1:]) == 1:
            continue  # one order alone
        dense = _dense_behind(analysis, node)
        if dense is None or not isinstance(dense.layer, Dense):
            continue
        features = math.prod(shape)
        yield Problem(
            "flatten-order",
            f"{node.name}: the {features:,} features of {show(shape)} go channel by channel, in "
            f"Keras and TensorFlow pixel by pixel; the {dense.layer.units:,} x {features:,} "
            f"weights of {dense.name}, taken from there, need their columns permuted",
            layer=node.name,
        )


def _dense_behind(analysis: Analysis, node: Node) -> Node | None:
    """The dense layer that reads the features, behind what keeps their order."""
    graph = analysis.graph
    reader = only_reader(graph, node.name)
    while reader is not None and isinstance(reader.layer, (Activation, Dropout)):
        reader = only_reader(graph, reader.name)
    return reader


RULE = Rule("AS406", "flatten-order", "note", check=_check)

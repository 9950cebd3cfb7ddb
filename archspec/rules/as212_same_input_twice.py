"""A join reads the same layer twice.

The sum of a map and itself is twice the map, its concatenation holds every channel twice: nothing
is added, and the layer behind pays for it. One of the branches carries a wrong name, usually that
of the layer above it.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 1}
      - {name: relu1, type: relu}
      - {name: sum, type: add, inputs: [relu1, relu1]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 1}
      - {name: relu1, type: relu}
      - {name: sum, type: add, inputs: [relu1, conv1]}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.base import Layer
from archspec.layers.joins import Add, Concat, Multiply
from archspec.rules.base import Rule
from archspec.rules.walk import layers

_GIVES: dict[type[Layer], str] = {
    Add: "adds it to itself",
    Concat: "has its channels twice",
    Multiply: "squares it",
}


def _check(analysis: Analysis) -> Iterator[Problem]:
    for kind, gives in _GIVES.items():
        for node, _ in layers(analysis.graph, kind):
            if len(set(node.inputs)) < len(node.inputs):
                twice = next(name for name in node.inputs if node.inputs.count(name) > 1)
                yield Problem(
                    "same-input-twice",
                    f"{node.name}: {node.layer.type} reads {twice} "
                    f"{node.inputs.count(twice)} times and {gives}",
                    "name the other branch",
                    layer=node.name,
                    field="inputs",
                )


RULE = Rule("AS212", "same-input-twice", "warning", check=_check)

"""One dense layer on a flattened map holds most of the network's parameters.

A dense layer that reads a flattened map has a weight for every position of every channel, so that
it outgrows all convolutions together: fc6 is 62 % of AlexNet, fc1 of VGG-16 74 %. It takes most of
the memory, of the gradients that are exchanged and of the overfitting. A global average pool
instead of the flattening (Network in Network, and every residual network) leaves one number a
channel. It is a note: in those two networks it is meant.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 64, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: flatten, type: flatten}
      - {name: fc2, type: dense, units: 100}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 64, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool, type: global_avg_pool2d}
      - {name: fc2, type: dense, units: 100}

References:

    Lin, Chen and Yan (2014): Network in network, section 3.2 (https://arxiv.org/abs/1312.4400)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.base import show
from archspec.layers.dense import Dense
from archspec.layers.flatten import Flatten
from archspec.rules.base import Rule
from archspec.rules.walk import layers, only_reader, read_by

# In smaller layers there is nothing to save.
LEAST = 1_000_000


def _check(analysis: Analysis) -> Iterator[Problem]:
    total = analysis.totals.params
    if analysis.shapes.uncertain or analysis.shapes.missing:
        return  # the map is not what it will be
    for node, layer in layers(analysis.graph, Dense):
        found = analysis.by_name.get(node.name)
        params = found.costs.params if found is not None else 0
        if params < LEAST or 2 * params <= total:
            continue
        flatten = read_by(analysis.graph, node)
        while flatten is not None and not isinstance(flatten.layer, Flatten):
            if flatten.layer.is_neurons:
                break
            flatten = read_by(analysis.graph, flatten)
        if flatten is None or not isinstance(flatten.layer, Flatten):
            continue
        shape = analysis.shapes.inputs(flatten)[0]
        if len(shape) != 3 or shape[1:] == (1, 1):
            continue
        pooled = (shape[0] + layer.bias) * layer.units
        alone = only_reader(analysis.graph, flatten.name) is not None
        fix = Fix(
            f"{flatten.name} as a global average pool",
            f"{node.name} reads {shape[0]} numbers and has {pooled:,} parameters; the network has "
            f"{total - params + pooled:,}",
            {f"{flatten.name}.type": "global_avg_pool2d"},
        )
        yield Problem(
            "dominant-dense-layer",
            f"{node.name}: {params:,} of the network's {total:,} parameters are in this layer "
            f"({params / total:.0%}): it reads a map of {show(shape)} position by position",
            layer=node.name,
            field="units",
            fixes=(fix,) if alone else (),
        )


RULE = Rule("AS207", "dominant-dense-layer", "note", check=_check)

"""An activation follows an activation.

The ReLU of a ReLU is the same ReLU: the second does nothing but take time, and can go. Two
different ones in a row hardly ever are what was meant: the sigmoid of a ReLU never falls below one
half, the ReLU of a sigmoid is the sigmoid. It happens where a layer's own activation meets one that
is written behind it.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu1, type: relu}
      - {name: relu2, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: relu1, type: relu}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.activations import Activation, HardSigmoid, Relu, Relu6, Sigmoid
from archspec.rules.base import Rule
from archspec.rules.walk import layers, read_by

# The activations whose outputs are at least 0, and those that change nothing there.
_POSITIVE = (Relu, Relu6, Sigmoid, HardSigmoid)


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, Activation):
        before = read_by(analysis.graph, node)
        if before is None or not isinstance(before.layer, Activation):
            continue
        first = before.layer
        same = isinstance(first, _POSITIVE) and isinstance(layer, Relu)
        same = same or (isinstance(first, Relu6) and isinstance(layer, Relu6))
        message = f"{node.name}: {layer.type} follows the {first.type} of {before.name}"
        fixes: tuple[Fix, ...] = ()
        if same:
            message += ", and changes nothing"
            effect = "the same function"
            fixes = (Fix(f"remove {node.name}", effect, {node.name: None}, safe=True),)
        help_ = None if same else "keep one of the two"
        yield Problem(
            "activation-twice", message, help_, layer=node.name, field="type", fixes=fixes
        )


RULE = Rule("AS209", "activation-twice", "warning", check=_check)

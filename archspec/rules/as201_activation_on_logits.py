"""An activation stands between the last layer and the loss.

A classifier's logits may be any number, and softmax with cross-entropy uses all of them. A ReLU
cuts the negative ones off: classes that are ruled out can no longer be told apart, and where every
logit of an image is negative no gradient comes back at all. A sigmoid or a tanh bounds what the
network may be sure of. It happens where every layer is written by one function that ends in a ReLU.
ReLU before a global pool (Network in Network, SqueezeNet) is published and not meant here.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc8, type: dense, units: $classes}
      - {name: relu8, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc8, type: dense, units: $classes}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import counted
from archspec.diagnostics import Fix, Problem
from archspec.layers.activations import Activation, LeakyRelu, Relu, Relu6
from archspec.rules.base import Rule
from archspec.rules.walk import on_the_logits


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, tail in on_the_logits(analysis, Activation):
        layer = node.layer
        if isinstance(layer, (Relu, Relu6)):
            does = "the negative ones become 0 and get no gradient"
        elif isinstance(layer, LeakyRelu):
            does = f"the negative ones are multiplied by {layer.negative_slope:g}"
        else:
            does = "they no longer reach every number"
        yield Problem(
            "activation-on-logits",
            f"{node.name}: {layer.type} is applied to the {counted(tail.classes, 'logit')} of "
            f"{tail.logits}: {does}",
            layer=node.name,
            field="type",
            fixes=(Fix(f"remove {node.name}", "the loss gets every logit", {node.name: None}),),
        )


RULE = Rule("AS201", "activation-on-logits", "warning", check=_check)

"""A softmax stands before a loss that takes logits.

Cross-entropy from logits has the softmax inside. If its input is a softmax already, all "logits"
lie between 0 and 1, and for n classes the loss can never fall below log(1 + (n - 1)/e): the network
looks as if it learnt nothing. archspec trains on the logits: a softmax at the very end is left out
of the loss and only noted, for code that takes the emitted model and adds its own loss. One with
other layers behind it cannot be left out and is a warning.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc8, type: dense, units: $classes}
      - {name: softmax, type: softmax}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 10}
    layers:
      - {name: flatten, type: flatten}
      - {name: fc8, type: dense, units: $classes}

References:

    torch.nn.CrossEntropyLoss (https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.activations import Softmax
from archspec.rules.base import Rule
from archspec.rules.walk import on_the_logits


def _check(analysis: Analysis) -> Iterator[Problem]:
    for node, tail in on_the_logits(analysis, Softmax):
        place = tail.nodes.index(node)
        last = place == len(tail.nodes) - 1
        if tail.classes == 1:
            continue  # a softmax of one number is always 1 (AS217)
        least, chance = math.log1p((tail.classes - 1) / math.e), math.log(tail.classes)
        bound = (
            f"the loss of {tail.classes:,} classes cannot fall below {least:.2f}, where guessing "
            f"gives {chance:.2f}"
        )
        if last:
            message = (
                f"{node.name}: the output is a softmax. Training leaves it to the loss; behind a "
                f"loss that takes logits in other code, {bound}"
            )
        else:
            message = (
                f"{node.name}: {tail.nodes[place + 1].name} reads the softmax, so what the loss "
                f"takes for logits lies between 0 and 1: {bound}"
            )
        removed = Fix(f"remove {node.name}", "the network ends in logits", {node.name: None})
        yield Problem(
            "softmax-before-loss",
            message,
            layer=node.name,
            field="type",
            fixes=(removed,),
            severity="note" if last else None,
        )


RULE = Rule("AS204", "softmax-before-loss", "warning", check=_check)

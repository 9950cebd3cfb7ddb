"""A classifier has one class.

The softmax of one number is 1 whatever the number is, and the cross-entropy of one class is 0:
nothing is learned. Two classes are two units with a softmax; one unit with a sigmoid is another
loss, which the recipe does not have.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 1}
    layers:
      - {name: pool, type: global_avg_pool2d}
      - {name: fc, type: dense, units: $classes}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 8, width: 8}
    variables: {classes: 2}
    layers:
      - {name: pool, type: global_avg_pool2d}
      - {name: fc, type: dense, units: $classes}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.dense import Dense
from archspec.rules.base import Rule
from archspec.rules.walk import tails


def _check(analysis: Analysis) -> Iterator[Problem]:
    for tail in tails(analysis):
        if tail.classes == 1:
            dense = isinstance(analysis.graph.by_name[tail.logits].layer, Dense)
            yield Problem(
                "one-class",
                f"{tail.output}: the output is 1 number, and the softmax of 1 number is 1 whatever "
                "it is: the loss is always 0",
                "give every class a unit, also the second of two",
                layer=tail.logits,
                field="units" if dense else None,
            )


RULE = Rule("AS217", "one-class", "warning", check=_check)

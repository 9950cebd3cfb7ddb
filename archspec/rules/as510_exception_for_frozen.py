"""The recipe makes an exception for parameters that are frozen anyway.

`trainable: false` in a layer means that no optimiser touches its parameters; a learning rate or a
decay for them in `training.parameters` has no effect. Either the layer was meant to be trained,
with a smaller rate perhaps, or the exception is a leftover.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1, trainable: false}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      parameters:
        - {match: 'conv1.*', learning_rate: 0.1}
      preprocessing: {mean: data, std: data}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 10
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      parameters:
        - {match: 'conv1.*', learning_rate: 0.1}
      preprocessing: {mean: data, std: data}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem, shortened
from archspec.rules.base import Rule
from archspec.rules.recipe import matching, place


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None or analysis.shapes.missing:
        return
    for index, rule in enumerate(recipe.parameters):
        found = matching(analysis, rule.match)
        if found and not any(weight.trainable for _, weight in found):
            count = f"the {len(found)} parameters" if len(found) > 1 else "the one parameter"
            frozen = "are" if len(found) > 1 else "is"
            yield Problem(
                "exception-for-frozen",
                f"{count} that `{shortened(rule.match)}` matches {frozen} frozen",
                "remove the exception, or `trainable: false` from the layer",
                span=place(analysis, "parameters", index, "match"),
            )


RULE = Rule("AS510", "exception-for-frozen", "warning", check=_check)

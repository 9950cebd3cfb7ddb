"""The network has a recipe and no parameter that it could train.

Every layer with weights is frozen (`trainable: false`), or there is none. The run would take its
time and end with the weights that it began with.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1, trainable: false}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10, trainable: false}
    training:
      epochs: 10
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      preprocessing: {mean: data, std: data}

Instead:

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
      preprocessing: {mean: data, std: data}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import counted
from archspec.diagnostics import Problem
from archspec.rules.base import Rule


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None or analysis.shapes.missing:
        return
    weights = [weight for _, weight in analysis.parameters]
    if any(weight.trainable for weight in weights):
        return
    count = sum(weight.size for weight in weights)
    if not weights:
        what = "the network has no parameters"
    elif count == 1:
        what = "its one parameter is frozen"
    else:
        what = f"all {count:,} parameters are frozen"
    yield Problem(
        "nothing-to-train",
        f"{what}, and training for {counted(recipe.epochs, 'epoch')} changes nothing",
        "leave out `trainable: false` in the layers that shall be trained" if weights else None,
        span=analysis.graph.document.root.locate(("training",), key=True),
    )


RULE = Rule("AS507", "nothing-to-train", "warning", check=_check)

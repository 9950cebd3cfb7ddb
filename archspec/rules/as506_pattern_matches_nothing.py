"""A pattern of the recipe matches no parameter, so that what it says is said of nothing.

`training.parameters` gives parameters other learning rates or no decay, by patterns over their
names: a layer's name, a dot, and `weight` or `bias`. A pattern that matches none is a mistyped name
or one of another framework (`*.kernel`, `*.gamma`), and the exception that it makes is lost.

Example:

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
        - {match: '*.kernel', learning_rate: 2}
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
        - {match: '*.weight', learning_rate: 2}
      preprocessing: {mean: data, std: data}
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.rules.base import Rule
from archspec.rules.recipe import matching, place


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None or analysis.shapes.missing:
        return
    for index, rule in enumerate(recipe.parameters):
        if matching(analysis, rule.match):
            continue
        names = [name for name, _ in analysis.parameters]
        near = did_you_mean(rule.match, names)
        some = listing(names[:2]) + (" and so on" if len(names) > 2 else "")
        none = f"none of the {len(names)} parameters" if len(names) > 1 else "no parameter"
        yield Problem(
            "pattern-matches-nothing",
            f"`{shortened(rule.match)}` matches {none}",
            near or (f"their names are {some}" if names else "the network has no parameters"),
            span=place(analysis, "parameters", index, "match"),
        )


RULE = Rule("AS506", "pattern-matches-nothing", "warning", check=_check)

"""Stochastic depth stands where no shortcut leads around it.

In training it sets the whole of an image to zero. On a residual branch the shortcut carries the
image on, so that the block is skipped; anywhere else nothing is left of it, and the loss of that
image tells the layers before nothing at all. It belongs right before the `add` that joins branch
and shortcut.

Example:

    archspec: 1
    name: example
    input: {channels: 8, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, padding: 1}
      - {name: add, type: add, inputs: [conv1, input]}
      - {name: depth, type: stochastic_depth, rate: 0.2}
      - {name: relu, type: relu}

Instead:

    archspec: 1
    name: example
    input: {channels: 8, height: 8, width: 8}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, padding: 1}
      - {name: depth, type: stochastic_depth, rate: 0.2}
      - {name: add, type: add, inputs: [depth, input]}
      - {name: relu, type: relu}

References:

    Huang et al. (2016): Deep networks with stochastic depth (https://arxiv.org/abs/1603.09382)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import percent
from archspec.diagnostics import Problem
from archspec.layers.joins import Add
from archspec.layers.stochastic_depth import StochasticDepth
from archspec.rules.base import Rule
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    graph = analysis.graph
    for node, layer in layers(graph, StochasticDepth):
        readers = [graph.by_name[name] for name in graph.consumers[node.name]]
        outside = [r.name for r in readers if not isinstance(r.layer, Add)]
        if layer.rate and (outside or not readers):
            reader = f"{outside[0]} reads" if outside else "the output is"
            yield Problem(
                "depth-outside-residual",
                f"{node.name}: {reader} what it leaves of an image, and for "
                f"{percent(layer.rate)} of the images in training that is zeros alone",
                "put it right before the `add` that joins the branch with its shortcut",
                layer=node.name,
                field="type",
            )


RULE = Rule("AS216", "depth-outside-residual", "warning", check=_check)

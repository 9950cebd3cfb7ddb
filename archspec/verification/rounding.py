"""What rounding may do: the bounds that errors are held against.

In float64 the bounds are what the project promises (`PROMISE`). In float32 they follow from the
network. An operation rounds its result by at most u of it, u = 2^-24. The errors of a sum of n such
results are as good as independent, so they add up like a random walk, to lambda sqrt(n) u, where
lambda is how many standard deviations are granted (Higham and Mary, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), 2019). A layer makes n roundings
for each of its outputs, its FLOPs over its outputs, at least one, and 16 more for an exponential, a
power and the like, which libraries compute within some 4 units in the last place; it carries on
those of what it reads. So, with N the largest sum of n along a path from the image to the layer,

    output bound = lambda sqrt(N) u,    lambda = 4,

relative to the layer's largest output. For a gradient N also has the way back: the roundings from
the image to the outputs, those from the outputs back to the layer (FLOPs over inputs), and those
of the gradient itself (FLOPs times images over parameters). Batch normalisation adds those of its
statistics on both ways: in training each is a sum over all images and positions.

A gradient may be determined less well than that: a ReLU or a maximum within rounding of where it
bends lets it jump, and statistics of few values magnify what goes into them. A float32 sum of
products is the exact one of factors moved by sqrt(n) u (the same article), so the reference is
also computed with weights moved at random by that much, three times over, and

    gradient bound = lambda sqrt(N) u + lambda x the furthest that this moves one of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.analysis.costs import layer_costs
from archspec.analysis.shapes import infer_shapes
from archspec.graph import Graph
from archspec.spec.fields import INPUT
from archspec.verification.errors import layer_of

if TYPE_CHECKING:
    import numpy as np

    from archspec.backends.base import Array, Weights

# Half the distance from 1 to the next number.
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
# Standard deviations of rounding that are granted.
LAMBDA = 4.0
# Roundings that an exponential, a power or another elementary function counts as.
ELEMENTARY = 16


@dataclass(frozen=True)
class Promise:
    """The largest relative errors that count as equal in float64."""

    outputs: float
    gradients: float
    losses: float
    weights: float


# What is promised in float64: for losses and weights over 50 steps.
PROMISE = Promise(outputs=1e-12, gradients=1e-10, losses=1e-9, weights=1e-9)


class Roundings:
    """How many roundings stand behind each output and each gradient of a network.

    `own` are those of a layer for one output of it, at inference and in training, `outputs` the
    most along a path from the image to the layer.
    """

    def __init__(self, graph: Graph, batch: int) -> None:
        shapes = infer_shapes(graph)
        self._batch = batch
        self._flops = {
            name: costs.flops for name, costs in layer_costs(graph, shapes, batch).items()
        }
        self._elementary = {node.name: node.layer.elementary for node in graph.nodes}
        sizes = {INPUT: math.prod(graph.input_shape)}
        sizes |= {node.name: math.prod(shapes.of(node.name)) for node in graph.nodes}
        self.own = {name: self._each(name, sizes[name]) for name in self._flops}
        self.outputs = self._along(graph, self.own)
        sums = {
            node.name: batch * math.prod(shapes.of(node.name)[1:])
            if any(weight.buffer for weight in node.layer.weights(shapes.inputs(node)))
            else 0
            for node in graph.nodes
        }
        self.own_in_training = {name: own + sums[name] for name, own in self.own.items()}
        self._whole = max(self._along(graph, self.own_in_training).values())
        self._back = dict.fromkeys(sizes, 0)
        for node in reversed(graph.nodes):
            for name in node.inputs:
                own = self._each(node.name, sizes[name]) + sums[node.name]
                self._back[name] = max(self._back[name], self._back[node.name] + own)

    @property
    def last(self) -> int:
        """The most that stand behind any output."""
        return max(self.outputs.values())

    def gradient(self, parameter: str, size: int) -> int:
        """Those behind the gradient of a parameter with so many elements, or of the images."""
        if parameter == INPUT:
            return self._whole + self._back[INPUT]
        layer = layer_of(parameter)
        return self._whole + self._back[layer] + self._each(layer, size, self._batch)

    def _along(self, graph: Graph, own: Mapping[str, int]) -> dict[str, int]:
        """The most along a path from the image to each layer."""
        found = {INPUT: 0}
        for node in graph.nodes:
            found[node.name] = own[node.name] + max(found[name] for name in node.inputs)
        return found

    def _each(self, layer: str, size: int, times: int = 1) -> int:
        """A layer's operations, shared out among so many results."""
        each = max(1, math.ceil(times * self._flops[layer] / size))
        return each + ELEMENTARY * self._elementary[layer]


def bound(roundings: int) -> float:
    """The relative error in float32 that so many roundings explain."""
    return LAMBDA * math.sqrt(roundings) * UNIT["float32"]


def moved(
    weights: Weights, roundings: Mapping[str, int], numbers: np.random.Generator
) -> dict[str, Array]:
    """The weights, each element moved by what rounding in float32 amounts to.

    That is at random, with a standard deviation of sqrt(n) u of it, n being the layer's roundings
    for each of its outputs. A batch variance that is off scales the output as a weight that is off.
    """
    found: dict[str, Array] = {}
    for name, weight in weights.items():
        share = UNIT["float32"] * math.sqrt(roundings[layer_of(name)])
        found[name] = weight * (1.0 + share * numbers.standard_normal(weight.shape))
    return found
